"""Speakers: files, names and mixtures; and one sentence for each that is none."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pickles
import pytest

from portavoz.errors import InputError
from portavoz.families.speecht5.speaker import speaker
from portavoz.weights import file

SIZE = 12
A, B = (np.random.default_rng(n).normal(size=SIZE).astype(np.float32) * (n + 1) for n in (0, 1))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with speakers, which is the working one."""
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", A)
    np.save("b.npy", B[None].astype(np.float64))
    np.save("odd+name:2.npy", B)
    file.write("two.safetensors", {"anna": A, "bert": B}, {})
    file.write("one.safetensors", {"x": A[None, None]}, {})
    return tmp_path


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x)


def test_files(here: Path) -> None:
    for name in ("a.npy", Path("a.npy"), str(here / "a.npy"), "one.safetensors", "two.safetensors#anna", " a.npy "):
        assert np.array_equal(speaker(name, SIZE), A)
    for name in ("b.npy", "odd+name:2.npy", "two.safetensors#bert"):
        found = speaker(name, SIZE)
        assert np.array_equal(found, B) and found.dtype == np.float32
    assert np.array_equal(speaker(list(A.astype(float)), SIZE), A)
    with open("v2.npy", "wb") as out:
        np.lib.format.write_array(out, A, version=(2, 0))
    assert np.array_equal(speaker("v2.npy", SIZE), A)


def test_mixtures() -> None:
    wanted = 0.7 * unit(A) + 0.3 * unit(B)
    for mix in ("a.npy:0.7+b.npy:0.3", "two.safetensors#anna:7 + b.npy:3"):
        assert np.allclose(speaker(mix, SIZE), wanted, atol=1e-6)
    assert np.allclose(speaker("a.npy+b.npy", SIZE), 0.5 * unit(A) + 0.5 * unit(B), atol=1e-6)
    assert np.allclose(speaker("a.npy:1+b.npy:0", SIZE), unit(A), atol=1e-6)


def test_names() -> None:
    known = {"anna": A, "bert": B}
    assert np.array_equal(speaker("bert", SIZE, known), B)
    assert np.array_equal(speaker(None, SIZE, known), A)
    assert np.allclose(speaker("anna:1+bert:1", SIZE, known), 0.5 * unit(A) + 0.5 * unit(B), atol=1e-6)
    with pytest.raises(InputError, match=r"'carl': there is no such file; give a name \(anna, bert\) or a .npy"):
        speaker("carl", SIZE, known)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (None, "no speaker: this model needs a speaker embedding of 12 numbers"),
        ("none.npy", "speaker 'none.npy': there is no such file; give a .npy or .safetensors file"),
        ("a\0b.npy", "there is no such file"),
        (".", "there is no such file"),
        ("two.safetensors", r"2 speakers \(anna, bert\); say which with two.safetensors#NAME"),
        ("two.safetensors#carl", "two.safetensors has anna, bert; choose one"),
        ("a.npy#x", "convert it to one of them"),
        ("a.npy:-1+b.npy:2", "the weight is -1, wanted a number from 0 up"),
        ("a.npy:nan+b.npy", "the weight is nan"),
        ("a.npy:0+b.npy:0", "its parts weigh 0 together"),
        ("a.npy+", "there is no such file"),
        ("a.npy:1+minus.npy:1", "its parts cancel each other"),
        ("text.txt", "a speaker is a .npy or .safetensors file"),
        (7, r"the speaker embedding: \(\), this model wants an embedding of 12 numbers"),
        (np.ones(11), r"the speaker embedding: \(11,\), this model wants an embedding of 12"),
        (np.ones((2, 12)), r"\(2, 12\), this model wants"),
        (np.zeros(12), "all zeros; choose another one"),
        (np.full(12, np.nan), "holds NaN, infinity or"),
        (np.array(["x"] * 12), "<U1 values, wanted 12 numbers"),
        ("short.npy", r"short.npy: \(5,\), this model wants an embedding of 12"),
        ("nan.npy", "nan.npy: holds NaN, infinity or"),
        ("pickled.npy", "Python objects, which run code when they are read"),
        ("claims.npy", "the header says float32 .*, 4 bytes follow it"),
        ("cut.npy", "bytes follow it; save it again"),
        ("empty.npy", "not an array that NumPy wrote"),
        ("noise.npy", "not an array that NumPy wrote"),
        ("code.npy", "not an array that NumPy wrote"),
        ("huge.npy", "bytes, wanted one x-vector"),
        ("noise.safetensors", "not a readable safetensors file"),
    ],
    ids=str,
)
def test_what_is_no_speaker(here: Path, wanted: object, said: str) -> None:
    np.save("minus.npy", -A)
    np.save("short.npy", A[:5])
    np.save("nan.npy", np.where(A > 0, np.nan, A))
    np.save("pickled.npy", np.array([pickles.Call(open, str(here / "run"), "w")], object), allow_pickle=True)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }\n"
    code = b"{'descr': __import__('os').system('touch run'), 'fortran_order': False, 'shape': (1,), }\n"
    for name, text in (("claims.npy", header), ("code.npy", code)):
        Path(name).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(4))
    Path("cut.npy").write_bytes(Path("a.npy").read_bytes()[:-5])
    Path("empty.npy").write_bytes(b"")
    Path("noise.npy").write_bytes(bytes(range(256)))
    Path("noise.safetensors").write_bytes(bytes(range(256)))
    Path("text.txt").write_text("anna", encoding="utf-8")
    Path("huge.npy").write_bytes(bytes(1 << 21))
    with pytest.raises(InputError, match=said) as problem:
        speaker(wanted, SIZE)
    assert "\n" not in str(problem.value)
    assert not (here / "run").exists()
