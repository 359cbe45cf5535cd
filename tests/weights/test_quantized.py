"""Quantised files as MLX's own tools write them: the same numbers on every back end, and clear words for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from portavoz import ops
from portavoz.errors import WeightError
from portavoz.ops.mlx_kernels import Quantized
from portavoz.ops.packed import Packed
from portavoz.ops.profiler import Profiler
from portavoz.weights import file
from portavoz.weights.cursor import Weights

BACK_ENDS = sorted(ops.BACKENDS)
IDS = np.array([[3, 0, 7, 7]])


class Theirs(nn.Module):
    """What somebody else made."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.linear, self.plain = nn.Embedding(8, 128), nn.Linear(128, 64), nn.Linear(64, 24, bias=False)

    def __call__(self, ids: Any) -> Any:
        return self.plain(self.linear(self.table(ids)))


def theirs(path: Path, bits: int, group: int) -> np.ndarray:
    """A quantised model's file, and what it says to IDS."""
    mx.random.seed(bits + group)
    model = Theirs()
    nn.quantize(model, group_size=group, bits=bits)
    mx.save_safetensors(str(path), dict(_flat(model)), {"format": "mlx"})
    return np.array(model(mx.array(IDS)))


def _flat(model: nn.Module) -> Any:
    from mlx.utils import tree_flatten

    return tree_flatten(model.parameters())


class Ours:
    def __init__(self, w: Weights) -> None:
        self.table = w.embedding("table", 8, 128)
        self.linear, self.plain = w.linear("linear", 128, 64), w.linear("plain", 64, 24, bias=False)

    def __call__(self, back: ops.Ops) -> np.ndarray:
        return back.numpy(self.plain(self.linear(self.table(back.tensor(IDS)))))


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize(("bits", "group"), [(2, 32), (3, 64), (4, 64), (4, 32), (5, 32), (6, 64), (8, 32), (8, 64)])
def test_a_quantised_file_says_on_every_back_end_what_it_says_at_home(
    name: str, bits: int, group: int, tmp_path: Path
) -> None:
    want = theirs(tmp_path / "q.safetensors", bits, group)
    back = ops.open(name)
    w = Weights.load(tmp_path / "q.safetensors", back)
    model = Ours(w)
    w.finish()
    assert isinstance(model.linear.weight, Quantized) == (name == "mlx")
    assert np.linalg.norm(model(back) - want) < 1e-6 * np.linalg.norm(want)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_unpacking_is_mlxs_own(bits: int) -> None:
    matrix = np.random.default_rng(bits).standard_normal((5, 96)).astype(np.float32)
    parts = mx.quantize(mx.array(matrix), 32, bits)
    packed = Packed(*(np.array(part) for part in parts), shape=(5, 96), bits=bits, group=32)
    want = np.array(mx.dequantize(*parts, 32, bits))
    assert np.abs(np.asarray(packed) - want).max() < 1e-6
    assert packed.nbytes == sum(part.nbytes for part in parts)
    assert np.asarray(packed, np.float64).dtype == np.float64


def test_what_stays_packed_is_small_and_comes_back_as_floats(tmp_path: Path) -> None:
    theirs(tmp_path / "q.safetensors", 4, 64)
    back = ops.open("mlx")
    watch = Profiler(back)
    w = Weights.load(tmp_path / "q.safetensors", watch)
    Ours(w)
    floats = 4 * (8 * 128 + 128 * 64 + 64 * 24)
    assert watch.total.weight_bytes < 0.2 * floats
    arrays = w.arrays()
    assert {k: a.shape for k, a in arrays.items() if k.endswith("weight")} == {
        "table.weight": (8, 128), "linear.weight": (64, 128), "plain.weight": (24, 64),
    }  # fmt: skip
    other = Weights.load(tmp_path / "q.safetensors", ops.open())
    Ours(other)
    assert np.abs(arrays["linear.weight"] - other.arrays()["linear.weight"]).max() < 1e-6


def test_training_from_a_quantised_file_begins_with_floats(tmp_path: Path) -> None:
    theirs(tmp_path / "q.safetensors", 8, 32)
    w = Weights.load(tmp_path / "q.safetensors", ops.open("mlx"), train=True)
    assert all(isinstance(t, mx.array) for t in (Ours(w), w.tensors())[1].values())


def refused(tmp_path: Path, tensors: dict[str, np.ndarray]) -> str:
    file.write(tmp_path / "bad.safetensors", tensors, {"format": "mlx"})
    with pytest.raises(WeightError) as problem:
        Weights.load(tmp_path / "bad.safetensors", ops.open()).linear("a", 64, 8, bias=False)
    return str(problem.value)


def test_whole_numbers_without_scales_are_one_sentence(tmp_path: Path) -> None:
    words, scales = np.zeros((8, 8), np.uint32), np.ones((8, 1), np.float16)
    said = refused(tmp_path, {"a.weight": words})
    assert "a.weight: uint32 numbers (8, 8) without a.scales and a.biases beside them, so they cannot" in said
    assert "without a.biases beside them" in refused(tmp_path, {"a.weight": words, "a.scales": scales})
    assert "int8 numbers (8, 64) without" in refused(tmp_path, {"a.weight": np.zeros((8, 64), np.int8)})


@pytest.mark.parametrize(
    ("words", "scales"),
    [
        (np.zeros((8, 7), np.uint32), np.ones((8, 1), np.float16)),  # 3.5 bits
        (np.zeros((8, 32), np.uint32), np.ones((8, 1), np.float16)),  # 16 bits
        (np.zeros((8, 8), np.uint8), np.ones((8, 1), np.float16)),
        (np.zeros((8, 8), np.uint32), np.ones((8, 3), np.float16)),  # a third of a row
        (np.zeros((4, 8), np.uint32), np.ones((4, 1), np.float16)),
        (np.zeros((8, 8), np.uint32), np.ones((8, 1), np.uint8)),  # MX forms have whole exponents
    ],
)
def test_other_forms_are_refused_with_what_was_found(tmp_path: Path, words: np.ndarray, scales: np.ndarray) -> None:
    said = refused(tmp_path, {"a.weight": words, "a.scales": scales, "a.biases": scales})
    assert "is not a quantised (8, 64) in MLX's affine form" in said
    assert said.endswith("give the float file")


@pytest.mark.parametrize(("mode", "group", "bits"), [("mxfp4", 32, 4), ("nvfp4", 16, 4), ("mxfp8", 32, 8)])
def test_mlxs_floating_forms_are_refused_in_a_sentence(mode: str, group: int, bits: int, tmp_path: Path) -> None:
    model = Theirs()
    nn.quantize(model, group_size=group, bits=bits, mode=mode)
    mx.save_safetensors(str(tmp_path / "q.safetensors"), dict(_flat(model)), {"format": "mlx"})
    w = Weights.load(tmp_path / "q.safetensors", ops.open())
    with pytest.raises(WeightError, match=r"linear\.weight: uint32 numbers .* without linear\.biases .* affine form"):
        w.linear("linear", 128, 64)


def test_scales_that_belong_to_nothing_are_left_over(tmp_path: Path) -> None:
    arrays = {"a.weight": np.zeros((8, 64), np.float32), "a.scales": np.ones((8, 1), np.float32)}
    file.write(tmp_path / "odd.safetensors", arrays, {})
    w = Weights.load(tmp_path / "odd.safetensors", ops.open())
    w.linear("a", 64, 8, bias=False)
    with pytest.raises(WeightError, match=r"1 unused tensor: a\.scales"):
        w.finish()
