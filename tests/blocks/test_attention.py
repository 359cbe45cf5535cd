"""Attention against torch's own module, and two caches that are one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from portavoz import ops
from portavoz.blocks.attention import Attention, Cache, Grown, RotaryAttention, rotary
from portavoz.ops.base import Ops
from portavoz.weights.cursor import Weights

BACK_ENDS = sorted(ops.BACKENDS)
B, T, S, C, HEADS = 2, 5, 7, 12, 3


def twin(seed: int = 0) -> tuple[torch.nn.MultiheadAttention, dict[str, np.ndarray]]:
    """torch's module, and its packed projections under our names."""
    torch.manual_seed(seed)
    module = torch.nn.MultiheadAttention(C, HEADS, batch_first=True).eval()
    with torch.no_grad():
        module.in_proj_bias.normal_()
        module.out_proj.bias.normal_()
    state = {k: t.numpy() for k, t in module.state_dict().items()}
    ours = {"out.weight": state["out_proj.weight"], "out.bias": state["out_proj.bias"]}
    for i, name in enumerate("qkv"):
        ours[f"{name}.weight"] = state["in_proj_weight"][i * C : (i + 1) * C]
        ours[f"{name}.bias"] = state["in_proj_bias"][i * C : (i + 1) * C]
    return module, ours


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def far(a: Any, b: Any) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("masked", ["not", "text", "causal"])
def test_cross_attention_is_torchs(name: str, masked: str) -> None:
    module, tensors = twin()
    back = ops.open(name)
    w = Weights(tensors, back)
    block = Attention(w, C, HEADS)
    w.finish()
    x, memory = normal(B, T, C), normal(B, S, C)
    allowed: Any = None
    named: dict[str, Any] = {}
    if masked == "text":
        allowed = np.arange(S)[None] < np.array([[S], [S - 3]])
        named["key_padding_mask"] = torch.from_numpy(~allowed)
        allowed = allowed[:, None, None]
    if masked == "causal":
        allowed = np.tril(np.ones((T, S), bool))
        named["attn_mask"] = torch.from_numpy(~allowed)
    mem = torch.from_numpy(memory)
    with torch.no_grad():
        want, _ = module(torch.from_numpy(x), mem, mem, need_weights=False, **named)
    mask = None if allowed is None else back.tensor(allowed)
    got = block(back.tensor(x), block.remember(back.tensor(memory)), mask=mask)
    assert far(back.numpy(got), want) < 1e-6


@pytest.mark.parametrize("name", BACK_ENDS)
def test_a_bias_is_added_to_the_scaled_scores_with_any_mask(name: str) -> None:
    module, tensors = twin()
    back = ops.open(name)
    block = Attention(Weights(tensors, back), C, HEADS)
    x, bias, allowed = normal(B, T, C), normal(1, HEADS, T, T), np.arange(T)[None] < np.array([[T], [T - 2]])
    scores = bias + np.where(allowed, 0, -np.inf)[:, None, None]
    with torch.no_grad():
        t = torch.from_numpy(x)
        mask = torch.from_numpy(scores.astype(np.float32)).reshape(B * HEADS, T, T)
        want, _ = module(t, t, t, need_weights=False, attn_mask=mask)
    memory = block.remember(back.tensor(x))
    got = block(back.tensor(x), memory, mask=back.tensor(allowed[:, None, None]), bias=back.tensor(bias))
    assert far(back.numpy(got), want) < 1e-6


def starts(back: Ops, capacity: int) -> dict[str, Any]:
    nothing = back.tensor(np.zeros((B, 0, C), np.float32))
    return {
        "cache": Cache.empty(back, B, capacity, C),
        "grown": Grown(nothing, nothing),
    }


