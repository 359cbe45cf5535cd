"""`portavoz evaluate` and `portavoz listen`: what they write, and what they refuse in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from portavoz.audio.files import write
from portavoz.flow import Wave

FAST = ("--only", "mcd,real_time_factor,duration_ratio", "--count", "1")
ALONE = ("--only", "real_time_factor", "--count", "1")  # needs no recordings


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A plain folder of two recordings, which is also one of sounds."""
    folder = tmp_path / "mine"
    folder.mkdir()
    t = np.arange(8000) / 16_000
    for i, pitch in enumerate((150, 250)):
        write(folder / f"{i}.wav", Wave((0.1 * np.sin(2 * np.pi * pitch * t)).astype(np.float32), 16_000))
    (folder / "metadata.csv").write_text("0|One & more.\n1|Two.\n", encoding="utf-8")
    return folder


def test_a_voice_beside_recordings(run, tiny: Path, recordings: Path) -> None:
    done = run("evaluate", str(tiny), "--corpus", "mine", *FAST, "--json", "r.json", "--html", "r.html")
    assert done.code == 0, done.err
    assert "mel cepstral distortion, dB" in done.out.decode() and "voice − recording" not in done.out.decode()
    report = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert [c["kind"] for c in report["columns"]] == ["recording", "voice", "vocoded", "griffin_lim"]
    assert "data:audio/flac" in Path("r.html").read_text(encoding="utf-8")


def test_two_voices_beside_each_other(run, tiny: Path) -> None:
    done = run("evaluate", str(tiny), str(tiny), "--speaker", "first,second", *ALONE, "--json")
    report = json.loads(done.out)
    assert [c["name"] for c in report["columns"]] == [f"{tiny.name} (first)", f"{tiny.name} (second)"]
    (between,) = report["differences"]
    assert (between["first"], between["second"]) == (f"{tiny.name} (first)", f"{tiny.name} (second)")
    assert set(between["figures"]) == {"real_time_factor"}


def test_columns_of_long_figures_stay_apart() -> None:
    from portavoz.cli.commands.evaluate import _table

    long = "0.0634 (0.0634 … 0.0651)"
    (_, line) = _table(["", "a", "b"], [["real-time factor", long, long]])
    assert line == f"real-time factor  {long}  {long}"


def test_sentences_of_a_file(run, tiny: Path) -> None:
    Path("mine.txt").write_text("One.\n\nTwo.\n", encoding="utf-8")
    done = run("evaluate", str(tiny), "--text", "mine.txt", "--only", "real_time_factor")
    assert "synthesizing 2 sentences" in done.err
    assert done.out.decode().splitlines()[1].startswith("real-time factor")


def answered(name: str, score: int) -> None:
    rows = [{"sentence": "1", "system": "a", "score": score}]
    body = {"format": "portavoz-listening-result", "version": 1, "page": "p", "test": "mos", "listener": name}
    Path(f"{name}.json").write_text(json.dumps({**body, "answers": rows}), encoding="utf-8")


def test_answers_are_joined(run) -> None:
    answered("x", 3)
    answered("y", 4)
    shown = run("evaluate", "--listened", "x.json", "y.json", "--html", "r.html").out.decode()
    assert "listening test (mos), 2 listeners" in shown and "3.50" in shown
    assert "What 2 listeners said" in Path("r.html").read_text(encoding="utf-8")
    report = json.loads(run("evaluate", "--json", "--listened", "x.json", "y.json").out)
    assert report["listening"]["means"]["a"]["value"] == 3.5


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("a", "b", "c"), "3 voices"),
        (("nobody",), "there is no such folder"),
        (("--corpus", "nowhere"), "no such folder"),
        (("--text", "nowhere.txt"), "cannot be read"),
        (("--text", "a.txt", "--corpus", "b"), "not allowed with"),
        (("--count", "0"), "--count"),
        (("--only", "beauty"), "there is no figure 'beauty'"),
        (("--only", "mos_estimate"), "--mos"),
        (("--only", "mcd"), "mcd compares with recordings, and there are none: give a corpus"),
        (("--mos", "nowhere.onnx"), "no such file"),
        (("--json", "heart"), "put voices before options"),
        (("--html", "page.txt"), "has to end with .html"),
        (("--html", "nowhere/page.html"), "the folder nowhere does not exist"),
        (("--speaker", "a,b"), "for 1 voices"),
        (("--speaker", "nobody", "--only", "real_time_factor"), "has heart, bella, eric, michael"),
        (("--listened", "nowhere.json"), "cannot be read: there is no such file"),
        (("--runtime", "abacus"), "abacus"),
    ],
)
def test_evaluate_refuses(run, args: tuple[str, ...], says: str) -> None:
    done = run("evaluate", *args)
    last = done.err.splitlines()[-1]
    assert (done.code, done.out) == (2, b"") and last.startswith("portavoz: ") and says in last, done


def test_listen_to_folders(run, recordings: Path) -> None:
    Path("other").mkdir()
    for path in recordings.glob("*.wav"):
        (Path("other") / path.name).write_bytes(path.read_bytes())
    done = run("listen", "mine", "other", "-o", "page.html", "--title", "A & B")
    assert done.code == 0 and "2 screens of 2 sentences" in done.err
    assert "A &amp; B" in Path("page.html").read_text(encoding="utf-8")
    assert run("listen", "mine", "--test", "mushra", "--reference", "other", "-o", "m.html").code == 0


def test_listen_to_folders_of_one_name(run, recordings: Path) -> None:
    for name in ("a", "b"):
        (Path(name) / "wavs").mkdir(parents=True)
        for path in recordings.glob("*.wav"):
            (Path(name) / "wavs" / path.name).write_bytes(path.read_bytes())
    assert "2 screens" in run("listen", "a/wavs", "b/wavs/", "-o", "page.html").err


def test_listen_to_two_speakers_of_one_voice(run, tiny: Path) -> None:
    done = run("listen", str(tiny), str(tiny), "--speaker", "first,second", "--count", "1", "-o", "p.html")
    assert done.code == 0 and "1 screens of 1 sentences" in done.err, done.err


def test_listen_to_voices(run, tiny: Path, recordings: Path) -> None:
    assert "1 screens" in run("listen", str(tiny), "--count", "1", "-o", "p.html").err
    done = run("listen", str(tiny), "--test", "mushra", "--corpus", "mine", "--count", "1", "-o", "m.html")
    assert done.code == 0, done.err
    assert "1 screens of 1 sentences" in done.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("nobody", "-o", "p.html"), "there is no such folder"),
        (("mine", "-o", "p.txt"), "ends with .html"),
        (("mine", "-o", "nowhere/p.html"), "the folder"),
        (("mine",), "required: -o"),
        (("mine", "--test", "abx", "-o", "p.html"), "choose one of mos, ab, mushra"),
        (("mine", "--test", "ab", "-o", "p.html"), "needs two"),
        (("mine", "--test", "mushra", "-o", "p.html"), "no reference for the sentence"),
        (("mine", "mine", "-o", "p.html"), "two of one name"),
        (("mine", "--count", "0", "-o", "p.html"), "--count 0"),
    ],
)
def test_listen_refuses(refused, recordings: Path, args: tuple[str, ...], says: str) -> None:
    assert says in refused("listen", *args)
