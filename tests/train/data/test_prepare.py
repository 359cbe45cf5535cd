"""From folders as people have them to what training reads: layouts, validation, labels, features, alignment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from portavoz.audio.files import write
from portavoz.errors import InputError
from portavoz.flow import MelSpec, Wave
from portavoz.text.alphabet import ALPHABET
from portavoz.train.data import labels, layouts, toy, validate
from portavoz.train.data.corpus import Corpus
from portavoz.train.data.features import Cut, Features
from portavoz.train.data.prepare import prepare

RATE = 22050


def tone(path, seconds=1.0, *, rate=RATE, level=0.3, silence=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    quiet = np.zeros(int(silence * rate), np.float32)
    wave = level * np.sin(np.arange(int(seconds * rate)) * 0.05).astype(np.float32)
    write(path, Wave(np.concatenate([quiet, wave, quiet]), rate))


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


def test_labels_lie_as_the_sounds_do(tmp_path):
    for speaker in ("ann", "bob"):
        (tmp_path / "TextGrid" / speaker).mkdir(parents=True)
        (tmp_path / "TextGrid" / speaker / "0.TextGrid").write_text(speaker)
    wav = tmp_path / "wavs" / "bob" / "0.wav"
    assert labels.find(tmp_path, "bob-0", wav) == tmp_path / "TextGrid" / "bob" / "0.TextGrid"
    assert labels.find(tmp_path, "0", tmp_path.parent / "0.wav") is None


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


def test_a_field_without_an_end_is_refused(tmp_path):
    (tmp_path / "metadata.csv").write_text('file,text\na,"' + "no end, " * 20_000)
    with pytest.raises(InputError, match=r"metadata\.csv line 2: field larger"):
        layouts.find(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        layouts.find(tmp_path / "none")


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


LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.0
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.0
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.4
            text = "see"
        intervals [3]:
            xmin = 0.4
            xmax = 0.8
            text = "me"
        intervals [4]:
            xmin = 0.8
            xmax = 1.0
            text = ""
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.0
        intervals: size = 6
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = "sil"
        intervals [2]:
            xmin = 0.1
            xmax = 0.2
            text = "S"
        intervals [3]:
            xmin = 0.2
            xmax = 0.4
            text = "IY1"
        intervals [4]:
            xmin = 0.4
            xmax = 0.5
            text = "M"
        intervals [5]:
            xmin = 0.5
            xmax = 0.8
            text = "IY1"
        intervals [6]:
            xmin = 0.8
            xmax = 1.0
            text = "sp"
"""


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
    [("0 1000000 Q!", "is no phoneme"), ("0 1000000 sil", "only silence"), ("x y", "wanted 'start end phone'")],
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


def test_features_follow_content_not_names(tmp_path):
    tone(tmp_path / "a.wav")
    first = Features(tmp_path, [Cut(tmp_path / "a.wav")], MelSpec())
    made = (first.place / "mels.f32").stat().st_mtime_ns
    os.utime(tmp_path / "a.wav")
    again = Features(tmp_path, [Cut(tmp_path / "a.wav")], MelSpec())
    assert (again.place / "mels.f32").stat().st_mtime_ns == made
    tone(tmp_path / "a.wav", level=0.1)
    other = Features(tmp_path, [Cut(tmp_path / "a.wav")], MelSpec())
    assert other.key != first.key
    assert not np.array_equal(other.mels, first.mels)
    cut = Features(tmp_path, [Cut(tmp_path / "a.wav", 0.25, 0.75)], MelSpec())
    assert abs(cut.frames[0] - 43) <= 1


def test_a_cache_that_is_not_whole_is_made_again(tmp_path):
    tone(tmp_path / "a.wav")
    first = Features(tmp_path, [Cut(tmp_path / "a.wav")], MelSpec())
    wanted, place = np.array(first.mels), first.place
    del first
    (place / "mels.f32").write_bytes(b"torn")
    (place.parent / f"{place.name}.99999.part").mkdir()
    assert np.array_equal(Features(tmp_path, [Cut(tmp_path / "a.wav")], MelSpec()).mels, wanted)
    assert not list(place.parent.glob("*.part"))


BUILD = """
import sys
from pathlib import Path
from portavoz.flow import MelSpec
from portavoz.train.data.features import Cut, Features
folder = Path(sys.argv[1])
print(Features(folder, [Cut(p) for p in sorted(folder.glob("*.wav"))], MelSpec()).mels.sum())
"""


def test_two_processes_make_one_cache(tmp_path):
    for i in range(6):
        tone(tmp_path / f"{i}.wav", 2.0, level=0.1 + 0.1 * i)
    running = [
        subprocess.Popen([sys.executable, "-c", BUILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[0].strip() for process in running]
    assert [p.returncode for p in running] == [0, 0]
    assert said[0] == said[1]
    assert len([p for p in (tmp_path / "features").iterdir() if p.is_dir()]) == 1


def test_a_killed_build_leaves_nothing_that_counts(tmp_path):
    for i in range(40):
        tone(tmp_path / f"{i:02}.wav", 3.0)
    process = subprocess.Popen([sys.executable, "-c", BUILD, str(tmp_path)], stdout=subprocess.PIPE)
    gone = threading.Event()
    while not list((tmp_path).glob("features/*.part/mels.f32")) and process.poll() is None:
        gone.wait(0.005)
    process.kill()
    process.wait()
    process.stdout.close()
    assert not [p for p in (tmp_path / "features").iterdir() if p.is_dir() and p.suffix != ".part"]
    made = Features(tmp_path, [Cut(p) for p in sorted(tmp_path.glob("*.wav"))], MelSpec())
    assert len(made.frames) == 40
    assert not list((tmp_path / "features").glob("*.part"))


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
    out = prepare(folder, tmp_path / "corpus", MelSpec(), steps=150, pictures=1, say=said.append)
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
    prepare(folder, out, MelSpec(), steps=150, say=said.append)
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
    assert any("'Q!' is no phoneme" in line for line in said)
    assert '"0001"' in (out / "index.jsonl").read_text()


def test_preparing_nothing_is_refused(tmp_path):
    (tmp_path / "metadata.csv").write_text("a|Hello.\n")
    with pytest.raises(InputError, match="no usable recording"):
        prepare(tmp_path, tmp_path / "out", MelSpec())
    assert "missing" in (tmp_path / "out" / "report.json").read_text()
