"""Subjects of our own families: short probes with sensitised weights, so that every fault can be seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..blocks.durations import frames
from ..errors import InputError
from ..families.compact import vocoder as compact_wave
from ..families.compact.acoustic import Acoustic, keep, layout
from ..families.compact.config import CompactConfig, HifiConfig, IstftConfig
from ..flow import MelSpec
from ..ops.base import Ops
from ..ops.tap import tap
from ..weights.cursor import Weights
from .instrument.ops import OpsProgram

Arrays = dict[str, NDArray[Any]]

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


class Probe(NamedTuple):
    """What is said: ids [2, S] (the second row shorter), lengths [2], speaker [2]."""

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    speaker: NDArray[np.int64]

    @classmethod
    def of(cls, c: CompactConfig, seed: int = 0) -> Probe:
        """One probe a seed, 11 to 14 symbols long."""
        draw = np.random.default_rng(1000 + seed)
        symbols = int(draw.integers(11, 15))
        lengths = np.array([symbols, symbols - 3])
        ids = draw.integers(1, c.symbols, (2, symbols))
        ids[1, lengths[1] :] = 0
        return cls(ids, lengths, draw.integers(0, c.speakers, 2))


def configured(name: str) -> CompactConfig:
    """A probe's configuration by its name; "tiny" is the first. Raises InputError."""
    if name not in ("tiny", *CONFIGS):
        raise InputError(f"the probe of compact has no configuration {name!r}: choose one of {', '.join(CONFIGS)}")
    return CONFIGS.get(name, PROBE)


def sensitised(build: Callable[[Weights], Any], seed: int) -> Arrays:
    """Random weights for a model under which nothing hides: no bias is 0, no scale 1, no statistic (0, 1)."""
    w = Weights.fresh(Ops(), seed)
    build(w)
    draw = np.random.default_rng(seed)
    out: Arrays = {}
    for path, a in w.arrays().items():
        name, shape = path.rpartition(".")[2], a.shape
        if name in ("bias", "mean", "running_mean"):
            value = 0.2 * draw.standard_normal(shape)
        elif name in ("scale", "running_var", "gamma", "alpha"):
            value = draw.uniform(0.6, 1.5, shape)
        elif name == "weight" and len(shape) == 1:
            value = 1 + 0.25 * draw.standard_normal(shape)
        else:
            fan = shape[0] * shape[2] / 4 if "upsampler" in path else max(1, int(np.prod(shape[1:])))
            value = draw.standard_normal(shape) * (1.0 if "embedding" in path or "speaker" in path else 1.2 / fan**0.5)
        out[path] = value.astype(np.float32)
    return out


def compact(
    config: CompactConfig = PROBE,
    *,
    seed: int = 0,
    arrays: Mapping[str, NDArray[Any]] | None = None,
    ops: Any = "torch",
    edit: Callable[[Acoustic, Any], None] | None = None,
    probe: Probe | None = None,
) -> OpsProgram:
    """The compact family from ids to wave: a padded batch of two, one `probe` for each `seed`.

    `arrays` are its weights (None: sensitised ones of seed 0); `edit` may change the model after it was built.
    """
    said = Probe.of(config, seed) if probe is None else probe

    def build(w: Weights) -> Callable[[], Any]:
        acoustic, vocoder = parts(w, config)
        if edit is not None:
            edit(acoustic, vocoder)
        return lambda: speak(acoustic, vocoder, said)

    weights = loud(sensitised(lambda w: parts(w, config), 0)) if arrays is None else arrays
    name = f"compact on {ops}" if isinstance(ops, str) else "compact"
    return OpsProgram(build, weights, ops=ops, name=name)


def loud(arrays: Arrays) -> Arrays:
    """Durations of a few frames a symbol, whatever the rest says."""
    arrays["acoustic.durations.out.bias"] = np.full(1, np.log(3.0), np.float32)
    arrays["acoustic.durations.out.weight"] *= np.float32(0.25)
    return arrays


def parts(w: Weights, config: CompactConfig) -> tuple[Acoustic, Any]:
    """Both halves of the family."""
    return Acoustic(w / "acoustic", config), compact_wave.vocoder(w / "vocoder", config)


def speak(acoustic: Acoustic, vocoder: Any, probe: Probe) -> None:
    """One utterance of the probe: every value that crosses a stage's border is named."""
    ops, (ids, lengths, speaker) = acoustic.ops, probe
    memory, log_durations = acoustic.encode(ops.tensor(ids), ops.tensor(speaker), keep(ops, lengths))
    logs = ops.numpy(tap("log_durations", log_durations))[..., 0]
    logs = np.where(np.arange(ids.shape[1])[None] < lengths[:, None], logs, 0.0)
    durations = tap("durations", np.clip(frames(logs), 0, 5))
    index, place = layout(durations)
    real = keep(ops, durations.sum(-1))
    mel = tap("mel", acoustic.decode(tap("memory", memory), ops.tensor(index), ops.tensor(place), real))
    tap("wave", vocoder(mel))
