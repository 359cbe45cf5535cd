"""Relative positions against the formulas written pair by pair, in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz import ops
from portavoz.blocks.attention import Attention, Cache, Grown
from portavoz.blocks.relative import RelativeBias, RelativeKeys, bucket, skew
from portavoz.errors import InputError
from portavoz.weights.cursor import Weights

BACK_ENDS = sorted(ops.BACKENDS)
B, HEADS, SIZE = 2, 3, 4


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).standard_normal(shape).astype(np.float32)


def far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b))


@settings(max_examples=40, deadline=None)
@given(T=st.integers(1, 9), S=st.integers(1, 9), heads=st.integers(1, 4), name=st.sampled_from(BACK_ENDS))
def test_skew_puts_each_distance_at_its_pair(T: int, S: int, heads: int, name: str) -> None:
    back, wide = ops.open(name), T + S
    x = np.arange(B * T * heads * wide, dtype=np.float32).reshape(B, T, heads, wide)
    got = back.numpy(skew(back, back.tensor(x.reshape(B, T, heads * wide)), heads, S))
    i, j = np.arange(T)[:, None], np.arange(S)[None]
    want = np.take_along_axis(x.swapaxes(1, 2), np.broadcast_to(T - 1 - i + j, (B, heads, T, S)), 3)
    assert np.array_equal(got, want)


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize(("T", "S", "start"), [(1, 1, 0), (7, 7, 0), (40, 40, 0), (1, 30, 29), (3, 12, 9)])
def test_relative_keys_are_a_dot_product_with_the_key_of_the_distance(name: str, T: int, S: int, start: int) -> None:
    back = ops.open(name)
    w = Weights.fresh(back, 1)
    block = RelativeKeys(w, SIZE, HEADS, farthest=6, longest=40)
    table, q = w.arrays()["table.weight"], normal(B, T, HEADS * SIZE)
    distance = np.arange(start, start + T)[:, None] - np.arange(S)[None]
    keys = table[np.clip(distance, -6, 5) + 6]
    want = np.einsum("bthd,tsd->bhts", q.reshape(B, T, HEADS, SIZE), keys)
    assert far(back.numpy(block(back.tensor(q), S, start)), want) < 1e-6


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("T", "S", "start"), [(1, 1, 0), (9, 9, 0), (300, 300, 0), (1, 200, 199)])
def test_relative_bias_is_the_number_of_the_bucket(name: str, causal: bool, T: int, S: int, start: int) -> None:
    back = ops.open(name)
    w = Weights.fresh(back, 1)
    block = RelativeBias(w, HEADS, buckets=12, farthest=50, causal=causal, longest=300)
    offset = np.arange(S)[None] - np.arange(start, start + T)[:, None]
    want = w.arrays()["table.weight"][bucket(offset, buckets=12, farthest=50, causal=causal)].transpose(2, 0, 1)
    assert np.array_equal(back.numpy(block(T, S, start))[0], want)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("buckets", "farthest"), [(32, 128), (12, 50), (8, 20), (31, 97)])
def test_buckets_are_the_references(causal: bool, buckets: int, farthest: int) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    offset = np.arange(-700, 701)
    want = T5Attention._relative_position_bucket(torch.from_numpy(offset), not causal, buckets, farthest)
    assert np.array_equal(bucket(offset, buckets=buckets, farthest=farthest, causal=causal), want.numpy())


@pytest.mark.parametrize("name", BACK_ENDS)
def test_steps_with_relative_keys_are_the_whole(name: str) -> None:
    """A step sees its own distances: the cache tells where it stands."""
    back, T = ops.open(name), 9
    w = Weights.fresh(back, 2)
    block = Attention(w / "attention", HEADS * SIZE, HEADS)
    relative = RelativeKeys(w / "relative", SIZE, HEADS, farthest=3, longest=T)
    x = back.tensor(normal(B, T, HEADS * SIZE))
    causal = back.tensor(np.tril(np.ones((T, T), bool)))
    whole = back.numpy(block(x, block.remember(x), causal, relative=relative))
    cache, out = Cache.empty(back, B, T + 2, HEADS * SIZE), []
    for i in range(T):
        now = x[:, i : i + 1]
        cache = block.extend(cache, now)
        out.append(back.numpy(block(now, cache, relative=relative)))
    assert far(np.concatenate(out, 1), whole) < 1e-6
    plain = back.numpy(block(x, Grown(block.keys(x), block.v(x)), causal))
    assert far(plain, whole) > 1e-2


def test_more_steps_than_the_table_are_refused() -> None:
    block = RelativeBias(Weights.fresh(ops.open("numpy"), 0), HEADS, longest=20)
    assert block(20, 20).shape == (1, HEADS, 20, 20)
    with pytest.raises(InputError, match="21 steps, but the relative positions end at 20"):
        block(1, 21, 20)
