"""Planted weight faults, each named: what it is, where it is, and (where that is certain) how it is undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import desks
import numpy as np
import pytest

from portavoz.lab.checkpoint.ledger import Ledger, account
from portavoz.lab.checkpoint.models import open_models
from portavoz.lab.checkpoint.repair import repair
from portavoz.lab.checkpoint.report import lines
from portavoz.weights.cursor import initial
from portavoz.weights.store import Stored, shortened

Arrays = dict[str, Any]
LAYER = "speecht5.encoder.wrapped_encoder.layers.0"
ATTENTION = f"{LAYER}.attention"
Q, K, V = (f"{ATTENTION}.{which}_proj.weight" for which in "qkv")
WIDE = f"{LAYER}.feed_forward.intermediate_dense.weight"
NORM = f"{LAYER}.layer_norm.weight"
CONV = "speech_decoder_postnet.layers.1.conv.weight"


class Planted(NamedTuple):
    """A fault: how it is made, the kind and the path that must be named, and whether the file alone shows it."""

    make: Callable[[Arrays], None]
    kind: str
    path: str
    alone: bool = False
    mends: bool = False


def change(path: str, function: Callable[[Any], Any]) -> Callable[[Arrays], None]:
    def make(held: Arrays) -> None:
        held[path] = function(held[path])

    return make


def swap(a: str, b: str) -> Callable[[Arrays], None]:
    def make(held: Arrays) -> None:
        held[a], held[b] = held[b], held[a]

    return make


def put(name: str, function: Callable[[Arrays], Any]) -> Callable[[Arrays], None]:
    def make(held: Arrays) -> None:
        held[name] = function(held)

    return make


def rename(old: str, new: str) -> Callable[[Arrays], None]:
    def make(held: Arrays) -> None:
        held[new] = held.pop(old)

    return make


def prefixed(held: Arrays) -> None:
    for name in list(held):
        held[f"module.{name}"] = held.pop(name)


def noisy(a: Any) -> Any:
    return a + np.random.default_rng(1).normal(0, 0.05, a.shape).astype(np.float32)


def one(value: float) -> Callable[[Any], Any]:
    def edit(a: Any) -> Any:
        a.flat[7] = value
        return a

    return edit


def heads(a: Any) -> Any:
    return a.reshape(4, 8, 32)[[1, 0, 3, 2]].reshape(32, 32)


def drawn(a: Any) -> Any:
    return (np.random.default_rng(5).uniform(-1, 1, a.shape) / np.sqrt(a.shape[1])).astype(np.float32)


def mislabelled(a: Any) -> Any:
    return Stored("BF16", a.astype(np.float16).view(np.uint16))


FAULTS = {
    "dropped": Planted(lambda held: held.pop(f"{ATTENTION}.v_proj.bias"), "missing", f"{ATTENTION}.v_proj.bias", True),
    "left over": Planted(put("extra.weight", lambda _: np.ones((3, 4), np.float32)), "left_over", "extra.weight", True),
    "kept twice": Planted(put("copy.weight", lambda held: held[Q].copy()), "left_over", "copy.weight", True),
    "our random start": Planted(change(WIDE, lambda a: initial(WIDE, a.shape, None, 1)), "untrained", WIDE, True),
    "a random start": Planted(change(WIDE, drawn), "untrained", WIDE, True),
    "norm never trained": Planted(change(NORM, np.ones_like), "untrained", NORM, True),
    "zeroed": Planted(change(WIDE, np.zeros_like), "zero", WIDE, True),
    "NaN": Planted(change(CONV, one(np.nan)), "not_finite", CONV, True),
    "infinite": Planted(change(CONV, one(np.inf)), "not_finite", CONV, True),
    "duplicated": Planted(put(V, lambda held: held[K].copy()), "copied", V),
    "transposed, not square": Planted(change(WIDE, np.transpose), "transposed", WIDE, True, True),
    "transposed, square": Planted(change(Q, np.transpose), "transposed", Q, False, True),
    "kernel in the other order": Planted(change(CONV, lambda a: a.transpose(0, 2, 1)), "layout", CONV, True, True),
    "kernel's axes behind the shape": Planted(
        change(CONV, lambda a: a.transpose(0, 2, 1).reshape(a.shape)), "reshaped", CONV, False, True
    ),
    "kernel flipped": Planted(change(CONV, lambda a: a[:, :, ::-1]), "flipped", CONV, False, True),
    "cut": Planted(change(WIDE, lambda a: a[:-1]), "mis_shaped", WIDE, True),
    "rows permuted": Planted(
        change(WIDE, lambda a: a[np.random.default_rng(2).permutation(len(a))]), "permuted", WIDE, False, True
    ),
    "heads permuted": Planted(change(Q, heads), "permuted", Q, False, True),
    "columns moved by one": Planted(change(Q, lambda a: np.roll(a, 1, 1)), "permuted", Q, False, True),
    "keys and values exchanged": Planted(swap(K, V), "swapped", K, False, True),
    "layers exchanged": Planted(swap(WIDE, WIDE.replace("layers.0", "layers.1")), "swapped", WIDE, False, True),
    "stale": Planted(change(Q, noisy), "stale", Q),
    "unrelated": Planted(
        change(Q, lambda a: np.random.default_rng(8).normal(size=a.shape).astype(np.float32)), "unrelated", Q
    ),
    "scaled": Planted(change(Q, lambda a: a * np.float32(1.02)), "scaled", Q),
    "scaled by two": Planted(change(Q, lambda a: a * 2), "scaled", Q, False, True),
    "negated": Planted(change(Q, np.negative), "negated", Q, False, True),
    "shifted": Planted(change(Q, lambda a: a + np.float32(0.5)), "shifted", Q),
    "one number": Planted(change(Q, one(1.0)), "changed", Q),
    "half of it zero": Planted(change(Q, lambda a: np.where(np.arange(32) < 16, a, 0)), "zeroed", Q),
    "wrong dtype, wider": Planted(change(Q, lambda a: a.astype(np.float64)), "wrong_dtype", Q, False, True),
    "wrong dtype, narrower": Planted(change(Q, lambda a: a.astype(np.float16)), "wrong_dtype", Q),
    "wrong dtype, whole numbers": Planted(change(Q, lambda a: (a * 100).astype(np.int32)), "wrong_dtype", Q, True),
    "bits under a wrong label": Planted(change(Q, mislabelled), "wrong_dtype", Q),
    "bytes in reverse order": Planted(change(Q, lambda a: a.byteswap()), "byte_order", Q, False, True),
    "renamed": Planted(rename(Q, "speecht5.query"), "renamed", Q, False, True),
    "wrong prefix": Planted(prefixed, "prefix", "", True, True),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return desks.speecht5(tmp_path_factory.mktemp("desk") / "ours")


@pytest.fixture(scope="module")
def reference(folder: Path) -> Ledger:
    return account(open_models(folder)[0])


def ledger(path: Path, against: Ledger | None, folder: Path, **chosen: Any) -> Ledger:
    return account(open_models(path, beside=folder, **chosen)[0], against)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(name: str, folder: Path, reference: Ledger, tmp_path: Path) -> None:
    fault = FAULTS[name]
    spoiled = desks.spoiled(folder / "model.safetensors", tmp_path / "m.safetensors", fault.make)
    found = ledger(spoiled, reference, folder)
    assert (fault.kind, fault.path) in {(f.kind, f.path) for f in found.faults}, lines(found)
    # Only what was touched is named: the fault itself, and what it was exchanged with.
    assert len(found.faults) <= (2 if fault.kind == "swapped" else 1), lines(found)
    if fault.alone:
        alone = ledger(spoiled, None, folder)
        assert [f.path for f in alone.faults if f.path == fault.path], lines(alone)
    if fault.mends:
        done = repair(found, reference)
        repaired = ledger(Path(done["output"]), reference, folder)
        assert repaired.ok, lines(repaired)
        assert set(repaired.verdicts.values()) == {"equal"}


def test_whole_checkpoints_have_no_fault(folder: Path, reference: Ledger, tmp_path: Path) -> None:
    for part in open_models(folder):
        assert account(part).faults == []
    assert account(open_models(desks.compact(tmp_path / "c.safetensors"))[0]).faults == []
    assert ledger(folder / "model.safetensors", reference, folder).faults == []


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_a_checkpoint_that_was_rounded_as_a_whole_is_no_fault(
    kind: str, folder: Path, reference: Ledger, tmp_path: Path
) -> None:
    held = {k: Stored.of(a).cast(kind) for k, a in desks.arrays(folder / "model.safetensors").items()}
    found = ledger(desks.written(tmp_path / "m.safetensors", held, {"format": "pt"}), reference, folder)
    assert found.faults == []
    assert found.notes == [f"F32 in the reference is {kind} here"]
    assert set(found.verdicts.values()) == {f"equal, to the rounding of {kind}"}


def test_three_faults_at_once_are_three(folder: Path, reference: Ledger, tmp_path: Path) -> None:
    def make(held: Arrays) -> None:
        for name in ("transposed, square", "NaN", "dropped"):
            FAULTS[name].make(held)

    found = ledger(desks.spoiled(folder / "model.safetensors", tmp_path / "m.safetensors", make), reference, folder)
    assert {(f.kind, f.path) for f in found.faults} == {
        ("transposed", Q), ("not_finite", CONV), ("missing", f"{ATTENTION}.v_proj.bias"),
    }  # fmt: skip


def test_bfloat16_is_rounded_half_to_even() -> None:
    import torch

    values = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    wanted = torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()
    assert np.array_equal(shortened(values), wanted)


EDITS: dict[str, tuple[Callable[[Any], Any], set[str]]] = {
    "flipped": (lambda a: a[..., ::-1], {"flipped"}),
    "rows": (lambda a: np.roll(a, 3, int(np.argmax(a.shape))), {"permuted"}),
    "zero": (np.zeros_like, {"zero"}),
    "NaN": (one(np.nan), {"not_finite"}),
    "scaled": (lambda a: a * np.float32(0.7), {"scaled"}),
    "negated": (np.negative, {"negated"}),
    "stale": (noisy, {"stale"}),
    "cut": (lambda a: a[1:], {"mis_shaped"}),
    "float16": (lambda a: a.astype(np.float16), {"wrong_dtype"}),
    "turned": (
        lambda a: np.ascontiguousarray(a.transpose(0, *range(a.ndim - 1, 0, -1))),
        {"layout", "mis_shaped", "axes"},
    ),
}


@pytest.mark.parametrize("where", ["compact", "vocoder"])
@pytest.mark.parametrize("name", EDITS)
def test_faults_in_the_other_parts(where: str, name: str, folder: Path, tmp_path: Path) -> None:
    good = folder / "vocoder" / "model.safetensors"
    if where == "compact":
        good = desks.compact(tmp_path / "good.safetensors")
    beside = good if where == "compact" else good.parent
    right = account(open_models(beside)[0])
    edit, kinds = EDITS[name]
    kernels = [p for p, role in right.part.roles.items() if role.startswith("conv") and p.endswith("weight")]
    for path in (kernels[0], kernels[-1]):
        spoiled = desks.spoiled(good, tmp_path / "m.safetensors", change(path, edit))
        found = ledger(spoiled, right, beside)
        assert len(found.faults) == 1, lines(found)
        assert found.faults[0].path == path and found.faults[0].kind in kinds, lines(found)


@pytest.mark.parametrize("which", ["model", "vocoder", "compact"])
def test_no_false_alarm_in_any_layout_and_kind_of_number(which: str, folder: Path, tmp_path: Path) -> None:
    good = {"model": folder / "model.safetensors", "vocoder": folder / "vocoder" / "model.safetensors"}.get(which)
    good = good or desks.compact(tmp_path / "good.safetensors")
    part = open_models(good)[0]
    for seed in range(2):
        numbers, right = desks.numbers(part, seed), None
        for kind in ("F32", "F16", "BF16"):
            for layout in ("torch", "mlx"):
                held = dict(numbers)
                desks.turned(good, held, layout=layout)
                ready = {name: Stored.of(a).cast(kind) for name, a in held.items()}
                path = desks.written(tmp_path / "m.safetensors", ready, {**part.store.metadata, "layout": layout})
                alone = ledger(path, None, good)
                right = right or alone
                beside = ledger(path, right, good)
                assert alone.faults == [] and beside.faults == []
                assert all(verdict.startswith("equal") for verdict in beside.verdicts.values())
