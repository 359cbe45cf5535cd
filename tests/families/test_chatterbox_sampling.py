"""Sampling and the alignment guard against transformers' processors and the reference's analyzer."""

from __future__ import annotations

from typing import Any

import chatterbox_models as models
import numpy as np
import pytest
import torch
from transformers.generation import logits_process as theirs

from portavoz.errors import InputError
from portavoz.families.chatterbox import sampling
from portavoz.families.chatterbox.guard import AlignmentGuard
from portavoz.families.chatterbox.sampling import DEFAULTS, Sampling


def logits(seed: int, size: int = 400) -> np.ndarray:
    return (3 * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


def reference(x: np.ndarray, seen: list[int], s: Sampling) -> np.ndarray:
    """The processors in the order of t3.py: `inference`, or `inference_turbo` where the penalty is last."""
    penalty = theirs.RepetitionPenaltyLogitsProcessor(float(s.penalty))
    chain: list[Any] = [theirs.TemperatureLogitsWarper(s.temperature)] if s.temperature != 1 else []
    chain += [theirs.MinPLogitsWarper(s.min_p)] if s.min_p else []
    chain += [theirs.TopKLogitsWarper(s.top_k)] if s.top_k else []
    chain += [theirs.TopPLogitsWarper(s.top_p)] if s.top_p < 1 or not s.penalty_last else []
    out, ids = torch.from_numpy(x[None].copy()), torch.tensor([seen])
    for step in [*chain, penalty] if s.penalty_last else [penalty, *chain]:
        out = step(ids, out)
    return out[0].numpy()


@pytest.mark.parametrize(
    "s",
    [
        *DEFAULTS.values(),
        Sampling(top_p=0.7),
        Sampling(temperature=1.0, min_p=0.3),
        Sampling(penalty=1.0, top_k=5, min_p=0.0),
        Sampling(penalty=2.0, top_p=0.4, penalty_last=True),
    ],
)
def test_logits_are_filtered_in_the_references_order(s: Sampling) -> None:
    for seed in range(4):
        x, seen = logits(seed), [6, 6, 40, 17, 399]
        got, want = sampling.filtered(x, seen, s), reference(x, seen, s)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))
        keep = np.isfinite(want)
        np.testing.assert_allclose(got[keep], want[keep], rtol=1e-6)


def test_guidance_moves_away_from_the_row_without_text() -> None:
    rows = np.stack([logits(1), logits(2)])
    np.testing.assert_allclose(sampling.guided(rows, 0.5), rows[0] + 0.5 * (rows[0] - rows[1]), rtol=1e-6)
    np.testing.assert_array_equal(sampling.guided(rows[:1], 0.5), rows[0])


def test_a_token_is_drawn_as_often_as_its_probability_says() -> None:
    x = np.log(
        np.array([0.5, 0.0, 0.3, 0.2], np.float32),
        where=np.array([1, 0, 1, 1], bool),
        out=np.full(4, -np.inf, np.float32),
    )
    picked = [sampling.choose(x, u) for u in (np.arange(1000) + 0.5) / 1000]
    assert [picked.count(t) for t in range(4)] == [500, 0, 300, 200]
    assert sampling.choose(x, np.nextafter(1.0, 0.0)) == 3


def test_at_temperature_zero_the_likeliest_is_said_whatever_is_drawn() -> None:
    s = Sampling(temperature=0.0)
    assert {sampling.next_token(logits(3), [0], s, u) for u in (0.0, 0.4, 0.999)} == {int(logits(3).argmax())}
    cold = Sampling(temperature=1e-40)  # by which no logit can be divided
    assert {sampling.next_token(logits(3), [0], cold, u) for u in (0.0, 0.999)} == {int(logits(3).argmax())}


@pytest.mark.parametrize(
    "bad",
    [{"temperature": -1}, {"guidance": 11}, {"penalty": 0}, {"min_p": 2}, {"top_p": 1.5}, {"top_k": 2.5},
     {"temperature": "hot"}, {"temperature": float("nan")}, {"min_p": True}],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_refused_with_its_range(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"give a (whole )?number from"):
        Sampling(**bad)


def analyzer(symbols: int, stop: int) -> Any:
    module = models.reference.models("t3.inference.alignment_stream_analyzer")
    made = module.AlignmentStreamAnalyzer.__new__(module.AlignmentStreamAnalyzer)
    # Its constructor hooks a transformer; the rest of it is what is set here.
    made.text_tokens_slice, made.eos_idx, made.alignment = (5, 5 + symbols), stop, torch.zeros(0, symbols)
    made.curr_frame_pos = made.text_position = 0
    made.started, made.started_at, made.complete, made.completed_at = False, None, False, None
    made.generated_tokens = []
    return made


def steady(t: int, symbols: int) -> int:
    return min(symbols - 1, t // 3)


def stuck(t: int, symbols: int) -> int:
    return min(symbols - 2, t)


def again(t: int, symbols: int) -> int:
    return min(symbols - 1, t) if t < symbols + 3 else (t - symbols) % (symbols - 6)


@pytest.mark.parametrize(
    ("course", "symbols"), [(steady, 12), (steady, 7), (stuck, 12), (stuck, 6), (again, 12), (again, 9)]
)
def test_the_guard_decides_as_the_references_analyzer_does(course: Any, symbols: int) -> None:
    random, stop = np.random.default_rng(symbols), 9
    guard, theirs_guard = AlignmentGuard(symbols, stop), analyzer(symbols, stop)
    last, reasons = 3, set()
    for t in range(40):
        size = 5 + symbols + 2 if t == 0 else 1
        attention = 0.02 * random.random((size, 5 + symbols + 2 + t)).astype(np.float32)
        attention[-1, 5 + course(t, symbols)] += 0.9
        x = logits(t, 30)
        theirs_guard.last_aligned_attns = [torch.from_numpy(attention.copy())] * 3
        want = theirs_guard.step(torch.from_numpy(x[None].copy()), next_token=last)[0].numpy()
        rows = attention[5 + symbols :] if t == 0 else attention
        got = guard.step(x, rows[:, 5 : 5 + symbols], last)
        np.testing.assert_array_equal(got, want)
        reasons.add(guard.reason)
        last = int(random.integers(0, 30)) if t % 9 else last
    assert len(reasons) > 1 or course is steady


def test_five_symbols_end_where_the_reference_ends_in_an_index_error() -> None:
    guard = AlignmentGuard(5, 9)
    seen = np.eye(5, dtype=np.float32)
    assert np.isfinite(guard.step(logits(0, 30), seen[:2], 1)).all()
    for t in range(2, 20):
        guard.step(logits(t, 30), seen[-1:], t)
    assert guard.reason == "the last symbols lasted too long"
