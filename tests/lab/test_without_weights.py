"""A port that is a file without weights and with names of its own: its layers are paired by dataflow."""

from __future__ import annotations

import json

import numpy as np
import pytest

from portavoz.lab.compare import compare
from portavoz.lab.selftest.strangers.encoder_ports import SCENES
from portavoz.lab.trace.recorder import record
from portavoz.lab.trace.trace import Trace

SCENE = SCENES[0]


def dump(name: str, *, half: bool = False) -> Trace:
    """What a stranger writes: values and names of layers, no weights."""
    port = next(p for p in SCENE.ports if p.name == name)
    trace = record(SCENE.ported(port, 0))
    trace.layers = {}
    for key in list(trace.arrays) if half else ():
        a = trace.arrays[key]
        trace.arrays[key] = a.astype(np.float16) if a.dtype.kind == "f" else a
    return trace


@pytest.mark.parametrize("name", ["x @ w.T", "packed q, k and v", "packed k and v"])
def test_layers_are_paired_by_their_values(name: str) -> None:
    verdict = compare(SCENE.reference(0), dump(name))
    assert verdict.answer == "PASS", verdict.faults
    assert verdict.pairing.seen > 0.9


def test_faults_are_named_and_a_map_overrides() -> None:
    reference = SCENE.reference(0)
    verdict = compare(reference, dump("no scale"))
    assert verdict.faults[0].id == "edge:layers.1/softmax.0" and "1/√6" in verdict.faults[0].cause
    port = dump("x @ w.T")
    paths = list(dict.fromkeys(unit.path for unit in port.units.values() if unit.op == "linear"))
    wrong = compare(reference, port, mapping={paths[0]: "layers.0.k", paths[1]: "layers.0.q"})
    assert wrong.answer == "FAIL", json.dumps(wrong.pairing.rules)


def test_half_precision_is_judged_as_such() -> None:
    verdict = compare(SCENE.reference(0), dump("x @ w.T", half=True), precision="float16")
    assert verdict.answer == "UNDECIDABLE" and not verdict.faults
