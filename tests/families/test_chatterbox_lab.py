"""The lab on Chatterbox: parity with chatterbox-tts unit by unit, and planted faults found at their place."""

from __future__ import annotations

import pytest

from portavoz.lab.compare import forced
from portavoz.lab.selftest.fault_injection import FaultTarget, catalogue, judge_one, planted, target

FAULTS = {fault.name: fault for fault in catalogue("chatterbox")}
SAMPLE = ["a square matrix transposed", "the last step of the flow too long"]


@pytest.fixture(scope="module")
def ground() -> FaultTarget:
    return target("chatterbox", "tiny")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FAULTS if name not in SAMPLE])
def test_a_planted_fault_is_named_first(ground: FaultTarget, name: str) -> None:
    outcome = judge_one(ground, FAULTS[name], "forced")
    assert outcome.detected
    assert outcome.exact, outcome.named


@pytest.mark.parametrize("name", SAMPLE)
def test_some_planted_faults_are_named_first(ground: FaultTarget, name: str) -> None:
    test_a_planted_fault_is_named_first(ground, name)


def test_a_port_without_a_fault_passes(ground: FaultTarget) -> None:
    verdict = forced(ground.trace, planted(ground, []))
    assert verdict.answer == "PASS", [fault.id for fault in verdict.faults]
