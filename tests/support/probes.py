"""The families' probes as the lab's programs, by short names."""

from __future__ import annotations

from typing import Any

from portavoz import families
from portavoz.families.compact.probe import CONFIGS, PROBE, PROBE_HIFI, clamp_durations
from portavoz.families.probe import parity_weights
from portavoz.families.speecht5.config import TINY
from portavoz.lab.probes import program, reference_program

__all__ = ["CONFIGS", "PROBE", "PROBE_HIFI", "clamp_durations", "compact", "ours", "parity_weights", "reference"]


def compact(config: Any = PROBE, **how: Any) -> Any:
    """The compact family on its probe."""
    return program(families.get("compact"), config, **how)


def ours(config: Any, arrays: Any, **how: Any) -> Any:
    """Our SpeechT5 on its probe, with these weights."""
    return program(families.get("speecht5"), config, arrays=arrays, **how)


def reference(seed: int = 0, config: Any = TINY, *, steps: int | None = None) -> Any:
    """`transformers`' SpeechT5 on the probe, and its tensors for `ours`."""
    return reference_program(families.get("speecht5"), config, seed=seed, steps=steps)
