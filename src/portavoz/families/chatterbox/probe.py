"""The probe of Chatterbox: a tiny model, half a second of a prompt, a few tokens and two steps of the flow.

The reference and our blocks are driven by the same lines: what crosses a stage's border is named, so that a step hears
the reference's token, velocity or mel whatever the port said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...blocks.flow_matching import euler, guide, times
from ...flow import Noise
from ...ops.tap import tap
from ...weights.cursor import Weights
from ..probe import parity_weights, settled
from ..spec import Arrays, Probe
from .codes import tokens as code_tokens
from .config import CODES, CONFIGS, ChatterboxConfig
from .stages import Eager, Stages

STEPS = 3  # tokens behind the first, and steps of the flow
PREFIXES = {"t3": "t3", "voice": "ve", "s3gen": ""}  # of each root in a whole model's paths
TINY = {"tiny": CONFIGS["tiny"], "turbo": CONFIGS["tiny-turbo"]}


def inputs(c: ChatterboxConfig, seed: int = 0, steps: int | None = None) -> Arrays:
    """What each stage is given that no stage makes; no length is a width of the model."""
    draw = np.random.default_rng(seed)

    def normal(*shape: int) -> NDArray[np.float32]:
        return draw.standard_normal(shape).astype(np.float32)

    ids = draw.integers(1, 255, (1, 13))
    ids[0, [0, -1]] = c.tokens.start_text, c.tokens.stop_text
    speaker = normal(1, 1, c.tokens.speaker)
    return {
        "pieces": np.abs(normal(2, 21, c.voice.mels)),
        "bank": 3 * normal(1, 221, c.xvector.mels),
        "codes_mel": normal(1, 44, c.codes.mels),
        "speaker": speaker / np.linalg.norm(speaker),
        "prompt": draw.integers(0, CODES, (1, 7)),
        "ids": ids,
        "spoken": draw.integers(0, CODES, steps or STEPS),
        "tokens": draw.integers(0, CODES, (1, 19)),
        "start": normal(1, 38, c.flow.mels),
        "shown": normal(1, 14, c.flow.mels),
        "sines": 0.1 * normal(1, 24 * c.spec.hop, c.vocoder.harmonics + 1),
        # Halves, which ports round in their own ways; and four seconds, in which a phase without its modulo drifts.
        "halves": draw.integers(-2, 3, (1, 12, 8)).astype(np.float32) / 2,
        "f0": (170 + 60 * np.sin(np.arange(200) / 30)).astype(np.float32),
    }


def weights(c: ChatterboxConfig) -> Arrays:
    """Parity weights of all models, by whole-model path."""

    def build(w: Weights) -> Eager:
        return Eager({root: w / prefix if prefix else w for root, prefix in PREFIXES.items()}, c)

    bank, arrays = inputs(c)["bank"], parity_weights(build, 0)
    # A pitch that is voiced, and magnitudes whose sum is not clipped from end to end.
    arrays["mel2wav.f0_predictor.classifier.weight"] *= 40
    arrays["mel2wav.f0_predictor.classifier.bias"] += 180
    arrays["mel2wav.conv_post.weight"] *= 0.015
    arrays["mel2wav.conv_post.bias"] -= 0.5
    return settled(arrays, build, lambda model: model.x_vector(bank), 0)


class Compared(Stages, Protocol):
    """The stages, and what the host does between them."""

    def quantize(self, levels: Any) -> Any: ...
    def source(self, f0: Any, noise: Noise) -> Any: ...


def run(model: Compared, given: Arrays, c: ChatterboxConfig) -> None:
    """Every stage once, and the loops for a few steps."""
    tap("voice", model.voice(given["pieces"]))
    x_vector = tap("x_vector", model.x_vector(given["bank"]))
    tap("codes", code_tokens(tap("levels", model.codes(given["codes_mel"]))))
    tap("rounded", model.quantize(given["halves"]))
    rows = 2 if c.tokens.guided else 1
    step = model.prefill(model.condition(given["speaker"], given["prompt"], 0.7), given["ids"], rows)
    tap("logits", step.logits)
    for token in given["spoken"].tolist():
        step = model.step(token, step.state)
        tap("logits", step.logits)
    mel = flow(model, given, x_vector, c)
    f0 = tap("pitch", model.pitch(mel))
    tap("source", model.source(given["f0"], Noise(0)))
    tap("wave", model.vocode(mel, tap("excitation", model.excite(given["sines"].astype(f0.dtype)))))


def flow(model: Stages, given: Arrays, x_vector: Any, c: ChatterboxConfig) -> Any:
    """The mel behind the prompt's frames, each step of the flow named."""
    mu = tap("mu", model.mu(given["tokens"]))
    speaker = tap("speaker", model.project(x_vector))
    prompt = np.zeros_like(mu)
    prompt[:, : given["shown"].shape[1]] = given["shown"]
    pairs = [np.concatenate([a, np.zeros_like(a)]) for a in (mu, speaker, prompt)]

    def estimate(x: Any, t: float, then: float) -> Any:
        if c.flow.meanflow:
            return tap("velocity", model.velocity(x, mu, speaker, prompt, (t, then)))
        twice = np.concatenate([x, x])
        both = tap("velocity", model.velocity(twice, pairs[0], pairs[1], pairs[2], (t, then)))
        return guide(both[:1], both[1:], c.flow.guidance)

    x = given["start"].astype(mu.dtype)
    steps = min(STEPS, c.flow.steps)
    for i, value in euler(estimate, x, times(steps, c.flow.schedule)):
        x = tap(f"flow.{i}", value)
    return tap("mel", x[:, given["shown"].shape[1] :])


def decisions(c: ChatterboxConfig, values: Mapping[str, Sequence[NDArray[Any]]]) -> dict[str, Any]:
    """The prompt's codes, and how long mel and wave are."""
    return {
        "codes": values["codes"][0].astype(np.int64).tolist(),
        "frames": int(values["mel"][0].shape[1]),
        "samples": int(values["wave"][0].shape[1]),
    }


NOTES = """
- Text: rows of a pair with and without text; the second row's text embedding is 0, its positions are not. The start
  token is fed twice, both times at speech position 0; token i stands at speech position i + 1.
- Flow: x, mu, speaker and prompt mel side by side, in this order; the second row has mu, speaker and prompt 0;
  velocity = 1.7 · conditional − 0.7 · free; times 1 − cos(π t / 2).
- Vocoder: one mirrored step in front of the last stage; magnitude = min(exp, 100), phase = sin of what comes out.
"""

SPEC = Probe(
    configs=TINY,
    weights=weights,
    inputs=inputs,
    run=run,
    decisions=decisions,
    bring_up=lambda c: (
        ("voice", "ve.*"), ("x_vector", "speaker_encoder.*"), ("codes", "tokenizer.*"), ("tokens", "t3.*"),
        ("mu", "flow.encoder.*"), ("flow", "flow.decoder.*"), ("wave", "mel2wav.*"),
    ),
    notes=lambda c: NOTES,
    title=lambda c: f"chatterbox, {c.variant}, tiny",
    parts=lambda model: (model, model),
)  # fmt: skip
