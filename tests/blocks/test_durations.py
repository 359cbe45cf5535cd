"""Durations: a predictor that hears no padding, rounding that never drifts, and the length regulator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz import ops
from portavoz.blocks.durations import DurationPredictor, frames, pad_rows, regulate
from portavoz.errors import InputError
from portavoz.weights.cursor import Weights

BACK_ENDS = sorted(ops.BACKENDS)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", BACK_ENDS)
def test_the_predictor_is_its_twin_in_torch(name: str) -> None:
    back = ops.open(name)
    w = Weights.fresh(back, 2)
    model = DurationPredictor(w, 6, 10, 5)
    t = {k: torch.from_numpy(a) for k, a in w.arrays().items()}
    x = normal(2, 7, 6)
    y = torch.from_numpy(x)
    for i in range(2):
        y = F.conv1d(y.mT, t[f"convs.{i}.weight"], t[f"convs.{i}.bias"], padding=2).mT
        y = F.layer_norm(F.relu(y), (10,), t[f"norms.{i}.weight"], t[f"norms.{i}.bias"])
    want = F.linear(y, t["out.weight"], t["out.bias"]).numpy()
    got = back.numpy(model(back.tensor(x)))
    assert got.shape == (2, 7, 1)
    assert np.linalg.norm(got - want) < 2e-6 * np.linalg.norm(want)


@pytest.mark.parametrize("name", BACK_ENDS)
def test_a_row_of_a_padded_batch_is_its_solo_run(name: str) -> None:
    back = ops.open(name)
    model = DurationPredictor(Weights.fresh(back, 2), 6, 10)
    x = normal(2, 7, 6)
    keep = (np.arange(7)[None, :, None] < np.array([7, 4])[:, None, None]).astype(np.float32)
    together = back.numpy(model(back.tensor(x), keep=back.tensor(keep)))[1, :4]
    alone = back.numpy(model(back.tensor(x[1:, :4])))[0]
    assert np.allclose(together, alone, atol=1e-6)


durations = st.lists(st.floats(0, 40), min_size=1, max_size=60)


@settings(deadline=None, database=None)
@given(durations, st.sampled_from([0.5, 0.8, 1.0, 1.25, 2.0]))
def test_rounding_never_drifts(exact: list[float], speed: float) -> None:
    whole = frames(np.log1p(exact), speed=speed)
    assert whole.dtype == np.int64
    assert (whole >= 0).all()
    drift = np.cumsum(whole) - np.cumsum(exact) / speed
    assert np.abs(drift).max() <= 0.5 + 1e-6
    # The same symbols once more go on where the first left off, half a frame at most away.
    twice = frames(np.log1p(exact * 2), speed=speed)
    assert abs(int(twice.sum()) - 2 * sum(exact) / speed) <= 0.5 + 1e-6


def test_many_short_symbols_last_as_long_as_they_should() -> None:
    assert frames(np.log1p(np.full(1000, 0.4))).sum() == 400
    assert frames(np.log1p(np.full((2, 1000), 0.6))).sum(-1).tolist() == [600, 600]


def test_a_negative_prediction_is_no_time_and_scale_stretches_single_symbols() -> None:
    assert frames(np.array([-3.0, np.log1p(4.0)])).tolist() == [0, 4]
    assert frames(np.log1p([4.0, 4.0]), scale=np.array([1.0, 2.5])).tolist() == [4, 10]


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(InputError, match=r"speed is .*: give a number above 0"):
        frames(np.zeros(3), speed=speed)


@settings(max_examples=50, deadline=None, database=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=1, max_size=3))
def test_the_regulator_gives_each_symbol_its_frames(rows: list[list[int]]) -> None:
    index = regulate(np.array(rows, np.int64))
    longest = max(sum(row) for row in rows)
    assert index.shape == (len(rows), longest)
    for row, numbers in zip(rows, index):
        own = numbers[: sum(row)]
        assert np.bincount(own, minlength=4).tolist() == row
        assert (np.diff(own) >= 0).all()
        assert set(numbers[sum(row) :]) <= ({own[-1]} if len(own) else {0})


def test_rows_of_different_lengths_become_one_array() -> None:
    assert pad_rows([np.array([1, 2]), np.array([3])], value=-1).tolist() == [[1, 2], [3, -1]]
    assert pad_rows([np.ones((2, 3)), np.ones((1, 3))]).sum(-1).tolist() == [[3, 3], [3, 0]]
