"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from portavoz.atomic import atomic, atomic_folder
from portavoz.errors import InputError


def test_text_and_bytes_appear_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic(path, "w") as file:
        file.write("größer\n")
        assert not path.exists()
    assert path.read_bytes() == "größer\n".encode()
    with atomic(str(path)) as file:
        file.write(b"second")
        assert path.read_bytes() == "größer\n".encode()
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError("stopped"), KeyboardInterrupt(), FileNotFoundError(2, "other", "x")])
def test_an_error_in_the_block_is_passed_on_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def stop() -> None:
        raise error

    with pytest.raises(type(error)) as caught, atomic(path) as file:
        stop() if file.write(b"half") else None
    assert caught.value is error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "a"
    path.write_bytes(b"old")
    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(InputError, match=os.strerror(number)), atomic(path) as file:
            file.write(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync
    calls: list[int] = []

    def only_files(handle: int) -> None:
        calls.append(handle)
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(handle)

    monkeypatch.setattr(os, "fsync", only_files)
    with atomic(tmp_path / "a") as file:
        file.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert len(calls) == 2


def test_links_are_followed_and_permissions_kept(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_bytes(b"old")
    real.chmod(0o600)
    (tmp_path / "link").symlink_to(real)
    with atomic(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o600


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    cases = {
        tmp_path: "a folder",
        tmp_path / "pipe": "a device or a pipe",
        Path("/dev/null"): "a device or a pipe",
        tmp_path / "none" / "a": "does not exist",
        tmp_path / "pipe" / "a": "pipe",
        tmp_path / "loop": "loop",
        tmp_path / "a\0b": "NUL",
        tmp_path / ("x" * 300): "cannot be written",
    }
    for path, words in cases.items():
        with pytest.raises(InputError, match=words), atomic(path) as file:
            file.write(b"x")
    assert sorted(os.listdir(tmp_path)) == ["loop", "pipe"]


def test_a_folder_without_rights_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("portavoz.atomic.open", refuse, raising=False)
    with pytest.raises(InputError, match="Permission denied"), atomic(tmp_path / "a") as file:
        file.write(b"x")


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A folder with what killed runs left: old and new, a file and a folder, one held, and names that only look so."""
    names = {
        "old": ".portavoz-0123456789abcdef.part", "new": ".portavoz-1123456789abcdef.part",
        "held": ".portavoz-2123456789abcdef.part", "other": ".portavoz-notes.part",
        "link": ".portavoz-3123456789abcdef.part",
    }  # fmt: skip
    for name in ("old", "new", "held", "other"):
        (tmp_path / names[name]).write_bytes(b"half")
    folder = tmp_path / ".portavoz-4123456789abcdef.part"
    folder.mkdir()
    (folder / "x").write_bytes(b"half")
    (tmp_path / "kept").write_bytes(b"whole")
    (tmp_path / names["link"]).symlink_to(tmp_path / "kept")
    for path in tmp_path.iterdir():
        if path.name != names["new"]:
            os.utime(path, (1, 1), follow_symlinks=False)
    return tmp_path


def test_what_killed_runs_left_is_removed_at_the_next_write(left: Path) -> None:
    with (left / ".portavoz-2123456789abcdef.part").open("rb") as held:
        fcntl.flock(held.fileno(), fcntl.LOCK_EX)
        with atomic(left / "out"):
            pass
    there = {path.name for path in left.iterdir()}
    assert {".portavoz-0123456789abcdef.part", ".portavoz-4123456789abcdef.part"}.isdisjoint(there)
    assert {".portavoz-1123456789abcdef.part", ".portavoz-2123456789abcdef.part", ".portavoz-notes.part"} <= there
    assert (left / "kept").read_bytes() == b"whole"
    assert (left / "out").is_file()


def test_a_file_that_is_being_written_is_held(tmp_path: Path) -> None:
    with atomic(tmp_path / "out") as out:
        out.write(b"x")
        (beside,) = tmp_path.glob(".portavoz-*.part")
        with beside.open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a" / "voice"

    def fail() -> None:
        with atomic_folder(target) as beside:
            (beside / "x").write_bytes(b"half")
            raise error

    with pytest.raises((type(error), InputError)):
        fail()
    assert list((tmp_path / "a").iterdir()) == []
    target.mkdir()
    with atomic_folder(target) as beside:
        (beside / "x").write_bytes(b"whole")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["voice"]
    assert (target / "x").read_bytes() == b"whole"
    with pytest.raises(InputError, match="not empty"), atomic_folder(target):
        pass


def test_a_lone_surrogate_in_a_text_is_its_escape(tmp_path: Path) -> None:
    with atomic(tmp_path / "page.html", "w") as out:
        out.write("<title>a\ud800\udcffb</title>")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "<title>a\\ud800\\udcffb</title>"