def steps(back: Ops, cache: Any, x: np.ndarray) -> tuple[np.ndarray, Any]:
    """Self-attention step by step: each step sees itself and what came before."""
    block = Attention(Weights(twin()[1], back), C, HEADS)
    out = []
    for i in range(x.shape[1]):
        now = back.tensor(x[:, i : i + 1])
        cache = cache.extend(back, block.k(now), block.v(now))
        out.append(back.numpy(block(now, cache)))
    return np.concatenate(out, 1), cache


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("kind", ["cache", "grown"])
def test_step_by_step_is_the_whole_under_a_causal_mask(name: str, kind: str) -> None:
    back, x = ops.open(name), normal(B, T, C)
    got, cache = steps(back, starts(back, T + 4)[kind], x)
    assert cache.length == T
    block = Attention(Weights(twin()[1], back), C, HEADS)
    whole = block(back.tensor(x), block.remember(back.tensor(x)), mask=back.tensor(np.tril(np.ones((T, T), bool))))
    assert far(got, back.numpy(whole)) < 1e-6


@pytest.mark.parametrize("name", BACK_ENDS)
def test_what_lies_beyond_the_length_changes_nothing(name: str) -> None:
    back, x = ops.open(name), normal(B, T, C)
    clean = {kind: steps(back, cache, x)[0] for kind, cache in starts(back, T + 4).items()}
    assert far(clean["cache"], clean["grown"]) < 1e-6
    for value in (1e30, float("nan")):
        dirty = back.full((B, T + 4, C), value)
        assert np.array_equal(steps(back, Cache(dirty * 1, dirty * -1, 0), x)[0], clean["cache"])


@pytest.mark.parametrize("name", BACK_ENDS)
def test_a_cache_read_too_far_shouts(name: str) -> None:
    back = ops.open(name)
    cache = Cache.empty(back, 1, 4, C).extend(back, back.full((1, 2, C), 1.0), back.full((1, 2, C), 1.0))
    assert np.isfinite(back.numpy(cache.read()[0])).all()
    assert np.isnan(back.numpy(cache.k)[:, 2:]).all()


class Masked(NamedTuple):
    """As a back end's cache of one size for ever: zeros beyond `length`, and a mask that hides them."""

    k: Any
    v: Any
    length: int

    def read(self) -> tuple[Any, Any]:
        return self.k, self.v

    def mask(self, back: Ops) -> Any:
        return back.tensor(np.arange(self.k.shape[1])[None, None, None] < self.length)


@pytest.mark.parametrize("name", BACK_ENDS)
def test_a_mask_given_beside_a_cache_does_not_replace_its_own(name: str) -> None:
    back, x = ops.open(name), normal(B, T, C)
    block = Attention(Weights(twin()[1], back), C, HEADS)
    now = back.tensor(x)
    text = np.arange(T) != 1
    short = block(now, block.remember(now), mask=back.tensor(text[None, None, None]))
    held = Masked(back.pad(block.k(now), 0, 3), back.pad(block.v(now), 0, 3), T)
    wide = np.concatenate([text, np.ones(3, bool)])[None, None, None]
    assert far(back.numpy(block(now, held, mask=back.tensor(wide))), back.numpy(short)) < 1e-6


@pytest.mark.parametrize("name", BACK_ENDS)
def test_rotary_scores_depend_on_distances_alone(name: str) -> None:
    back = ops.open(name)
    block = RotaryAttention(Weights.fresh(back, 0), C, HEADS)
    cos, sin = rotary(40, C // HEADS)
    x = back.tensor(normal(B, T, C))
    here, there = (block(x, (back.tensor(cos[i : i + T]), back.tensor(sin[i : i + T]))) for i in (0, 33))
    assert far(back.numpy(there), back.numpy(here)) < 1e-6
    turned = block(x, (back.tensor(cos[:T] * 0 + 1), back.tensor(sin[:T] * 0)))
    assert far(back.numpy(turned), back.numpy(here)) > 1e-3


def test_rotary_angles_are_those_of_the_paper() -> None:
    cos, sin = rotary(5, 8)
    angle = 3 * 10000.0 ** (-2 * 1 / 8)  # position 3, second pair
    assert cos.shape == sin.shape == (5, 4)
    assert cos[3, 1] == pytest.approx(np.cos(angle))
    assert sin[3, 1] == pytest.approx(np.sin(angle))
