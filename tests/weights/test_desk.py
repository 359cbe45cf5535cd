"""The desk's parts: orders that shapes cannot tell, names, weight norm, other kinds of number, there and back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import desks
import numpy as np
import pytest

from portavoz.blocks.hifigan import HifiGanConfig
from portavoz.errors import InputError, WeightError
from portavoz.families.compact.config import MINIMAL
from portavoz.families.compact.loop import Eager
from portavoz.families.speecht5.config import TINY
from portavoz.lab.checkpoint.ledger import Ledger, account, even
from portavoz.lab.checkpoint.models import open_models
from portavoz.lab.checkpoint.relayout import relayout
from portavoz.lab.checkpoint.repair import repair
from portavoz.lab.checkpoint.report import lines, to_dict
from portavoz.ops.base import Ops
from portavoz.weights import file, fold, store
from portavoz.weights.cursor import Weights, initial
from portavoz.weights.store import Stored

Arrays = dict[str, Any]
SQUARES = ["resblocks.1.convs1.0.weight", "resblocks.1.convs1.1.weight", "resblocks.1.convs2.0.weight"]


def ledger(path: Path, against: Path | None = None, **chosen: Any) -> Ledger:
    layout = chosen.pop("layout", None)
    part = open_models(path, beside=against, **chosen)[0]
    there = None if against is None else account(open_models(against, part=chosen.get("part"))[0])
    return account(part, there, layout=layout)


def kinds(found: Ledger) -> set[tuple[str, str]]:
    return {(fault.kind, fault.path) for fault in found.faults}


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocoder's folder with kernels whose shape reads the same in both layouts."""
    return desks.speecht5(tmp_path_factory.mktemp("square") / "ours", desks.SQUARE) / "vocoder"


def test_346_kernels_in_one_order_and_1_in_the_other(tmp_path: Path) -> None:
    vocoder = HifiGanConfig(
        model_in_dim=16, upsample_initial_channel=16, upsample_rates=(2, 2, 2), upsample_kernel_sizes=(4, 4, 4),
        resblock_kernel_sizes=(3, 5, 9), resblock_dilation_sizes=((1,) * 19,) * 3,
    )  # fmt: skip
    folder = desks.described(tmp_path / "ours", dataclasses.replace(TINY, vocoder=vocoder)) / "vocoder"
    path = folder / "model.safetensors"
    desks.written(path, desks.numbers(open_models(path, part="vocoder")[0]), {})
    held, odd = desks.arrays(path), "resblocks.4.convs2.7.weight"
    desks.turned(path, held, [name for name in held if name != odd])
    desks.written(path, held, {"format": "mlx"})
    found = ledger(path)
    assert found.layouts() == {"conv1d": {"mlx": 343, "torch": 1}, "conv_transpose1d": {"mlx": 3}}
    assert kinds(found) == {("layout", odd)}
    assert "MIXED: of all kernels 346 mlx, 1 torch" in lines(found)
    assert "as the file declares; 346 kernels are" in str(found.faults[0])
    # Nothing is declared: what most kernels have is the file's, and the one is still the one.
    desks.written(path, held, {})
    bare = ledger(path)
    assert kinds(bare) == {("layout", odd)} and bare.layout == "mlx"
    relayout(found, tmp_path / "whole.safetensors", layout="torch", fix=True)
    assert kinds(ledger(tmp_path / "whole.safetensors", folder)) == set()


