"""Compiled stages are kept whole: made once, made again when damaged, safe under processes that come together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from portavoz.errors import InputError
from portavoz.graph.cache import SEAL, Cache, folder, whole

ABOUT = {"weights": "abc", "stage": "step", "precision": "float32"}


def write(text: str):
    """A build that writes one file, and counts how often it was asked to."""

    def build(place: Path) -> None:
        build.calls += 1
        (place / "model.onnx").write_text(text)

    build.calls = 0
    return build


def entries(cache: Path) -> list[Path]:
    """Everything in a cache but its lock, unfinished things too."""
    return [path for path in cache.iterdir() if path.name != ".lock"]


def test_made_once(tmp_path: Path) -> None:
    build = write("first")
    place = Cache(tmp_path).entry("step", ABOUT, build)
    assert Cache(tmp_path).entry("step", ABOUT, build) == place
    assert (place / "model.onnx").read_text() == "first"
    assert build.calls == 1
    assert json.loads((place / SEAL).read_text())["about"] == ABOUT


@pytest.mark.parametrize("key", ABOUT)
def test_what_decides_the_content_decides_the_place(tmp_path: Path, key: str) -> None:
    cache = Cache(tmp_path)
    first = cache.entry("step", ABOUT, write("first"))
    second = cache.entry("step", {**ABOUT, key: "another"}, write("second"))
    assert first != second
    assert (first / "model.onnx").read_text() == "first"


DAMAGE = {
    "a changed file": lambda place: (place / "model.onnx").write_text("fIrst"),
    "a short file": lambda place: (place / "model.onnx").write_text("fir"),
    "no file": lambda place: (place / "model.onnx").unlink(),
    "no seal": lambda place: (place / SEAL).unlink(),
    "half a seal": lambda place: (place / SEAL).write_text('{"files": {"model.on'),
    "another seal": lambda place: (place / SEAL).write_text('["files"]'),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_entry_is_made_again(tmp_path: Path, kind: str) -> None:
    build = write("first")
    place = Cache(tmp_path).entry("step", ABOUT, build)
    DAMAGE[kind](place)
    assert not whole(place)
    assert Cache(tmp_path).entry("step", ABOUT, build) == place
    assert (place / "model.onnx").read_text() == "first"
    assert build.calls == 2
    assert entries(tmp_path) == [place]


def test_nothing_is_left_of_a_build_that_failed(tmp_path: Path) -> None:
    def build(place: Path) -> None:
        (place / "half").write_text("half")
        raise KeyError("weights")

    with pytest.raises(KeyError):
        Cache(tmp_path).entry("step", ABOUT, build)
    assert not entries(tmp_path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="PORTAVOZ_CACHE"):
        Cache(tmp_path / "file" / "cache").entry("step", ABOUT, write("first"))


def test_the_user_s_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORTAVOZ_CACHE", str(tmp_path))
    assert folder() == tmp_path
    monkeypatch.delenv("PORTAVOZ_CACHE")
    assert folder().name in ("portavoz", "cache")


RACE = """
import sys, time
from pathlib import Path
from portavoz.graph.cache import Cache

def build(place):
    for i in range(20):
        (place / f"part{i}").write_bytes(bytes([i]) * 50000)
        time.sleep(0.002)

for turn in range(8):
    while not Path(sys.argv[2], str(turn)).exists():
        time.sleep(0.001)
    place = Cache(sys.argv[1]).entry("step", {"turn": turn}, build)
    for i in range(20):
        assert (place / f"part{i}").read_bytes() == bytes([i]) * 50000
print("whole")
"""


@pytest.mark.parametrize("damaged", [False, True])
def test_two_processes_at_once(tmp_path: Path, damaged: bool) -> None:
    """Both begin to make (or to mend) the same entry at the same moment, eight times; both end with a whole one."""
    cache, signs = tmp_path / "cache", tmp_path / "signs"
    signs.mkdir()
    if damaged:
        for turn in range(8):
            place = Cache(cache).entry("step", {"turn": turn}, write("another"))
            (place / "model.onnx").write_text("damaged")
    command = [sys.executable, "-c", RACE, str(cache), str(signs)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for turn in range(8):
        (signs / str(turn)).touch()
    for process in both:
        out, errors = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, "whole\n"), errors
    assert len(entries(cache)) == 8
    assert all(whole(place) for place in entries(cache))
