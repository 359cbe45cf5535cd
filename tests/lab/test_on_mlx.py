"""The lab on MLX: faultless ports pass, planted faults are named at their place, as on torch."""

from __future__ import annotations

import re

import pytest

from portavoz.lab.compare import forced, mirrored
from portavoz.lab.report.text import lines
from portavoz.lab.selftest import fault_injection
from portavoz.lab.trace.recorder import record

GROUNDS = [("compact", "istft"), ("compact", "hifigan"), ("speecht5", "")]


@pytest.mark.parametrize(("family", "probe"), GROUNDS)
def test_a_faultless_port_on_mlx_passes(family: str, probe: str) -> None:
    ground = fault_injection.target(family, probe, 0)
    verdict = forced(ground.trace, ground.port(ops="mlx"))
    assert verdict.answer == "PASS", lines(verdict)
    assert verdict.largest_clean < 8 and verdict.pairing.coverage == 1


@pytest.mark.parametrize(
    "every", [pytest.param(1, id="all", marks=pytest.mark.slow), pytest.param(4, id="one in four")]
)
@pytest.mark.parametrize("family", ["compact", "speecht5"])
def test_planted_faults_are_named_on_mlx(family: str, every: int) -> None:
    """Those planted in the weights' file, which no back end has to understand."""
    faults = [fault for fault in fault_injection.catalogue(family) if fault.weights is not None and fault.edit is None]
    assert len(faults) >= 10
    faults = faults[::every]
    missed = []
    for probe in dict.fromkeys(fault.probe for fault in faults):
        ground = fault_injection.target(family, probe, 0)
        for fault in (fault for fault in faults if fault.probe == probe):
            verdict = forced(ground.trace, fault_injection.planted(ground, [fault], "mlx"))
            first = verdict.faults[0].id if verdict.faults else "nothing"
            missed += [] if re.match(fault.want, first) else [f"{fault.name}: {first}"]
    assert missed == []


@pytest.mark.parametrize(("family", "probe"), GROUNDS[:1])
def test_a_file_that_mlx_wrote_is_mirrored(family: str, probe: str) -> None:
    ground = fault_injection.target(family, probe, 0)
    verdict = mirrored(ground.reference, record(ground.port(ops="mlx")))
    assert verdict.answer == "PASS" and verdict.largest_clean < 8, lines(verdict)
