"""Ports as strangers write them: how many there are, and a sample of what the lab says of them."""

from __future__ import annotations

import pytest

from portavoz.lab.selftest.strangers.all import SCENES
from portavoz.lab.selftest.strangers.grade import grade, summary

CLEAN = ["encoder: packed and x @ w.T", "vocoder: columns and a matrix", "head: overlap and add by fold",
         "conformer: halves folded", "styled: one product", "couplings: channels last", "tokens: a cache",
         "window: by distance", "buckets: as a mask", "speaker: columns", "grouped: scales folded",
         "shared: steps in reverse", "recurrent: a direction by flips"]  # fmt: skip
FAULTS = ["encoder: no scale", "encoder: k and v exchanged", "vocoder: slope 2", "flow: linear times",
          "conformer: gate and value exchanged", "couplings: skip first", "couplings: one size for all",
          "tokens: one fewer", "conformer: u and w exchanged", "window: not scaled", "buckets: one late",
          "generator: unbiased", "styled: interleaved style", "grouped: slopes upwards", "shared: undefined numbers",
          "couplings: no noise"]  # fmt: skip


def test_there_are_enough_of_each_kind() -> None:
    ports = [(f"{scene.name}: {port.name}", port) for scene in SCENES for port in scene.ports]
    assert len({name for name, _ in ports}) == len(ports)
    assert sum(bool(p.want) for _, p in ports) >= 80
    assert sum(not p.want and p.precision == "float32" for _, p in ports) >= 60
    assert sum(p.precision != "float32" for _, p in ports) >= 30


@pytest.mark.parametrize("method", ["forced", "mirrored"])
def test_a_sample_of_them(method: str) -> None:
    score = grade(methods=(method,), only=lambda scene, port: f"{scene.name}: {port.name}" in CLEAN + FAULTS)
    found = summary(score)
    assert found["faults"] == found["exact"] == len(FAULTS) and not found["passed"]
    assert found["clean_runs"] == len(CLEAN) and not found["false_alarms"]
    assert found["diagnosis"]["certain_and_wrong"] == 0
