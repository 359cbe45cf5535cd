"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from portavoz.atomic import atomic
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
