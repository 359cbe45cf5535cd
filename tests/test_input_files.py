"""Input files that are none: endless, waiting, folders, too large, unreadable, deeply nested; each is one sentence."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portavoz import input_files
from portavoz.errors import InputError, WeightError
from portavoz.input_files import TEXT, Kind, parse_json

LONG = "n" * 300
SMALL = Kind("a small thing", 8)


@pytest.fixture(
    params=("missing", "folder", "pipe", "endless", "large", "long name", "NUL", "behind a file", "surrogate")
)
def strange(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A path that is no file to read, and a part of the sentence about it."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"123456789")
    paths = {
        "missing": (tmp_path / "missing", "there is no such file"),
        "folder": (tmp_path / "folder", "not a file but a folder, wanted a small thing"),
        "pipe": (tmp_path / "pipe", "not a file but a device or a pipe"),
        "endless": (Path("/dev/zero"), "not a file but a device or a pipe"),
        "large": (tmp_path / "large", "9 bytes, wanted a small thing of at most 8"),
        "long name": (tmp_path / LONG, "File name too long"),
        "NUL": (f"{tmp_path}/a\0b", "cannot hold a NUL"),
        "behind a file": (tmp_path / "large" / "x", "Not a directory"),
        "surrogate": (f"{tmp_path}/\ud800", "cannot be read"),
    }
    path, words = paths[request.param]
    return str(path), words


READERS: tuple[Callable[[str], Any], ...] = (
    lambda path: input_files.open_input(path, SMALL),
    lambda path: input_files.check(path, SMALL),
    lambda path: input_files.read_bytes(path, SMALL),
    lambda path: input_files.read_text(path, SMALL),
    lambda path: input_files.sha256(path, kind=SMALL),
    lambda path: input_files.read_array(path, SMALL),
    lambda path: input_files.read_arrays(path, SMALL),
)


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_in_one_sentence(strange: tuple[str, str], reader: Callable[[str], Any]) -> None:
    path, words = strange
    with pytest.raises(InputError) as caught:
        reader(path)
    assert words in str(caught.value)
    str(caught.value).encode()


def test_names_that_cannot_be_looked_at_are_not_there(tmp_path: Path) -> None:
    for name in (tmp_path / LONG, tmp_path / "a\0b", tmp_path / "\ud800", tmp_path / "x" / LONG):
        assert not input_files.is_file(name)
        assert not input_files.is_folder(name)
        assert not input_files.is_there(name)


def test_another_error_can_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match=r"there is no such file; fetch it$"):
        input_files.read_bytes(tmp_path / "x", TEXT, remedy="fetch it", error=WeightError)


def test_a_file_that_grows_is_not_read_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"1234567890")
    monkeypatch.setattr(input_files, "_check", lambda *_: None)
    with pytest.raises(InputError, match="at most"):
        input_files.read_bytes(tmp_path / "x", SMALL)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[" * 100 + "]" * 100, '{"a":' * 70 + "1" + "}" * 70, "1" * 5000, "9" * 400, "{", "", "nul"],
    ids=lambda text: f"{text[:6]}…{len(text)}",
)
def test_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def npy(array: Any = None, header: bytes = b"") -> bytes:
    """A .npy file, of an array or with a header of its own."""
    if array is not None:
        np.save(out := io.BytesIO(), array)
        return out.getvalue()
    padded = header + b" " * (53 - len(header) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


@pytest.mark.parametrize(
    "content",
    [
        b"", b"PK\x03\x04", b"\x93NUMPY",
        npy(header=b"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}"),
        npy(header=b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"), npy(header=b"{'descr': '<f4'"),
        npy(header=b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}") + b"\0" * 4,
        npy(header=b"[" * 500), npy(np.zeros(3))[:-1], npy(np.zeros(3)) + b"x", npy(np.zeros(0)),
    ],
    ids=lambda content: f"{content[:10]!r}…{len(content)}",
)  # fmt: skip
def test_arrays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(InputError):
        input_files.read_array(path)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as packed:
        packed.writestr("a.npy", content)
    with pytest.raises(InputError):
        input_files.read_arrays(tmp_path / "x.npz")


def test_arrays_that_are_whole(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    np.save(tmp_path / "x.npy", array)
    assert np.array_equal(input_files.read_array(tmp_path / "x.npy"), array)
    np.savez_compressed(tmp_path / "x.npz", a=array, b=array.T.copy())
    found = input_files.read_arrays(tmp_path / "x.npz")
    assert np.array_equal(found["a"], array)
    assert np.array_equal(found["b"], array.T)


def test_a_packed_bomb_is_not_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(1_000_000))
    with pytest.raises(InputError, match="unpacks to more than"):
        input_files.read_arrays(tmp_path / "x.npz", Kind("arrays", 1 << 20))
