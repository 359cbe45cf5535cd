"""Schedules are data: the first match by path, strict keys, and what the golden executor does with them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from portavoz import ops
from portavoz.errors import BackendError
from portavoz.ops.ttnn import schedule
from portavoz.ops.ttnn.number import rounded
from portavoz.weights.cursor import Weights


@pytest.mark.parametrize("name", ["bfloat16", "fast", "float32"])
def test_each_schedule_that_comes_along_can_be_read(name: str) -> None:
    assert name in schedule.names()
    assert schedule.load(name).name == name


def test_the_first_match_by_path_decides() -> None:
    s = schedule.read(
        {
            "defaults": {"dtype": "bfloat16", "memory": "l1"},
            "rule": [
                {"match": "a.*.bias", "dtype": "float32"},
                {"match": ["a.*", "b.*"], "dtype": "bfloat8_b", "grid": [1, 4]},
            ],
            "buckets": {"T": 128},
        },
        "mine.toml",
    )
    assert (s.rule("a.0.bias").dtype, s.rule("a.0.weight").dtype, s.rule("c").dtype) == (
        "float32", "bfloat8_b", "bfloat16",
    )  # fmt: skip
    assert s.rule("b.x").memory == "l1" and s.rule("b.x").grid == (1, 4) and s.buckets == {"T": 128}
    assert s.rule("b.x").place == "mine.toml, rule 2 (a.*, b.*)"


BAD = [
    ({"rules": []}, "mine.toml: unknown key 'rules'; did you mean rule"),
    ({"rule": [{"match": "a", "fidelty": "lofi"}]}, "rule 1 .a.: unknown key 'fidelty'; did you mean fidelity"),
    ({"rule": [{"match": "a", "dtype": "int8"}]}, "rule 1 .a.: dtype is 'int8': choose one of float32, bfloat16"),
    ({"rule": [{"dtype": "float32"}]}, "rule 1: match is None: give a pattern"),
    ({"defaults": {"grid": [8]}}, "defaults: grid is .8.: give rows and columns"),
    ({"buckets": {"T": 100}}, "mine.toml, buckets, T is 100: give rising multiples of 32"),
    ({"parallel": {"columns": []}}, "mine.toml, parallel: unknown key 'columns'; did you mean column"),
    ({"parallel": {"row": "a"}}, "mine.toml, parallel: row is 'a': give a list of patterns"),
]


@pytest.mark.parametrize(("about", "said"), BAD)
def test_what_cannot_be_read_is_one_sentence(about: dict, said: str) -> None:
    with pytest.raises(BackendError, match=said):
        schedule.read(about, "mine.toml")


def test_a_schedule_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no ttnn schedule 'quick': choose bfloat16, fast, float32, or give a TOML"):
        ops.open("ttnn", schedule="quick")
    (tmp_path / "s.toml").write_text("rule = [")
    with pytest.raises(BackendError, match=r"s.toml: cannot be read as TOML"):
        ops.open("ttnn", schedule=tmp_path / "s.toml")
    with pytest.raises(BackendError, match="ttnn has no device 'n150': choose golden"):
        ops.open("ttnn", device="n150")


def test_a_parameter_is_rounded_as_its_rule_says(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('[[rule]]\nmatch = "eight.*"\ndtype = "bfloat8_b"\n')
    back = ops.open("ttnn", schedule=tmp_path / "s.toml")
    array = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
    w = Weights({"eight.weight": array, "other.weight": array}, back)
    eight, other = (w.linear(name, 32, 5, bias=False).weight for name in ("eight", "other"))
    # Blocks lie along the last axis of what the card keeps: a linear layer's outputs.
    stored = rounded(torch.from_numpy(array).T.contiguous(), "bfloat8_b").T.numpy()
    assert np.array_equal(back.numpy(eight), stored)
    assert np.array_equal(back.numpy(other), rounded(torch.from_numpy(array), "bfloat16").numpy())
    assert (eight.nbytes, other.nbytes) == (170, 320)


def test_each_operation_rounds_what_it_gives() -> None:
    back = ops.open("ttnn", schedule="bfloat16")
    x = back.tensor(np.linspace(-2, 2, 64, dtype=np.float32)[None, None])
    for y in (back.tanh(x), x * 0.3, x + x, back.softmax(x)):
        seen = torch.from_numpy(back.numpy(y))
        assert torch.equal(seen, rounded(seen, "bfloat16"))


def test_emulation_is_on_request_and_shows_the_gain() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 4, 768)).astype(np.float32), rng.normal(size=(64, 768)).astype(np.float32)
    s = schedule.read({"defaults": {"accumulation": "bfloat16", "fidelity": "hifi2"}}, "s")
    exact = x.astype(np.float64) @ w.T.astype(np.float64)
    slopes = []
    for emulate in (False, True):
        back = ops.open("ttnn", schedule=s, emulate=emulate)
        layer = SimpleNamespace(weight=back.parameter(w, "w", "linear"), bias=None)
        y = back.numpy(back.linear(back.tensor(x), layer)).astype(np.float64)
        slopes.append(float((y * exact).sum() / (exact * exact).sum()))
    assert slopes[0] == pytest.approx(1.0, abs=1e-3) and slopes[1] == pytest.approx(1.011, abs=3e-3)


def test_too_much_in_l1_names_the_tensor_and_the_line() -> None:
    s = schedule.read({"rule": [{"match": "big.*", "memory": "l1", "dtype": "float32"}]}, "mine.toml")
    back = ops.open("ttnn", schedule=s)
    back.stage = "decode"  # as what builds a stage sets it
    w = Weights({"big.weight": np.zeros((8192, 3000), np.float32)}, back)
    said = r"stage decode: big.weight: .* in L1 need 1504 KiB of each core, which has 1329 \(mine.toml, rule 1 \(big"
    with pytest.raises(BackendError, match=said):
        w.linear("big", 3000, 8192, bias=False)


def test_the_smallest_tensor_in_l1_takes_a_tile_of_every_core() -> None:
    back = ops.open("ttnn", schedule=schedule.read({"defaults": {"memory": "l1"}}, "mine.toml"))
    for n in range(664):  # of 2 KiB: the library's mock device refuses the 665th as well
        back.parameter(np.zeros(122, np.float32), f"norms.{n}.weight", "vector")
    with pytest.raises(BackendError, match=r"norms.664.weight: .* need 1330 KiB .* 1329 \(mine.toml, defaults\)"):
        back.parameter(np.zeros(122, np.float32), "norms.664.weight", "vector")
