"""A large file is read once for its checksum, and again when anything about it has changed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from portavoz.graph import checksums

SIZE = checksums.LARGE


def made(path: Path) -> Path:
    """A file that is large enough to be kept."""
    path.write_bytes(bytes(SIZE))
    return path


@pytest.fixture
def reads(monkeypatch) -> list[Path]:
    """The files that were read, whatever was changed a moment ago."""
    seen, compute = list[Path](), checksums.computed
    monkeypatch.setattr(checksums, "SETTLED", -1)
    monkeypatch.setattr(checksums, "computed", lambda path: (seen.append(path), compute(path))[1])
    return seen


def test_it_is_read_once(tmp_path: Path, reads: list[Path]) -> None:
    path, root = made(tmp_path / "a.bin"), tmp_path / "cache"
    for _ in range(3):
        assert checksums.sha256(path, root) == hashlib.sha256(bytes(SIZE)).hexdigest()
    assert reads == [path]


def test_a_change_of_the_same_size_and_time_is_seen(tmp_path: Path, reads: list[Path]) -> None:
    path = made(tmp_path / "a.bin")
    before = path.stat()
    checksums.sha256(path, tmp_path)
    time.sleep(0.02)  # longer than a file system's clock ticks
    path.write_bytes(b"1" + bytes(SIZE - 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert checksums.sha256(path, tmp_path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(reads) == 2


def test_what_was_changed_a_moment_ago_is_not_kept(tmp_path: Path) -> None:
    checksums.sha256(made(tmp_path / "a.bin"), tmp_path)
    assert not (tmp_path / checksums.NAME).exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"%s": 3}', '{"%s": []}'])
def test_a_damaged_list_is_no_list(tmp_path: Path, reads: list[Path], text: str) -> None:
    path = made(tmp_path / "a.bin")
    (tmp_path / checksums.NAME).write_text(text.replace("%s", str(path.resolve())))
    assert checksums.sha256(path, tmp_path) == hashlib.sha256(bytes(SIZE)).hexdigest()
    assert reads == [path]


def test_small_files_are_read_and_a_folder_that_is_none_is_no_error(tmp_path: Path, reads: list[Path]) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"a")
    checksums.sha256(small, tmp_path)
    assert not (tmp_path / checksums.NAME).exists()
    checksums.sha256(made(tmp_path / "a.bin"), small)
    assert len(reads) == 2


def test_the_oldest_go(tmp_path: Path, reads: list[Path], monkeypatch) -> None:
    monkeypatch.setattr(checksums, "KEPT", 2)
    for name in "abc":
        checksums.sha256(made(tmp_path / name), tmp_path)
    assert [Path(path).name for path in json.loads((tmp_path / checksums.NAME).read_text())] == ["b", "c"]
