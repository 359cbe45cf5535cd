"""Bootstrap intervals: right where they can be worked out, wide where little was asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portavoz.evaluate.intervals import crossed_weights, difference, figure, sentence_weights


def test_a_mean_has_the_interval_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = figure(np.stack([values, np.ones(400)], 1))
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert found.count == 400


def test_sentences_count_by_their_weight_and_squares_by_their_root() -> None:
    assert figure([(1, 1), (0, 9)]).value == pytest.approx(0.1)
    assert figure([(8, 2), (0, 0)], root=True).value == pytest.approx(2.0)


def test_a_single_sentence_has_no_width() -> None:
    assert figure([(3, 2)])[:3] == (1.5, 1.5, 1.5)


pairs = st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 10)), min_size=1, max_size=30)


@given(pairs, st.booleans())
def test_an_interval_holds_its_value_and_nothing_differs_from_itself(parts: list, root: bool) -> None:
    found = figure(parts, root=root)
    assert found.low <= found.high
    assert difference(parts, parts, root=root)[:3] == (0.0, 0.0, 0.0)
    ratios = [total / weight for total, weight in parts]
    assert min(ratios) - 1e-6 <= (found.value**2 if root else found.value) <= max(ratios) + 1e-6


def test_what_both_share_cancels() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 10, 100)
    first = np.stack([hard, np.ones(100)], 1)
    second = np.stack([hard + rng.normal(1, 0.5, 100), np.ones(100)], 1)
    found = difference(first, second)
    assert 0.85 < found.low < found.value < found.high < 1.15
    assert figure(second).high - figure(second).low > 3


def test_many_ratings_of_few_listeners_are_few_opinions() -> None:
    rng = np.random.default_rng(2)
    listeners, sentences = np.repeat(np.arange(4), 50), np.tile(np.arange(50), 4)
    taste = np.array([-1.0, 0.0, 0.5, 1.5])
    parts = np.stack([taste[listeners] + rng.normal(0, 0.1, 200), np.ones(200)], 1)
    crossed = figure(parts, weights=crossed_weights(listeners, sentences))
    naive = figure(parts, weights=sentence_weights(200))
    assert crossed.high - crossed.low > 3 * (naive.high - naive.low)
    # The spread over listeners alone: their standard error, roughly.
    assert crossed.high - crossed.low == pytest.approx(2 * 1.96 * taste.std() / 2, rel=0.3)


def test_one_listener_leaves_the_choice_of_sentences() -> None:
    values = np.random.default_rng(3).normal(0, 1, 60)
    parts = np.stack([values, np.ones(60)], 1)
    alone = figure(parts, weights=crossed_weights(np.zeros(60, np.int64), np.arange(60)))
    plain = figure(parts, weights=sentence_weights(60, seed=1))
    assert alone[:3] == pytest.approx(plain[:3])
