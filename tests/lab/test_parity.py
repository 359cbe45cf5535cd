"""Forced and mirrored: a faultless port passes, a fault is named at its place, several faults all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from probes import CONFIGS, compact

from portavoz.errors import InputError
from portavoz.lab.compare import assert_parity, compare, forced, inventory, mirrored, propagated
from portavoz.lab.forcing.noise_floor import floors_of, traced
from portavoz.lab.report.text import exit_code, first_line, lines, since, to_dict
from portavoz.lab.trace.recorder import Selection, record
from portavoz.lab.trace.trace import Trace

Edit = Callable[[Any, Any], None]


@pytest.fixture(scope="module")
def reference() -> Trace:
    """The small compact model on NumPy, with its floors."""
    return traced(compact(ops="numpy"))


def scale(acoustic: Any, vocoder: Any) -> None:
    acoustic.decoder.stack.layers[1].attention.scale = 1.0


def eps(acoustic: Any, vocoder: Any) -> None:
    acoustic.encoder.stack.layers[0].attention_residual.norm.eps = 1e-12


def mean(acoustic: Any, vocoder: Any) -> None:
    vocoder.mean = 0.0


def all_three(acoustic: Any, vocoder: Any) -> None:
    for edit in (scale, eps, mean):
        edit(acoustic, vocoder)


SITES = {
    "scale": "edge:acoustic.decoder.stack.layers.1.attention/softmax.0",
    "eps": "facts:acoustic.encoder.stack.layers.0.norm1",
    "mean": "edge:vocoder.embed",
}


@pytest.mark.parametrize("backend", ["torch", "numpy"])
@pytest.mark.parametrize("probe", list(CONFIGS))
def test_a_faultless_port_passes(probe: str, backend: str) -> None:
    subject = compact(CONFIGS[probe], ops="numpy")
    port = compact(CONFIGS[probe], ops=backend)
    for verdict in (forced(traced(subject), port), mirrored(subject, record(port))):
        assert verdict.answer == "PASS" and exit_code(verdict) == 0, lines(verdict)
        assert verdict.largest_clean < 8 and verdict.pairing.coverage == 1


@pytest.mark.parametrize("edit", [scale, eps, mean])
def test_one_fault_is_named_at_its_place(reference: Trace, edit: Edit) -> None:
    verdict = forced(reference, compact(edit=edit))
    assert [c.id for c in verdict.faults] == [SITES[edit.__name__]]
    assert exit_code(verdict) == 1


@pytest.mark.parametrize("edit", [scale, mean])
@pytest.mark.parametrize("outputs_only", [False, True])
def test_a_port_that_is_a_file_is_judged_by_the_running_reference(edit: Edit, outputs_only: bool) -> None:
    dump, _ = inventory(compact(edit=edit))
    if outputs_only:
        for info in dump.units.values():
            info.shapes = {place: shape for place, shape in info.shapes.items() if place.startswith("out")}
    verdict = mirrored(compact(ops="numpy"), dump)
    wanted = SITES[edit.__name__].partition(":")[2]
    assert [c.unit for c in verdict.faults] == [wanted] and verdict.method == "mirrored"


def test_all_faults_of_one_run_are_named(reference: Trace) -> None:
    verdict = forced(reference, compact(edit=all_three))
    assert {c.id for c in verdict.faults} == set(SITES.values())


def test_a_residual_stream_carries_an_error_that_is_named_once(reference: Trace) -> None:
    def edit(acoustic: Any, vocoder: Any) -> None:
        layer = acoustic.decoder.stack.layers[0]
        layer.feed_forward_residual.after = lambda x, y: x + y * 1.5

    verdict = forced(reference, compact(edit=edit))
    assert [c.id for c in verdict.faults] == ["edge:acoustic.decoder.stack.layers.1.norm1"]
    assert verdict.faults[0].inherited_by >= 2
    assert "only inherit it" in first_line(verdict)


def test_a_mask_that_is_wrong_everywhere_is_one_fault(reference: Trace) -> None:
    def edit(acoustic: Any, vocoder: Any) -> None:
        for layer in acoustic.encoder.stack.layers:
            inner = layer.attention.ops
            layer.attention.ops = Unmasked(inner)

    verdict = forced(reference, compact(edit=edit))
    assert [c.id for c in verdict.faults] == ["edge:acoustic.encoder.stack.layers.0.attention/softmax.0"]
    assert verdict.faults[0].shared == ["acoustic.encoder.stack.layers.1.attention/softmax.0"]
    assert "mask" in verdict.faults[0].cause and verdict.faults[0].certain


class Unmasked:
    """A back end whose attention forgets its mask."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def attention(self, *args: Any, mask: Any = None, **named: Any) -> Any:
        return self.inner.attention(*args, **named)


