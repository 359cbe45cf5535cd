"""Programs on MLX: modules that nobody made for us, beside PyTorch, forced and mirrored; faults in them are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_strangers as strangers
import numpy as np
import pytest
import torch
from mlx_strangers import Port

from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.lab import tap
from portavoz.lab.compare import compare, forced, mirrored
from portavoz.lab.forcing.noise_floor import traced
from portavoz.lab.instrument.mlx import MlxProgram
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.report.text import lines
from portavoz.lab.report.verdict import Verdict
from portavoz.lab.trace.recorder import record
from portavoz.lab.trace.trace import Trace

LAYER = "speecht5.encoder.wrapped_encoder.layers."
RING = "vocoder.resblocks.0"


@pytest.fixture(scope="module")
def model() -> Reference:
    """The reference with weights that show faults."""
    return Reference.fresh(strangers.TINY, 0)


@pytest.fixture(scope="module")
def trace(model: Reference) -> Trace:
    """Its trace, with floors."""
    return traced(strangers.reference(model))


def test_every_module_finds_its_partner(model: Reference, trace: Trace) -> None:
    port = strangers.port(model)
    dump = record(port)
    right = {mine: theirs for theirs, mine in strangers.names().items()}
    for verdict in (forced(trace, port), mirrored(strangers.reference(model), dump)):
        assert verdict.answer == "PASS" and verdict.largest_clean < 8, lines(verdict)
    pairing = forced(trace, port).pairing
    assert pairing.coverage == 1 and {mine: others[0] for mine, others in pairing.layers.items()} == right
    assert {pairing.rules[path] for path in right} == {"fingerprint"}
    assert list(dump.units)[3:7] == [
        *(f"reader.floors.0.attend.{n}#0" for n in ("ask", "tell", "say")), "reader.floors.0.attend#0/softmax.0"
    ]  # fmt: skip
    assert dump.units["sound.rings.0.1.wide.1#0"].facts == {"stride": 1, "padding": 6, "dilation": 3, "groups": 1}
    assert dump.layers["sound.ups.0"]["weight"].shape == (32, 16, 8)  # PyTorch's order


def test_it_may_be_the_reference_too(model: Reference) -> None:
    port = strangers.port(model)
    verdict = forced(traced(port), strangers.reference(model))
    assert verdict.answer == "PASS" and verdict.largest_clean < 8, lines(verdict)


def changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """A fault in what the port loads."""

    def weights(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = np.ascontiguousarray(change(arrays[name]))

    return {"weights": weights}


def edited(edit: Callable[[Port], Any]) -> dict[str, Any]:
    """A fault in the program."""
    return {"edit": lambda port: edit(port) and None}


def first(port: Port) -> Any:
    return port.reader.floors[0]


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a missing scale": (
        edited(lambda p: setattr(first(p).attend, "factor", 1.0)),
        f"edge:{LAYER}0.attention/softmax.0", "missing scale",
    ),
    "no mask": (
        edited(lambda p: setattr(p.reader, "hidden", lambda ids: mx.zeros((2, 1, 1, 11)))),
        f"edge:{LAYER}0.attention/softmax.0", "mask",
    ),
    "k and v exchanged": (
        edited(lambda p: first(p).attend.update({"tell": first(p).attend.say, "say": first(p).attend.tell})),
        f"edge:{LAYER}0.attention/softmax.0", "",
    ),
    "gelu by tanh": (edited(lambda p: setattr(first(p), "act", nn.gelu_approx)), f"facts:{LAYER}0", "approximate is"),
    "a faster gelu": (edited(lambda p: setattr(first(p), "act", nn.gelu_fast_approx)), f"leaf:{LAYER}0", "quick gelu"),
    "another eps": (
        edited(lambda p: setattr(first(p).after, "eps", 1e-3)), f"facts:{LAYER}0.layer_norm", "eps",
    ),
    "a transposed matrix": (
        changed("reader.floors.1.attend.mix.weight", np.transpose), f"leaf:{LAYER}1.attention.out_proj", "transposed",
    ),
    "a dropped bias": (changed("reader.floors.0.down.bias", np.zeros_like), f"leaf:{LAYER}0.feed_forward.output_dense",
                       "dropped bias"),
    "positions without their gain": (
        edited(lambda p: setattr(p.reader, "gain", mx.ones(()))),
        "edge:speecht5.encoder.wrapped_encoder.layer_norm", "",
    ),
    "a kernel the wrong way round": (
        changed("sound.rings.0.0.thin.1.weight", lambda w: w[:, ::-1]), f"leaf:{RING}.convs2.1", "wrong way round",
    ),
    "in and out exchanged in a square kernel": (
        changed("sound.rings.0.0.wide.0.weight", lambda w: w.transpose(2, 1, 0)), f"leaf:{RING}.convs1.0",
        "a transposed weight",
    ),
    "a slope": (
        edited(lambda p: setattr(p.sound.rings[0][0], "leak", nn.LeakyReLU(0.01))), f"facts:{RING}", "slope is 0",
    ),
    "a dilation": (
        edited(lambda p: [setattr(p.sound.rings[0][0].wide[1], k, 1) for k in ("dilation", "padding")]),
        f"facts:{RING}.convs1.1", "",
    ),
    "blocks summed, not averaged": (
        edited(lambda p: setattr(p.sound, "mixed", lambda parts: sum(parts[1:], parts[0]))),
        "edge:vocoder/leaky_relu", "a missing scale 1/2",
    ),
    "a norm in training mode": (
        edited(lambda p: p.mend.norms[0].train()), "leaf:speech_decoder_postnet.layers.0.batch_norm", "training mode",
    ),
}  # fmt: skip


def named(name: str, verdict: Verdict) -> None:
    _, where, cause = FAULTS[name]
    assert verdict.answer == "FAIL"
    assert verdict.faults[0].id.startswith(where), [c.id for c in verdict.faults]
    assert cause in verdict.faults[0].cause, verdict.faults[0].cause


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_in_it_is_named_at_its_place(name: str, model: Reference, trace: Trace) -> None:
    named(name, forced(trace, strangers.port(model, **FAULTS[name][0])))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_in_its_file_is_named_too(name: str, model: Reference) -> None:
    named(name, mirrored(strangers.reference(model), record(strangers.port(model, **FAULTS[name][0]))))


# Small programs: what of MLX is seen, and that nothing stays behind

SOFTMAX, LINEAR, GELU = mx.softmax, nn.Linear.__call__, nn.gelu


def raw() -> mx.array:
    """Functions instead of modules, and a draw."""
    x = mx.sin(mx.arange(60.0)).reshape(2, 5, 6)
    kernel, scale = mx.cos(mx.arange(54.0)).reshape(3, 3, 6), mx.cos(mx.arange(3.0))
    y = mx.conv1d(x, kernel, padding=1)
    y = mx.fast.layer_norm(mx.maximum(y, 0), scale, None, 1e-5)
    y = tap("mixed", nn.silu(y) + mx.random.normal(y.shape))
    return mx.softmax(GELU(y), axis=1)


def test_functions_are_words_too_and_draws_are_replayed() -> None:
    subject = MlxProgram(raw)
    trace = traced(subject)
    words = {unit.op: unit for unit in trace.units.values()}
    assert list(words) == ["conv1d", "relu", "layer_norm", "silu", "randn", "value", "softmax"]
    assert words["conv1d"].facts["padding"] == 1 and words["layer_norm"].facts == {"eps": 1e-5}
    # Without the draw's replay every later value would be another one.
    assert forced(trace, MlxProgram(raw)).answer == "PASS" and trace.floors["#0/softmax.0"]["out"] < 1e-6
    assert (mx.softmax, nn.Linear.__call__, nn.gelu) == (SOFTMAX, LINEAR, GELU)


def test_everything_is_put_back_when_the_program_fails() -> None:
    def broken() -> mx.array:
        raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        record(MlxProgram(broken))
    assert (mx.softmax, nn.Linear.__call__, nn.gelu) == (SOFTMAX, LINEAR, GELU)


class Narrow(nn.Linear):
    """A class that calls the one below it."""

    def __call__(self, x: mx.array) -> mx.array:
        return 2 * super().__call__(x)


def test_attention_layers_compiled_functions_and_quantised_weights() -> None:
    mx.random.seed(0)
    given = np.random.default_rng(0).standard_normal((2, 5, 64)).astype(np.float32)
    attention, act = nn.MultiHeadAttention(64, 4, bias=True), mx.compile(lambda x: mx.sigmoid(x) * 2)
    narrow, packed = Narrow(64, 64), nn.QuantizedLinear.from_linear(nn.Linear(64, 64), 32, 8)
    net = nn.Sequential(narrow, packed)

    def run() -> mx.array:
        x = mx.array(given)
        return net(act(attention(x, x, x, mask=nn.MultiHeadAttention.create_additive_causal_mask(5))))

    trace = record(MlxProgram(run))
    paths = ["query_proj", "key_proj", "value_proj", "out_proj"]
    assert [unit.path for unit in trace.units.values() if unit.op == "linear"] == [*paths, "Sequential.0.layers.0",
                                                                                 "Sequential.0.layers.1"]  # fmt: skip
    assert [unit.op for unit in trace.units.values() if "/" in unit.key] == ["softmax", "sigmoid"]
    weights = {k: torch.from_numpy(np.array(v)) for k, v in dict(nn.utils.tree_flatten(attention.parameters())).items()}
    unpacked = mx.dequantize(packed.weight, packed.scales, packed.biases, group_size=32, bits=8)
    last = [torch.from_numpy(np.array(a)) for a in (narrow.weight, narrow.bias, unpacked, packed.bias)]

    def same() -> torch.Tensor:
        f, x = torch.nn.functional, torch.from_numpy(given)
        q, k, v = (f.linear(x, weights[f"{n}.weight"], weights[f"{n}.bias"]) for n in paths[:3])
        q, k, v = (t.unflatten(-1, (4, 16)).transpose(1, 2) for t in (q, k, v))
        y = f.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        y = torch.sigmoid(f.linear(y, weights["out_proj.weight"], weights["out_proj.bias"])) * 2
        return f.linear(2 * f.linear(y, last[0], last[1]), last[2], last[3])

    verdict = compare(TorchProgram(same), MlxProgram(run))
    assert verdict.answer == "PASS" and verdict.pairing.coverage == 1, lines(verdict)


def test_a_table_of_numbers_and_a_second_call(tmp_path: Any) -> None:
    table, loop = nn.Embedding(7, 4), nn.Linear(4, 4)

    def run() -> mx.array:
        x = table(mx.array([[1, 2, 6]]))
        for _ in range(3):
            x = mx.tanh(loop(x))
        return x.astype(mx.bfloat16)

    trace = record(MlxProgram(run))
    assert [key for key in trace.units if key.startswith("Linear.0")] == [f"Linear.0#{i}" for i in range(3)]
    assert trace.array("Embedding.0#0", "in0").tolist() == [[1, 2, 6]]
    assert trace.array("result#0", "out").dtype == np.float32
