"""Both pages in a real browser, worked by keys as a listener would, and their files joined."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser

from portavoz.evaluate import listening, page, ratings
from portavoz.evaluate.report import Column, Evaluation
from portavoz.evaluate.sentences import Sentence
from portavoz.flow import Wave

SENTENCES = [Sentence(str(i), f"Sentence {i} & more <b>.") for i in range(3)]
RATE = 8000


def tone(pitch: float, seconds: float = 0.12) -> Wave:
    t = np.arange(round(seconds * RATE)) / RATE
    return Wave((0.1 * np.sin(2 * np.pi * pitch * t)).astype(np.float32), RATE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened
        assert opened.complaints == []


@pytest.fixture
def opened(browser: Browser, tmp_path: Path):
    """Open the page of a test and begin as somebody; gives the browser."""

    def call(test: str, listener: str, *, seed: int = 0) -> Browser:
        reference = {s.id: tone(300) for s in SENTENCES} if test == "mushra" else None
        sounds = [{s.id: tone(pitch) for s in SENTENCES} for pitch in (200, 400)]
        made = listening.design(test, ["low", "high"], sounds, sentences=SENTENCES, reference=reference, seed=seed)
        listening.write(made, tmp_path / f"{test}.html", title="Which?")
        browser.open(tmp_path / f"{test}.html")
        browser("localStorage.clear()")
        # Another page may read what this one has kept a moment later than it was cleared.
        browser.wait(lambda: reopened(browser, tmp_path / f"{test}.html", resumable=False))
        browser.type(listener)
        browser.press("Enter")
        browser.wait("document.getElementById('where')")
        return browser

    return call


def reopened(browser: Browser, path: Path, *, resumable: bool) -> bool:
    """Whether the page, opened again, offers to go on with what was begun, as wanted."""
    browser.open(path)
    browser.wait("document.getElementById('start')")
    return browser("!!document.getElementById('resume')") == resumable


def heard(browser: Browser, count: int) -> None:
    browser.wait(f"document.querySelectorAll('.heard').length === {count}")


def at(browser: Browser, place: str) -> None:
    """Wait until the page shows this place, such as "2 of 3"."""
    browser.wait(f"document.getElementById('where')?.textContent.split(',')[0] === '{place}'")


def downloaded(browser: Browser) -> Path:
    before = set((browser.folder / "downloads").glob("*.json"))
    browser.press("Enter")
    browser.wait(lambda: set((browser.folder / "downloads").glob("*.json")) - before)
    (path,) = set((browser.folder / "downloads").glob("*.json")) - before
    return path


def test_mos_by_keys_alone(opened, tmp_path: Path) -> None:
    browser = opened("mos", "anna")
    assert browser("document.getElementById('text').textContent").endswith("& more <b>.")
    browser.press("4", "Enter")
    at(browser, "1 of 6")  # a sound that was not heard cannot be left
    for i in range(6):
        at(browser, f"{i + 1} of 6")
        browser.press(" ")
        heard(browser, 1)
        browser.press("4", "5" if i % 2 else "2", "Enter")
    browser.wait("document.activeElement.id === 'save'")
    result = downloaded(browser)
    found = json.loads(result.read_text(encoding="utf-8"))
    assert (found["listener"], found["test"], len(found["answers"])) == ("anna", "mos", 6)
    assert [row["score"] for row in sorted(found["answers"], key=lambda r: r["place"])] == [2, 5, 2, 5, 2, 5]
    assert {(row["sentence"], row["system"]) for row in found["answers"]} == {
        (s.id, system) for s in SENTENCES for system in ("low", "high")
    }
    assert all(row["plays"] == 1 and row["seconds"] > 0 for row in found["answers"])
    assert ratings.join([result]).report()["listeners"] == 1


def order(browser: Browser) -> list[str]:
    return browser("trials.map(t => t.sentence + t.clips.map(c => c.system).join())")


def test_the_order_is_the_seeds_and_the_listeners(opened) -> None:
    first = order(opened("ab", "anna"))
    assert order(opened("ab", "anna")) == first
    others = [order(opened("ab", name, seed=seed)) for name, seed in (("bert", 0), ("anna", 1), ("carl", 2))]
    assert any(other != first for other in others)
    assert all(sorted(o[0] for o in other) == ["0", "1", "2"] for other in others)


def test_ab_goes_back_and_survives_a_reload(opened, tmp_path: Path) -> None:
    browser = opened("ab", "bert")
    before = order(browser)
    for place, key in (("1 of 3", "ArrowLeft"), ("2 of 3", "ArrowRight")):
        at(browser, place)
        browser.press("a")
        heard(browser, 1)
        browser.press("b")
        heard(browser, 2)
        browser.press(key, "Enter")
    at(browser, "3 of 3")
    browser.press("Backspace")
    at(browser, "2 of 3")
    browser.wait("document.querySelector('[aria-pressed=true]')?.dataset.value === 'second'")
    browser.press("ArrowDown")
    browser.wait("document.querySelector('[aria-pressed=true]')?.dataset.value === 'none'")
    browser.wait(lambda: reopened(browser, tmp_path / "ab.html", resumable=True))
    browser.click("#resume")
    at(browser, "2 of 3")
    assert order(browser) == before
    browser.press("Enter")
    at(browser, "3 of 3")
    browser.press("a")
    heard(browser, 1)
    browser.press("b")
    heard(browser, 2)
    browser.press("ArrowLeft", "Enter")
    browser.wait("document.getElementById('save')")
    found = json.loads(downloaded(browser).read_text(encoding="utf-8"))
    rows = sorted(found["answers"], key=lambda r: r["place"])
    assert [row["preferred"] for row in rows] == ["first", "none", "first"]
    assert [f"{r['sentence']}{r['first']},{r['second']}" for r in rows] == before


def test_mushra_grades_everything_beside_the_reference(opened) -> None:
    browser = opened("mushra", "carl")
    for _ in SENTENCES:
        browser.press("0")
        browser.wait("document.querySelector('.sounds .heard')")
        for i, system in enumerate(browser("trial().clips.map(c => c.system)"), 1):
            browser.press(str(i))
            heard(browser, i + 1)
            if system == "reference":
                browser.press(*["ArrowUp"] * 6, shift=True)
            else:
                browser.press("ArrowDown" if system == "anchor" else "ArrowUp")
        browser.press("Enter")
    browser.wait("document.getElementById('save')")
    report = ratings.join([downloaded(browser)]).report()
    assert {name: one["value"] for name, one in report["means"].items()} == {
        "low": 51, "high": 51, "reference": 100, "anchor": 49,
    }  # fmt: skip
    assert report["excluded"] == {}


def test_the_reports_page_plays_and_switches(browser: Browser, tmp_path: Path) -> None:
    columns = [
        Column(name, kind, [tone(pitch, 20.0) for _ in SENTENCES], parts, ["sentence two and more"] * 3, {})
        for name, kind, pitch, parts in (
            ("recording", "recording", 200, [{"word_error": (1.0, 4.0)}] * 3),
            ("mine & <b>", "voice", 300, [{"word_error": (2.0, 4.0), "mcd": (30.0, 10.0)}] * 3),
        )
    ]
    evaluation = Evaluation(SENTENCES, columns, {"pesq": "no <package>"}, "an ear", None)
    page.write(evaluation, tmp_path / "report.html", sounds=2)
    browser.open(tmp_path / "report.html")
    text = browser("document.body.textContent")
    assert "mine & <b>" in text and "no <package>" in text and "25.0" in text
    assert browser("document.querySelectorAll('.clip').length") == 4
    assert browser("[...document.images].every(i => i.complete && i.naturalWidth > 10)")
    assert browser("document.querySelector('mark').textContent") == "two and"
    playing = "[...document.querySelectorAll('.clip')].findIndex(c => c.classList.contains('playing'))"
    browser.press(" ")
    assert browser(playing) == 0
    browser.press("2")
    assert browser(playing) == 1
    browser.press("j")
    assert browser(playing) == 3
    browser.press(" ")
    assert browser(playing) == -1
    browser.click(".clip:nth-child(2) img")
    browser.wait("document.querySelectorAll('audio')[1].currentTime > 0.4")
    assert browser("performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length") == 0
