"""Watches: they see every word under a stable name, and change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tracer import Tracer

from portavoz import ops
from portavoz.blocks.attention import Attention, Cache
from portavoz.blocks.block import Block
from portavoz.blocks.istft_head import IstftHead
from portavoz.errors import BackendError
from portavoz.families.compact.config import MINIMAL
from portavoz.families.compact.loop import Eager
from portavoz.flow import MelSpec
from portavoz.ops.base import COMPOSITE_OPS, LEAF_OPS, STRUCTURAL_OPS, Ops
from portavoz.ops.profiler import FORMULA, Profiler
from portavoz.ops.wrapper import OpsWrapper
from portavoz.weights.cursor import Weights

BACK_ENDS = sorted(ops.BACKENDS)
# Functions of one number, moves and sums of numbers: no multiply–adds.
FREE = set(
    "embedding snake relu gelu silu mish elu tanh sigmoid leaky_relu softmax concat chunk split_heads merge_heads swap "
    "masked full rows write gather cumsum pad upsample exp sqrt sin cos clip".split()
)


def say(model: Eager) -> list[np.ndarray]:
    """The three stages of the minimal model on fixed inputs."""
    ids = np.arange(11)[None] % MINIMAL.symbols
    memory, durations = model.encode(ids, np.zeros(1, np.int64))
    index = np.repeat(np.arange(11), 2)[None]
    mel = model.decode(memory, index, np.zeros((1, 22, 2), np.float32))
    return [memory, durations, mel, model.vocode(mel)]


def built(back: Ops) -> tuple[Eager, Weights]:
    w = Weights.fresh(back, 0)
    return Eager(w, MINIMAL), w


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("kind", [OpsWrapper, Tracer, Profiler])
def test_a_watched_model_says_the_same_bits(kind: type[OpsWrapper], name: str) -> None:
    plain = say(built(ops.open(name))[0])
    wrapped = say(built(kind(ops.open(name)))[0])
    assert all(np.array_equal(a, b) for a, b in zip(plain, wrapped))


def test_nothing_is_between_a_layer_and_its_back_end_when_nobody_watches() -> None:
    back = ops.open("torch")
    layer = Weights.fresh(back).linear("x", 2, 3)
    assert not back.wrapped
    assert layer._run == back.linear


@pytest.mark.parametrize("name", BACK_ENDS)
def test_a_recording_has_every_layer_and_every_block(name: str) -> None:
    watch = Tracer(ops.open(name))
    model, w = built(watch)
    say(model)
    seen = {entry.path for entry in watch.entries.values()}
    # The inverse transform is done outside the stage.
    assert set(w.record.layers) - seen == {"vocoder.istft"}
    assert not set(w.record.blocks) - seen
    assert all("in0" in entry.arrays and {"out", "out.0"} & set(entry.arrays) for entry in watch.entries.values())


def test_keys_are_the_same_in_every_run_and_on_every_back_end() -> None:
    keys = []
    for name in [*BACK_ENDS, BACK_ENDS[0]]:
        watch = Tracer(ops.open(name))
        say(built(watch)[0])
        keys.append(list(watch.entries))
    assert all(k == keys[0] for k in keys)
    assert len(keys[0]) == len(set(keys[0])) > 50
    assert "acoustic.encoder.stack.layers.0.attention.q#0" in keys[0]
    assert "acoustic.encoder.stack.layers.0.attention#0/softmax.0" in keys[0]
    assert "acoustic.durations#0/relu.1" in keys[0]


def test_a_second_call_has_the_next_number_and_clear_begins_again() -> None:
    watch = Tracer(ops.open("numpy"))
    model, _ = built(watch)
    say(model)
    first = set(watch.entries)
    say(model)
    # `Acoustic` is entered twice for each utterance, to encode and to decode.
    later = {"acoustic#2": "acoustic#0", "acoustic#3": "acoustic#1"}
    assert {later.get(key, key.replace("#1", "#0")) for key in set(watch.entries) - first} == first
    watch.clear()
    say(model)
    assert set(watch.entries) == first


@pytest.mark.parametrize("name", BACK_ENDS)
def test_a_composites_inside_is_seen_and_compared_with_the_kernel(name: str) -> None:
    watch = Tracer(ops.open(name))
    say(built(watch)[0])
    key = "acoustic.decoder.stack.layers.0.attention#0"
    whole, inside = watch.entries[f"{key}/attention.0"], watch.entries[f"{key}/softmax.0"]
    assert (whole.kind, inside.kind) == ("composite", "leaf")
    assert np.allclose(inside.arrays["out"].sum(-1), 1, atol=1e-6)
    after = watch.entries["acoustic.decoder.stack.layers.0.attention.out#0"]
    assert np.array_equal(whole.arrays["out"], after.arrays["in0"])
    assert (len(watch.overrides) > 0) == (type(watch.inner).attention is not Ops.attention)
    assert all(distance < 1e-6 for distance in watch.overrides.values())


def test_an_entry_has_the_units_facts_and_its_tensors_by_place() -> None:
    watch = Tracer(ops.open("numpy"))
    say(built(watch)[0])
    conv = watch.entries["acoustic.durations.convs.0#0"]
    assert conv.facts == {"stride": 1, "dilation": 1, "padding": 1, "groups": 1}
    assert (conv.kind, conv.op, conv.path) == ("leaf", "conv1d", "acoustic.durations.convs.0")
    assert watch.entries["acoustic.decoder.stack.layers.0.norm1#0"].facts == {"eps": 1e-5}
    assert watch.entries["acoustic.encoder.stack.layers.0.feed_forward#0/gelu.0"].facts == {"approximate": False}
    attention = watch.entries["acoustic.encoder.stack.layers.0.attention#0/attention.0"]
    assert attention.facts == {"heads": MINIMAL.heads, "scale": (MINIMAL.hidden / MINIMAL.heads) ** -0.5}
    layer = watch.entries["acoustic.encoder.stack.layers.0#0"]
    assert list(layer.arrays) == ["in0", "in1.0", "in1.1", "out"]
    assert "acoustic.durations.convs.0#0:out" in watch.tensors()


def test_recorded_tensors_are_copies() -> None:
    watch = Tracer(ops.open("torch"))
    w = Weights.fresh(watch, 0)
    attention = Attention(w / "a", 4, 2)
    cache = Cache.empty(watch, 1, 3, 4)
    x = watch.tensor(np.ones((1, 1, 4), np.float32))
    for _ in range(2):
        cache = cache.extend(watch, attention.k(x), attention.v(x))
        attention(x, cache)
    before, after = (watch.entries[f"a#{i}"].arrays["in1.k"] for i in range(2))
    assert np.isnan(before[0, 1]).all()  # the buffer was written in place since
    assert not np.isnan(after[0, 1]).any()
    assert watch.entries["a#1"].arrays["in1.v"].shape == (1, 3, 4)


def test_a_method_that_is_an_entry_is_one_call_of_its_block_from_outside_and_inside() -> None:
    spec = MelSpec(fft=8, hop=2, window=8, mels=3)
    for enter in ("__call__", "spectrum"):
        watch = Tracer(ops.open("numpy"))
        head = IstftHead(Weights.fresh(watch) / "v", spec, channels=4, inner=4, layers=1)
        getattr(head, enter)(watch.tensor(np.ones((1, 5, 3), np.float32)))
        assert [key for key in watch.entries if key.startswith("v#")] == ["v#0"]
        assert ("v.istft#0" in watch.entries) == (enter == "__call__")


class Failing(Block):
    """A block that fails halfway."""

    def __call__(self, x: Any) -> Any:
        raise KeyError(x)


def test_a_block_that_fails_is_left_again() -> None:
    watch = Tracer(ops.open("numpy"))
    block = Failing(Weights.fresh(watch) / "broken")
    with pytest.raises(KeyError):
        block("oh")
    watch.relu(np.ones((1, 1, 1)))
    assert list(watch.entries) == ["broken#0", "#0/relu.0"]


def test_a_watch_shows_its_back_ends_own_facts_and_refuses_another_watch() -> None:
    watch = OpsWrapper(ops.open("torch"))
    assert watch.device.type == "cpu"
    assert (watch.name, watch.layout, watch.wrapped) == ("torch", "torch", True)
    assert not hasattr(watch, "no_such_thing")
    with pytest.raises(BackendError, match="a wrapper around a wrapper"):
        OpsWrapper(watch)


# Counting


def test_every_word_has_a_formula_or_is_free() -> None:
    words = {*LEAF_OPS, *STRUCTURAL_OPS, *COMPOSITE_OPS}
    assert set(FORMULA) | FREE == words
    assert set(FORMULA) & FREE == set()


@pytest.mark.parametrize("name", BACK_ENDS)
def test_a_convolution_worked_out_by_hand(name: str) -> None:
    watch = Profiler(ops.open(name))
    w = Weights.fresh(watch)
    conv = (w / "a").conv1d("conv", 4, 6, 3, stride=2, padding=1, groups=2)
    conv(watch.tensor(np.ones((2, 9, 4), np.float32)))
    # 9 steps + 2 of padding, kernel 3, stride 2: 5 steps. Each of 2 · 5 · 6 numbers sums 4 / 2 channels · 3 taps.
    count = watch.under("a.conv")
    assert count.multiply_adds == 2 * 5 * 6 * (2 * 3) == 360
    assert count.activation_bytes == 2 * 5 * 6 * 4 == 240
    assert count.parameters == 6 * 2 * 3 + 6 == 42
    assert count.weight_bytes == 42 * 4
    assert (count.calls, dict(count.ops)) == (1, {"conv1d": 1})
    assert watch.total == watch.under("a") == count


@pytest.mark.parametrize("name", BACK_ENDS)
def test_an_attention_worked_out_by_hand(name: str) -> None:
    watch = Profiler(ops.open(name))
    block = Attention(Weights.fresh(watch) / "att", 8, 2)
    x, memory = (watch.tensor(np.ones((3, n, 8), np.float32)) for n in (5, 7))
    block(x, block.remember(memory))
    # q and out project 3 · 5 steps, k and v 3 · 7, each with 8 · 8 products a step.
    projections = 2 * (3 * 5 * 8 * 8) + 2 * (3 * 7 * 8 * 8)
    # 2 heads of 4 channels: 5 · 7 pairs of steps, 4 products for the score and 4 for the value.
    pairs = 3 * 2 * (5 * 7) * (4 + 4)
    total = watch.under("att")
    assert total.multiply_adds == projections + pairs == 6288
    assert watch.paths["att"].multiply_adds == pairs
    assert dict(total.ops) == {"linear": 4, "attention": 1}
    assert total.calls == 5  # four layers, one block
    assert total.parameters == 4 * (8 * 8 + 8)
    assert total.activation_bytes == 4 * 8 * 3 * (5 + 5 + 7 + 7 + 5)


def test_other_formulas_worked_out_by_hand() -> None:
    watch = Profiler(ops.open("numpy"))
    w = Weights.fresh(watch)
    x = np.ones((2, 5, 4), np.float32)
    w.linear("linear", 4, 3)(x)
    w.conv_transpose1d("up", 4, 3, 6, stride=2, padding=2)(x)
    w.layer_norm("norm", 4)(x)
    w.batch_norm("batch", 4)(x)
    state = (np.zeros((2, 3), np.float32),) * 2
    w.lstm("lstm", 4, 3)(x, state)
    w.conv2d("image", 4, 3, (3, 3), padding=(1, 1))(np.ones((1, 6, 5, 4), np.float32))
    w.transform("stft", "stft", MelSpec(fft=8, hop=2, window=8, padding="same"))(np.ones((1, 20), np.float32))
    watch.matmul(x, x.swapaxes(1, 2))
    found = {path: count.multiply_adds for path, count in watch.paths.items()}
    assert found == {
        "linear": 2 * 5 * 4 * 3,
        "up": 2 * 5 * 4 * (3 * 6),  # every input step feeds a whole kernel
        "norm": 3 * 40,
        "batch": 2 * 40,
        "lstm": 2 * 5 * (12 * 4 + 12 * 3) + 3 * (2 * 5 * 3),
        "image": 6 * 5 * 3 * (4 * 3 * 3),
        "stft": 10 * (8 + 8 * 3),  # a frame: the window, and 8 · log2(8)
        "": 2 * 5 * 5 * 4,
    }
    assert watch.under("batch").parameters == 8
    assert watch.under("batch").weight_bytes == 16 * 4


def test_counts_add_up_and_parameters_are_what_training_changes() -> None:
    watch = Profiler(ops.open("torch"))
    model, w = built(watch)
    say(model)
    assert watch.total.parameters == sum(t.numel() for t in w.tensors().values())
    assert watch.total.weight_bytes == sum(a.nbytes for a in w.arrays().values())
    parts = ("acoustic.encoder", "acoustic.durations", "acoustic.decoder", "vocoder")
    assert sum(watch.under(part).multiply_adds for part in parts) == watch.total.multiply_adds > 0
    once = watch.total.multiply_adds
    say(model)
    assert watch.total.multiply_adds == 2 * once
    watch.clear()
    assert watch.total.multiply_adds == 0
    assert watch.total.parameters > 0


def test_arguments_by_name_count_as_arguments_in_order() -> None:
    watch = Profiler(ops.open("numpy"))
    a, b = np.ones((1, 2, 3), np.float32), np.ones((1, 3, 4), np.float32)
    watch.matmul(b=b, a=a)
    assert watch.total.multiply_adds == 2 * 3 * 4