def test_two_dead_traces_never_pass(reference: Trace) -> None:
    same = propagated(reference, record(compact()))
    assert same.answer == "UNDECIDABLE" and exit_code(same) == 3
    wrong = propagated(reference, record(compact(edit=scale)))
    # The unit behind the fault is what differs first in a plain run: an innocent one.
    assert wrong.faults[0].id == "leaf:acoustic.decoder.stack.layers.1.attention/softmax.0"
    assert "propagated" in first_line(wrong)


def test_pass_is_refused_below_full_coverage(reference: Trace) -> None:
    port = compact()
    sparse = record(port, selection=Selection(globs=("acoustic.*",)))
    verdict = mirrored(compact(ops="numpy"), sparse)
    assert verdict.answer == "UNDECIDABLE" and "vocoder.embed#0" in verdict.pairing.uncovered
    assert any("not judged" in line for line in lines(verdict))


def test_a_port_that_breaks_off_is_a_fail_that_says_where(reference: Trace) -> None:
    def edit(acoustic: Any, vocoder: Any) -> None:
        conv = acoustic.decoder.stack.layers[0].feed_forward.first[0]
        conv.padding = 0

    verdict = forced(reference, compact(edit=edit))
    assert verdict.answer == "FAIL"
    assert verdict.faults[0].unit == "acoustic.decoder.stack.layers.0.feed_forward.wide"
    assert "padding is 0" in verdict.faults[0].cause


def test_weights_that_no_probe_touches_are_in_the_ledger(reference: Trace) -> None:
    arrays = dict(compact().arrays)
    table = arrays["acoustic.encoder.embedding.weight"].copy()
    untouched = sorted(set(range(len(table))) - set(reference.array("acoustic.encoder.embedding#0", "in0").ravel()))
    table[untouched[0]] += 1
    arrays["acoustic.encoder.embedding.weight"] = table
    verdict = forced(reference, compact(arrays=arrays))
    assert [c.id for c in verdict.faults] == ["weights:acoustic.encoder.embedding"]
    assert verdict.ledger == ["acoustic.encoder.embedding.weight: 1 of 76 rows hold other numbers"]


def test_floors_are_those_of_float32(reference: Trace) -> None:
    every = [floor for places in reference.floors.values() for floor in places.values()]
    assert 0 < max(every) < 1e-5 and len(every) > 100
    again = floors_of(compact(ops="numpy"), reference)
    assert again == reference.floors


def test_assert_parity_takes_plain_functions() -> None:
    import torch

    def right(x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x) * 2

    def wrong(x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x) * 2.1

    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    assert assert_parity(right, right, x).answer == "PASS"
    with pytest.raises(AssertionError, match="result"):
        assert_parity(right, wrong, x)
    with pytest.raises(InputError, match="int: give a function, a program or a trace"):
        assert_parity(3, right)  # pyright: ignore[reportArgumentType]


def test_assert_parity_gives_the_verdict_or_the_report(reference: Trace) -> None:
    assert assert_parity(reference, compact()).answer == "PASS"
    with pytest.raises(AssertionError, match=r"FIRST WRONG: the edge into vocoder\.embed"):
        assert_parity(reference, compact(edit=mean))


def test_the_report_says_all_of_it_as_json(reference: Trace) -> None:
    report = to_dict(compare(reference, compact(edit=all_three)))
    assert report["schema"] == 2 and report["verdict"] == "FAIL" and len(report["faults"]) == 3
    assert report["first"].startswith("FIRST WRONG: ") and report["coverage"] == 1
    assert {"id", "where", "ratio", "cause", "certain", "residual", "calls"} <= set(report["faults"][0])
    assert "weights" in report["verified"] and "attention" in report["verified"]


