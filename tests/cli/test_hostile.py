"""Names, streams and folders that the system refuses: one line, exit code 2, whatever the command."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import portavoz
from portavoz.cli import exit_codes
from portavoz.cli.commands import text

LONG = "n" * 300
# Every option and argument that names a file or a folder.
LINES = (
    ("say", "Hello.", "-o", f"{LONG}.wav"),
    ("say", "Hello.", "-o", f"{LONG}/x.wav"),
    ("say", "--file", LONG, "-o", "x.wav"),
    ("say", "Hello.", "--voice", LONG, "-o", "x.wav"),
    ("say", "Hello.", "--voice", f"a/{LONG}", "-o", "x.wav"),
    ("say", "Hello.", "--lexicon", LONG, "-o", "x.wav"),
    ("say", "Hello.", "--plot", f"{LONG}.png", "-o", "x.wav"),
    ("text", "--file", LONG),
    ("text", "Hello.", "--lexicon", LONG),
    ("show", LONG),
    ("train", LONG, "--out", "x"),
    ("compress", LONG, "-o", "x", "--as", "int8"),
    ("evaluate", LONG, "--corpus", LONG),
    ("listen", LONG, LONG, "-o", "x.html"),
    ("bulk", f"{LONG}.txt", "out"),
    ("serve", "--config", LONG),
    ("tune", LONG),
    ("weights", "audit", LONG),
    ("weights", "convert", LONG, "x.safetensors"),
    ("weights", "convert", f"{LONG}.pt", f"{LONG}.safetensors", "--trust-pickle"),
    ("weights", "diff", LONG, LONG),
    ("weights", "repair", LONG, "--against", LONG),
    ("lab", "check", LONG),
    ("lab", "compare", LONG, LONG),
    ("lab", "compare", "compact", f"{LONG}.trace"),
    ("lab", "signals", LONG),
    ("lab", "signals", "--mel", f"{LONG}.npy", "--spec", LONG),
)


@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(line).replace(LONG, "LONG"))
def test_a_name_that_is_too_long(run: Any, line: tuple[str, ...]) -> None:
    done = run(*line)
    assert done.code == exit_codes.USAGE, done.err
    assert "internal error" not in done.err
    assert done.err.splitlines()[-1].startswith("portavoz: ")
    assert len(done.err) < 2000


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "folder/voice.json"),
            "folder/voice.json: Permission denied",
        ),
        (OSError(errno.ENAMETOOLONG, "File name too long", "n" * 999), "File name too long"),
        (OSError(errno.ENOSPC, "No space left on device"), "standard output: cannot be written"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "the current folder no longer exists"),
        (MemoryError(), "out of memory"),
    ],
    ids=str,
)
def test_errors_of_the_system_that_nobody_expected(
    run: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def broken(args: Any) -> int:
        raise error

    monkeypatch.setattr(text, "run", broken)
    monkeypatch.setattr("portavoz.cli.standard_streams.silence", lambda: None)
    done = run("text", "Hello.")
    assert (done.code, done.err.count("\n")) == (exit_codes.USAGE, 1)
    assert said in done.err
    assert len(done.err) < 400


def test_a_report_that_cannot_be_written_is_no_second_error(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(args: Any) -> int:
        raise KeyError("a table")

    monkeypatch.setattr(text, "run", broken)
    Path("portavoz-debug.txt").mkdir()
    done = run("--debug", "text", "Hello.")
    assert (done.code, done.err.count("\n")) == (exit_codes.INTERNAL, 1)
    assert "no report could be written here (Is a directory)" in done.err


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    command = script.replace("portavoz", f"{sys.executable} -W error -m portavoz")
    env = {**os.environ, "PYTHONPATH": str(Path(portavoz.__file__).parents[1])}
    return subprocess.run(["sh", "-c", command], cwd=folder, env=env, capture_output=True, check=False)


def test_closed_streams(tmp_path: Path) -> None:
    done = shell("portavoz text Hello. >&-", tmp_path)
    assert done.returncode == exit_codes.USAGE
    assert done.stderr == b"portavoz: standard output: cannot be written (Bad file descriptor); send it elsewhere\n"
    done = shell("portavoz text - <&- 2>&-; echo $?", tmp_path)
    assert (done.stdout, done.stderr) == (b"0\n", b"")  # an empty text is read as nothing
    done = shell("portavoz text Hello. --json <&- 2>&- | head -c 1", tmp_path)
    assert (done.stdout, done.stderr) == (b"{", b"")


def test_help_to_a_closed_stream(tmp_path: Path) -> None:
    done = shell("portavoz --help >&-", tmp_path)
    assert done.returncode == exit_codes.USAGE
    assert done.stderr.count(b"\n") == 1


def test_a_folder_that_was_removed(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = shell(f"cd {gone} && rmdir {gone} && portavoz say Hello. -o x.wav", tmp_path)
    assert done.returncode == exit_codes.USAGE
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr
    assert b"internal error" not in done.stderr


def test_a_text_of_bytes_that_are_no_text(run: Any) -> None:
    done = run("text", os.fsdecode(b"a \xff\xfe b \xed\xa0\x80 c"))
    assert done.code in (exit_codes.OK, exit_codes.USAGE)
    assert "internal error" not in done.err
