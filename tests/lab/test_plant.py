"""The lab is graded by planted faults: a sample here, the whole catalogue marked slow."""

from __future__ import annotations

import re

import pytest

from portavoz.errors import InputError
from portavoz.families.faults import Fault
from portavoz.lab.selftest.fault_injection import Score, catalogue, catalogues, grade, judge_one, target, triples

SAMPLE = {
    "compact": {
        "missing scale", "mask ignored", "gelu by tanh in one layer", "embedding row that no probe hears",
    },
    "speecht5": {
        "kernel flipped", "text mask ignored", "cache row lost at step 4", "speaker before the frame",
        "kernel without its scale",
    },
    "stranger": {"mask one off", "residual twice", "transposed matrix", "gelu by tanh"},
}  # fmt: skip


def sampled(family: str) -> set[str]:
    return SAMPLE[family]


@pytest.mark.parametrize("family", list(SAMPLE))
def test_a_sample_is_named_at_its_place(family: str) -> None:
    score = grade(family, clean=2, threes=0, methods=("forced", "mirrored"), only=lambda f: f.name in sampled(family))
    d = score.to_dict()
    assert d["faults"] == len(sampled(family)) == d["detected"] == d["exact"]
    assert d["mirrored"]["exact"] == d["faults"] and d["false_alarms"] == 0 and d["clean_runs"] == 2
    # What is usually looked at lets some of the very same ports pass.
    assert d["usual_gates"]["pcc_0.94"] < d["faults"]
    # What they look like is said for most, and what is said without doubt is so.
    assert d["diagnosis"]["right_share"] >= 0.6 and d["diagnosis"]["certain_and_wrong"] == 0
    assert 0 < d["largest_clean"] < 8 and d["smallest_fault"] > 16
    for row in d["clean"].values():
        assert set(row) <= {"runs", "forced", "mirrored", "propagated"} and row["runs"] >= 1


@pytest.mark.parametrize(
    ("family", "alone"),
    [
        # Faults whose place a file with outputs alone must show, and whether a cause may be certain there.
        ("compact", {"embedding row that no probe hears": False, "features of the place exchanged": False}),
        ("stranger", {"embedding one row off": False, "norm's weight left at 1": True}),
    ],
)
def test_a_file_is_exact_and_certain_only_where_its_inputs_say_so(family: str, alone: dict[str, bool]) -> None:
    ground, faults = target(family), {fault.name: fault for fault in catalogue(family)}
    for name, certain in alone.items():
        outcome = judge_one(ground, faults[name], "outputs only")
        assert outcome.exact and outcome.certain == certain, outcome
    if family == "compact":
        outcome = judge_one(ground, faults["norm behind the sum"], "mirrored")
        assert outcome.exact and outcome.certain and outcome.cause_right, outcome


def test_three_faults_at_once_are_all_named() -> None:
    score = Score()
    triples(target("compact"), [f for f in catalogue("compact") if not f.probe and "weight" in f.name], 1, 0, score)
    for method in ("triples", "triples_mirrored"):
        found = score.to_dict()[method]
        assert found["planted"] == 3 == found["named"]


def test_the_catalogue_is_large_and_its_names_are_its_own() -> None:
    every: list[Fault] = [f for family in SAMPLE for f in catalogue(family)]
    assert {*SAMPLE} < {*catalogues()}  # Chatterbox's faults have tests of their own
    for family in catalogues():
        names = [f.name for f in catalogue(family)]
        assert len(set(names)) == len(names)
    assert len(every) >= 120 and len(catalogue("stranger")) >= 20
    for fault in every:
        re.compile(fault.want)
        assert fault.cause and (fault.weights or fault.edit or fault.words)


def test_a_family_without_faults_is_refused() -> None:
    with pytest.raises(InputError, match="no planted faults for the family 'abacus'"):
        catalogue("abacus")


@pytest.mark.slow
@pytest.mark.parametrize("family", list(SAMPLE))
def test_the_whole_catalogue(family: str) -> None:
    d = grade(family, clean=80, threes=12).to_dict()
    assert d["detected"] == d["faults"] and d["exact"] >= 0.95 * d["faults"]
    for method in ("mirrored", "outputs_only"):
        assert d[method]["detected"] == d["faults"] and d[method]["exact"] >= 0.95 * d["faults"]
    assert d["false_alarms"] == 0 and d["clean_runs"] == 80 and d["largest_clean"] < 8
    for method in ("triples", "triples_mirrored"):
        assert d[method]["named"] >= 0.95 * d[method]["planted"]
    assert d["diagnosis"]["right_share"] >= 0.6
    assert d["diagnosis"]["certain_and_wrong_share"] <= 0.05
