"""The audit collects every kind of problem in one go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portavoz.errors import WeightError
from portavoz.families.compact.config import MINIMAL
from portavoz.families.compact.loop import Eager
from portavoz.ops.base import Ops
from portavoz.weights import file
from portavoz.weights.audit import audit
from portavoz.weights.cursor import Weights


def build(w: Weights) -> Any:
    """A small model with one layer of each kind of tensor."""
    w.ignore("discriminator", why="training only")
    layers = [w.conv1d("conv", 3, 5, 7), w.layer_norm("norm", 5), w.embedding("table", 6, 5)]
    return [*layers, w.linear("table", 5, 6, bias=False), w.tensor("mean", (4,), init=0.0, train=False)]


def trained() -> dict[str, np.ndarray]:
    w = Weights.fresh(Ops(), 0)
    build(w)
    generator = np.random.default_rng(1)
    return {k: (a + 0.1 * generator.standard_normal(a.shape)).astype(np.float32) for k, a in w.arrays().items()}


def test_a_trained_checkpoint_that_fits_has_no_problem() -> None:
    report = audit(build, {**trained(), "discriminator.a": np.ones(2)})
    assert report.ok
    assert report.problems() == []
    assert report.taken["conv.weight"] == (5, 3, 7)
    assert report.tied == {"table.weight": 2}
    assert report.ignored == {"discriminator": "training only"}
    assert report.left_over == []
    assert report.duplicates == []


def test_every_problem_is_collected_in_one_go() -> None:
    tensors = trained()
    del tensors["norm.bias"]
    tensors["conv.weight"] = tensors["conv.weight"].swapaxes(1, 2)
    tensors["norm.weight"][:] = 1
    tensors["mean"][:] = 0
    tensors["conv.bias"][2] = np.nan
    tensors["spare"] = tensors["copy"] = np.arange(3.0)
    report = audit(build, tensors)
    assert not report.ok
    assert list(report.missing) == ["norm.bias"]
    assert "pass layout='mlx'" in report.mis_shaped["conv.weight"]
    assert report.untrained == {"norm.weight": "is 1 throughout, its first value"}
    assert report.unset == {"mean": "is 0 throughout, its first value"}
    assert report.not_finite == ["conv.bias"]
    assert sorted(report.left_over) == ["copy", "spare"]
    assert [sorted(group) for group in report.duplicates] == [["copy", "spare"]]
    assert len(report.problems()) == 6
    assert all(str(part) for part in report.problems())


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_tensor_that_was_never_trained_is_recognised_by_its_first_values(seed: int, dtype: Any) -> None:
    w = Weights.fresh(Ops(), seed)
    build(w)
    tensors = trained()
    tensors["table.weight"] = w.arrays()["table.weight"].astype(dtype)
    report = audit(build, tensors)
    assert report.untrained == {"table.weight": f"is the random start of seed {seed}"}
    assert not report.ok
    assert audit(build, tensors, seeds=(7,)).ok


def test_tied_weights_of_two_shapes_are_a_problem_and_not_the_end() -> None:
    def twice(w: Weights) -> Any:
        return w.embedding("table", 6, 5), w.embedding("table", 5, 6), w.linear("last", 2, 2)

    report = audit(twice, {"table.weight": np.ones((6, 5), np.float32)})
    assert "taken as (6, 5) and again as (5, 6)" in report.mis_shaped["table.weight"]
    assert sorted(report.missing) == ["last.bias", "last.weight"]


def test_a_report_is_plain_values() -> None:
    report = audit(build, {})
    assert json.loads(json.dumps(report.to_dict()))["ok"] is False
    assert sorted(report.to_dict()["missing"]) == sorted(trained())


def test_a_file_is_audited_in_the_layout_it_declares(tmp_path: Path) -> None:
    w = Weights(trained(), Ops())
    build(w)
    for layout in ("torch", "mlx"):
        file.write(tmp_path / f"{layout}.safetensors", w.arrays(layout), {"layout": layout})
        assert audit(build, tmp_path / f"{layout}.safetensors").ok
    assert not audit(build, tmp_path / "mlx.safetensors", layout="torch").ok
    with pytest.raises(WeightError, match="there is no such file"):
        audit(build, tmp_path / "none.safetensors")


def test_a_fresh_compact_model_is_untrained_throughout() -> None:
    w = Weights.fresh(Ops(), 1)
    Eager(w, MINIMAL)
    report = audit(lambda cursor: Eager(cursor, MINIMAL), w.arrays())
    assert set(report.untrained) | set(report.unset) == set(report.taken) == set(w.record.taken)
    assert not report.missing
    assert not report.left_over
