"""The compact family's probe: tiny models of both vocoders, and a padded batch of two short texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.durations import frames
from ...flow import MelSpec
from ...ops.tap import tap
from ...weights.cursor import Weights
from ..probe import parity_weights
from ..spec import Arrays, Probe
from .acoustic import keep, layout
from .config import CompactConfig, HifiConfig, IstftConfig
from .loop import Eager
from .notes import NOTES

PROBE = CompactConfig(
    hidden=24, heads=2, inner=40, encoder_layers=2, decoder_layers=2, duration_channels=20, speakers=3, longest=512,
    mel=dataclasses.replace(MelSpec(), mels=16), istft=IstftConfig(channels=20, inner=36, layers=2),
)  # fmt: skip
PROBE_HIFI = dataclasses.replace(
    PROBE,
    vocoder="hifigan",
    hifigan=HifiConfig(
        channels=32, rates=(8, 8, 4), kernels=(16, 16, 8), res_kernels=(3, 5), res_dilations=((1, 2), (2, 6))
    ),
)
CONFIGS = {"istft": PROBE, "hifigan": PROBE_HIFI}


def inputs(c: CompactConfig, seed: int = 0, steps: int | None = None) -> Arrays:
    """ids [2, S] (the second row shorter), lengths [2], speaker [2]; 11 to 14 symbols, another text for each seed."""
    draw = np.random.default_rng(1000 + seed)
    symbols = int(draw.integers(11, 15))
    lengths = np.array([symbols, symbols - 3])
    ids = draw.integers(1, c.symbols, (2, symbols))
    ids[1, lengths[1] :] = 0
    return {"ids": ids, "lengths": lengths, "speaker": draw.integers(0, c.speakers, 2)}


def weights(c: CompactConfig) -> Arrays:
    """Parity weights, with durations of a few frames a symbol."""

    def build(w: Weights) -> Eager:
        return Eager(w, c)

    return clamp_durations(parity_weights(build, 0))


def clamp_durations(arrays: Arrays) -> Arrays:
    """Durations of a few frames a symbol, whatever else the weights are."""
    arrays["acoustic.durations.out.bias"] = np.full(1, np.log(3.0), np.float32)
    arrays["acoustic.durations.out.weight"] *= np.float32(0.25)
    return arrays


def run(model: Eager, given: Arrays, c: CompactConfig) -> None:
    """One utterance of the probe: every value that crosses a stage's border is named."""
    acoustic, ops = model.acoustic, model.ops
    ids, lengths, speaker = given["ids"], given["lengths"], given["speaker"]
    memory, log_durations = acoustic.encode(ops.tensor(ids), ops.tensor(speaker), keep(ops, lengths))
    logs = ops.numpy(tap("log_durations", log_durations))[..., 0]
    logs = np.where(np.arange(ids.shape[1])[None] < lengths[:, None], logs, 0.0)
    durations = tap("durations", np.clip(frames(logs), 0, 5))
    index, place = layout(durations)
    real = keep(ops, durations.sum(-1))
    mel = tap("mel", acoustic.decode(tap("memory", memory), ops.tensor(index), ops.tensor(place), real))
    tap("wave", model.vocoder(mel))


def decisions(c: CompactConfig, values: Mapping[str, Sequence[NDArray[Any]]]) -> dict[str, Any]:
    """Durations, and what follows from them."""
    durations = values["durations"][0].astype(np.int64)
    index, place = layout(durations)
    return {
        "durations": durations.tolist(),
        "frames": durations.sum(-1).tolist(),
        "samples": int(index.shape[1]) * c.mel.hop,
        "index": index.tolist(),
        "place": np.round(place.astype(np.float64), 7).tolist(),
    }


SPEC = Probe(
    configs=CONFIGS,
    weights=weights,
    inputs=inputs,
    run=run,
    decisions=decisions,
    bring_up=lambda c: (("encode", "acoustic.encoder.*"), ("decode", "acoustic.decoder.*"), ("vocode", "vocoder.*")),
    notes=lambda c: NOTES["acoustic"] + NOTES[c.vocoder],
    title=lambda c: f"compact, {c.vocoder}",
)
