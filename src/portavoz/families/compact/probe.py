"""The compact family's probe: tiny models of every vocoder, and a padded batch of two short texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.durations import frames
from ...blocks.pulse_source import PulseSource, halves
from ...flow import MelSpec, Noise
from ...ops.tap import tap
from ...weights.cursor import Weights
from ..probe import parity_weights
from ..spec import Arrays, Probe
from .acoustic import keep, layout
from .config import CompactConfig, HifiConfig, IstftConfig, SourceFilterConfig
from .notes import NOTES
from .runtime import eager_stages
from .source_loop import prosody

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
PROBE_SOURCE = dataclasses.replace(
    PROBE,
    vocoder="source_filter",
    mel=MelSpec(rate=24000, fft=64, hop=16, window=64, mels=16),
    source_filter=SourceFilterConfig(channels=20, inner=36, layers=2, dilations=(1, 2)),
)
CONFIGS = {"istft": PROBE, "hifigan": PROBE_HIFI, "source_filter": PROBE_SOURCE}
CURVES = np.array([900.0, 0.2, 900.0, 0.2], np.float32)  # a pulse in every other frame, and no frame without F0


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

    def build(w: Weights) -> Any:
        return eager_stages(w, c)

    arrays = clamp_durations(parity_weights(build, 0))
    if c.vocoder == "source_filter":
        arrays["acoustic.curves.mean"] = CURVES
        arrays["acoustic.curves.scale"] = CURVES * np.float32(0.1)
    return arrays


def clamp_durations(arrays: Arrays) -> Arrays:
    """Durations of a few frames a symbol, whatever else the weights are."""
    arrays["acoustic.durations.out.bias"] = np.full(1, np.log(3.0), np.float32)
    arrays["acoustic.durations.out.weight"] *= np.float32(0.25)
    return arrays


def run(model: Any, given: Arrays, c: CompactConfig) -> None:
    """One utterance of the probe: every value that crosses a stage's border is named."""
    if c.vocoder == "source_filter":
        return run_source_filter(model, given, c)
    acoustic, ops = model.acoustic, model.ops
    ids, lengths, speaker = given["ids"], given["lengths"], given["speaker"]
    memory, log_durations = acoustic.encode(ops.tensor(ids), ops.tensor(speaker), keep(ops, lengths))
    durations = _durations(ops, log_durations, lengths)
    index, place = layout(durations)
    real = keep(ops, durations.sum(-1))
    mel = tap("mel", acoustic.decode(tap("memory", memory), ops.tensor(index), ops.tensor(place), real))
    tap("wave", model.vocoder(mel))


def _durations(ops: Any, log_durations: Any, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    logs = ops.numpy(tap("log_durations", log_durations))[..., 0]
    logs = np.where(np.arange(logs.shape[1])[None] < lengths[:, None], logs, 0.0)
    return tap("durations", np.clip(frames(logs), 0, 5))


def run_source_filter(model: Any, given: Arrays, c: CompactConfig) -> None:
    """The same with F0 and loudness between the halves; pulses and noise come from the host."""
    plan, speech, ops = model.acoustic, model.vocoder, model.ops
    ids, speaker, real = ops.tensor(given["ids"]), ops.tensor(given["speaker"]), keep(ops, given["lengths"])
    memory, log_durations = plan.encode(ids, speaker, real)
    durations = _durations(ops, log_durations, given["lengths"])
    index, place = layout(durations)
    steps = keep(ops, -(-durations.sum(-1) // 2))
    each, where = ops.tensor(index[:, ::2].copy()), ops.tensor(place[:, ::2].copy())
    curves = ops.numpy(tap("curves", plan.decode(tap("memory", memory), each, where, steps)))[:, : index.shape[1]]
    curves = curves.astype(np.float32)
    controls = np.stack([prosody(row[:, 0], row[:, 1]) for row in curves])
    pulses = tap("pulses", np.stack([halves(PulseSource(c.mel, row[:, 0]).spectra(len(row))) for row in curves]))
    noise = np.stack([Noise(1).draw("source.noise", pulses.shape[1:])] * len(pulses))
    text = ops.gather(tap("text", speech.encode(ids, speaker, real)), ops.tensor(index))
    tap("wave", speech.filters(text, *(ops.tensor(x) for x in (place, controls, pulses, noise))))


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
    bring_up=lambda c: (
        ("encode", "acoustic.encoder.*"),
        ("decode", "acoustic.curves.*" if c.vocoder == "source_filter" else "acoustic.decoder.*"),
        ("vocode", "vocoder.*"),
    ),
    notes=lambda c: NOTES["encoder"] + (NOTES["mel"] if c.vocoder != "source_filter" else "") + NOTES[c.vocoder],
    title=lambda c: f"compact, {c.vocoder}",
)
