"""Fitted coefficients say no more digits than they have."""

from __future__ import annotations

import numpy as np
import pytest

from portavoz.lab.numbers import figure, fit, fit_one


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-3.331e-16, 1e-8, "0"),
        (0.70000001, 3e-8, "0.7"),
        (1.02, 1e-9, "1.02"),
        (-0.5, 0.0, "-0.5"),
        (1234.5678, 0.001, "1235"),
        (0.1234, 0.02, "0.1"),
        (3.0, float("inf"), "3"),
    ],
)
def test_a_figure_is_rounded_at_its_uncertainty(value: float, error: float, text: str) -> None:
    assert figure(value, error) == text


def test_a_coefficient_that_is_zero_is_zero_whatever_rounding_left_of_it() -> None:
    draw = np.random.default_rng(3)
    basis = draw.standard_normal((200, 2)).astype(np.float32).astype(np.float64)
    target = (basis[:, 0]).astype(np.float32).astype(np.float64)
    found = fit(basis, target + 1e-9 * draw.standard_normal(200))
    assert [figure(v, e) for v, e in zip(found.values, found.errors)] == ["1", "0"]


def test_the_error_of_a_gain_is_what_the_residual_allows() -> None:
    draw = np.random.default_rng(4)
    x = draw.standard_normal(400)
    gains = [fit_one(x, 1.02 * x + 0.1 * draw.standard_normal(400)) for _ in range(200)]
    spread = np.std([gain for gain, _ in gains])
    assert 0.8 < spread / np.mean([error for _, error in gains]) < 1.25
    assert fit_one(np.zeros(3), np.ones(3)) == (0.0, 0.0)
