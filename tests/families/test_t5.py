"""A T5 made of our blocks is transformers' T5: part by part, as a whole, step by step, token by token."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from t5 import NAMES, T5, T5Config, generate

from portavoz import ops
from portavoz.lab.metrics import distance
from portavoz.lab.references.t5 import CONFIGS, Recorded, T5Reference
from portavoz.weights import file
from portavoz.weights.audit import audit
from portavoz.weights.cursor import Weights

BACK_ENDS = sorted(ops.BACKENDS)
SIZES = sorted(CONFIGS)
SEEDS = (0, 1)


@cache
def reference(size: str, seed: int) -> T5Reference:
    return T5Reference.fresh(CONFIGS[size], seed)


@cache
def port(size: str, seed: int, name: str) -> T5:
    tensors = NAMES.forward(reference(size, seed).tensors())
    w = Weights(tensors, ops.open(name))
    model = T5(w, T5Config.of(CONFIGS[size]))
    w.finish()
    return model


def text(size: str, seed: int, length: int, *, left: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Three rows of random tokens [3, length] and their mask: a full one, a shorter one, one of a single token."""
    ids = np.random.default_rng([seed, length]).integers(2, CONFIGS[size]["vocab_size"], (3, length))
    mask = np.arange(length)[None] < np.array([[length], [max(1, length * 2 // 3)], [1]])
    mask = mask[:, ::-1].copy() if left else mask
    return np.where(mask, ids, 0), mask


def off(ours: Any, theirs: Any) -> float:
    return distance(np.asarray(ours.detach() if hasattr(ours, "detach") else ours), theirs).l2


def allowed(model: T5, mask: np.ndarray) -> Any:
    return model.ops.tensor(mask[:, None, None])


@pytest.mark.parametrize("size", SIZES)
def test_every_tensor_has_its_place_and_the_way_back(size: str) -> None:
    tensors = reference(size, 0).tensors()
    ours = NAMES.forward(tensors)
    report = audit(lambda w: T5(w, T5Config.of(CONFIGS[size])), ours)
    assert report.ok, report.problems()
    back = NAMES.backward(ours)
    assert all(np.array_equal(back[key], tensors[key]) for key in back)
    assert sorted(set(tensors) - set(back)) == ["decoder.embed_tokens.weight", "encoder.embed_tokens.weight"]


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", SIZES)
def test_each_part_is_the_references(size: str, seed: int, name: str) -> None:
    """Every part gets what the reference's part got: norms, attentions, feed-forwards, whole layers."""
    ids, mask = text(size, seed, 13)
    said = text(size, seed + 7, 9)[0]
    seen, model = reference(size, seed).record(ids, mask, said), port(size, seed, name)
    back, text_mask = model.ops, allowed(model, mask)
    near = model.encoder.positions(13, 13)
    memory = back.tensor(seen["encoder.final_layer_norm"].y)
    errors: dict[str, float] = {}

    def check(key: str, got: Any, want: Any = None) -> None:
        errors[key] = off(got, seen[key].y if want is None else want)

    def given(key: str) -> Any:
        return back.tensor(seen[key].x)

    for i, layer in enumerate(model.encoder.layers):
        at = f"encoder.block.{i}"
        check(f"{at}.layer.0.layer_norm", layer.attention_residual.norm(given(f"{at}.layer.0.layer_norm")))
        x = given(f"{at}.layer.0.SelfAttention")
        check(f"{at}.layer.0.SelfAttention", layer.attention(x, layer.attention.remember(x), text_mask, near))
        check(f"{at}.layer.1.DenseReluDense", layer.feed_forward(given(f"{at}.layer.1.DenseReluDense")))
        check(at, layer(given(at), text_mask, near))
    causal = back.tensor(np.tri(9, dtype=bool)[None, None])
    far = model.decoder.positions(9, 9)
    for i, layer in enumerate(model.decoder.layers):
        at = f"decoder.block.{i}"
        x = given(f"{at}.layer.0.SelfAttention")
        check(f"{at}.layer.0.SelfAttention", layer.self_attn(x, layer.self_attn.remember(x), causal, far))
        x, heard = given(f"{at}.layer.1.EncDecAttention"), layer.cross_attn.remember(memory)
        check(f"{at}.layer.1.EncDecAttention", layer.cross_attn(x, heard, text_mask))
        check(f"{at}.layer.2.DenseReluDense", layer.feed_forward(given(f"{at}.layer.2.DenseReluDense")))
        empty = model.start(memory, capacity=9).own[i]
        check(at, layer(given(at), empty, heard, text_mask, causal=causal, bias=far)[0])
        y, _, weights = layer.with_attention(given(at), model.start(memory, capacity=9).own[i], heard, text_mask,
                                   causal=causal, bias=far)  # fmt: skip
        errors[f"{at} looking"] = off(y, seen[at].y)
        errors[f"{at} weights"] = off(weights, seen[f"{at}.layer.1.EncDecAttention"][2][2])
    for side, bias in (("encoder", near), ("decoder", far)):
        want = seen[f"{side}.block.0.layer.0.SelfAttention"][2][1]
        errors[f"{side} bias"] = off(bias, want)
    assert len(errors) == 4 * len(model.encoder.layers) + 6 * len(model.decoder.layers) + 2
    assert max(errors.values()) < 1e-5, errors


@pytest.mark.parametrize("left", [False, True], ids=["padded right", "padded left"])
@pytest.mark.parametrize("length", [1, 13, 150])
@pytest.mark.parametrize("size", SIZES)
def test_the_whole_is_the_references(size: str, length: int, left: bool) -> None:
    """Logits of padded batches, with more steps than there are buckets and beyond their farthest distance."""
    ids, mask = text(size, 0, length, left=left)
    said = text(size, 5, 140 if length == 150 else 6)[0]
    model = port(size, 0, "torch")
    memory = model.encode(torch.from_numpy(ids), allowed(model, mask))
    want = reference(size, 0).encode(ids, mask)
    assert off(memory[mask], want[mask]) < 1e-5
    state = model.start(memory, allowed(model, mask), capacity=said.shape[1])
    logits, state = model.step(torch.from_numpy(said), state)
    assert off(logits, reference(size, 0).decode(said, want, mask)) < 1e-5
    assert state.own[0].length == said.shape[1]


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("size", SIZES)
def test_steps_with_caches_are_the_whole(size: str, name: str) -> None:
    """One token at a time, or in pieces, past 128 steps: what a full recompute gives."""
    ids, mask = text(size, 0, 13)
    steps = 140 if name == "torch" else 20
    said, model = text(size, 5, steps)[0], port(size, 0, name)
    memory = model.encode(model.ops.tensor(ids), allowed(model, mask))
    whole, _ = model.step(model.ops.tensor(said), model.start(memory, allowed(model, mask), capacity=steps))
    for pieces in ([1] * steps, [7, 1, steps - 8]):
        state, out = model.start(memory, allowed(model, mask), capacity=steps + 3), []
        for at, n in zip(np.cumsum([0, *pieces]), pieces):
            logits, state = model.step(model.ops.tensor(said[:, at : at + n]), state)
            out.append(model.ops.numpy(logits))
        assert off(np.concatenate(out, 1), model.ops.numpy(whole)) < 1e-5


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_greedy_generation_says_the_same_tokens(size: str, seed: int) -> None:
    ids, mask = text(size, seed, 11)
    want = reference(size, seed).generate(ids, mask, steps=40)
    assert np.array_equal(generate(port(size, seed, "torch"), ids, mask, steps=40), want)


def test_a_row_that_ends_is_padded_and_all_ended_stops() -> None:
    """An output matrix that likes the end token: rows end at different steps, and so does the reference."""
    fond = T5Reference.fresh(CONFIGS["v1.1"], 2)
    with torch.no_grad():
        fond.model.lm_head.weight[1] *= 5.0
    model = T5(Weights(NAMES.forward(fond.tensors()), ops.open("torch")), T5Config.of(CONFIGS["v1.1"]))
    ids, mask = text("v1.1", 3, 11)
    want = fond.generate(ids, mask, steps=40)
    assert np.array_equal(generate(model, ids, mask, steps=40), want)
    assert (want == 1).argmax(1).tolist() == [4, 2, 3]
    assert want.shape == (3, 5)


def test_a_folder_of_save_pretrained_is_read(tmp_path: Path) -> None:
    """Tied weights are stored once there; the port ties them too."""
    reference("v1.0", 0).model.save_pretrained(tmp_path)
    tensors, _ = file.read(tmp_path / "model.safetensors")
    assert "lm_head.weight" not in tensors
    w = Weights(NAMES.forward(tensors), ops.open("torch"))
    model = T5(w, T5Config.of(CONFIGS["v1.0"]))
    w.finish()
    again = T5Reference.load(tmp_path)
    ids, mask = text("v1.0", 0, 9)
    assert np.array_equal(generate(model, ids, mask, steps=12), again.generate(ids, mask, steps=12))


def test_padding_is_not_heard() -> None:
    ids, mask = text("v1.1", 0, 13)
    model, noisy = port("v1.1", 0, "torch"), np.where(mask, ids, 17)
    clean, dirty = (model.encode(torch.from_numpy(x), allowed(model, mask)).detach().numpy() for x in (ids, noisy))
    assert np.array_equal(clean[mask], dirty[mask])
    heard = model.encode(torch.from_numpy(noisy)).detach().numpy()
    assert off(heard[mask], clean[mask]) > 1e-2


def test_the_page_shows_this_file(root: Path) -> None:
    page = (root / "docs" / "porting.md").read_text(encoding="utf-8")
    parts = re.findall(r"^```python title=t5.py\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    shown, kept = ("".join(parts), (root / "tests" / "support" / "t5.py").read_text(encoding="utf-8"))
    assert shown.split() == kept.split()


def test_what_was_recorded_is_what_went_in() -> None:
    seen: dict[str, Recorded] = reference("v1.0", 0).record(*text("v1.0", 0, 5), text("v1.0", 1, 4)[0])
    assert seen["encoder.block.1"].x.shape == (3, 5, 48)
    assert np.array_equal(seen["encoder.block.0"].y, seen["encoder.block.1"].x)
