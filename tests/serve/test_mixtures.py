"""Speakers that a request mixes: of the voice's own, where the family mixes; never anything else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from portavoz.serve.problems import Problem
from portavoz.serve.voices import MIXED, has, speaker


def voice(*, mixes: bool) -> Any:
    return SimpleNamespace(speakers=("af_heart", "bf_emma"), about={"mixes": mixes})


@pytest.mark.parametrize("name", ["af_heart", "af_heart:0.7+bf_emma:0.3", "af_heart + bf_emma"])
def test_a_mixture_of_the_voices_own_speakers_is_taken(name: str) -> None:
    assert has(voice(mixes=True), name)
    model: Any = SimpleNamespace(id="kokoro")
    assert speaker(model, voice(mixes=True), name, {"narrator": name}) == name
    assert speaker(model, voice(mixes=True), "narrator", {"narrator": name}) == name


@pytest.mark.parametrize(
    "name", ["af_heart:0.7+am_none:0.3", "af_heart+/etc/passwd", "+".join(["af_heart"] * (MIXED + 1)), ""]
)
def test_anything_else_is_refused(name: str) -> None:
    assert not has(voice(mixes=True), name)
    model: Any = SimpleNamespace(id="kokoro")
    with pytest.raises(Problem, match="has no voice"):
        speaker(model, voice(mixes=True), name, {})


def test_other_families_do_not_mix() -> None:
    assert not has(voice(mixes=False), "af_heart:0.7+bf_emma:0.3")
