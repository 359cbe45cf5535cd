"""Floors: of each unit, of each stage, of a whole run; what a port fuses is judged by all that it fuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from probes import compact

from portavoz.errors import InputError
from portavoz.lab.compare import compare, mirrored, propagated
from portavoz.lab.forcing.noise_floor import propagated_floors_of, stage_floors_of, write
from portavoz.lab.instrument.observer import Arrays, Observer, Program, Run, Unit
from portavoz.lab.report.text import first_line, lines, to_dict
from portavoz.lab.trace.reader import read
from portavoz.lab.trace.recorder import Selection, record
from portavoz.lab.trace.trace import ENTRY, Trace

BORDERS = ("log_durations*", "durations*", "memory*", "mel*", "wave*")


class Shy(Observer):
    """Shows what crosses borders, and nothing of what happens between them."""

    def __init__(self, inner: Observer) -> None:
        self.inner = inner

    def observe(self, unit: Unit, xs: Arrays, run: Run) -> Arrays | None:
        return self.inner.observe(unit, xs, run) if unit.kind == "value" else None


class Closed:
    """A program whose stages are closed boxes, as on a compiled runtime."""

    def __init__(self, inner: Program) -> None:
        self.inner, self.name = inner, f"{inner.name}, compiled"

    def run(self, observer: Observer, *, float64: bool = False) -> None:
        self.inner.run(Shy(observer), float64=float64)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """The small compact model on NumPy as a file with all of its floors."""
    path = tmp_path_factory.mktemp("floors") / "compact.trace"
    write(compact(ops="numpy"), path)
    return read(path)


def largest(floors: dict[str, dict[str, float]]) -> float:
    return max(f for places in floors.values() for f in places.values())


def test_a_trace_keeps_all_three_kinds_of_floors(kept: Trace) -> None:
    assert set(kept.floors) == set(kept.units) == set(kept.propagated_floors)
    assert set(kept.stage_floors) == {key for key, unit in kept.units.items() if unit.kind == "value"}
    subject = compact(ops="numpy")
    whole = record(subject)
    assert kept.stage_floors == stage_floors_of(subject, whole)
    assert kept.propagated_floors == propagated_floors_of(subject, whole)
    # What is carried along a whole run is more than one unit adds, and a stage is between the two.
    wave = [floors["wave#0"]["out"] for floors in (kept.floors, kept.stage_floors, kept.propagated_floors)]
    assert wave[0] < wave[1] < wave[2] < 1e-4
    assert largest(kept.floors) < largest(kept.propagated_floors)


def test_decisions_that_two_precisions_take_differently_end_the_propagated_floors() -> None:
    subject = compact(ops="numpy")
    whole = record(subject)
    whole.arrays["durations#0:out"] = whole.arrays["durations#0:out"] + 1
    floors = propagated_floors_of(subject, whole)
    assert "log_durations#0" in floors and not {"durations#0", "mel#0", "wave#0"} & set(floors)


def test_floors_that_are_no_floors_are_one_sentence(tmp_path: Path) -> None:
    header = {"format": "portavoz-trace", "version": 1, "units": [{"key": "a#0"}], "propagated_floors": {"a#0": 3}}
    meta = {
        "__metadata__": {ENTRY: json.dumps(header)},
        "a#0:out": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    }
    head = json.dumps(meta).encode()
    (tmp_path / "t.trace").write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    with pytest.raises(InputError, match="propagated_floors of the header cannot be read"):
        read(tmp_path / "t.trace")


def test_two_clean_files_are_judged_by_propagated_floors(kept: Trace) -> None:
    verdict = propagated(kept, record(compact()))
    assert verdict.answer == "UNDECIDABLE" and not verdict.faults
    worst = max(a.ratio for a in verdict.free_outputs)
    assert 0 < worst < 32 and all(a.floor == a.floor for a in verdict.free_outputs)
    report = to_dict(verdict)
    assert report["verified"] == {} and "two traces show only what arrives" in report["not_tested"][0]


# What a port fuses


@pytest.mark.parametrize("reference", ["running", "file"])
def test_a_compiled_port_passes_at_stage_level(reference: str, kept: Trace) -> None:
    side = compact(ops="numpy") if reference == "running" else kept
    verdict = compare(side, Closed(compact()))
    assert verdict.answer == "PASS" and verdict.level == "stage", lines(verdict)
    assert first_line(verdict).startswith("PASS at stage level: ") and to_dict(verdict)["level"] == "stage"
    assert verdict.largest_clean < 8 and "units by themselves: the port fuses them" in to_dict(verdict)["not_tested"][0]


def test_a_file_of_borders_passes_at_stage_level() -> None:
    verdict = mirrored(compact(ops="numpy"), record(compact(), selection=Selection(globs=BORDERS)))
    assert verdict.answer == "PASS" and verdict.level == "stage" and verdict.largest_clean < 8, lines(verdict)


def test_a_fault_in_a_closed_stage_is_named_with_its_stage_and_where_to_look() -> None:
    def eps(acoustic: Any, vocoder: Any) -> None:
        acoustic.decoder.stack.layers[0].attention_residual.norm.eps = 1e-3

    verdict = compare(compact(ops="numpy"), Closed(compact(edit=eps)))
    assert verdict.answer == "FAIL" and verdict.faults[0].id == "value:mel"
    tap = to_dict(verdict)["next_tap"]
    assert tap is not None and tap.startswith("acoustic.decoder.") and "it halves the" in tap


def test_the_next_tap_of_a_file_that_shows_too_little() -> None:
    begun = record(compact(), selection=Selection(globs=("acoustic.encoder.*",)))
    verdict = mirrored(compact(ops="numpy"), begun)
    tap = to_dict(verdict)["next_tap"]
    assert verdict.answer == "UNDECIDABLE" and "halves the longest stretch that was not met" in tap
    assert any(line.startswith("tap next: ") for line in lines(verdict))
