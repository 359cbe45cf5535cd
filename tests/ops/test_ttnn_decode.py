"""Decode attention on caches of the card's kind: what it computes, what its schedule says, and that it is a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from traces import TracedRecording

from portavoz import families, ops
from portavoz.blocks.attention import Attention, Cache, empty_cache, select_rows
from portavoz.blocks.causal import CausalAttention
from portavoz.errors import BackendError
from portavoz.families.chatterbox import probe as chatterbox
from portavoz.families.chatterbox import stages
from portavoz.families.chatterbox.stages import Eager
from portavoz.ops.ttnn.backend import TtnnOps
from portavoz.ops.ttnn.golden import Golden
from portavoz.ops.ttnn.paged import Paged
from portavoz.ops.ttnn.schedule import load, read
from portavoz.weights.cursor import Weights

B, C, HEADS = 2, 32, 4


def schedule(**cache: Any) -> Any:
    """float32 throughout, with a cache of its own."""
    given = {"dtype": "float32", **cache}
    return read({"defaults": {"dtype": "float32", "output": "float32"}, "cache": given}, "mine.toml")


def said(back: Any, make: Any, *, first: int, steps: int) -> list[np.ndarray]:
    """An attention's answers: `first` steps at once, then one after the other."""
    draw = np.random.default_rng(0)
    arrays = {f"a.{name}.weight": draw.normal(size=(C, C)).astype(np.float32) / C**0.5 for name in "qkvo"}
    block = CausalAttention(Weights(arrays, back) / "a", C, HEADS, names=("q", "k", "v", "o"), bias=False)
    x = draw.normal(size=(B, first + steps, C)).astype(np.float32)
    cache, out = make(back), []
    causal = back.tensor(np.tril(np.ones((1, 1, first, first), bool)))
    y, cache = block(back.tensor(x[:, :first]), cache, None, causal)
    out.append(back.numpy(y))
    for t in range(first, first + steps):
        y, cache = block(back.tensor(x[:, t : t + 1]), cache, None)
        out.append(back.numpy(y))
    y, cache, weights = block.with_attention(back.tensor(x[:, -1:]), cache, None)
    assert not back.numpy(weights)[..., cache.length :].any()
    return [*out, back.numpy(y), back.numpy(weights)[..., : cache.length]]


@pytest.mark.parametrize("layout", ["paged", "contiguous"])
def test_decode_attention_is_attention_to_all_steps_so_far(layout: str) -> None:
    back = TtnnOps(schedule=schedule(layout=layout, block=32))
    ours = said(back, lambda b: empty_cache(b, B, 70, C, HEADS), first=5, steps=60)  # over two borders of blocks
    theirs = said(ops.open("numpy"), lambda b: Cache.empty(b, B, 70, C), first=5, steps=60)
    assert max(np.abs(a - b).max() for a, b in zip(ours, theirs)) < 2e-6
    assert isinstance(empty_cache(back, 1, 3, C, HEADS), Paged)


def test_what_a_cache_keeps_is_rounded_as_the_schedule_says() -> None:
    exact = said(TtnnOps(schedule=schedule()), lambda b: empty_cache(b, B, 70, C, HEADS), first=5, steps=9)
    errors = []
    for dtype in ("bfloat16", "bfloat8_b", "bfloat4_b"):
        back = TtnnOps(schedule=schedule(dtype=dtype))
        rows = said(back, lambda b: empty_cache(b, B, 70, C, HEADS), first=5, steps=9)
        assert np.array_equal(rows[0], exact[0])  # the first steps are not read back
        errors.append(float(np.linalg.norm(rows[-2] - exact[-2]) / np.linalg.norm(exact[-2])))
    assert 1e-4 < errors[0] < 6e-3 < errors[1] < 0.03 < errors[2] < 0.4


def test_a_cache_grows_into_its_next_length_and_gives_rows_of_a_batch() -> None:
    back = TtnnOps(schedule=schedule(lengths=[32, 64]))
    x = back.tensor(np.random.default_rng(0).normal(size=(B, 9, C)).astype(np.float32))
    cache = empty_cache(back, B, 7, C, HEADS).extend(back, x, x * 2.0)
    for wider in (cache.widened(back, 30), select_rows(back, cache, [1, 0]).widened(back, 30)):
        assert (cache.shape[1], wider.shape[1], wider.length) == (32, 64, 9)
    plain = [back.numpy(part) for part in cache.widened(back, 30).read()]
    assert np.array_equal(plain[0][:, :9], back.numpy(x)) and not plain[0][:, 9:].any()
    turned = select_rows(back, cache, [1, 0]).read()
    assert np.array_equal(back.numpy(turned[1])[:, :9], 2 * back.numpy(x)[::-1])
    with pytest.raises(BackendError, match=r"a decoder's cache has 65 steps, .* 64 \(mine.toml, cache, lengths = \[32"):
        wider.widened(back, 1)


