"""A port that portavoz did not define: other names, packed projections, channels first, other algorithms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import strangers
import torch
import torch.nn.functional as F
from strangers import Port

from portavoz.lab.parity import compare, forced, inventory, mirrored, traced
from portavoz.lab.references.transformers import Reference
from portavoz.lab.trace import Trace, record

LAYERS = "speecht5.encoder.wrapped_encoder.layers."
SOFT, FIRST = "attention/softmax.0", LAYERS + "0."


@pytest.fixture(scope="module")
def model() -> Reference:
    """The reference with weights that show faults."""
    return Reference.fresh(strangers.TINY, 0)


@pytest.fixture(scope="module")
def trace(model: Reference) -> Trace:
    """Its trace, with floors."""
    return traced(strangers.reference(model))


def test_every_unit_finds_its_partner_and_the_rule_is_said(model: Reference, trace: Trace) -> None:
    verdict = forced(trace, strangers.port(model))
    pairing = verdict.pairing
    assert verdict.answer == "PASS" and pairing.coverage == 1
    assert pairing.layers["blk1.qkv"] == [f"{FIRST}attention.{n}_proj" for n in "qkv"]
    assert pairing.rules["blk1.qkv"] == "rows: packed" and pairing.rules["blk2.up"] == "fingerprint"
    right = {"mix": "attention.out_proj", "up": "feed_forward.intermediate_dense", "ln2": "final_layer_norm"}
    for block in (1, 2):
        for own, theirs in right.items():
            assert pairing.layers[f"blk{block}.{own}"] == [f"{LAYERS}{block - 1}.{theirs}"]
    assert pairing.units["#0/softmax.1"] == [f"{LAYERS}1.attention#0/softmax.0"]
    assert "order, before" in pairing.rules["#0/softmax.1"]
    assert verdict.mappings["#0/softmax.0:in0"] == "[8, 11, 11] as [2, 4, 11, 11]"


def test_the_file_of_it_passes_too(model: Reference) -> None:
    verdict = mirrored(strangers.reference(model), record(strangers.port(model)))
    assert verdict.answer == "PASS" and verdict.pairing.coverage == 1


def weights(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Port], None]:
    """A fault in one tensor."""

    def edit(port: Port) -> None:
        port.w[name] = change(port.w[name].clone())

    return edit


def method(name: str, body: Callable[..., torch.Tensor]) -> Callable[[Port], None]:
    """A fault in one method, which is given its original first."""

    def edit(port: Port) -> None:
        old = getattr(port, name)
        setattr(port, name, lambda *args: body(old, *args))

    return edit


def rows(x: torch.Tensor, *order: int) -> torch.Tensor:
    """Thirds of a packed matrix in another order."""
    thirds = x.chunk(3)
    return torch.cat([thirds[i] for i in order])


FAULTS: dict[str, tuple[Callable[[Port], None], str]] = {
    "missing scale": (method("scale", lambda old, n: 1.0), f"edge:{FIRST}{SOFT}"),
    "scale by hidden size": (method("scale", lambda old, n: 32**-0.5), f"edge:{FIRST}{SOFT}"),
    "mask ignored": (method("masked", lambda old, s, real: s), f"edge:{FIRST}{SOFT}"),
    "mask the wrong way round": (method("masked", lambda old, s, real: old(s, ~real)), f"edge:{FIRST}{SOFT}"),
    "mask one off": (method("masked", lambda old, s, real: old(s, real.roll(1, -1))), f"edge:{FIRST}{SOFT}"),
    "k and v unpacked the wrong way": (
        method("unpack", lambda old, x: [old(x)[i] for i in (0, 2, 1)]), f"edge:{FIRST}{SOFT}"
    ),
    "gelu by tanh": (method("activation", lambda old, x: F.gelu(x, approximate="tanh")), f"facts:{FIRST}"),
    "relu for gelu": (
        method("activation", lambda old, x: F.relu(x)), f"edge:{FIRST}feed_forward.output_dense"
    ),
    "silu for gelu": (method("activation", lambda old, x: F.silu(x)), f"edge:{FIRST}feed_forward.output_dense"),
    "residual left out": (method("joined", lambda old, x, y: y), f"edge:{FIRST}layer_norm"),
    "residual twice": (method("joined", lambda old, x, y: 2 * x + y), f"edge:{FIRST}layer_norm"),
    "residual subtracted": (method("joined", lambda old, x, y: x - y), f"edge:{FIRST}layer_norm"),
    "eps 1e-3": (lambda port: setattr(port, "eps", 1e-3), "facts:speecht5.encoder.wrapped_encoder.layer_norm"),
    "positions one off": (
        method("positions", lambda old, n, c: old(n + 1, c)[1:]), "edge:speecht5.encoder.wrapped_encoder.layer_norm"
    ),
    "sines beside cosines exchanged": (
        method("positions", lambda old, n, c: old(n, c).unflatten(-1, (-1, 2)).flip(-1).flatten(1)),
        "edge:speecht5.encoder.wrapped_encoder.layer_norm",
    ),
    "positions not weighted": (
        weights("pos_gain", torch.ones_like), "edge:speecht5.encoder.wrapped_encoder.layer_norm"
    ),
    "distances upside down": (weights("dist", lambda w: w.flip(0)), f"edge:{FIRST}{SOFT}"),
    "transposed matrix": (weights("blk2.mix.w", lambda w: w.T.contiguous()), f"leaf:{LAYERS}1.attention.out_proj"),
    "dropped bias": (weights("blk1.down.b", torch.zeros_like), f"leaf:{FIRST}feed_forward.output_dense"),
    "bias of one channel": (
        weights("blk1.up.b", lambda b: b * torch.tensor([-1.0] + [1.0] * (len(b) - 1))),
        f"leaf:{FIRST}feed_forward.intermediate_dense",
    ),
    "weight 2 % too large": (weights("blk1.mix.w", lambda w: w * 1.02), f"leaf:{FIRST}attention.out_proj"),
    "norm's weight left at 1": (weights("blk1.ln2.g", torch.ones_like), f"leaf:{FIRST}final_layer_norm"),
    "embedding one row off": (weights("tok", lambda w: w.roll(1, 0)), "leaf:speecht5.encoder.prenet.embed_tokens"),
    "padding row of the batch lost": (
        method("joined", lambda old, x, y: old(x, y) * torch.tensor([1.0, 0.0])[:, None, None]),
        f"edge:{FIRST}layer_norm",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_in_it_is_named_at_its_place(name: str, model: Reference, trace: Trace) -> None:
    edit, wanted = FAULTS[name]
    subject = strangers.reference(model)
    port = strangers.port(model, edit)
    dump, _ = inventory(port)
    for verdict in (forced(trace, port), mirrored(subject, dump)):
        assert verdict.answer == "FAIL"
        assert verdict.culprits[0].id.startswith(wanted), [c.id for c in verdict.culprits]


def test_a_map_by_hand_overrides(model: Reference, trace: Trace) -> None:
    port = strangers.port(model)
    wrong = {"blk1.up": f"{LAYERS}1.feed_forward.intermediate_dense"}
    verdict = compare(trace, port, by_hand=wrong)
    assert verdict.pairing.rules["blk1.up"] == "by hand" and verdict.answer == "FAIL"
