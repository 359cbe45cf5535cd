"""The probe of Kokoro: a tiny model and a text of a few phonemes, with durations and noise given."""

from __future__ import annotations

import numpy as np

from ..probe import length, parity_weights, run_once
from ..spec import Arrays, Probe
from .config import KokoroConfig
from .eager import NORMAL
from .network import Kokoro
from .sizes import KokoroSizes

TINY = KokoroConfig(
    symbols=32,
    style=12,
    sizes=KokoroSizes(
        symbols=32, longest=40, embedding=8, bert=16, heads=2, inner=24, layers=2, hidden=12, style=6, depth=2, most=5,
        wide=14, residual=4, first=16, rates=(4, 2), kernels=(8, 4), res_kernels=(3, 5), dilations=(1, 2),
        source_kernels=(3, 5), fft=8, hop=2, harmonics=2,
    ),
)  # fmt: skip
NOTES = """\
- A style is two halves: the first steers the decoder, the second the predictors.
- A duration is the sum of sigmoids over the last axis, divided by the speed, rounded to even, at least 1; frames are
  repeated, not interpolated.
- PL-BERT runs one layer many times, with post-norms of eps 1e-12 and the tanh form of GELU.
- Adaptive instance norms use the biased variance over time, eps 1e-5, and scale by 1 + what the style says.
- Leaky slopes are 0.2 in styled blocks and the text encoder, 0.1 in the generator, 0.01 before its last convolution.
- F0 has two steps for a duration's frame. Phases are summed once a step and interpolated between their middles.
- The excitation's spectrum is magnitude and phase; where a frame is silent its phases are rounding noise.
- The last phase is the sine of what the network says, and one step is mirrored in front at the last upsampling.
"""


def inputs(c: KokoroConfig, seed: int = 0, steps: int | None = None) -> Arrays:
    """tokens [1, S], a style, the frames of each token, and noise."""
    draw = np.random.default_rng(seed)
    count = steps or int(draw.integers(6, 9))
    return {
        "tokens": draw.integers(0, c.sizes.symbols, (1, count)),
        "style": draw.standard_normal((1, 2 * c.sizes.style)).astype(np.float32),
        "speed": np.ones(1, np.float32),
        "given": draw.integers(1, 4, count),
        f"{NORMAL}.0": draw.standard_normal(4096).astype(np.float32),
    }


def weights(c: KokoroConfig) -> Arrays:
    """Parity weights, with F0 where people speak and spectra that are neither silent nor huge."""
    found = parity_weights(lambda w: Kokoro(w, c.sizes), 0)
    found["predictor.F0_proj.weight"] *= np.float32(60)
    found["predictor.F0_proj.bias"][:] = 150
    found["decoder.generator.conv_post.weight"] *= np.float32(0.2)
    found["decoder.F0_conv.weight"] *= np.float32(0.01)  # it reads Hz
    return found


SPEC = Probe(
    configs={"tiny": TINY},
    weights=weights,
    inputs=inputs,
    run=run_once,
    decisions=length,
    bring_up=lambda c: (
        ("read", "bert.*"), ("durations", "predictor.text_encoder.*"), ("curves", "predictor.shared*"),
        ("source", "decoder.generator.m_source.*"), ("text", "text_encoder.*"), ("decode", "decoder.F0_conv*"),
    ),
    notes=lambda c: NOTES,
    title=lambda c: "Kokoro, tiny",
    parts=lambda model: (model.model, model),
)  # fmt: skip
