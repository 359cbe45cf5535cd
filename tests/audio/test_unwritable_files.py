"""What cannot be written is said, and the old file stays."""

from __future__ import annotations

import errno
import io
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tones import RATE, tone

from portavoz.audio.files import WaveWriter, write
from portavoz.errors import InputError
from portavoz.flow import Wave


def test_a_failed_stream_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), WaveWriter(path, RATE) as out:
        out.write(tone()[: 1 // out.frames])
    with pytest.raises(InputError, match="NaN"), WaveWriter(path, RATE) as out:
        out.write(np.full(10, np.nan, np.float32))
    with pytest.raises(InputError, match="no samples"):
        write(path, Wave(tone(0), RATE))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.wav"]


@pytest.mark.parametrize(
    ("name", "form", "rate", "words"),
    [
        ("a.aac", None, RATE, "wav, flac, ogg, mp3"),
        ("a", None, RATE, "neither an ending nor a format"),
        ("a.wav", "opus", RATE, "opus"),
        ("a.mp3", None, 22051, "22051 Hz"),
        ("a.wav", None, 1, "1 Hz"),
        ("none/a.wav", None, RATE, "folder .* does not exist"),
        ("file/a.wav", None, RATE, "a.wav"),
        ("folder.wav", None, RATE, "this is a folder"),
        ("x" * 300 + ".wav", None, RATE, "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path: Path, name: str, form: str | None, rate: int, words: str) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=words):
        write(tmp_path / name, Wave(tone(), rate), format=form)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.wav"]


@pytest.mark.parametrize("bad", [np.zeros((2, 5), np.float32), np.zeros(5, np.int16)])
def test_what_is_no_mono_wave_is_refused(tmp_path: Path, bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="wanted floating-point"), WaveWriter(tmp_path / "a.wav", RATE) as out:
        out.write(bad)
    assert not os.listdir(tmp_path)


class Full(io.RawIOBase):
    """A disk with room for so many bytes, under a real file."""

    room = 0

    def __init__(self, raw: io.RawIOBase) -> None:
        self.raw = raw

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.raw.seek(offset, whence)

    def tell(self) -> int:
        return self.raw.tell()

    def fileno(self) -> int:
        return self.raw.fileno()

    def write(self, data: Any, /) -> int | None:
        if self.raw.tell() + len(data) > Full.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.raw.write(data)

    def close(self) -> None:
        super().close()
        self.raw.close()


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("room", [0, 100, 6000])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, room: int
) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"old")
    monkeypatch.setattr(Full, "room", room)
    monkeypatch.setattr(
        "portavoz.atomic.open", lambda p, m, **_: io.BufferedWriter(Full(io.FileIO(p, "x"))), raising=False
    )
    noise = (0.1 * np.random.default_rng(0).standard_normal(100_000)).astype(np.float32)
    with pytest.raises(InputError, match="No space left"):
        write(path, Wave(noise, RATE))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_a_file_that_the_system_refuses_to_grow_leaves_the_old_one(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"old")
    noise = (0.1 * np.random.default_rng(0).standard_normal(200_000)).astype(np.float32)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(InputError, match="File too large"):
            write(path, Wave(noise, RATE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]
