"""VITS's blocks: splines that turn back, the same numbers on every back end, names and sizes out of a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from portavoz import families
from portavoz.errors import SpecError, WeightError
from portavoz.families.piper import names, probe, spline
from portavoz.families.piper.eager import Eager
from portavoz.lab.family import compare_backends
from portavoz.ops.base import Ops
from portavoz.weights.cursor import Weights


def forward(x: np.ndarray, widths: np.ndarray, heights: np.ndarray, slopes: np.ndarray, tail: float) -> np.ndarray:
    """The spline as the paper has it (eq. 4), one number after the other."""
    out = []
    for n, value in enumerate(x):
        if abs(value) > tail:
            out.append(value)
            continue
        xs, ys = spline._edges(widths[n], tail), spline._edges(heights[n], tail)
        edge = [1.0, *(spline.LEAST + np.log1p(np.exp(slopes[n]))), 1.0]
        k = min(int(np.searchsorted(xs, value, "right")) - 1, len(widths[n]) - 1)
        s = (ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k])
        at = (value - xs[k]) / (xs[k + 1] - xs[k])
        between = at * (1 - at)
        above = (ys[k + 1] - ys[k]) * (s * at**2 + edge[k] * between)
        out.append(ys[k] + above / (s + (edge[k + 1] + edge[k] - 2 * s) * between))
    return np.array(out)


def test_splines_run_backwards() -> None:
    draw = np.random.default_rng(0)
    x = np.concatenate([draw.uniform(-5, 5, 60), [-7.0, 6.0, -5.0, 5.0]])
    widths, heights, slopes = (draw.normal(size=(len(x), n)) for n in (10, 10, 9))
    y = forward(x, widths, heights, slopes, 5.0)
    assert np.abs(y - x).max() > 0.1
    np.testing.assert_allclose(spline.inverse(y, widths, heights, slopes, tail=5.0), x, atol=1e-6)


@pytest.mark.parametrize(("reference", "backend"), [("numpy", "torch"), ("torch", "mlx")])
def test_the_blocks_are_the_same_on_another_back_end(reference: str, backend: str) -> None:
    (verdict,) = compare_backends(families.get("piper"), reference, backend).values()
    assert verdict.answer == "PASS"


def model() -> tuple[Eager, dict[str, np.ndarray]]:
    arrays = probe.weights(probe.TINY)
    return Eager(Weights(arrays, Ops()), probe.TINY.sizes), arrays


def test_speakers_noise_and_durations_are_heard() -> None:
    eager, _ = model()
    given = probe.inputs(probe.TINY)
    wave, frames = eager.run(**given)
    assert len(wave) == frames.sum() * probe.TINY.sizes.hop and np.array_equal(frames, given["given"])
    for name, other in (("sid", np.array([2])), ("noise.prior", given["noise.prior"][::-1].copy())):
        assert np.abs(eager.run(**{**given, name: other})[0] - wave).max() > 1e-4
    quiet = {**given, "scales": np.array([0, 1, 0], np.float32)}
    np.testing.assert_array_equal(
        eager.run(**quiet)[0], eager.run(**{**quiet, "noise.prior": 0 * given["noise.prior"]})[0]
    )
    own = {**given, "given": np.full(1, -1, np.float32), "scales": np.array([0, 0.05, 0], np.float32)}
    assert (eager.run(**own)[1] >= 1).all()


def exported(arrays: dict[str, np.ndarray]) -> onnx.ModelProto:
    """A graph with these weights as Piper's exporter leaves them: folded kernels lose their names, a scale its log."""
    nodes, weights, sizes = [], [], probe.TINY.sizes
    strides = {f"dec.ups.{i}": stride for i, (_, stride) in enumerate(sizes.upsampling)}
    dilations = {
        f"dec.resblocks.{i}.convs.{j}": d
        for i in range(len(sizes.upsampling) * len(sizes.blocks))
        for j, d in enumerate(sizes.blocks[i % len(sizes.blocks)][1])
    }
    for path, array in arrays.items():
        stem, _, role = path.rpartition(".")
        name = path
        if "norm" in path:
            name = f"{stem}.{'gamma' if role == 'weight' else 'beta'}"
        if path in ("enc_p.emb.weight", "emb_g.weight"):
            door = "input" if path.startswith("enc_p") else "sid"
            name = f"onnx::Gather_{len(weights)}"
            nodes.append(helper.make_node("Gather", [name, door], [path]))
        elif path == "dp.flows.0.logs":
            name, array = names.LAST_FLOW, np.exp(-array)
        elif array.ndim == 3 and role == "weight":
            if ".in_layers." in path or ".res_skip_layers." in path:
                name = f"onnx::Conv_{len(weights)}"
            kind = "ConvTranspose" if ".ups." in path else "Conv"
            facts = {"strides": [strides.get(stem, 1)], "dilations": [dilations.get(stem, 1)]}
            place = "/" + "/".join([*_steps(stem), kind])
            nodes.append(helper.make_node(kind, ["x", name], [path], name=place, **facts))
        weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    return helper.make_model(helper.make_graph(nodes, "g", [], [], weights))


def _steps(stem: str) -> list[str]:
    """A path as the exporter writes it: a module's number stays with its list (/flow/flows.6/enc/in_layers.0)."""
    steps: list[str] = []
    for part in stem.split("."):
        if part.isdigit() and steps:
            steps[-1] += f".{part}"
        else:
            steps.append(part)
    return steps


def test_names_and_sizes_come_back_from_a_graph() -> None:
    _, arrays = model()
    graph = exported(arrays)
    found = names.tensors(graph, Path("voice.onnx"))
    assert {*found} == {*arrays}
    for path, array in arrays.items():
        np.testing.assert_allclose(found[path], array, rtol=1e-5, atol=1e-6, err_msg=path)
    assert names.sizes(graph, found, Path("voice.onnx")) == probe.TINY.sizes


def test_a_rounded_file_says_that_it_has_no_weights() -> None:
    with pytest.raises(WeightError, match="holds no weights in float32 or float16 by their names"):
        names.tensors(helper.make_model(helper.make_graph([], "g", [], [], [])), Path("voice.onnx"))


def test_weights_that_lack_a_part_and_strides_without_bounds_are_refused() -> None:
    _, arrays = model()
    path, graph = Path("voice.onnx"), exported(arrays)
    found = names.tensors(graph, path)
    lacking = {name: array for name, array in found.items() if name != "dp.pre.weight"}
    with pytest.raises(WeightError, match=r"voice.onnx: not all of a Piper voice's weights are in it .*dp.pre"):
        names.sizes(graph, lacking, path)
    with pytest.raises(WeightError, match="not all of a Piper voice's weights"):
        names.sizes(graph, {**found, "enc_p.emb.weight": np.zeros(3, np.float32)}, path)
    for node in graph.graph.node:
        for fact in node.attribute:
            if node.op_type == "ConvTranspose" and fact.name == "strides":
                fact.ints[:] = [10**9]
    with pytest.raises(SpecError, match=r"upsampling is .*: wanted a list of lists of 2 whole numbers from 1 to 1024"):
        names.sizes(graph, found, path)


def test_the_probe_says_how_long_the_wave_is() -> None:
    """What two runs have to agree on, whatever their sound."""
    assert probe.SPEC.decisions(probe.TINY, {"wave": [np.zeros((1, 7), np.float32)]}) == {"samples": 7}
