"""The limiter leaves speech alone and bends what is too loud, smoothly."""

import numpy as np

from portavoz.audio.limit import CEILING, KNEE, soft_limit


def test_quiet_samples_are_untouched():
    quiet = np.linspace(-KNEE, KNEE, 1001, dtype=np.float32)
    assert soft_limit(quiet) is quiet


def test_loud_samples_stay_below_the_ceiling_in_order_and_without_a_corner():
    loud = np.linspace(-3, 3, 60_001, dtype=np.float32)
    bent = soft_limit(loud)
    assert np.abs(bent).max() <= np.float32(CEILING)
    assert (np.diff(bent) >= 0).all()
    slope = np.diff(bent.astype(np.float64)) / np.diff(loud.astype(np.float64))
    at_knee = np.abs(np.abs(loud[:-1]) - KNEE) < 0.002
    assert slope[at_knee].min() > 0.95
    assert np.allclose(bent, -soft_limit(-loud))


def test_pieces_equal_the_whole():
    samples = (2 * np.random.default_rng(0).standard_normal(1000)).astype(np.float32)
    pieces = np.concatenate([soft_limit(samples[:300]), soft_limit(samples[300:])])
    assert np.array_equal(pieces, soft_limit(samples))
