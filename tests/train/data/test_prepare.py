"""From folders as people have them to what training reads: labels used or learnt, what is left out reported."""

from __future__ import annotations

import json

import numpy as np
import pytest
from recordings import LONG, tone

from portavoz.errors import InputError
from portavoz.flow import MelSpec
from portavoz.text.alphabet import ALPHABET
from portavoz.train.data import toy
from portavoz.train.data.corpus import Corpus
from portavoz.train.data.prepare import prepare


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("metadata.csv", "a|Hello there.\n\n|x\nb|Good\u2028day.", "metadata.csv line 3"),
        ("metadata.csv", "a|Hello there.\nno text\nb|Good day.", "metadata.csv line 2"),
        ("metadata.csv", "file,text\na,Hello there.\n,x\nb,Good day.", "metadata.csv line 3"),
        (
            "all.jsonl",
            '{"audio": "a", "text": "Hello there."}\n{broken\n{"audio": "b", "text": "Good day."}',
            "all.jsonl line 2",
        ),
    ],
)
def test_a_malformed_line_is_left_out_and_reported(tmp_path, name, text, line):
    for sound in "ab":
        tone(tmp_path / "wavs" / f"{sound}.wav")
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{sound}.TextGrid").write_text(LONG)
    (tmp_path / name).write_text(text, encoding="utf-8")
    said = []
    out = prepare(tmp_path, tmp_path / "out", MelSpec(), say=said.append)
    assert said[0].startswith("2 of 3 recordings")
    assert any(row.startswith(f"line: 1 left out: {line} (") for row in said)
    assert len((out / "index.jsonl").read_text().splitlines()) == 2
    assert json.loads((out / "report.json").read_text())["findings"][0]["id"] == line


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Toy sounds as a table with inline pronunciations, and the truth about where each symbol is."""
    made = toy.make(tmp_path_factory.mktemp("truth"), count=24, seed=3)
    folder = tmp_path_factory.mktemp("table")
    (folder / "wavs").symlink_to(made / "wavs")
    truth, rows = {}, []
    for line in (made / "index.jsonl").read_text().splitlines():
        values = json.loads(line)
        words = "".join("|" if s == " " else f"{s} " for s in values["symbols"][1:-1]).split("|")
        rows.append(f"{values['id']}|{' '.join(f'[[{word.strip()}]]' for word in words)}.")
        truth[values["id"]] = values["ends"]
    (folder / "metadata.csv").write_text("\n".join(rows))
    return folder, truth


def test_preparing_aligns_and_is_not_done_twice(spoken, tmp_path):
    folder, truth = spoken
    said = []
    out = prepare(folder, tmp_path / "corpus", MelSpec(), steps=90, pictures=1, say=said.append)
    errors = []
    for line in map(json.loads, (out / "index.jsonl").read_text().splitlines()):
        known = np.array(truth[line["id"]])
        assert len(line["ends"]) == len(known) == len(line["symbols"])
        errors.append(np.abs(np.array(line["ends"])[:-1] + line["from"] - known[:-1]))
    # Symbols of the toy last 0.05 to 0.13 s.
    assert np.mean(np.concatenate(errors)) < 0.04
    corpus = Corpus(out, MelSpec())
    assert len(corpus.utterances) >= 22  # the toy's shortest are shorter than a recording may be
    assert corpus.split("held_out")
    assert len(list((out / "alignments").glob("*.png"))) == 1
    assert {"id", "score", "longest", "suspicious"} <= set(json.loads((out / "alignments.json").read_text())[0])
    assert all(row["score"] < 0 for row in json.loads((out / "alignments.json").read_text()))
    before = len(said)
    prepare(folder, out, MelSpec(), steps=90, say=said.append)
    assert len(said) == before


def test_preparing_prefers_label_files(tmp_path):
    source = tmp_path / "source"
    for name in "ab":
        tone(source / "wavs" / f"{name}.wav", 1.0)
        (source / "labels").mkdir(exist_ok=True)
        (source / "labels" / f"{name}.TextGrid").write_text(LONG)
    (source / "metadata.csv").write_text("a|See me!\nb|See me?")
    corpus = Corpus(prepare(source, tmp_path / "out", MelSpec()), MelSpec())
    assert ALPHABET.decode(corpus.ids[corpus.utterances[1].symbols].tolist()) == ["^", "S", "IY1", " ", "M", "IY1", "?"]
    assert corpus.durations[corpus.utterances[0].symbols].tolist() == [9, 8, 17, 0, 9, 26, 17]


def test_labels_that_look_wrong_are_said_listed_and_drawn(tmp_path, capsys):
    source = tmp_path / "source"
    grids = {"a": LONG, "b": LONG.replace("0.1", "0.2").replace("xmax = 0.2", "xmax = 0.2", 1), "c": LONG}
    for name, text in grids.items():
        tone(source / "wavs" / f"{name}.wav", 1.0)
        (source / "labels").mkdir(exist_ok=True)
        (source / "labels" / f"{name}.TextGrid").write_text(text)
    (source / "labels" / "c.TextGrid").write_text(LONG.replace("1.0", "9.0").replace("0.8", "8.0"))
    (source / "metadata.csv").write_text("id|file|text\nx/a|a|See me!\nx/b|b|See me?\nx/c|c|See me.")
    said = []
    out = prepare(source, tmp_path / "out", MelSpec(), pictures=2, say=said.append)
    assert f"2 alignments look wrong: x/c, x/b; see {out / 'alignments.json'}" in said
    c, b, a = json.loads((out / "alignments.json").read_text())
    assert (a["id"], a["suspicious"], a["why"], a["score"]) == ("x/a", False, "", None)
    assert "1 of 4 phonemes without a frame" in b["why"]
    assert "a phoneme of 7.5 s" in c["why"] and "symbols in 9.0 s" in c["why"]
    assert sorted(p.name for p in (out / "alignments").iterdir()) == ["x-b.png", "x-c.png"]
    assert "recordings of source" in capsys.readouterr().err


def test_recordings_that_do_not_fit_their_texts_are_refused(tmp_path):
    for name in "abc":
        tone(tmp_path / "wavs" / f"{name}.wav", 2.0)
    (tmp_path / "metadata.csv").write_text("a|Anna.\nb|Bob.\nc|One, two and three, and then four, five and six.")
    with pytest.raises(InputError, match=r"2 of 3 recordings too fast or too slow for their texts \(a: "):
        prepare(tmp_path, tmp_path / "out", MelSpec())
    assert "pace" in (tmp_path / "out" / "report.json").read_text()


def test_labels_that_cannot_be_used_are_learnt_instead(spoken, tmp_path):
    folder, _ = spoken
    source = tmp_path / "source"
    source.mkdir()
    (source / "wavs").symlink_to(folder / "wavs")
    (source / "metadata.csv").write_text("\n".join((folder / "metadata.csv").read_text().splitlines()[:6]))
    (source / "labels").mkdir()
    (source / "labels" / "0001.lab").write_text("0 1000000 Q!\n")
    said = []
    out = prepare(source, tmp_path / "out", MelSpec(), steps=3, say=said.append)
    assert any("'Q!' is not a phoneme" in line for line in said)
    assert '"0001"' in (out / "index.jsonl").read_text()


def test_preparing_nothing_is_refused(tmp_path):
    (tmp_path / "metadata.csv").write_text("a|Hello.\n")
    with pytest.raises(InputError, match="no usable recording"):
        prepare(tmp_path, tmp_path / "out", MelSpec())
    assert "missing" in (tmp_path / "out" / "report.json").read_text()
