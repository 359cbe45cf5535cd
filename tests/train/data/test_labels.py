"""Labels of phonemes: TextGrid and lab files."""

from __future__ import annotations

import numpy as np
import pytest
from recordings import LONG

from portavoz.errors import InputError
from portavoz.train.data import labels


def test_labels_lie_as_the_sounds_do(tmp_path):
    for speaker in ("ann", "bob"):
        (tmp_path / "TextGrid" / speaker).mkdir(parents=True)
        (tmp_path / "TextGrid" / speaker / "0.TextGrid").write_text(speaker)
    wav = tmp_path / "wavs" / "bob" / "0.wav"
    assert labels.find(tmp_path, "bob-0", wav) == tmp_path / "TextGrid" / "bob" / "0.TextGrid"
    assert labels.find(tmp_path, "0", tmp_path.parent / "0.wav") is None


def short_form(text):
    values = [line.split("=", 1)[1].strip() for line in text.splitlines()[3:] if "=" in line]
    return "\n".join(
        ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *values[:2], "<exists>", *values[2:]]
    )


@pytest.mark.parametrize("form", ["long", "short", "utf-16"])
def test_textgrids(tmp_path, form):
    path = tmp_path / "a.TextGrid"
    text = short_form(LONG) if form == "short" else LONG
    path.write_text(text, encoding="utf-16" if form == "utf-16" else "utf-8")
    symbols, ends = labels.read(path, [" ", "!"])
    assert symbols == ["^", "S", "IY1", " ", "M", "IY1", "!"]
    assert ends == [0.1, 0.2, 0.4, 0.4, 0.5, 0.8, 1.0]
    assert labels.find(tmp_path, "a") == path


def test_lab_files(tmp_path):
    path = tmp_path / "a.lab"
    path.write_text("0 1000000 sil\n1000000 2000000 S\n2000000 4000000 IY1\n4000000 7000000 sp\n7000000 9000000 iː\n")
    symbols, ends = labels.read(path)
    assert symbols == ["^", "S", "IY1", ",", "IY0", "."]
    assert np.allclose(ends, [0.1, 0.2, 0.4, 0.7, 0.9, 0.9])
    path.write_text("#\n0.5 S\n0.75 AH0\n")
    assert labels.read(path) == (["^", "S", "AH0", "."], [0.0, 0.5, 0.75, 0.75])


@pytest.mark.parametrize(
    ("text", "message"),
    [("0 1000000 Q!", "is not a phoneme"), ("0 1000000 sil", "only silence"), ("x y", "wanted 'start end phone'")],
)
def test_labels_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / "a.lab"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        labels.read(path)


def test_broken_textgrids(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(LONG[:900])
    with pytest.raises(InputError, match=r"truncated|no tier of phones"):
        labels.read(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="does not begin as a TextGrid"):
        labels.read(path)
