"""Tensor parallelism: two and eight devices say what one says, within rounding, and so many bytes go between them."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from typing import Any

import numpy as np
import pytest

from portavoz import families, ops
from portavoz.blocks.attention import Attention, empty_cache
from portavoz.blocks.feed_forward import FeedForward
from portavoz.errors import BackendError
from portavoz.families.chatterbox import probe as chatterbox
from portavoz.families.chatterbox.stages import Eager
from portavoz.families.speecht5 import probe as speecht5
from portavoz.families.speecht5.config import TINY
from portavoz.families.speecht5.loop import SpeechT5, StoppingCriteria
from portavoz.graph.cache import Cache
from portavoz.graph.compile import Choice, Origin, assemble
from portavoz.ops.ttnn.backend import TtnnOps
from portavoz.ops.ttnn.schedule import load, read
from portavoz.weights.cursor import Weights

WIDTH, HEADS, INNER, STEPS, SYMBOLS = 64, 8, 128, 12, 3
SHAPES = {1: None, 2: "1x2", 8: "2x4"}
PARALLEL = {"column": ["a.[qkv]", "f.wide"], "row": ["a.out", "f.narrow"]}


def arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    out = {}
    for name in ("q", "k", "v", "out"):
        out[f"a.{name}.weight"] = draw.normal(size=(WIDTH, WIDTH)).astype(np.float32) / WIDTH**0.5
        out[f"a.{name}.bias"] = draw.normal(size=WIDTH).astype(np.float32)
    out |= {"f.wide.weight": draw.normal(size=(INNER, WIDTH)).astype(np.float32) / WIDTH**0.5}
    out |= {"f.narrow.weight": draw.normal(size=(WIDTH, INNER)).astype(np.float32) / INNER**0.5}
    return out | {"f.wide.bias": np.ones(INNER, np.float32), "f.narrow.bias": np.ones(WIDTH, np.float32)}


def said(back: Any) -> np.ndarray:
    """Twelve steps of an attention with its cache and a feed-forward behind it: [1, STEPS, WIDTH]."""
    w = Weights(arrays(), back)
    attention = Attention(w / "a", WIDTH, HEADS)
    feed_forward = FeedForward(w / "f", WIDTH, INNER, names=("wide", "narrow"))
    draw, cache, out = np.random.default_rng(1), empty_cache(back, 1, STEPS, WIDTH, HEADS), []
    for _ in range(STEPS):
        x = back.tensor(draw.normal(size=(1, 1, WIDTH)).astype(np.float32))
        cache = attention.extend(cache, x)
        out.append(back.numpy(feed_forward(x + attention(x, cache))))
    return np.concatenate(out, 1)


def cut(devices: int, dtype: str) -> TtnnOps:
    about = {"defaults": {"dtype": dtype, "output": dtype}, "cache": {"dtype": dtype}, "parallel": PARALLEL}
    return TtnnOps(schedule=read(about, "mine.toml"), mesh=SHAPES[devices])


def off(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.mark.parametrize("devices", [2, 8])
@pytest.mark.parametrize(("dtype", "limit"), [("float32", 2e-6), ("bfloat16", 8e-3)])
def test_many_devices_are_one_within_rounding(devices: int, dtype: str, limit: float) -> None:
    back = cut(devices, dtype)
    assert 0 < off(said(back), said(cut(1, dtype))) < limit
    # Two all-reduces a step, each of WIDTH numbers: each half moves (devices − 1) times as many.
    each = STEPS * 2 * WIDTH * {"float32": 4, "bfloat16": 2}[dtype] * (devices - 1)
    assert back.executor.moved == {"reduce_scatter": each, "all_gather": each}


def test_one_device_is_the_attention_and_feed_forward_of_numpy() -> None:
    assert off(said(cut(1, "float32")), said(ops.open("numpy"))) < 2e-6


def test_caches_lie_where_their_heads_do() -> None:
    back = cut(8, "float32")
    attention = Attention(Weights(arrays(), back) / "a", WIDTH, HEADS)
    x = back.tensor(np.ones((1, 5, WIDTH), np.float32))
    cache = attention.extend(empty_cache(back, 1, 40, WIDTH, HEADS), x)
    parts = cache.keys.handle.parts
    assert len(parts) == 8 and all(part.shape == (2, 1, 32, WIDTH // HEADS) for part in parts)
    assert np.array_equal(back.numpy(cache.k)[:, :5], back.numpy(attention.k(x)))


# Whole models


# The tiny configuration with eight heads, so that eight devices have one each.
C8 = dataclasses.replace(TINY, encoder_attention_heads=8, decoder_attention_heads=8)


@functools.cache
def origin() -> Origin:
    weights, key = speecht5.weights(C8), "vocoder."
    parts = {
        "model": {name: a for name, a in weights.items() if not name.startswith(key)},
        "vocoder": {name[len(key) :]: a for name, a in weights.items() if name.startswith(key)},
    }
    return Origin.given(families.get("speecht5"), C8, parts)


@functools.cache
def sentence(devices: int, schedule: str) -> tuple[Any, Any]:
    """Twenty steps and more of the tiny configuration with their sound, and the back end."""
    back = TtnnOps(schedule=schedule, mesh=SHAPES[devices])
    made = origin()
    made.ops = back
    choices = {group: Choice("eager", "float32", 1) for group in made.groups}
    given = speecht5.inputs(C8, 3)
    with tempfile.TemporaryDirectory() as place:
        model = SpeechT5(assemble(made, choices, Cache(place)).runner, C8)
    ids = [given["ids"][0][:SYMBOLS]]
    return model.generate(ids, given["speaker"][0], stop=StoppingCriteria(100.0, 0, 14))[0], back


@pytest.mark.parametrize("devices", [2, 8])
def test_a_sentence_on_many_devices_is_that_of_one(devices: int) -> None:
    one, _ = sentence(1, "float32")
    many, back = sentence(devices, "float32")
    assert len(many.stops) == len(one.stops) >= 20 and many.wave.shape == one.wave.shape
    assert 0 < off(many.before, one.before) < 1e-5 and off(many.wave, one.wave) < 1e-4
    # A decoder layer has three all-reduces a step; an encoder layer two, of all symbols.
    numbers = C8.hidden_size * (3 * C8.decoder_layers * len(many.stops) + 2 * C8.encoder_layers * SYMBOLS)
    assert back.executor.moved["reduce_scatter"] == 4 * numbers * (devices - 1)


@pytest.mark.slow
def test_rounding_is_all_that_a_mesh_changes_in_bfloat16() -> None:
    one, many = (sentence(devices, "bfloat16")[0] for devices in (1, 2))
    theirs = sentence(1, "float32")[0]
    assert 0 < off(many.before, one.before) < 2 * off(one.before, theirs.before) + 1e-3


def test_a_step_of_tokens_on_two_devices() -> None:
    config, out = chatterbox.TINY["turbo"], []
    weights = chatterbox.weights(config)
    for mesh in (None, (1, 2)):
        back = TtnnOps(schedule="float32", mesh=mesh)
        model = Eager(families.get("chatterbox").cursors(Weights(weights, back)), config)
        given = chatterbox.inputs(config, 0)
        step = model.prefill(model.condition(given["speaker"], given["prompt"], 0.7), given["ids"], 1)
        out.append(model.step(5, step.state).logits)
    assert 0 < off(out[1], out[0]) < 1e-5


def test_what_a_mesh_does_not_divide_is_one_sentence() -> None:
    said = r"a mesh of 1 × 3 devices does not divide 64 outputs of a\.q, which its heads have: choose a mesh with 1, 2"
    back = TtnnOps(schedule=read({"parallel": PARALLEL}, "mine.toml"), mesh=(1, 3))
    with pytest.raises(BackendError, match=said):
        Attention(Weights(arrays(), back) / "a", WIDTH, HEADS)
    back = TtnnOps(schedule=read({"parallel": PARALLEL}, "mine.toml"), mesh="2x8")
    block = Attention(Weights(arrays(), back) / "a", WIDTH, HEADS)
    x = back.tensor(np.ones((1, 3, WIDTH), np.float32))
    with pytest.raises(BackendError, match=r"2 × 8 devices does not divide 8 heads of a\.[qkv]: choose .* 1, 2, 4, 8"):
        block(x, block.remember(x))
    with pytest.raises(BackendError, match=r"mesh '0x2': give rows and columns from 1 up, such as 1x2"):
        TtnnOps(mesh="0x2")
    assert load("bfloat16").cut("step.layers.0.own") == "heads"
