"""Tensors as they lie in a file: written and read again, and what safetensors' own code makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.weights import file, store
from portavoz.weights.store import Stored


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["F64", "F32", "F16", "BF16", "I64", "U8", "BOOL"]),
            st.lists(st.integers(0, 3), max_size=3),
        ),
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2),
)
def test_files_are_what_the_format_says_they_are(tmp_path_factory: Any, tensors: Any, about: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("store") / "a.safetensors"
    held = {}
    for number, (kind, shape) in enumerate(tensors):
        bits = np.random.default_rng(number).integers(0, 2, shape).astype(store.DTYPES[kind])
        held[f"t{number}"] = Stored(kind, bits)
    store.write(path, held, about)
    again = store.read(path)
    assert list(again) == list(held) and again.metadata == about
    assert all(again[k].kind == t.kind and np.array_equal(again[k].bits, t.bits) for k, t in held.items())
    theirs, metadata = file.read(path)
    assert metadata == about and all(np.array_equal(theirs[k], t.values) for k, t in held.items())


def test_a_file_of_the_format_s_own_writer_comes_back_byte_for_byte(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    draw = np.random.default_rng(0)
    mixed = {"b": draw.normal(size=(3, 2)).astype(np.float32), "ä": np.arange(5), "c": np.float16([1, 2, 3])}
    save_file(mixed, tmp_path / "a.safetensors", {"format": "pt", "x": "ü", "y": "\n"})
    held = store.read(tmp_path / "a.safetensors")
    store.write(tmp_path / "b.safetensors", held, held.metadata)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