def test_what_shapes_cannot_tell_is_told_by_declaration_or_by_function_and_never_guessed(
    square: Path, tmp_path: Path
) -> None:
    path = square / "model.safetensors"
    held = desks.arrays(path)
    bare = desks.written(tmp_path / "bare.safetensors", held, {})
    found = ledger(bare, config=str(square / "config.json"), family="speecht5")
    squares = [p for p, h in found.held.items() if h.order.how == "undecidable"]
    assert set(SQUARES) <= set(squares) and kinds(found) == {("undecidable", p) for p in squares}
    assert found.layouts()["conv1d"]["undecidable"] == len(squares)
    assert "say --layout, or --against" in lines(found)[-2]
    assert {h.order.how for p, h in ledger(path).held.items() if p in squares} == {"declared"}
    assert {h.order.how for p, h in ledger(bare, square).held.items() if p in squares} == {"by function"}
    assert ledger(bare, square).ok

    desks.turned(path, held, [SQUARES[1]])
    moved = ledger(desks.written(tmp_path / "moved.safetensors", held, {"format": "pt"}), square)
    assert kinds(moved) == {("layout", SQUARES[1])}
    assert "known by function" in str(moved.faults[0])
    assert moved.layouts()["conv1d"]["mlx"] == 1
    with pytest.raises(WeightError, match=r"1 tensor is in doubt; .*by function.* say --fix"):
        relayout(moved, tmp_path / "out.safetensors", layout="mlx")
    done = repair(moved, account(open_models(square)[0]))
    assert file.read(done["output"])[0][SQUARES[1]].tolist() == file.read(path)[0][SQUARES[1]].tolist()


def test_a_file_that_declares_the_other_layout(tmp_path: Path) -> None:
    path = desks.speecht5(tmp_path / "ours") / "vocoder" / "model.safetensors"
    held = desks.arrays(path)
    desks.turned(path, held)
    for about, said in (({"format": "pt"}, "declares torch"), ({}, "declares no layout")):
        found = ledger(desks.written(tmp_path / "m.safetensors", held, about), path.parent)
        assert kinds(found) == {("declared", "")}
        assert f"the file {said}, and all 20 kernels whose order can be told are in mlx's" in lines(found)[-2]
    repair(found, account(open_models(path.parent)[0]), tmp_path / "fixed.safetensors")
    assert ledger(tmp_path / "fixed.safetensors", path.parent).ok
    assert ledger(tmp_path / "m.safetensors", path.parent, layout="mlx").ok


RENAMES = {
    "module.": lambda name: f"module.{name}",
    "two wrappers": lambda name: f"_orig_mod.module.{name}",
    "with a slash": lambda name: f"weights/{name}",
    "without": lambda name: name.removeprefix("acoustic."),
    "another": lambda name: name.replace("acoustic.", "generator."),
}


@pytest.mark.parametrize("how", RENAMES)
def test_a_wrong_prefix_is_recognised_and_undone(how: str, tmp_path: Path) -> None:
    good = desks.compact(tmp_path / "good.safetensors")

    def change(held: Arrays) -> None:
        for name in list(held):
            held[RENAMES[how](name)] = held.pop(name)

    bad = desks.spoiled(good, tmp_path / "bad.safetensors", change)
    found = ledger(bad)
    assert kinds(found) == {("prefix", "")}, lines(found)
    relayout(found, tmp_path / "out.safetensors", fix=True)
    assert ledger(tmp_path / "out.safetensors", good).ok
    assert sorted(store.read(tmp_path / "out.safetensors")) == sorted(store.read(good))


def test_two_rules_at_once_and_no_rule_for_strangers(tmp_path: Path) -> None:
    good = desks.compact(tmp_path / "good.safetensors")

    def two(held: Arrays) -> None:
        for name in list(held):
            held[f"net.{name.removeprefix('acoustic.')}" if name.startswith("acoustic.") else f"v.{name}"] = held.pop(
                name
            )

    found = ledger(desks.spoiled(good, tmp_path / "two.safetensors", two))
    assert [fault.kind for fault in found.faults] == ["prefix", "prefix"] and not found.missing

    def strange(held: Arrays) -> None:
        held["stranger.weight"] = held.pop("acoustic.durations.norms.0.weight") + 1
        held["stranger.bias"] = held.pop("acoustic.durations.norms.0.bias") + 1

    found = ledger(desks.spoiled(good, tmp_path / "strange.safetensors", strange))
    assert {kind for kind, _ in kinds(found)} == {"missing", "left_over"}
    assert "(left over, and of its size: stranger.bias)" in " ".join(lines(found))


