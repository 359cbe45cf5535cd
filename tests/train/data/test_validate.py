"""Validation of recordings: each fault by name."""

from __future__ import annotations

import json

import numpy as np
from recordings import RATE, tone

from portavoz.train.data import layouts, validate


def test_validation_names_each_fault(tmp_path):
    def recording(id, text="one two three", wav=None):
        return layouts.Recording(id, text, wav or tmp_path / f"{id}.wav", "s")

    for id in ("good", "words", "script", "empty"):
        tone(tmp_path / f"{id}.wav")
    tone(tmp_path / "edges.wav", silence=1.5)
    tone(tmp_path / "low.wav", rate=8000)
    tone(tmp_path / "quiet.wav", level=1e-5)
    tone(tmp_path / "brief.wav", 0.1)
    tone(tmp_path / "slow.wav", 20)
    tone(tmp_path / "loud.wav", level=2.0)
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    rows = [recording(n) for n in ("good", "edges", "low", "quiet", "brief", "slow", "loud", "broken", "gone", "good")]
    rows += [recording("words", "zyxgrmbl one two"), recording("script", "one два"), recording("empty", " ")]
    report = validate.Report()
    kept = [t.recording.id for t in validate.inspect(rows, report)]
    found = {(f.kind, f.id) for f in report.findings}
    assert found == {
        ("edges", "edges"), ("rate", "low"), ("silent", "quiet"), ("short", "brief"), ("pace", "slow"),
        ("clipping", "loud"), ("unreadable", "broken"), ("missing", "gone"), ("duplicate", "good"),
        ("unknown words", "words"), ("symbols", "script"), ("text", "empty"),
    }  # fmt: skip
    assert kept == ["good", "edges", "low", "slow", "loud", "words"]
    text = "\n".join(report.lines())
    assert "6 of 13 recordings" in text
    assert "8000 Hz" in text
    report.write(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["kept"] == 6


def test_speech_is_found_between_silences():
    wave = np.concatenate([np.zeros(RATE), 0.5 * np.ones(RATE // 2), np.zeros(RATE)])
    start, stop = validate.speech(wave, RATE)
    assert abs(start - 0.9) < 0.011
    assert abs(stop - 1.6) < 0.011


def test_clipping_needs_three_samples_in_a_row():
    wave = np.zeros(20)
    wave[[2, 3, 7, 8, 9, 12, 13, 14, 15]] = 1.0
    assert validate.clipped(wave) == 2
