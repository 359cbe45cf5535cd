"""A port in C that only writes a file: it is judged, and a fault in it is named, without any of our code in it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from probes import parity_weights

from portavoz.blocks.durations import DurationPredictor
from portavoz.lab import tap
from portavoz.lab.compare import mirrored
from portavoz.lab.instrument.ops import OpsProgram
from portavoz.lab.report.text import first_line, lines
from portavoz.lab.trace.reader import read
from portavoz.weights.cursor import Weights

STEPS, CHANNELS, INNER = 9, 6, 5


def parts(w: Weights) -> DurationPredictor:
    return DurationPredictor(w, CHANNELS, INNER)


def given() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((1, STEPS, CHANNELS)).astype(np.float32)


def reference() -> OpsProgram:
    """Ours, which the program in C claims to be."""

    def build(w: Weights) -> Callable[[], Any]:
        model = parts(w)
        return lambda: tap("result", model(model.ops.tensor(given().astype(model.convs[0].bias.dtype))))

    return OpsProgram(build, parity_weights(parts, 0), ops="numpy", name="durations")


@pytest.fixture(scope="module")
def source(root: Path) -> str:
    return (root / "docs" / "examples" / "durations.c").read_text(encoding="utf-8")


def dumped(source: str, folder: Path) -> Path:
    """Compile the program, run it on the same weights, give its trace."""
    arrays = parity_weights(parts, 0)
    numbers = [given(), *(arrays[f"{kind}.{i}.{role}"] for i in range(2) for kind in ("convs", "norms")
                          for role in ("weight", "bias")), arrays["out.weight"], arrays["out.bias"]]  # fmt: skip
    head = np.array([STEPS, CHANNELS, INNER], np.int32).tobytes()
    (folder / "weights.bin").write_bytes(head + b"".join(a.astype(np.float32).tobytes() for a in numbers))
    (folder / "port.c").write_text(source, encoding="utf-8")
    subprocess.run(["cc", "-O1", "port.c", "-lm", "-o", "port"], cwd=folder, check=True)
    subprocess.run(["./port", "weights.bin", "port.trace"], cwd=folder, check=True)
    return folder / "port.trace"


def test_a_faultless_program_in_c_passes(source: str, tmp_path: Path) -> None:
    assert len(source.splitlines()) <= 200
    verdict = mirrored(reference(), read(dumped(source, tmp_path)))
    assert verdict.answer == "PASS" and verdict.pairing.coverage == 1, lines(verdict)
    assert {rule for path, rule in verdict.pairing.rules.items() if "#" not in path} == {"fingerprint"}


@pytest.mark.parametrize(
    ("right", "wrong", "site", "cause"),
    [
        ("* 3 + k]", "* 3 + 2 - k]", "leaf:convs.0", "wrong way round"),
        ("y[i] > 0 ? y[i] : 0", "y[i] > 0 ? y[i] : 0.1f * y[i]", "leaf:/relu.0", "leaky relu 0.1"),
        ("2) / inner;", "2) / (inner - 1);", "leaf:norms.0", "n − 1"),
        ("y[t] = b[0];", "y[t] = 0;", "leaf:out", "dropped bias"),
    ],
)  # fmt: skip
def test_a_fault_planted_in_it_is_named(
    source: str, tmp_path: Path, right: str, wrong: str, site: str, cause: str
) -> None:
    assert right in source
    verdict = mirrored(reference(), read(dumped(source.replace(right, wrong), tmp_path)))
    assert verdict.faults[0].id == site, [c.id for c in verdict.faults]
    assert cause in verdict.faults[0].cause and verdict.faults[0].certain
    assert first_line(verdict).startswith("FIRST WRONG: ")
