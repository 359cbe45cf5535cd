"""The golden executor: whole sentences, formulas beside PyTorch, planted faults named at their place, bad input."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from portavoz import families, ops
from portavoz.errors import BackendError
from portavoz.families.speecht5 import probe as speecht5
from portavoz.families.speecht5.loop import Generated, SpeechT5, StoppingCriteria
from portavoz.graph.cache import Cache
from portavoz.graph.compile import Choice, Origin, assemble
from portavoz.lab.compare import forced
from portavoz.lab.family import compare_backends
from portavoz.lab.selftest.fault_injection import FaultTarget, catalogue, planted, target
from portavoz.ops.ttnn import golden
from portavoz.voice import load

SLOW = [pytest.param(family, marks=pytest.mark.slow) for family in ("chatterbox", "piper", "speecht5")]


@pytest.mark.parametrize("family", ["compact", *SLOW])
def test_the_formulas_are_torchs(family: str) -> None:
    for name, verdict in compare_backends(families.get(family), "torch", "ttnn").items():
        assert verdict.answer == "PASS", (name, verdict.reason)


# Whole sentences


def sentence(back: Any, threshold: float, place: Path) -> Generated:
    """Text to wave by the stages that compiled runtimes have, on a back end."""
    family, c = families.get("speecht5"), speecht5.TINY
    arrays, key = speecht5.weights(c), "vocoder."
    parts = {
        "model": {name: a for name, a in arrays.items() if not name.startswith(key)},
        "vocoder": {name[len(key) :]: a for name, a in arrays.items() if name.startswith(key)},
    }
    origin = Origin.given(family, c, parts)
    origin.ops = back
    choices = {group: Choice("eager", "float32", 1) for group in origin.groups}
    given = speecht5.inputs(c, 3)
    model = SpeechT5(assemble(origin, choices, Cache(place)).runner, c)
    return model.generate([given["ids"][0]], given["speaker"][0], stop=StoppingCriteria(threshold, maxlenratio=9))[0]


def decided(sums: np.ndarray, least: int) -> float:
    """A threshold that is first reached after `least` steps, in the middle of the widest gap to all steps before."""
    before = np.maximum.accumulate(sums)[:-1]
    gaps = [(float(sums[i] - before[i - 1]), i) for i in range(least, len(sums))]
    gap, at = max(gaps)
    return float(sums[at] - gap / 2)


@pytest.mark.parametrize("schedule", [pytest.param("float32", marks=pytest.mark.slow), "bfloat16"])
def test_a_sentence_of_speecht5_ends_where_torchs_does(schedule: str, tmp_path: Path) -> None:
    free = sentence(ops.open("torch"), 100.0, tmp_path)
    threshold = decided(free.stops.sum(-1), 40)
    theirs = sentence(ops.open("torch"), threshold, tmp_path)
    ours = sentence(ops.open("ttnn", schedule=schedule), threshold, tmp_path)
    assert 40 <= len(ours.stops) == len(theirs.stops) < len(free.stops)
    assert ours.mel.values.shape == theirs.mel.values.shape and ours.wave.shape == theirs.wave.shape
    error = np.linalg.norm(ours.wave - theirs.wave) / np.linalg.norm(theirs.wave)
    assert error < {"float32": 1e-4, "bfloat16": 0.05}[schedule]
    assert error > 0


def test_a_sentence_of_compact_has_torchs_frames() -> None:
    text = "The birch canoe slid on the smooth planks."
    ours, theirs = (load(backend=name).speak(text).samples for name in ("ttnn", "torch"))
    assert len(ours) == len(theirs) > 30_000
    # The phase drifts, the magnitudes do not: a quarter of a semitone changes them by 0.22.
    ours, theirs = (np.abs(np.fft.rfft(sliding_window_view(x, 1200)[::300] * np.hanning(1200))) for x in (ours, theirs))
    assert 0 < np.linalg.norm(ours - theirs) < 0.12 * np.linalg.norm(theirs)


# Planted faults

FAULTS = {
    "compact": (
        "transposed square weight", "missing scale", "mask ignored", "eps 1e-12", "gelu by tanh in one layer",
        "clamp for the last tanh",
    ),
    "speecht5": ("kernel flipped", "text mask ignored", "speaker before the frame", "kernel without its scale"),
}  # fmt: skip


@functools.cache
def ground(family: str, probe: str) -> FaultTarget:
    return target(family, probe, 0)


CATALOGUE = [
    pytest.param(family, name, marks=pytest.mark.slow if family == "speecht5" else ())
    for family, names in FAULTS.items()
    for name in names
]


@pytest.mark.parametrize(("family", "name"), CATALOGUE)
def test_a_fault_of_the_catalogue_is_named_on_golden(family: str, name: str) -> None:
    fault = next(f for f in catalogue(family) if f.name == name)
    found = ground(family, fault.probe)
    verdict = forced(found.trace, planted(found, [fault], "ttnn"))
    assert verdict.answer == "FAIL"
    assert re.match(fault.want, verdict.faults[0].id), verdict.faults[0].id


def wrong(name: str, made: Any) -> Any:
    """An operation of the table with a fault in it."""
    table = golden.PRODUCTS if name in golden.PRODUCTS else golden.FUNCTIONS
    return functools.partial(made, table[name])


# What goes wrong in ports to the card: operation → the fault → what the lab has to say of a unit of this operation.
OPERATIONS = {
    "bias dropped": ("linear", lambda f, product, x, w, b=None: f(product, x, w), "linear"),
    "softmax over the padded tile": (
        "softmax", lambda f, x: f(torch.nn.functional.pad(x, (0, 3)))[..., :-3], "softmax",
    ),
    "gelu in its fast mode": ("gelu", lambda f, x, approximate: f(x, approximate=True), "gelu"),
    "layer norm with another eps": ("layer_norm", lambda f, x, w, b, eps: f(x, w, b, eps=1e-3), "layer_norm"),
    "layer norm without its weight": (
        "layer_norm", lambda f, x, w, b, eps: f(x, torch.ones_like(w), b, eps=eps), "layer_norm",
    ),
    "convolution without dilation": (
        "conv1d",
        lambda f, p, x, w, b=None, stride=1, padding=0, dilation=1, groups=1: f(
            p, x, w, b, stride=stride, padding=padding // dilation, dilation=1, groups=groups
        ),
        "conv1d",
    ),
    "kernel upside down": (
        "conv_transpose1d", lambda f, p, x, w, b=None, **facts: f(p, x, w.flip(2), b, **facts), "conv_transpose1d",
    ),
    "slope of another leaky relu": ("leaky_relu", lambda f, x, slope: f(x, slope=0.2), "leaky_relu"),
    "embedding one row off": ("embedding", lambda f, ids, w: f((ids + 1) % len(w), w), "embedding"),
    "sum in a narrow register": (
        "linear", lambda f, product, x, w, b=None: f(product, x, w, b) * 1.011, "linear",
    ),
    "tanh by its polynomial": ("tanh", lambda f, x: (x - x**3 / 3).clamp(-1, 1), "tanh"),
}  # fmt: skip


LATE = ("convolution without dilation", "kernel upside down", "layer norm with another eps", "gelu in its fast mode")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LATE else name for name in OPERATIONS]
)
def test_a_fault_in_an_operation_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operation, made, word = OPERATIONS[name]
    table = golden.PRODUCTS if operation in golden.PRODUCTS else golden.FUNCTIONS
    probe = "hifigan" if operation in ("leaky_relu", "conv_transpose1d", "tanh", "conv1d") else ""
    found = ground("compact", probe)
    port = planted(found, [], "ttnn")
    monkeypatch.setitem(table, operation, wrong(operation, made))
    verdict = forced(found.trace, port)
    assert verdict.answer == "FAIL"
    assert {fault.check.op for fault in verdict.faults if fault.kind == "leaf"} == {word}


# Bad input


def test_a_card_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(
        BackendError, match=r"(the package ttnn is not installed in this Python 3|ttnn finds no card).*golden"
    ):
        ops.open("ttnn", device="card")
