"""The bundled voice's card: naturalness beside understanding, taken from an evaluation's report."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

SPEAKERS = ["heart", "bella", "eric", "michael"]
FOLDER = Path(__file__).parents[2] / "recipes" / "voice"


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        import heart

        return heart
    finally:
        sys.path.remove(str(FOLDER))


def report(*names: str) -> dict:
    found = {name: {"value": 4.123456, "low": 4.0, "high": 4.2, "count": 2} for name in names}
    teacher = {"word_error": {"value": 0.5}}
    return {
        "sentences": [{}, {}], "judge": "an ear", "mos_model": {"name": "a model"},
        "columns": [{"kind": "recording", "figures": teacher}, {"kind": "voice", "figures": found}],
    }  # fmt: skip


def test_the_card_has_naturalness_beside_understanding(recipe: ModuleType) -> None:
    found = recipe.figures(report("mos_estimate", "word_error", "mcd"))
    assert found["naturalness"] == {"voice": 4.1235, "low": 4.0, "high": 4.2}
    assert found["word errors"] == {**found["naturalness"], "teacher": 0.5}
    assert (found["sentences"], found["judge"], found["mos model"]) == (2, "an ear", "a model")


def test_a_report_of_half_a_judgement_is_refused(recipe: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no mos_estimate: run evaluate with"):
        recipe.figures(report("word_error"))


def test_the_bundled_voice_says_where_it_came_from() -> None:
    from portavoz.folder import describe, find

    about = describe(find(None))
    assert about["name"] == "heart" and about["speakers"] == SPEAKERS and about["rate"] == 24000
    card = about["card"]
    assert all("hibari-tts" in card["teachers"][name] and "Kokoro-82M" in card["teachers"][name] for name in SPEAKERS)
    assert {"this voice", *SPEAKERS, "texts"} == {*card["licences"]}
