"""What a kit needs to know of a family: its tiny configuration, inputs, stages in bring-up order, decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...families.compact.acoustic import layout
from ...families.compact.config import CompactConfig
from ...families.speecht5.config import TINY, SpeechT5Config
from ...ops.base import Ops
from ...weights.cursor import Weights
from .. import compact_probe, speecht5_probe
from ..instrument.observer import Program
from ..trace.trace import Trace
from .notes import COMPACT, HIFIGAN, ISTFT, SPEECHT5

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One family in one configuration. `starts`: each stage's name and a pattern of the unit that begins it.

    `notes` say what a port needs beside the goldens: what happens between words.
    """

    family: str
    name: str
    config: dict[str, Any]
    build: Callable[[Weights], Any]
    sensitised: Callable[[], Arrays]
    inputs: Callable[[], Arrays]
    subject: Callable[[Mapping[str, NDArray[Any]], Arrays], Program]
    expected: Callable[[Trace], dict[str, Any]]
    starts: tuple[tuple[str, str], ...]
    notes: str

    def weights(self) -> tuple[Arrays, dict[str, str]]:
        """Sensitised weights in PyTorch's order, and each tensor's role (what its axes mean)."""
        fresh = Weights.fresh(Ops())
        self.build(fresh)
        return self.sensitised(), {k: fresh.record.roles.get(k, "") for k in fresh.record.taken}


def named(family: str, config: str = "") -> Kind:
    """A family's kit by the configuration's name. Raises InputError for one that has none."""
    if family == "compact":
        name = config or "istft"
        if name not in compact_probe.CONFIGS:
            raise InputError(f"compact has no kit {config!r}: choose one of {', '.join(compact_probe.CONFIGS)}")
        return _compact(compact_probe.CONFIGS[name])
    if family == "speecht5":
        if config not in ("", "tiny"):
            raise InputError(f"speecht5 has no kit {config!r}: there is tiny")
        return _speecht5(TINY)
    raise InputError(f"there is no kit of the family {family!r}: choose compact or speecht5")


def of(family: str, config: Mapping[str, Any]) -> Kind:
    """The same from what kit.json says. Raises InputError, SpecError."""
    if family == "compact":
        return _compact(CompactConfig.from_dict(config))
    if family == "speecht5":
        return _speecht5(SpeechT5Config.from_dict(config["model"], config["vocoder"]))
    raise InputError(f"there is no kit of the family {family!r}: choose compact or speecht5")


# Compact


def _compact(c: CompactConfig) -> Kind:
    def inputs() -> Arrays:
        probe = compact_probe.Probe.of(c)
        return {"ids": probe.ids, "lengths": probe.lengths, "speaker": probe.speaker}

    def subject(arrays: Mapping[str, NDArray[Any]], given: Arrays) -> Program:
        probe = compact_probe.Probe(given["ids"], given["lengths"], given["speaker"])
        return compact_probe.compact(c, arrays=arrays, probe=probe, ops="numpy")

    def expected(whole: Trace) -> dict[str, Any]:
        durations = whole.array("durations#0", "out").astype(np.int64)
        index, place = layout(durations)
        return {
            "durations": durations.tolist(),
            "frames": durations.sum(-1).tolist(),
            "samples": int(index.shape[1]) * c.mel.hop,
            "index": index.tolist(),
            "place": np.round(place.astype(np.float64), 7).tolist(),
        }

    starts = (("encode", "acoustic.encoder.*"), ("decode", "acoustic.decoder.*"), ("vocode", "vocoder.*"))
    return Kind(
        "compact", f"compact, {c.vocoder}", c.to_dict(), lambda w: compact_probe.parts(w, c),
        lambda: compact_probe.loud(compact_probe.sensitised(lambda w: compact_probe.parts(w, c), 0)),
        inputs, subject, expected, starts, COMPACT + (ISTFT if c.vocoder == "istft" else HIFIGAN),
    )  # fmt: skip


# SpeechT5


def _speecht5(c: SpeechT5Config) -> Kind:
    def inputs() -> Arrays:
        return speecht5_probe.Probe.of(c)._asdict()

    def subject(arrays: Mapping[str, NDArray[Any]], given: Arrays) -> Program:
        return speecht5_probe.ours(c, arrays, probe=speecht5_probe.Probe(**given), ops="numpy")

    def expected(whole: Trace) -> dict[str, Any]:
        keys = [key for key, unit in whole.units.items() if unit.path == "stops"]
        sums = np.stack([whole.array(key, "out").reshape(2, -1).sum(-1) for key in keys]).astype(np.float64)
        threshold = _threshold(sums)
        fires = sums >= threshold
        first = [int(np.argmax(row)) if row.any() else None for row in fires.T]
        return {"steps": len(keys), "stop_threshold": threshold, "fires": fires.T.tolist(), "stop_step": first}

    def build(w: Weights) -> Any:
        return speecht5_probe.parts(w, c)

    starts = (
        ("encode", "speecht5.encoder.*"),
        ("first_step", "speecht5.decoder.prenet.layers.0#0"),
        ("steps", "speecht5.decoder.prenet.layers.0#1"),
        ("postnet", "speech_decoder_postnet.layers.0.*"),
        ("vocode", "vocoder.*"),
    )
    return Kind(
        "speecht5", "speecht5, tiny", {"model": c.to_dict(), "vocoder": c.vocoder_dict()}, build,
        lambda: compact_probe.sensitised(build, 0), inputs, subject, expected, starts, SPEECHT5,
    )  # fmt: skip


def _threshold(sums: NDArray[np.float64]) -> float:
    """In the middle of the widest gap above which some row does not stop at once, so that rounding decides nothing."""
    ordered = np.sort(sums.ravel())
    middles = [(float(b - a), float((a + b) / 2)) for a, b in zip(ordered, ordered[1:])]
    later = [one for one in middles if (sums[0] < one[1]).any() and (sums >= one[1]).any()]
    return float(np.round(max(later or middles)[1], 4))
