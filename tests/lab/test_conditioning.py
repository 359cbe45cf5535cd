"""What a voice listens to: text, speaker and every border between stages, and what is deaf."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from portavoz import ops
from portavoz.families.compact import pipeline
from portavoz.families.compact.voice import CompactFolder
from portavoz.families.pipeline import Pipeline
from portavoz.lab.pipeline.pipeline_loader import Request, on, other_speaker
from portavoz.lab.signals.conditioning import responses
from portavoz.lab.signals.diagnosis import lines, listen


def answers(voice: Pipeline, other: Pipeline | None = None) -> dict[str, bool]:
    return {f"{r.cause} → {r.effect}": r.dead for r in responses(voice, other)}


@pytest.mark.parametrize(("family", "last"), [("compact", "mel"), ("speecht5", "frames")])
def test_a_probe_listens_to_everything(family: str, last: str) -> None:
    back, request = ops.open("torch"), Request("One lab.")
    another = other_speaker(family, request)
    assert another is not None
    found = answers(on(back, family, request), on(back, family, another))
    assert found == dict.fromkeys(["text → memory", f"memory → {last}", f"speaker → {last}", "mel → wave"], False)


@pytest.mark.parametrize(
    ("stage", "deaf", "room"),
    [
        ("encode", "text → memory", "encoder"),
        ("decode", "memory → mel", "decoder"),
        ("vocode", "mel → wave", "vocoder"),
    ],
)
def test_a_stage_that_does_not_listen_is_accused(stage: str, deaf: str, room: str) -> None:
    voice = on(ops.open("numpy"), "compact", Request("One lab."))
    right = dict(zip([s.name for s in voice.stages], voice.after(None, {})))
    stages = tuple(
        dataclasses.replace(s, run=lambda values: right[stage]) if s.name == stage else s for s in voice.stages
    )
    found = list(responses(dataclasses.replace(voice, stages=stages), None))
    assert [f"{r.cause} → {r.effect}" for r in found if r.dead] == [deaf]
    report = listen(None, voice.spec, mel=right["decode"]["mel"][0], responses=found)
    assert {symptom.name: symptom.room for symptom in report.symptoms}[deaf] == room
    assert f"does not move the {deaf.split()[-1]}: nobody listens to it" in "\n".join(lines(report))


def test_the_bundled_voice_listens_to_everything() -> None:
    found = answers(on(ops.open("torch"), "heart", Request("One lab.")))
    assert found == dict.fromkeys(["text → memory", "memory → controls", "controls → wave"], False)


def test_speakers_that_are_all_one_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from portavoz.families.compact import probe

    right = probe.parity_weights

    def one(*given: Any) -> Any:
        arrays = right(*given)
        arrays["acoustic.encoder.speaker.weight"][:] = arrays["acoustic.encoder.speaker.weight"][0]
        return arrays

    monkeypatch.setattr(probe, "parity_weights", one)
    back, request = ops.open("numpy"), Request("One lab.")
    another = other_speaker("compact", request)
    assert another is not None
    found = {
        f"{r.cause} → {r.effect}": r for r in responses(on(back, "compact", request), on(back, "compact", another))
    }
    assert found["speaker → mel"].dead and found["speaker → mel"].room == "conditioning"
    assert not found["memory → mel"].dead


def test_another_speaker_of_a_voice(tiny: Path) -> None:
    assert other_speaker(str(tiny), Request()) == Request(speaker=1)
    assert other_speaker("heart", Request()) == Request(speaker=1)


def test_a_folder_with_one_speaker_has_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CompactFolder, "about", lambda self: {"speakers": ["alone"]})
    assert pipeline.other_speaker(object.__new__(CompactFolder), Request()) is None
