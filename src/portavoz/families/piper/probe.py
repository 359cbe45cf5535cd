"""The probe of Piper: a tiny VITS and a text of a few phonemes, with durations and noise given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..probe import length, parity_weights, run_once
from ..spec import Arrays, Probe
from .config import MEDIUM, PiperConfig
from .rewrite import LENGTHS, PRIOR
from .sizes import VitsConfig
from .vits import Vits

TINY = replace(
    MEDIUM,
    symbols=32,
    sizes=VitsConfig(
        symbols=32, speakers=3, channels=12, filter=20, layers=2, conditions=6, flows=2, wave_layers=2, wave_kernel=3,
        predictor=10, first=16, upsampling=((8, 4), (4, 2)), blocks=((3, (1, 2)), (5, (2, 6))),
    ),
)  # fmt: skip
NOTES = """\
- The frames of a phoneme are the ceiling of exp(log frames) · length; the prior is repeated, not interpolated.
- Flows run backwards, channels turned before each of them; the first spline flow is left out.
- GELU is exact; leaky slopes are 0.1 inside the decoder and 0.01 before its last convolution.
- Attention knows the nearest four distances: by keys before the softmax, by values behind it.
"""


def inputs(c: PiperConfig, seed: int = 0, steps: int | None = None) -> Arrays:
    """ids [1, S], lengths, scales, a speaker, the frames of each phoneme, and both kinds of noise."""
    draw = np.random.default_rng(seed)
    S = steps or int(draw.integers(9, 13))
    frames = draw.integers(1, 4, S).astype(np.float32)
    return {
        "input": draw.integers(0, c.sizes.symbols, (1, S)),
        "input_lengths": np.array([S]),
        "scales": np.array([0.667, 1.0, 0.8], np.float32),
        "sid": np.array([seed % c.sizes.speakers]),
        "given": frames,
        LENGTHS: draw.standard_normal(2 * S).astype(np.float32),
        PRIOR: draw.standard_normal(int(frames.sum()) * c.sizes.channels).astype(np.float32),
    }


def weights(c: PiperConfig) -> Arrays:
    """Parity weights."""
    return parity_weights(lambda w: Vits(w, c.sizes), 0)


SPEC = Probe(
    configs={"tiny": TINY},
    weights=weights,
    inputs=inputs,
    run=run_once,
    decisions=length,
    bring_up=lambda c: (("encode", "enc_p.*"), ("durations", "dp.*"), ("decode", "flow.*"), ("vocode", "dec.*")),
    notes=lambda c: NOTES,
    title=lambda c: "Piper (VITS), tiny",
    parts=lambda model: (model.model, model),
)
