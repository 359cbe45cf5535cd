"""Listening tests: what a page holds, what cannot be one, and how answers are joined."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from portavoz.audio.files import write as write_sound
from portavoz.errors import InputError
from portavoz.evaluate import listening, ratings
from portavoz.evaluate.embed import LEVEL
from portavoz.evaluate.listening import design, gather, is_sound_folder
from portavoz.evaluate.sentences import Sentence
from portavoz.evaluate.speaking import Subject
from portavoz.flow import Wave

SENTENCES = [Sentence("1", "One <b>."), Sentence("2", "Two.")]


def sounds(pitch: float, size: float = 0.1, rate: int = 16_000) -> dict[str, Wave]:
    t = np.arange(rate // 2) / rate
    return {s.id: Wave((size * np.sin(2 * np.pi * pitch * t)).astype(np.float32), rate) for s in SENTENCES}


def heard(url: str) -> tuple[np.ndarray, int]:
    kind, _, data = url.partition(";base64,")
    assert kind == "data:audio/flac"
    return soundfile.read(io.BytesIO(base64.b64decode(data)))


def made(test: str, names: tuple[str, ...] = ("a", "b"), **options: Any) -> dict[str, Any]:
    reference = sounds(300) if test == "mushra" else None
    of = [sounds(200 + 50 * i, 0.05 * (i + 1)) for i in range(len(names))]
    return design(test, names, of, sentences=SENTENCES, reference=reference, **options)


def test_mos_has_each_sound_by_itself() -> None:
    trials = made("mos")["trials"]
    assert [(t["sentence"], [c["system"] for c in t["clips"]]) for t in trials] == [
        ("1", ["a"]), ("1", ["b"]), ("2", ["a"]), ("2", ["b"]),
    ]  # fmt: skip


def test_ab_has_every_pair() -> None:
    trials = made("ab", ("a", "b", "c"))["trials"]
    pairs = [tuple(c["system"] for c in t["clips"]) for t in trials]
    assert pairs == [("a", "b"), ("a", "c"), ("b", "c")] * 2


def test_mushra_hides_the_reference_and_an_anchor() -> None:
    trials = made("mushra")["trials"]
    assert [[c["system"] for c in t["clips"]] for t in trials] == [["a", "b", "reference", "anchor"]] * 2
    hidden = {c["system"]: c["sound"] for c in trials[0]["clips"]}
    assert hidden["reference"] == trials[0]["reference"] != hidden["anchor"]


def test_the_anchor_has_nothing_above_3500_hertz() -> None:
    rng = np.random.default_rng(0)
    noise = {s.id: Wave(rng.normal(0, 0.05, 22_050).astype(np.float32), 22_050) for s in SENTENCES}
    trial = design("mushra", ["a"], [noise], sentences=SENTENCES, reference=noise)["trials"][0]
    samples, rate = heard(next(c["sound"] for c in trial["clips"] if c["system"] == "anchor"))
    power = np.abs(np.fft.rfft(samples)) ** 2
    above = np.fft.rfftfreq(len(samples), 1 / rate) > 3500
    assert power[above].sum() < 1e-4 * power[~above].sum()


def test_nothing_is_louder() -> None:
    levels = [
        20 * np.log10(np.sqrt((heard(clip["sound"])[0] ** 2).mean()))
        for t in made("mos")["trials"]
        for clip in t["clips"]
    ]
    assert levels == pytest.approx([LEVEL] * 4, abs=0.1)


def test_the_same_content_is_the_same_page_and_nothing_names_the_systems() -> None:
    assert made("mos", seed=1)["page"] == made("mos", seed=1)["page"] != made("mos", seed=2)["page"]
    page = listening.html(made("ab", ("secretA", "secretB")), title="A & <b>")
    assert "secret" not in page and "A &amp; &lt;b&gt;" in page
    assert "src=" not in page and "http" not in page


@pytest.mark.parametrize(
    ("test", "names", "says"),
    [
        ("abx", ("a",), "choose one of mos, ab, mushra"),
        ("ab", ("a",), "needs two"),
        ("mos", ("a", "a"), "two of one name"),
        ("mushra", ("reference",), "rename a folder"),
        ("mushra", tuple(map(str, range(11))), "at most 10"),
    ],
)
def test_what_cannot_be_a_test_is_refused(test: str, names: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        made(test, names)


def test_mushra_wants_a_reference_for_every_sentence() -> None:
    with pytest.raises(InputError, match="no reference for the sentence 2"):
        design("mushra", ["a"], [sounds(200)], sentences=SENTENCES, reference={"1": sounds(200)["1"]})


def folder(path: Path, names: tuple[str, ...]) -> Path:
    path.mkdir()
    for name in names:
        write_sound(path / f"{name}.wav", sounds(200)["1"])
    return path


def test_folders_are_heard_on_what_they_share(tmp_path: Path) -> None:
    a, b = folder(tmp_path / "a", ("1", "2", "3")), folder(tmp_path / "b", ("2", "3", "4"))
    assert is_sound_folder(str(a)) and not is_sound_folder("heart") and not is_sound_folder(str(tmp_path))
    of, chosen = gather([Subject(str(a)), Subject(str(b))], SENTENCES, 10)
    assert [(s.id, s.text) for s in chosen] == [("2", "Two."), ("3", "")]
    assert [sorted(one) for one in of] == [["2", "3"], ["2", "3"]]
    assert [s.id for s in gather([Subject(str(a)), Subject(str(b))], [], 1)[1]] == ["2"]
    with pytest.raises(InputError, match="no common sentence"):
        gather([Subject(str(a)), Subject(str(folder(tmp_path / "c", ("9",))))], SENTENCES, 10)
    write_sound(a / "1.flac", sounds(200)["1"])
    with pytest.raises(InputError, match="two sound files of one name"):
        gather([Subject(str(a)), Subject(str(b))], SENTENCES, 10)


def answers(path: Path, listener: str, rows: list[dict[str, Any]], *, test: str = "mos", **more: Any) -> Path:
    body = {"format": ratings.FORMAT, "version": 1, "page": "p", "test": test, "listener": listener, "answers": rows}
    path.write_text(json.dumps({**body, **more}), encoding="utf-8")
    return path


def scored(path: Path, listener: str, scores: dict[str, list[float]], **more: Any) -> Path:
    rows = [{"sentence": str(i), "system": s, "score": x} for s, xs in scores.items() for i, x in enumerate(xs)]
    return answers(path, listener, rows, **more)


def test_mos_is_joined_over_listeners(tmp_path: Path) -> None:
    files = [
        scored(tmp_path / f"{who}.json", who, {"a": [3 + d, 3 + d, 3 + d], "b": [4 + d, 4 + d, 4 + d]})
        for who, d in (("x", 0), ("y", 1), ("z", -1))
    ]
    report = ratings.join(files).report()
    assert (report["test"], report["listeners"], report["excluded"]) == ("mos", 3, {})
    assert report["means"]["a"]["value"] == 3 and report["means"]["b"]["value"] == 4
    assert report["means"]["a"]["low"] < 2.5 and report["means"]["a"]["high"] > 3.5
    assert report["means"]["a"]["count"] == 9
    # What listeners differ in cancels between two systems.
    (between,) = report["differences"]
    assert (between["first"], between["second"], between["count"]) == ("a", "b", 9)
    assert [between[k] for k in ("value", "low", "high")] == pytest.approx([1, 1, 1])
    json.dumps(report, allow_nan=False)


def chosen(pairs: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    return [
        {"sentence": str(i), "first": a, "second": b, "preferred": c, "plays": [1, 1]}
        for i, (a, b, c) in enumerate(pairs)
    ]


def test_preferences_count_in_both_orders(tmp_path: Path) -> None:
    pairs = [("a", "b", "first"), ("b", "a", "second"), ("b", "a", "none"), ("b", "a", "second"), ("a", "b", "second")]
    report = ratings.join([answers(tmp_path / "x.json", "x", chosen(pairs), test="ab")]).report()
    (found,) = report["preferences"]
    assert (found["first"], found["second"]) == ("a", "b")
    assert (found["prefer_first"], found["prefer_second"], found["no_preference"]) == (3, 1, 1)
    assert found["value"] == pytest.approx((3 + 0.5) / 5)
    assert found["low"] < found["value"] < found["high"]
    # Four coins: at least three alike, either way.
    assert found["sign_test"] == pytest.approx(2 * (4 + 1) / 16)


def test_the_sign_test_is_exact(tmp_path: Path) -> None:
    pairs = [("a", "b", "first")] * 9 + [("a", "b", "second")]
    report = ratings.join([answers(tmp_path / "x.json", "x", chosen(pairs), test="ab")]).report()
    assert report["preferences"][0]["sign_test"] == pytest.approx(2 * (10 + 1) / 1024)


def test_who_does_not_hear_the_reference_is_left_out(tmp_path: Path) -> None:
    good = {"a": [60, 70], "reference": [100, 95], "anchor": [20, 10]}
    deaf = {"a": [100, 100], "reference": [50, 100], "anchor": [100, 90]}
    files = [scored(tmp_path / f"{who}.json", who, s, test="mushra") for who, s in (("x", good), ("y", deaf))]
    report = ratings.join(files).report()
    assert report["listeners"] == 1
    assert report["excluded"] == {"y": "graded the hidden reference below 90 in 1 of 2 trials (BS.1534-3)"}
    assert report["means"]["a"]["value"] == 65 and report["differences"] == []
    with pytest.raises(InputError, match="no listener identified the hidden reference"):
        ratings.join(files[1:])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be read as JSON"),
        ("[1]", "type list, wanted an object; give the answers of a listening page"),
        ('{"format": "other"}', "not the answers of a listening page"),
        ('{"format": "portavoz-listening-result", "version": 9}', "version 9, this portavoz reads 1"),
        ('{"format": "portavoz-listening-result", "version": 1, "test": "mos"}', "listener, test or answers missing"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        ratings.join([tmp_path / "x.json"])


@pytest.mark.parametrize("row", [1, {}, {"system": "a", "score": 6}, {"system": "a", "score": True}, {"score": 3}])
def test_answers_that_no_page_writes_are_refused(tmp_path: Path, row: Any) -> None:
    with pytest.raises(InputError, match="answer 1 is"):
        ratings.join([answers(tmp_path / "x.json", "x", [row])])


def test_preferences_that_no_page_writes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="answer 1 is"):
        ratings.join([answers(tmp_path / "x.json", "x", chosen([("a", "b", "both")]), test="ab")])


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one = scored(tmp_path / "x.json", "x", {"a": [3]})
    again = scored(tmp_path / "again.json", "x", {"a": [4]})
    other = answers(tmp_path / "y.json", "y", chosen([("a", "b", "none")]), test="ab")
    with pytest.raises(InputError, match=r"answered this page in .*x\.json too"):
        ratings.join([one, again])
    with pytest.raises(InputError, match=r"y\.json: test ab, but"):
        ratings.join([one, other])


def test_more_systems_than_can_be_compared_are_refused(tmp_path: Path) -> None:
    rows = [{"sentence": "1", "system": f"s{i}", "score": 3, "place": i} for i in range(2000)]
    with pytest.raises(InputError, match="2000 systems, wanted at most 100"):
        ratings.join([answers(tmp_path / "x.json", "x", rows)])
    pairs = [(f"a{i}", f"b{i}", "first") for i in range(5000)]
    with pytest.raises(InputError, match="5000 pairs of systems, wanted at most 4950"):
        ratings.join([answers(tmp_path / "x.json", "x", chosen(pairs), test="ab")])
