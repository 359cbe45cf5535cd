"""Rounding: chosen units in another kind of number, all others as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from portavoz import ops
from portavoz.blocks.attention import Attention
from portavoz.errors import BackendError
from portavoz.ops.rounding import Rounding, rounded
from portavoz.weights.cursor import Weights

DRAW = np.random.default_rng(0)
X = (DRAW.standard_normal((2, 5, 8)) * 10).astype(np.float32)


@pytest.mark.parametrize(("kind", "dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_numbers_as_torch_rounds_them(kind: str, dtype: torch.dtype) -> None:
    x = np.concatenate([X.ravel(), [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, 70000.0, 3.3e38]]).astype(np.float32)
    assert np.array_equal(rounded(x, kind), torch.from_numpy(x).to(dtype).float().numpy(), equal_nan=True)


def test_eight_bits_are_255_steps_for_each_channel() -> None:
    w = DRAW.standard_normal((4, 6, 3)).astype(np.float32) * np.array([1, 10, 100, 0], np.float32)[:, None, None]
    for axis in (0, 1):
        got = np.moveaxis(rounded(w, "int8", axis=axis), axis, 0).reshape(w.shape[axis], -1)
        right = np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1)
        step = np.abs(right).max(1, keepdims=True) / 127
        assert (np.abs(got - right) <= step * 0.5001).all()
        whole = got / np.where(step, step, 1)
        assert np.allclose(whole, np.rint(whole), atol=1e-3) and np.abs(whole).max() <= 127.001


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(BackendError, match="no rounding to 'int3': choose one of bfloat16, float16, int8"):
        rounded(X, "int3")


def attention(back: str) -> tuple[Rounding, Any]:
    watch = Rounding(ops.open(back))
    w = Weights.fresh(watch, 3)
    model = Attention(w / "attention", 8, 2)

    def run() -> np.ndarray:
        watch.clear()
        x = watch.tensor(X)
        return np.asarray(watch.numpy(model(x, model.remember(x))))

    return watch, run


@pytest.mark.parametrize("back", ["numpy", "torch", "mlx"])
def test_nothing_is_rounded_until_it_is_chosen(back: str) -> None:
    watch, run = attention(back)
    plain = run()
    assert watch.met == {**dict.fromkeys(["attention.k", "attention.v", "attention.q"], True), "attention": False,
                         "attention.out": True}  # fmt: skip
    watch.kind, watch.chosen = "bfloat16", lambda path: False
    assert np.array_equal(run(), plain)
    changed = {}
    for path in watch.met:
        for kind in ("bfloat16", "float16", "int8"):
            watch.kind, watch.chosen = kind, lambda one, path=path: one == path
            changed[path, kind] = float(np.abs(run() - plain).max())
    watch.kind = None
    assert np.array_equal(run(), plain)
    # Words without weights have none to put into eight bits.
    assert changed.pop(("attention", "int8")) == 0
    assert all(changed.values())
    assert all(changed[path, "float16"] < changed[path, "bfloat16"] for path in watch.met)


def test_a_layer_is_what_its_rounded_parts_make() -> None:
    watch = Rounding(ops.open("numpy"))
    layer = Weights.fresh(watch, 1).linear("dense", 8, 4)
    watch.kind = "bfloat16"
    x, w, b = (rounded(a, "bfloat16") for a in (X, layer.weight, layer.bias))
    assert np.array_equal(layer(X), rounded(x @ w.T + b, "bfloat16"))
    watch.kind = "int8"
    assert np.array_equal(layer(X), X @ rounded(layer.weight, "int8").T + layer.bias)
    watch.kind = None
    assert np.array_equal(layer(X), X @ layer.weight.T + layer.bias)
