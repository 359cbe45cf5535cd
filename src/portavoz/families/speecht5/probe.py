"""The probe of SpeechT5: a tiny model, a padded batch of two short texts, and a few steps of the decoding loop.

The reference and our model are driven by the same few lines, teacher-forced: what crosses a stage's border is named,
so the next step hears the reference's frame whatever the port said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...flow import Noise
from ...ops.tap import tap
from ...weights.cursor import Weights
from ..probe import parity_weights
from ..spec import Arrays, Probe
from .config import TINY, SpeechT5Config
from .loop import decode
from .notes import NOTES
from .stages import Eager, Stages

VOCODER = "vocoder"
STEPS, WIDE_STEPS = 6, 8  # of a wide model's mel 16 frames, so that its vocoder is run on 8 with neighbours
# A vocoder that is wider than this hears so many rows and frames: at the published size it makes three quarters of a
# trace's numbers.
WIDE, HEARD = 128, (1, 8)


def inputs(c: SpeechT5Config, seed: int = 0, steps: int | None = None) -> Arrays:
    """ids [2, S] (the second row shorter), mask [2, S], speaker [2, X], pre-net masks [layers, steps, units].

    11 to 14 symbols, another text for each seed.
    """
    draw, noise = np.random.default_rng(seed), Noise(seed)
    symbols = int(draw.integers(11, 15))
    ids = draw.integers(4, c.vocab_size, (2, symbols))
    ids[:, -1] = c.eos_token_id
    ids[1, -5], ids[1, -4:] = c.eos_token_id, c.pad_token_id
    steps = steps or (STEPS if c.vocoder.upsample_initial_channel <= WIDE else WIDE_STEPS)
    shape, p = (steps, c.speech_decoder_prenet_units), c.speech_decoder_prenet_dropout
    kept = [noise.keep(f"prenet.{i}", shape, p) > 0 for i in range(c.speech_decoder_prenet_layers)]
    masks = (np.stack(kept) / (1 - p)).astype(np.float32)
    speaker = draw.standard_normal((2, c.speaker_embedding_dim)).astype(np.float32)
    return {"ids": ids, "mask": ids != c.pad_token_id, "speaker": speaker, "masks": masks}


def weights(c: SpeechT5Config) -> Arrays:
    """Parity weights of model and vocoder."""

    def build(w: Weights) -> Eager:
        return Eager(w, w / VOCODER, c)

    return parity_weights(build, 0)


def run(model: Stages, given: Arrays, c: SpeechT5Config) -> None:
    """As many steps as there are masks, all rows together."""
    ids, masks = given["ids"], given["masks"]
    state = model.encode(ids, given["mask"], given["speaker"], masks.shape[1] + 1)

    def kept(step: int, here: Sequence[int]) -> NDArray[np.float32]:
        return np.repeat(masks[:, step, None], len(here), 1)

    frames = [step.frames for step in decode(model, state, kept, masks.shape[1], c, rows=len(ids))]
    mel = tap("mel", model.postnet(np.concatenate(frames, 1)))
    rows, heard = HEARD if c.vocoder.upsample_initial_channel > WIDE else (None, None)
    tap("wave", model.vocode(mel[:rows, :heard]))


def decisions(c: SpeechT5Config, values: Mapping[str, Sequence[NDArray[Any]]]) -> dict[str, Any]:
    """At which step each row stops, by a threshold that rounding does not touch."""
    sums = np.stack([stops.reshape(2, -1).sum(-1) for stops in values["stops"]]).astype(np.float64)
    threshold = _threshold(sums)
    fires = sums >= threshold
    first = [int(np.argmax(row)) if row.any() else None for row in fires.T]
    return {"steps": len(sums), "stop_threshold": threshold, "fires": fires.T.tolist(), "stop_step": first}


def _threshold(sums: NDArray[np.float64]) -> float:
    """In the middle of the widest gap above which some row does not stop at once, so that rounding decides nothing."""
    ordered = np.sort(sums.ravel())
    middles = [(float(b - a), float((a + b) / 2)) for a, b in zip(ordered, ordered[1:])]
    later = [one for one in middles if (sums[0] < one[1]).any() and (sums >= one[1]).any()]
    return float(np.round(max(later or middles)[1], 4))


BRING_UP = (
    ("encode", "speecht5.encoder.*"),
    ("first_step", "speecht5.decoder.prenet.layers.0#0"),
    ("steps", "speecht5.decoder.prenet.layers.0#1"),
    ("postnet", "speech_decoder_postnet.layers.0.*"),
    ("vocode", "vocoder.*"),
)
SPEC = Probe(
    configs={"tiny": TINY},
    weights=weights,
    inputs=inputs,
    run=run,
    decisions=decisions,
    bring_up=lambda c: BRING_UP,
    notes=lambda c: NOTES,
    title=lambda c: "speecht5, tiny",
)