def test_scores_may_have_something_added_in_decode_attention() -> None:
    back, draw = TtnnOps(schedule=schedule()), np.random.default_rng(3)
    arrays = {f"{n}.weight": draw.normal(size=(C, C)).astype(np.float32) / C**0.5 for n in ("q", "k", "v", "out")}
    x, bias = draw.normal(size=(1, 3, C)).astype(np.float32), draw.normal(size=(1, HEADS, 1, 32)).astype(np.float32)
    out = []
    for b in (back, ops.open("numpy")):
        block = Attention(Weights(arrays, b), C, HEADS, bias=False)
        cache = block.extend(block.extend(empty_cache(b, 1, 32, C, HEADS), b.tensor(x[:, :2])), b.tensor(x[:, 2:]))
        given = bias if b is back else bias[..., :3]
        out.append(b.numpy(block(b.tensor(x[:, 2:]), cache, None, b.tensor(given))))
    assert np.allclose(*out, atol=2e-6)


BAD = [
    ({"layout": "rows"}, "mine.toml, cache: layout is 'rows': choose one of paged, contiguous"),
    ({"block": 20}, "mine.toml, cache: block is 20: give a multiple of 32"),
    ({"lengths": [256, 128]}, r"mine.toml, cache, lengths is \[256, 128\]: give rising multiples of 32"),
    ({"block": 64, "lengths": [96]}, r"lengths is \[96\]: give multiples of the block of 64"),
    ({"dtyp": "bfloat16"}, "mine.toml, cache: unknown key 'dtyp'; did you mean dtype"),
]


@pytest.mark.parametrize(("cache", "what"), BAD)
def test_a_cache_that_cannot_be_is_one_sentence(cache: dict, what: str) -> None:
    with pytest.raises(BackendError, match=what):
        schedule(**cache)


# Chatterbox's loop of tokens


def spoken(back: Any, config: Any, watch: Any = None, steps: int = 9) -> list[np.ndarray]:
    """Logits of a few tokens behind a text, those of the first step first."""
    arrays = chatterbox.weights(config)
    cursors = families.get("chatterbox").cursors(Weights(arrays, back))
    model, given = Eager(cursors, config), chatterbox.inputs(config, 0)
    voice = model.condition(given["speaker"], given["prompt"], 0.7)
    step = model.prefill(voice, given["ids"], 2 if config.tokens.guided else 1)
    out = [step.logits]
    for n in range(steps):
        if watch is None:
            step = model.step(7 + n, step.state)
        else:
            with (watch.capture if n == 0 else watch.replay)("token"):
                step = model.step(7 + n, step.state)
        out.append(step.logits)
    return out


@pytest.mark.parametrize("variant", ["tiny", "turbo"])
def test_a_step_of_tokens_replays_the_first_and_allocates_nothing(variant: str) -> None:
    config = chatterbox.TINY[variant]
    recording = TracedRecording(Golden())
    ours = spoken(TtnnOps(schedule="float32", executor=recording), config, recording)
    theirs = spoken(ops.open("torch"), config)
    assert max(np.abs(a - b).max() for a, b in zip(ours, theirs)) < 2e-4 * np.abs(theirs[0]).max()
    entries, uploads = recording.traces["token"]
    names = [entry.operation for entry in entries]
    layers = config.tokens.layers
    assert names.count("paged_update_cache") == 2 * layers and "full" not in names and "write" not in names
    assert names.count("sdpa_decode") == (layers if not config.tokens.aligned_heads else names.count("sdpa_decode"))
    assert 0 < len(uploads) <= 6  # the token, its position, rotations or a place, and what was written


def test_a_longer_cache_is_another_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load("bfloat16").cache.room(257) == 512
    monkeypatch.setattr(stages, "ROOM", 4)
    config, recording = chatterbox.TINY["turbo"], TracedRecording(Golden())
    about = {"cache": {"lengths": [64, 128]}}
    with pytest.raises(AssertionError, match=r"trace 'token': operation \d+ is full"):
        spoken(TtnnOps(schedule=read(about, "s.toml"), executor=recording), config, recording, steps=64)
