"""Tensor parallelism: two and eight devices say what one says, within rounding, and so many bytes go between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from portavoz.errors import BackendError
from portavoz.families.speecht5 import probe as speecht5
from portavoz.ops.ttnn.mesh import Group, ParallelAttention, ParallelFeedForward, RowParallelLinear
from portavoz.ops.ttnn.schedule import load

WIDTH, HEADS, INNER, STEPS = 64, 8, 128, 12
SHAPES = {1: (1, 1), 2: (1, 2), 8: (2, 4)}


def arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    out = {}
    for name in ("q", "k", "v", "out"):
        out[f"a.{name}.weight"] = draw.normal(size=(WIDTH, WIDTH)).astype(np.float32) / WIDTH**0.5
        out[f"a.{name}.bias"] = draw.normal(size=WIDTH).astype(np.float32)
    out |= {"f.wide.weight": draw.normal(size=(INNER, WIDTH)).astype(np.float32) / WIDTH**0.5}
    out |= {"f.narrow.weight": draw.normal(size=(WIDTH, INNER)).astype(np.float32) / INNER**0.5}
    return out | {"f.wide.bias": np.ones(INNER, np.float32), "f.narrow.bias": np.ones(WIDTH, np.float32)}


def said(devices: int, schedule: str) -> tuple[torch.Tensor, Group]:
    """Twelve steps of an attention with its cache and a feed-forward behind it: [1, STEPS, WIDTH]."""
    group = Group(SHAPES[devices], load(schedule))
    attention = ParallelAttention.split(group, "a", arrays(), heads=HEADS)
    feed_forward = ParallelFeedForward.split(group, "f", arrays())
    g, cache, out = torch.Generator().manual_seed(0), None, []
    for _ in range(STEPS):
        x = torch.randn(1, 1, WIDTH, generator=g)
        y, cache = attention(x, cache)
        out.append(feed_forward(x + y))
    assert all(k.shape == (1, HEADS // devices, STEPS, WIDTH // HEADS) for k in cache.keys)
    return torch.cat(out, 1), group


@pytest.mark.parametrize("devices", [2, 8])
@pytest.mark.parametrize(("schedule", "limit"), [("float32", 2e-6), ("bfloat16", 8e-3)])
def test_many_devices_are_one_within_rounding(devices: int, schedule: str, limit: float) -> None:
    one, many = said(1, schedule)[0], said(devices, schedule)[0]
    error = float((one - many).norm() / one.norm())
    assert 0 < error < limit


def test_one_device_is_torchs_attention_and_feed_forward() -> None:
    a, (got, group) = {k: torch.from_numpy(v) for k, v in arrays().items()}, said(1, "float32")
    g = torch.Generator().manual_seed(0)
    x = torch.cat([torch.randn(1, 1, WIDTH, generator=g) for _ in range(STEPS)], 1)
    q, k, v = (torch.nn.functional.linear(x, a[f"a.{n}.weight"], a[f"a.{n}.bias"]) for n in "qkv")
    q, k, v = (y.unflatten(2, (HEADS, -1)).transpose(1, 2) for y in (q, k, v))
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    x = x + torch.nn.functional.linear(y, a["a.out.weight"], a["a.out.bias"])
    h = torch.nn.functional.gelu(torch.nn.functional.linear(x, a["f.wide.weight"], a["f.wide.bias"]))
    want = torch.nn.functional.linear(h, a["f.narrow.weight"], a["f.narrow.bias"])
    assert torch.allclose(got, want, atol=2e-5)
    assert group.moved == {}


@pytest.mark.parametrize("devices", [2, 8])
def test_the_bytes_between_devices_worked_out_by_hand(devices: int) -> None:
    group = said(devices, "bfloat16")[1]
    # Two all-reduces a step, each of WIDTH bfloat16 numbers: each half moves (devices − 1) times as many.
    each = STEPS * 2 * WIDTH * 2 * (devices - 1)
    assert group.moved == {"reduce_scatter": each, "all_gather": each}


def test_a_layer_of_a_family_on_two_devices() -> None:
    weights, path = speecht5.weights(speecht5.TINY), "speecht5.decoder.wrapped_decoder.layers.0.self_attn"
    x = torch.randn(2, 5, speecht5.TINY.hidden_size, generator=torch.Generator().manual_seed(0))
    names = ("q_proj", "k_proj", "v_proj", "out_proj")
    out = []
    for devices in (1, 2):
        group = Group(SHAPES[devices], load("float32"))
        heads = speecht5.TINY.decoder_attention_heads
        out.append(ParallelAttention.split(group, path, weights, heads=heads, names=names)(x)[0])
    assert torch.allclose(*out, atol=1e-5) and not torch.equal(*out)


def test_what_a_mesh_does_not_divide_is_one_sentence() -> None:
    group = Group((1, 3), load("float32"))
    said = r"a mesh of 1 × 3 devices does not divide 8 heads of a: choose a mesh with 1, 2, 4, 8 devices"
    with pytest.raises(BackendError, match=said):
        ParallelAttention.split(group, "a", arrays(), heads=HEADS)
    with pytest.raises(BackendError, match=r"does not divide 128 inputs of f\.narrow"):
        RowParallelLinear.split(group, "f.narrow", arrays())
    with pytest.raises(BackendError, match=r"a mesh of \(0, 2\) cannot be: give rows and columns from 1 up"):
        Group((0, 2), load("float32"))
