"""The compact family on MLX: the same text, the same numbers as on torch; its files, and its training step."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest
import torch
from tracer import Tracer

import portavoz
from portavoz import ops
from portavoz.errors import WeightError
from portavoz.families.compact import acoustic as compact_mel
from portavoz.families.compact import vocoder as compact_wave
from portavoz.families.compact.config import MINIMAL, CompactConfig
from portavoz.families.compact.loop import Eager
from portavoz.lab.metrics import distance
from portavoz.ops.mlx_gradients import gradients
from portavoz.weights import file
from portavoz.weights.cursor import Weights
from portavoz.weights.layout import relayout

HIFI = CompactConfig.from_dict(
    {**MINIMAL.to_dict(), "vocoder": "hifigan", "hifigan": {"channels": 16, "rates": [8, 8, 4], "kernels": [16, 16, 8]}}
)
BOTH = pytest.mark.parametrize("config", [MINIMAL, HIFI], ids=["istft", "hifigan"])
CONVOLUTIONS = pytest.mark.parametrize("convolutions", ["native", "matmul"])
COMPONENT = 1e-5  # relative L2


def stages(config: CompactConfig, back: Any) -> Eager:
    w = Weights.fresh(back, 3)
    w.train = False
    return Eager(w, config)


def lively(back: Any, config: CompactConfig) -> tuple[Eager, dict[str, np.ndarray]]:
    """Stages with weights that are nowhere at their first values, so that a forgotten one is seen."""
    first = Weights.fresh(ops.open(), 3)
    Eager(first, config)
    draw = np.random.default_rng(0)
    arrays = {k: (a + 0.1 * draw.standard_normal(a.shape)).astype(np.float32) for k, a in first.arrays().items()}
    return Eager(Weights(arrays, back), config), arrays


def given(config: CompactConfig) -> dict[str, tuple[Any, ...]]:
    draw = np.random.default_rng(1)
    ids, durations = draw.integers(1, 76, (1, 9)), draw.integers(1, 3, (1, 9))
    memory = draw.standard_normal((1, 9, config.hidden)).astype(np.float32)
    mel = draw.standard_normal((1, 7, config.mel.mels)).astype(np.float32) * 2 - 5
    return {
        "encode": (ids, np.zeros(1, np.int64)),
        "decode": (memory, *compact_mel.layout(durations)),
        "vocode": (mel,),
    }


# The compact family


@BOTH
@CONVOLUTIONS
def test_every_part_of_every_compact_stage_equals_torch(config: CompactConfig, convolutions: str) -> None:
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, back in (("torch", ops.open("torch")), ("mlx", ops.open("mlx", convolutions=convolutions))):
        watch = Tracer(back)
        run, _ = lively(watch, config)
        for stage, inputs in given(config).items():
            getattr(run, stage)(*inputs)
        found[name] = {k: v for k, v in watch.tensors().items() if ":out" in k}
    assert found["mlx"].keys() == found["torch"].keys()
    assert len(found["mlx"]) >= 60
    far = {key: distance(found["mlx"][key], want).l2 for key, want in found["torch"].items()}
    # A bound on what is near zero throughout says nothing about it.
    bad = {k: v for k, v in far.items() if v > COMPONENT and np.abs(found["torch"][k]).max() > 1e-6}
    assert bad == {}


@BOTH
def test_stages_on_mlx_give_torchs_numbers_from_any_thread(config: CompactConfig) -> None:
    ours, theirs = lively(ops.open("mlx"), config)[0], lively(ops.open("torch"), config)[0]
    for stage, inputs in given(config).items():
        got: list[Any] = []
        threads = [threading.Thread(target=lambda: got.append(getattr(ours, stage)(*inputs))) for _ in range(3)]  # noqa: B023
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        want = getattr(theirs, stage)(*inputs)
        assert len(got) == 3
        for each in got:
            for a, b in zip(*((x if isinstance(x, tuple) else (x,)) for x in (each, want))):
                assert distance(a, b).l2 <= COMPONENT


LONG = "The quick brown fox, who had been waiting for this moment all day, jumps over the lazy dog at last."


@pytest.mark.parametrize("text", ["Short, and the same.", LONG], ids=["short", "long"])
def test_the_bundled_voice_on_mlx_is_the_bundled_voice(text: str) -> None:
    want, got = (portavoz.load(backend=name).speak(text) for name in ("numpy", "mlx"))
    assert got.words == want.words  # the same durations
    assert got.samples.shape == want.samples.shape
    noise = got.samples.astype(np.float64) - want.samples
    assert 10 * np.log10((want.samples**2).sum() / (noise**2).sum()) >= 60


# Files in MLX's layout


@BOTH
def test_a_file_in_mlx_layout_is_the_same_model_and_moves_no_axis(config: CompactConfig, tmp_path: Path) -> None:
    first, arrays = lively(ops.open("mlx"), config)
    w = Weights(arrays, ops.open("mlx"))
    Eager(w, config)
    file.write(tmp_path / "mlx.safetensors", w.arrays("mlx"), {"layout": "mlx"})

    class Seeing(type(ops.open("mlx"))):
        """Keeps what came through the door."""

        def tensor(self, a: Any, train: bool = False) -> Any:
            through.append(a)
            return super().tensor(a, train)

    through: list[np.ndarray] = []
    loaded = Weights.load(tmp_path / "mlx.safetensors", Seeing())
    again = Eager(loaded, config)
    loaded.finish()
    assert loaded.source is not None
    own = [a for a in through if any(np.shares_memory(a, b) for b in loaded.source.values())]
    assert len(own) == len(loaded.source)  # nothing was rearranged or copied on the way to MLX
    assert all(a.flags.c_contiguous for a in own)
    for stage, inputs in given(config).items():
        a, b = (getattr(m, stage)(*inputs) for m in (first, again))
        assert all(np.array_equal(x, y) for x, y in zip(*((v if isinstance(v, tuple) else (v,)) for v in (a, b))))


def test_a_layout_that_is_wrong_or_not_said_is_one_sentence(tmp_path: Path) -> None:
    back = ops.open("mlx")
    w = Weights.fresh(back, 5)
    w.conv1d("wide", 4, 6, 3)
    w.conv1d("square", 3, 6, 3)
    path = tmp_path / "mlx.safetensors"
    mx.save_safetensors(str(path), {k: mx.array(a) for k, a in w.arrays("mlx").items()})  # MLX itself declares nothing
    with pytest.raises(WeightError, match=r"wide\.weight: .* this is the mlx layout, pass layout='mlx'"):
        Weights.load(path, back, layout="torch").conv1d("wide", 4, 6, 3)
    with pytest.raises(
        WeightError, match=r"square\.weight: \(6, 3, 3\) reads the same in every layout and the file does"
    ):
        Weights.load(path, back).conv1d("square", 3, 6, 3)
    again = Weights.load(path, back, layout="mlx").conv1d("square", 3, 6, 3)
    assert np.array_equal(back.numpy(again.weight), w.arrays("mlx")["square.weight"])


def test_a_stream_on_mlx_is_the_whole_in_pieces() -> None:
    voice = portavoz.load(runtime="eager", backend="mlx")
    pieces = list(voice.stream("Yes. No."))
    assert len(pieces) > 1
    assert np.array_equal(np.concatenate([p.samples for p in pieces]), voice.speak("Yes. No.").samples)


def test_our_file_loads_in_mlx_nn_and_theirs_in_ours(tmp_path: Path) -> None:
    class Twin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.linear = nn.Conv1d(4, 6, 3, padding=1), nn.LayerNorm(6), nn.Linear(6, 5)

        def __call__(self, x: Any) -> Any:
            return self.linear(self.norm(self.conv(x)))

    back, x = ops.open("mlx"), np.random.default_rng(0).standard_normal((2, 9, 4)).astype(np.float32)

    def ours(w: Weights) -> np.ndarray:
        y = w.conv1d("conv", 4, 6, 3)(back.tensor(x))
        return back.numpy(w.linear("linear", 6, 5)(w.layer_norm("norm", 6)(y)))

    fresh = Weights.fresh(back, 5)
    want = ours(fresh)
    file.write(tmp_path / "ours.safetensors", fresh.arrays("mlx"), {"format": "mlx"})
    twin = Twin()
    twin.load_weights(str(tmp_path / "ours.safetensors"), strict=True)
    assert distance(np.array(twin(mx.array(x))), want).l2 < 1e-6
    half = {k: v.astype(mx.float16) for k, v in mx.load(str(tmp_path / "ours.safetensors")).items()}
    mx.save_safetensors(str(tmp_path / "half.safetensors"), half, {"format": "mlx"})
    loaded = Weights.load(tmp_path / "half.safetensors", back)
    got = ours(loaded)
    loaded.finish()
    assert 1e-5 < distance(got, want).l2 < 2e-3


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantised_model_gives_the_same_numbers_packed_on_mlx_and_unpacked_on_torch(
    bits: int, tmp_path: Path
) -> None:
    w = Weights(lively(ops.open("mlx"), MINIMAL)[1], ops.open("mlx"))
    Eager(w, MINIMAL)
    arrays = w.arrays("mlx")
    for path, role in w.record.roles.items():
        if role in ("linear", "embedding") and arrays[path].shape[1] % 32 == 0:
            parts = mx.quantize(mx.array(arrays[path]), 32, bits)
            stem = path.removesuffix("weight")
            arrays.update(zip((path, f"{stem}scales", f"{stem}biases"), (np.array(part) for part in parts)))
    assert sum(a.dtype == np.uint32 for a in arrays.values()) > 10
    file.write(tmp_path / "q.safetensors", arrays, {"layout": "mlx"})
    models = []
    for name in ("mlx", "torch"):
        loaded = Weights.load(tmp_path / "q.safetensors", ops.open(name))
        models.append(Eager(loaded, MINIMAL))
        loaded.finish()
    for stage, inputs in given(MINIMAL).items():
        a, b = (getattr(m, stage)(*inputs) for m in models)
        for x, y in zip(*((v if isinstance(v, tuple) else (v,)) for v in (a, b))):
            assert distance(x, y).l2 < COMPONENT


# Training


def batch(config: CompactConfig) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(2)
    ids, durations = draw.integers(1, 76, (2, 8)), draw.integers(1, 5, (2, 8))
    durations[:, -1] += durations.sum(1).max() - durations.sum(1)  # rows of one length: no padding
    mel = draw.standard_normal((2, int(durations[0].sum()), config.mel.mels)).astype(np.float32)
    return {"ids": ids, "durations": durations, "mel": mel, "logs": np.log1p(durations).astype(np.float32)}


def losses(back: Any, model: Any, data: dict[str, np.ndarray]) -> Any:
    t, (index, place) = back.tensor, compact_mel.layout(data["durations"])
    memory, logs = model.encode(t(data["ids"]), t(np.zeros(2, np.int64)))
    mel = model.decode(memory, t(index), t(place))
    return ((mel - t(data["mel"])) ** 2).mean() + ((logs[:, :, 0] - t(data["logs"])) ** 2).mean()


def trained(back: Any, config: CompactConfig) -> tuple[Any, dict[str, Any]]:
    w = Weights.fresh(back, 4)
    return compact_mel.Acoustic(w / "acoustic", config), w.tensors()


def test_one_training_step_of_the_compact_family_equals_torchs() -> None:
    data, theirs, ours = batch(MINIMAL), ops.open("torch"), ops.open("mlx")
    model, tensors = trained(theirs, MINIMAL)
    optimiser = torch.optim.AdamW(tensors.values(), lr=1e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)
    loss = losses(theirs, model, data)
    loss.backward()
    optimiser.step()

    twin, held = trained(ours, MINIMAL)
    assert held.keys() == tensors.keys()
    value, grads = gradients(ours, lambda: losses(ours, twin, data), held)
    assert float(value.item()) == pytest.approx(float(loss.detach()), rel=1e-6)
    step = optim.AdamW(1e-3, betas=[0.9, 0.98], eps=1e-6, weight_decay=0.01, bias_correction=True)
    after = ours.worker.call(step.apply_gradients, grads, held)
    roles = {k: "conv1d" for k, v in held.items() if v.ndim == 3}
    for path, tensor in tensors.items():
        assert tensor.grad is not None
        size = max(float(tensor.grad.norm()), 1e-3)
        mine = relayout(ours.numpy(grads[path]), roles.get(path, ""), "mlx", "torch")
        assert np.linalg.norm(mine - tensor.grad.numpy()) < 1e-5 * size, path
        moved = relayout(ours.numpy(after[path]), roles.get(path, ""), "mlx", "torch")
        # Adam's first step has the gradient's sign and one size: only where a gradient is all rounding may it differ.
        clear = np.abs(tensor.grad.numpy()) > 1e-6
        assert np.abs(moved - tensor.detach().numpy())[clear].max(initial=0) < 2e-5, path


def test_a_few_training_steps_on_mlx_learn() -> None:
    data, back = batch(MINIMAL), ops.open("mlx")
    model, tensors = trained(back, MINIMAL)
    step, seen = optim.AdamW(3e-3), []
    for _ in range(12):
        value, grads = gradients(back, lambda: losses(back, model, data), tensors)
        seen.append(float(value.item()))

        def apply(grads: Any = grads) -> None:
            for path, new in step.apply_gradients(grads, tensors).items():
                tensors[path][...] = new
            mx.eval(*tensors.values())

        back.worker.call(apply)
    assert seen[-1] < 0.7 * seen[0]


def test_the_vocoder_gathers_gradients_on_mlx() -> None:
    back = ops.open("mlx")
    w = Weights.fresh(back, 4)
    model, mel = compact_wave.vocoder(w / "vocoder", HIFI), given(HIFI)["vocode"][0]
    tensors = w.tensors()
    _, grads = gradients(back, lambda: (model(back.tensor(mel)) ** 2).sum(), tensors)
    assert all(np.abs(back.numpy(g)).max() > 0 for g in grads.values())
