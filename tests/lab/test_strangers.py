"""A port that portavoz did not define: other names, packed projections, channels first, other algorithms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from portavoz.families.faults import Fault
from portavoz.families.speecht5.config import TINY
from portavoz.families.speecht5.reference import handwritten_port as handwritten
from portavoz.families.speecht5.reference.handwritten_faults import FAULTS
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.lab.compare import compare, forced, inventory, mirrored
from portavoz.lab.diagnose.relative_hypotheses import relative_positions
from portavoz.lab.forcing.noise_floor import traced
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.probes import torch_program
from portavoz.lab.trace.recorder import record
from portavoz.lab.trace.trace import Trace

LAYERS = "speecht5.encoder.wrapped_encoder.layers."
FIRST = LAYERS + "0."


@pytest.fixture(scope="module")
def model() -> Reference:
    """The reference with weights that show faults."""
    return Reference.fresh(TINY, 0)


def theirs(model: Reference, seed: int = 0) -> Any:
    """The reference's encoder."""
    return torch_program(handwritten.reference(model, seed), "encoder in transformers")


@pytest.fixture(scope="module")
def trace(model: Reference) -> Trace:
    """Its trace, with floors."""
    return traced(theirs(model))


def test_every_unit_finds_its_partner_and_the_rule_is_said(model: Reference, trace: Trace) -> None:
    verdict = forced(trace, torch_program(handwritten.port(handwritten.arrays(model)), "by hand"))
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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_file_of_it_passes_too(seed: int, model: Reference) -> None:
    verdict = mirrored(
        theirs(model, seed),
        record(torch_program(handwritten.port(handwritten.arrays(model), seed=seed), "by hand")),
    )
    assert verdict.answer == "PASS" and verdict.pairing.coverage == 1


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_in_it_is_named_at_its_place(fault: Fault, model: Reference, trace: Trace) -> None:
    arrays = handwritten.arrays(model)
    if fault.weights is not None:
        fault.weights(arrays)
    port = torch_program(handwritten.port(arrays, edit=fault.edit), "by hand")
    dump, _ = inventory(port)
    for verdict in (
        forced(trace, port),
        mirrored(theirs(model), dump),
    ):
        assert verdict.answer == "FAIL"
        assert verdict.faults[0].id.startswith(fault.want), [c.id for c in verdict.faults]


def test_a_map_by_hand_overrides(model: Reference, trace: Trace) -> None:
    port = torch_program(handwritten.port(handwritten.arrays(model)), "by hand")
    wrong = {"blk1.up": f"{LAYERS}1.feed_forward.intermediate_dense"}
    verdict = compare(trace, port, mapping=wrong)
    assert verdict.pairing.rules["blk1.up"] == "by hand" and verdict.answer == "FAIL"


def test_scores_of_one_key_show_no_positions() -> None:
    """The first step of a cached loop: a softmax over one key."""
    draw = torch.Generator().manual_seed(0)
    q, k = (torch.randn(2, 1, 8, generator=draw) for _ in range(2))
    layers = nn.ModuleDict({"q": nn.Linear(8, 8), "k": nn.Linear(8, 8)})

    def run() -> torch.Tensor:
        a, b = (layers[name](x).reshape(2, 1, 2, 4).transpose(1, 2) for name, x in (("q", q), ("k", k)))
        return torch.softmax(a @ b.transpose(-1, -2), -1)

    trace = record(TorchProgram(run, modules={"": layers}))
    key = next(key for key, unit in trace.units.items() if unit.op == "softmax")
    scores = trace.array(key, "in0")
    assert [*relative_positions(key, trace, scores + 1, scores)] == []
