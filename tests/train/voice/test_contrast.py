import numpy as np
import pytest

from portavoz.errors import SpecError, WeightError
from portavoz.train.voice.contrast import HEAD, WIDTH, sharpened

BINS, CHANNELS = 130, 6


def weights() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    shapes = {"head.weight": (5 * BINS, CHANNELS), "head.bias": (5 * BINS,), "mean": (5 * BINS,)}
    made = {HEAD + name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return {**made, HEAD + "scale": draw.uniform(0.3, 4, 5 * BINS).astype(np.float32), "other": np.ones(2, np.float32)}


def spectra(w: dict[str, np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """h, θ, n, r, φ as `SourceFilterHead` makes them of its last layer."""
    weight, bias, scale, mean = (w[HEAD + name] for name in ("head.weight", "head.bias", "scale", "mean"))
    return np.split((x @ weight.T + bias) * scale + mean, 5, -1)


def test_magnitudes_move_away_from_their_neighbours_and_angles_stay():
    x = np.random.default_rng(1).standard_normal((9, CHANNELS)).astype(np.float32)
    before, after = spectra(weights(), x), spectra(sharpened(weights(), 0.2), x)
    for part, (old, new) in enumerate(zip(before, after)):
        if part in (1, 4):
            assert np.array_equal(old, new)
            continue
        wide = np.pad(old, ((0, 0), (WIDTH // 2, WIDTH // 2)), mode="edge")
        mean = np.stack([wide[:, i : i + WIDTH].mean(1) for i in range(BINS)], 1)
        assert np.abs(new - (old + 0.2 * (old - mean))).max() < 1e-4
        assert np.abs(new - old).max() > 0.1


def test_no_contrast_changes_nothing_but_rounding():
    plain, same = weights(), sharpened(weights(), 0)
    assert plain.keys() == same.keys()
    assert all(np.abs(plain[path] - same[path]).max() < 1e-6 for path in plain)


def test_what_cannot_be_is_refused():
    with pytest.raises(SpecError, match="from 0 to 1"):
        sharpened(weights(), 1.5)
    with pytest.raises(WeightError, match="only a source–filter voice"):
        sharpened({"vocoder.out.weight": np.zeros((2, 2), np.float32)}, 0.2)