def split(held: Arrays) -> int:
    """Spell kernels as weight norm does; gives how many."""
    kernels = [name for name in held if name.endswith(".weight") and held[name].ndim == 3]
    for name in kernels:
        v = held.pop(name)
        stem = name.removesuffix("weight")
        held[f"{stem}weight_g"] = np.sqrt((v.astype(np.float64) ** 2).sum((1, 2), keepdims=True)).astype(np.float32)
        held[f"{stem}weight_v"] = v
    return len(kernels)


def test_weight_norm_is_folded_where_the_loader_folds_and_a_fault_where_not(square: Path, tmp_path: Path) -> None:
    unfused = desks.spoiled(square / "model.safetensors", tmp_path / "v.safetensors", split)
    found = ledger(unfused, config=str(square / "config.json"), family="speecht5")
    assert found.ok and len(found.folded) == 12

    good = desks.compact(tmp_path / "good.safetensors")
    found = ledger(desks.spoiled(good, tmp_path / "bad.safetensors", split))
    assert kinds(found) == {("weight_norm", "")}
    # The kernel that comes out is the one that the loader would make of the halves.
    relayout(found, tmp_path / "fused.safetensors", fix=True)
    wanted = fold.weight_norm(file.read(tmp_path / "bad.safetensors")[0])
    made = file.read(tmp_path / "fused.safetensors")[0]
    assert all(np.array_equal(made[name], wanted[name]) for name in wanted) and sorted(made) == sorted(wanted)
    half = {k: a for k, a in desks.arrays(tmp_path / "bad.safetensors").items() if not k.endswith("weight_g")}
    found = ledger(desks.written(tmp_path / "half.safetensors", half, store.read(good).metadata))
    assert "weight_norm" in {kind for kind, _ in kinds(found)}


def test_shards_and_other_kinds_of_number_there_and_back(tmp_path: Path) -> None:
    folder = desks.speecht5(tmp_path / "ours")
    path = folder / "vocoder" / "model.safetensors"
    held = {k: Stored.of(a).cast("BF16") for k, a in desks.arrays(path).items()}
    half = desks.written(tmp_path / "half.safetensors", held, {"format": "pt", "note": "é", "z": "1", "a": "2"})
    relayout(ledger(half, path.parent), tmp_path / "mlx.safetensors", layout="mlx")
    assert {t.kind for t in store.read(tmp_path / "mlx.safetensors").values()} == {"BF16"}
    assert store.read(tmp_path / "mlx.safetensors").layout == "mlx"
    done = relayout(ledger(tmp_path / "mlx.safetensors", path.parent), tmp_path / "back.safetensors", layout="torch")
    assert done["restored"] and (tmp_path / "back.safetensors").read_bytes() == half.read_bytes()

    wide = relayout(ledger(path), tmp_path / "f16.safetensors", dtype="float16")
    assert {t.kind for t in store.read(tmp_path / "f16.safetensors").values()} == {"F16"}
    assert wide["metadata"]["converted_from"] == "model.safetensors" and not wide["restored"]
    found = ledger(tmp_path / "f16.safetensors", path.parent)
    assert found.ok and found.notes == ["F32 in the reference is F16 here"]

    # The same tensors in two shards.
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    (sharded / "config.json").write_text((path.parent / "config.json").read_text(encoding="utf-8"), encoding="utf-8")
    names = list(held)
    for number, some in enumerate((names[::2], names[1::2])):
        desks.written(sharded / f"{number}.safetensors", {k: held[k] for k in some}, {"format": "pt"})
    places = {k: f"{i % 2}.safetensors" for i, k in enumerate(names)}
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    assert ledger(sharded, path.parent).ok


