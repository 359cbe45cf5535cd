"""`portavoz compress`: a smaller voice folder, and what it refuses."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import onnx  # noqa: F401  (what the command needs: without it this file is set aside)
import pytest

from portavoz.cli.commands import compress as command
from portavoz.graph import storage
from portavoz.train.voice.compress import FRACTION, KINDS


def test_writes_a_voice_that_speaks(run, tiny: Path) -> None:
    done = run("compress", str(tiny), "-o", "small", "--as", "int8", "--json")
    report = json.loads(done.out)
    assert (report["output"], report["as"], report["name"]) == ("small", "int8", "tiny-int8")
    assert sum(report["bytes"].values()) < sum(report["of_bytes"].values())
    assert run("say", "Hello.", "--voice", "small", "-o", "a.wav").code == 0
    assert Path("a.wav").stat().st_size > 1000


def test_says_the_sizes(run, tiny: Path) -> None:
    Path("texts.txt").write_text("Hello there.\n\nIs it you?\n")
    done = run("compress", str(tiny), "-o", "fast", "--as", "static-int8", "--sentences", "texts.txt")
    assert done.err.startswith("portavoz: fast: ")
    assert " MB as static-int8, " in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody", "-o", "x", "--as", "int8"], "there is no such folder"),
        (["heart", "-o", "x", "--as", "int4"], "invalid choice"),
        (["heart", "--as", "int8"], "required: -o/--out"),
        (["heart", "-o", "x", "--as", "pruned", "--fraction", "2"], "between 0 and 1"),
        (["heart", "-o", "x", "--as", "static-int8", "--sentences", "none.txt"], "none.txt: cannot be read"),
    ],
)
def test_refusals(refused, words: list[str], said: str) -> None:
    assert said in refused("compress", *words)
    assert not Path("x").exists()


def test_help_knows_what_there_is() -> None:
    parser = command_parser()
    kinds = next(action for action in parser._actions if action.dest == "kind")
    fraction = next(action for action in parser._actions if action.dest == "fraction")
    assert set(kinds.choices or ()) == set(KINDS)
    assert fraction.default == FRACTION


def command_parser():
    import argparse

    parser = argparse.ArgumentParser()
    command.options(parser)
    return parser


def test_a_failure_while_writing_leaves_nothing(run, refused, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "save", full)
    assert "No space left" in refused("compress", str(tiny), "-o", "small", "--as", "float16")
    assert list(Path().iterdir()) == []