def test_decisions_are_compared_as_decisions(reference: Trace) -> None:
    def edit(acoustic: Any, vocoder: Any) -> None:
        inner = acoustic.durations.out
        acoustic.durations.out = lambda x: inner(x) + 1.0

    verdict = forced(reference, compact(edit=edit))
    assert verdict.faults[0].id == "value:log_durations"
    assert "a constant of 1 added" in verdict.faults[0].cause
    assert np.isfinite(verdict.faults[0].ratio)


@pytest.mark.parametrize("method", ["forced", "mirrored"])
def test_a_free_run_of_another_length_hides_nothing(reference: Trace, method: str) -> None:
    """The first fault changes the durations, so no shape of the free run is the reference's."""

    def edit(acoustic: Any, vocoder: Any) -> None:
        acoustic.encoder.stack.layers[0].feed_forward.activation = lambda ops, x: ops.relu(x)
        scale(acoustic, vocoder)

    port = compact(edit=edit)
    plain = record(port)
    assert plain.units["wave#0"].shapes != reference.units["wave#0"].shapes
    verdict = forced(reference, port) if method == "forced" else mirrored(compact(ops="numpy"), plain)
    wanted = ["edge:acoustic.encoder.stack.layers.0.feed_forward.narrow", SITES["scale"]]
    assert [c.id for c in verdict.faults] == wanted and verdict.pairing.coverage == 1


def bfloat16() -> Any:
    import torch

    from portavoz.ops.torch import TorchOps

    return TorchOps(dtype=torch.bfloat16)


def test_low_precision_is_judged_by_its_own_floor_and_proves_no_formula() -> None:
    config = CONFIGS["hifigan"]  # torch has no inverse Fourier transform in bfloat16
    reference = traced(compact(config, ops="numpy"))
    verdict = compare(reference, compact(config, ops=bfloat16), precision="bfloat16")
    assert verdict.answer == "UNDECIDABLE" and not verdict.faults, lines(verdict)
    assert "bfloat16" in verdict.reason and exit_code(verdict) == 3
    wrong = compare(reference, compact(config, ops=bfloat16, edit=scale), precision="bfloat16")
    assert [c.id for c in wrong.faults] == [SITES["scale"]]
    with pytest.raises(InputError, match="there is no precision 'int3'"):
        compare(reference, compact(config), precision="int3")
    # A file of lower precision is judged by that precision too, and never PASS.
    dump = record(compact(config, ops=bfloat16))
    assert compare(compact(config, ops="numpy"), dump, precision="bfloat16").answer == "UNDECIDABLE"
    assert compare(reference, reference, precision="bfloat16").answer == "UNDECIDABLE"


def test_what_is_new_since_an_earlier_report(reference: Trace) -> None:
    old = to_dict(compare(reference, compact(edit=mean)))
    now = compare(reference, compact(edit=scale))
    assert since(now, old) == {"new": [SITES["scale"]], "fixed": [SITES["mean"]], "unchanged": []}


@pytest.mark.slow
def test_a_fault_that_begins_late_is_named_with_its_step() -> None:
    """The cache loses its row 70: nothing shorter would have shown it."""
    import probes

    from portavoz.families.faults import Wrapped
    from portavoz.families.speecht5.config import TINY

    def edit(acoustic: Any, vocoder: Any) -> None:
        layer = acoustic.decoder.layers[1]
        own = layer.self_attn
        layer.self_attn = Wrapped(own, lambda f, *x, **n: f(*x, **n))
        layer.self_attn.__dict__["extend"] = lambda cache, x: own.extend(cache, x if cache.length != 70 else x * 0.0)

    subject, arrays = probes.reference(steps=73)
    verdict = forced(traced(subject), probes.ours(TINY, arrays, edit=edit, steps=73))
    first = verdict.faults[0]
    assert first.unit == "speecht5.decoder.wrapped_decoder.layers.1.self_attn.k_proj" and first.calls == [70]
    assert "at call 70 only" in first_line(verdict)