def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    good = desks.compact(tmp_path / "good.safetensors")

    def large(held: Arrays) -> None:
        held["acoustic.durations.norms.0.weight"][3] = 1e6

    found = ledger(desks.spoiled(good, tmp_path / "large.safetensors", large))
    out = tmp_path / "out.safetensors"
    with pytest.raises(WeightError, match=r"norms.0.weight: 1e\+06 is too large for float16; choose bfloat16"):
        relayout(found, out, dtype="float16")
    relayout(found, tmp_path / "fine.safetensors", dtype="bfloat16")
    with pytest.raises(WeightError, match="there is no layout 'tensorflow'"):
        relayout(found, out, layout="tensorflow")
    with pytest.raises(InputError, match="choose one of float64, float32"):
        relayout(found, out, dtype="float8")
    stranger = desks.spoiled(good, tmp_path / "s.safetensors", lambda h: h.update(k=np.ones((2, 3, 4), np.float32)))
    with pytest.raises(WeightError, match="the role of k, and so its axis order, is unknown"):
        relayout(ledger(stranger), out, layout="mlx")
    cut = desks.spoiled(good, tmp_path / "c.safetensors", lambda h: h.pop("acoustic.durations.out.bias"))
    with pytest.raises(WeightError, match=r"1 of 1 faults have no certain remedy.*durations.out.bias: is not in"):
        repair(ledger(cut, good), account(open_models(good)[0]))
    assert not out.exists() and not (tmp_path / "c_fixed.safetensors").exists()


def test_a_quantised_file_is_read_as_the_cursor_reads_it(tmp_path: Path) -> None:
    good = desks.compact(tmp_path / "good.safetensors")
    name = "acoustic.encoder.stack.layers.0.attention.q.weight"

    def change(held: Arrays) -> None:
        held[name] = np.random.default_rng(0).integers(0, 2**32, (32, 8), np.uint32)
        stem = name.removesuffix("weight")
        held[f"{stem}scales"], held[f"{stem}biases"] = (np.full((32, 1), v, np.float32) for v in (0.001, -0.1))

    packed = desks.spoiled(good, tmp_path / "q.safetensors", change)
    found = ledger(packed)
    assert found.ok, lines(found)
    values = found.held[name].tensor.values
    assert values.shape == (32, 32) and -0.1001 <= values.min() < values.max() <= 0.16
    assert found.ignored[f"{name.removesuffix('weight')}scales"] == f"read with {name}"
    relayout(found, tmp_path / "mlx.safetensors", layout="mlx")
    assert store.read(tmp_path / "mlx.safetensors")[name].kind == "U32"


def test_a_fresh_model_is_untrained_and_the_bundled_voice_is_clean(root: Path, tmp_path: Path) -> None:
    w = Weights.fresh(Ops(), 7)
    Eager(w, MINIMAL)
    about = {"family": "compact", "config": json.dumps(MINIMAL.to_dict())}
    found = ledger(desks.written(tmp_path / "fresh.safetensors", w.arrays(), about))
    untrained = {path for kind, path in kinds(found) if kind == "untrained"}
    large = {p for p, h in found.held.items() if h.tensor.bits.ndim > 1 and h.tensor.bits.size >= 128}
    assert large <= untrained and {kind for kind, _ in kinds(found)} == {"untrained"}
    voice = account(open_models(root / "src/portavoz/families/compact/voice/heart")[0])
    assert voice.ok, lines(voice)
    assert json.loads(json.dumps(to_dict(voice), allow_nan=False))["counts"]["missing"] == 0


def test_even_knows_a_random_start_of_any_seed_and_no_trained_tensor() -> None:
    draw = np.random.default_rng(0)
    starts = [initial("a.weight", (40, 30), None, seed) for seed in range(50)]
    assert sum(even(a) for a in starts) >= 45
    assert not any(even(a + 0.02 * draw.standard_normal(a.shape)) for a in starts)
    assert not any(even(draw.normal(0, 0.1, (40, 30))) for _ in range(50))


def test_a_reference_that_lacks_a_tensor_proves_nothing_about_it(tmp_path: Path) -> None:
    good = desks.compact(tmp_path / "good.safetensors")
    poor = desks.spoiled(good, tmp_path / "poor.safetensors", lambda h: h.pop("acoustic.durations.out.bias"))
    found = ledger(good, poor)
    assert kinds(found) == {("uncompared", "")}
    assert "acoustic.durations.out.bias" in str(found.faults[0])
