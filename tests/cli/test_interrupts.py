"""A long `say` that is cut off in the middle: the old file stays, whole; and memory stays flat."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

OLD = b"the old file"
SENTENCE = b"This sentence is said again and again, until somebody loses patience. "


@pytest.fixture
def speaking(process, tiny: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """A `say` that has begun to write out.wav and waits for the rest of its text."""

    def start(*options: str, **streams: object) -> subprocess.Popen[bytes]:
        (tmp_path / "out.wav").write_bytes(OLD)
        child = process("say", "-", "-o", "out.wav", "--voice", str(tiny), "--speed", "10", *options, **streams)
        child.stdin.write(SENTENCE * 60)
        child.stdin.flush()
        give_up = time.monotonic() + 60
        while not any(part.stat().st_size for part in tmp_path.glob(".portavoz-*.part")):
            assert child.poll() is None, child.communicate()
            assert time.monotonic() < give_up
            time.sleep(0.01)
        return child

    return start


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_old_file_and_nothing_else(speaking, tmp_path: Path, number: int, code: int) -> None:
    child = speaking("--timestamps", "srt")
    child.send_signal(number)
    out, err = child.communicate()
    assert (child.returncode, out, err) == (code, b"", b"")
    assert (tmp_path / "out.wav").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["out.wav"]


def test_a_kill_leaves_the_old_file(speaking, tmp_path: Path) -> None:
    child = speaking()
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert (tmp_path / "out.wav").read_bytes() == OLD


def test_what_is_finished_replaces_the_old_file(speaking, tmp_path: Path) -> None:
    child = speaking()
    child.communicate()
    assert child.returncode == 0
    assert (tmp_path / "out.wav").read_bytes()[:4] == b"RIFF"
    assert os.listdir(tmp_path) == ["out.wav"]


def test_a_listener_that_leaves_is_no_error(process, tiny: Path) -> None:
    child = process("say", "-", "-o", "-", "--stream", "--voice", str(tiny), "--speed", "10")
    child.stdin.write(SENTENCE * 60)
    child.stdin.flush()
    assert child.stdout.read(4) == b"RIFF"
    child.stdout.close()
    child.stdout = None
    assert child.communicate()[1] == b""
    assert child.returncode == 141


def test_sound_flows_before_the_text_ends(process, tiny: Path) -> None:
    child = process("say", "-", "-o", "-", "--stream", "--format", "raw", "--voice", str(tiny))
    child.stdin.write(b"The first sentence. " + SENTENCE * 3)
    child.stdin.flush()
    assert len(child.stdout.read(2000)) == 2000
    assert child.poll() is None
    child.communicate()
    assert child.returncode == 0


def test_a_terminal_sees_a_bar(process, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(SENTENCE * 30)
    ours, theirs = pty.openpty()
    child = process("say", "--file", "in.txt", "-o", "out.wav", "--voice", str(tiny), "--speed", "10", stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # how Linux says that nobody holds the other end
            break
    os.close(ours)
    child.communicate()
    assert child.returncode == 0
    assert b" s spoken" in shown
    assert b"s of speech in " in shown.splitlines()[-1]


def peak(*args: str, folder: Path) -> tuple[int, int]:
    """Exit code, and the most memory of one command line in KiB (bytes on a Mac)."""
    child = subprocess.Popen([sys.executable, "-m", "portavoz", *args], cwd=folder, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, used.ru_maxrss


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--timestamps", "srt"), ("--timestamps", "json")], ids=str)
def test_memory_is_flat(tiny: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Ten times the text, with another word in every sentence, and no more than a tenth more memory."""
    peaks = []
    for size in (20_000, 200_000):
        text = "".join(f"{SENTENCE.decode()}Number {n}, said by {n * 7919 % 1_000_003}. " for n in range(size // 100))
        (tmp_path / "in.txt").write_text(text[:size], encoding="utf-8")
        code, most = peak(
            "say", "--file", "in.txt", "-o", "out.wav", "--speed", "10", "--voice", str(tiny), *options, folder=tmp_path
        )
        assert code == 0
        peaks.append(most)
    assert peaks[1] < 1.1 * peaks[0], peaks
