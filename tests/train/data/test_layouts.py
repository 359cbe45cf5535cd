"""Folders of recordings as people have them: LJSpeech, VCTK, tables, and what is wrong with them."""

from __future__ import annotations

import json

import pytest
from recordings import tone

from portavoz.errors import InputError
from portavoz.train.data import layouts, validate


def ljspeech(folder, count=3):
    for i in range(count):
        tone(folder / "wavs" / f"LJ001-000{i}.wav")
    rows = [f'LJ001-000{i}|He said "two" in 19{i}0|he said two words' for i in range(count)]
    (folder / "metadata.csv").write_text("\n".join(rows))


def test_ljspeech_is_found_and_read_as_normalised(tmp_path):
    ljspeech(tmp_path)
    found = layouts.find(tmp_path)
    assert found.kind == "ljspeech"
    assert [r.id for r in found.recordings] == ["LJ001-0000", "LJ001-0001", "LJ001-0002"]
    assert all(r.text == "he said two words" and r.wav.is_file() for r in found.recordings)


@pytest.mark.parametrize("sounds", ["wav48", "wav48_silence_trimmed"])
def test_vctk_is_found_with_its_speakers(tmp_path, sounds):
    for speaker in ("p225", "p226"):
        (tmp_path / "txt" / speaker).mkdir(parents=True)
        (tmp_path / "txt" / speaker / f"{speaker}_001.txt").write_text("Please call Stella.\n")
        name = f"{speaker}_001.wav" if sounds == "wav48" else f"{speaker}_001_mic1.flac"
        tone(tmp_path / sounds / speaker / name)
        if sounds != "wav48":
            tone(tmp_path / sounds / speaker / f"{speaker}_001_mic2.flac")
    found = layouts.find(tmp_path)
    assert found.kind == "vctk"
    assert [(r.speaker, r.text) for r in found.recordings] == [(s, "Please call Stella.") for s in ("p225", "p226")]
    assert all(r.wav.is_file() and "mic2" not in r.wav.name for r in found.recordings)


@pytest.mark.parametrize(
    "table",
    [
        "a|Hello there.\nb|Good day.",
        "file,text,speaker\na.flac,Hello there.,x\nb.flac,Good day.,x",
        "id\ttranscript\na\tHello there.\nb\tGood day.",
    ],
)
def test_plain_tables(tmp_path, table):
    for name in "ab":
        tone(tmp_path / "wavs" / f"{name}.flac")
    (tmp_path / "metadata.csv").write_text(table)
    found = layouts.find(tmp_path)
    assert [(r.id, r.text) for r in found.recordings] == [("a", "Hello there."), ("b", "Good day.")]
    assert all(r.wav.is_file() for r in found.recordings)
    assert {r.speaker for r in found.recordings} == {"x" if "speaker" in table else tmp_path.name}


def test_jsonl(tmp_path):
    tone(tmp_path / "clips" / "one.wav")
    (tmp_path / "manifest.jsonl").write_text('{"audio": "clips/one.wav", "sentence": "Yes.", "speaker": "ann"}\n')
    (only,) = layouts.find(tmp_path).recordings
    assert (only.id, only.text, only.speaker) == ("one", "Yes.", "ann")
    assert only.wav.is_file()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", "", "nothing to train on"),
        ("metadata.csv", "only one column", "line 1"),
        ("metadata.csv", b"a|\xff\xfe", "not UTF-8"),
        ("x.jsonl", "\n{broken", "line 2: not JSON"),
        ("x.jsonl", '{"text": "no sound"}', "no sound file named"),
        ("readme.txt", "hello", "no metadata.csv"),
    ],
)
def test_folders_that_cannot_be_read_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        layouts.find(tmp_path)


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        (("ann/0", "ann/1", "bob/0"), ["ann-0", "1", "bob-0"]),
        (("wavs/ann/0", "wavs/bob/0"), ["ann-0", "bob-0"]),
        (("ann/0", "bob/1", "ann/0"), ["0", "1", "0"]),
        (("take.1", "take.2"), ["take.1", "take.2"]),
    ],
)
def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path, files, ids):
    for name in files:
        tone(tmp_path / f"{name}.wav")
    rows = [{"audio": name, "text": "one two three", "speaker": name.split("/")[-2]} for name in files if "/" in name]
    rows = rows or [{"audio": name, "text": "one two three"} for name in files]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = validate.Report()
    found = layouts.find(tmp_path).recordings
    assert [r.id for r in found] == ids
    assert len(list(validate.inspect(found, report))) == len(set(files))
    assert [f.kind for f in report.findings] == ["duplicate"] * (len(files) - len(set(files)))


def test_vctk_with_files_of_one_name(tmp_path):
    for speaker in ("ann", "bob"):
        (tmp_path / "txt" / speaker).mkdir(parents=True)
        (tmp_path / "txt" / speaker / "0.txt").write_text("Please call Stella.\n")
        tone(tmp_path / "wav48" / speaker / "0.wav")
    assert [r.id for r in layouts.find(tmp_path).recordings] == ["ann-0", "bob-0"]


SAID = ("The cat sat.", "It rained.", "Dogs bark.", "Turn left.", "Read it again.", "Anna waits.")


@pytest.mark.parametrize(
    ("row", "header"), [("u{i}|{text}|anna", "id|text|speaker"), ("u{i}|anna|{text}", "id|speaker|text")]
)
def test_a_column_of_speakers_is_not_taken_for_text(tmp_path, row, header):
    rows = "\n".join(row.format(i=i, text=text) for i, text in enumerate(SAID))
    (tmp_path / "metadata.csv").write_text(rows)
    with pytest.raises(InputError, match=f"repeats anna, .*'{header}'".replace("|", "[|]")):
        layouts.find(tmp_path)
    (tmp_path / "metadata.csv").write_text(f"{header}\n{rows}")
    found = layouts.find(tmp_path).recordings
    assert [(r.text, r.speaker) for r in found] == [(text, "anna") for text in SAID]


@pytest.mark.parametrize(
    "rows",
    [
        [f"u{i}|{digit}|{word}" for i in range(3) for digit, word in (("1", "one"), ("2", "two"))],
        [
            f"u{i}|{text}|he said one"
            for i, text in enumerate(["He said 1", "He said one.", "He said: one", "he said I"])
        ],
    ],
)
def test_a_few_texts_read_often_are_still_texts(tmp_path, rows):
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    assert [r.text for r in layouts.find(tmp_path).recordings] == [row.split("|")[2] for row in rows]


def test_a_field_without_an_end_is_refused(tmp_path):
    (tmp_path / "metadata.csv").write_text('file,text\na,"' + "no end, " * 20_000)
    with pytest.raises(InputError, match=r"metadata\.csv line 2: field larger"):
        layouts.find(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        layouts.find(tmp_path / "none")
