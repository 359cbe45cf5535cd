"""Who is whose: by fingerprint, by packed rows, by order; names confirm; nothing is paired wrongly."""

from __future__ import annotations

import numpy as np
import pytest
from probes import CONFIGS, compact

from portavoz.lab.align.matching import align
from portavoz.lab.compare import forced
from portavoz.lab.forcing.noise_floor import traced
from portavoz.lab.instrument.fingerprint import fingerprint
from portavoz.lab.trace.recorder import record
from portavoz.lab.trace.trace import Trace, UnitInfo


def renamed(trace: Trace) -> tuple[Trace, dict[str, str]]:
    """The same trace with every path renamed to a number, and what each was."""
    paths = {p: f"n{i}" for i, p in enumerate(dict.fromkeys(u.path for u in trace.units.values() if u.kind == "leaf"))}
    out = Trace("renamed")
    for key, unit in trace.units.items():
        new = unit.path if unit.kind != "leaf" else paths[unit.path]
        call = key[len(unit.path) :] if key.startswith(unit.path) else key
        changed = f"{new}{call}"
        out.units[changed] = UnitInfo(changed, unit.kind, unit.op, new, unit.call, unit.facts, unit.shapes)
    out.layers = {paths[p]: roles for p, roles in trace.layers.items()}
    return out, {new: old for old, new in paths.items()}


@pytest.mark.parametrize("probe", list(CONFIGS))
def test_a_renamed_port_is_paired_by_its_weights(probe: str) -> None:
    trace = record(compact(CONFIGS[probe], ops="numpy"))
    live, was = renamed(trace)
    pairing = align(live, trace)
    layers = pairing.layers
    assert all(others == [was[mine]] for mine, others in layers.items()), "a wrong pair"
    assert len(layers) == len(trace.layers) and pairing.coverage == 1
    right = sum(others == [f"{was[live.units[key].path]}{key[len(live.units[key].path):]}"]
                for key, others in pairing.units.items() if live.units[key].kind == "leaf")  # fmt: skip
    assert right >= 0.95 * sum(unit.kind == "leaf" for unit in live.units.values())
    rules = {pairing.rules[path] for path in layers}
    assert rules <= {"fingerprint", "twins, order"}, rules


def test_a_fingerprint_does_not_depend_on_the_layout() -> None:
    a = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(np.float32)
    whole = fingerprint(a, "conv1d")
    for order in ((0, 2, 1), (2, 1, 0), (1, 0, 2)):
        assert fingerprint(a.transpose(order)).hash == whole.hash
    assert fingerprint(a[:, :, ::-1]).hash == whole.hash
    changed = a.copy()
    changed[0, 0, 0] = np.nextafter(changed[0, 0, 0], np.float32(9))
    assert fingerprint(changed).hash != whole.hash
    assert len(whole.rows) == 4 and fingerprint(a, "conv_transpose1d").rows != whole.rows


def test_a_packed_matrix_is_the_sum_of_its_parts() -> None:
    q, k = np.random.default_rng(0).standard_normal((2, 4, 6)).astype(np.float32)
    both = fingerprint(np.concatenate([q, k]))
    assert both.hash == (fingerprint(q).hash + fingerprint(k).hash) % 2**64
    assert both.rows == (*fingerprint(q).rows, *fingerprint(k).rows)


def test_rounded_weights_are_still_recognised() -> None:
    trace = record(compact(ops="numpy"))
    arrays = {k: a.astype(np.float16).astype(np.float32) for k, a in compact().arrays.items()}
    live, was = renamed(record(compact(arrays=arrays)))
    pairing = align(live, trace)
    wrong = [(mine, others) for mine, others in pairing.layers.items() if others != [was[mine]]]
    assert not wrong and len(pairing.layers) >= 0.95 * len(trace.layers)
    assert "values, within rounding" in pairing.rules.values()


def test_a_print_survives_the_header() -> None:
    from portavoz.lab.instrument.fingerprint import Fingerprint

    one = fingerprint(np.random.default_rng(1).standard_normal((3, 2)).astype(np.float32))
    again = Fingerprint.from_dict(one.to_dict())
    assert (again.hash, again.rows, again.shape) == (one.hash, one.rows, one.shape)


def test_a_layer_that_the_port_leaves_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def edit(acoustic: object, vocoder: object) -> None:
        vocoder.blocks.pop()  # type: ignore[attr-defined]

    verdict = forced(traced(compact(ops="numpy")), compact(edit=edit))
    assert verdict.answer == "FAIL" and verdict.faults[0].id == "edge:vocoder.last"
    assert {"vocoder.blocks.1.wide#0", "vocoder.blocks.1/gelu.0"} & set(verdict.pairing.fused) or verdict.not_judged
