"""A family on one back end against the same family on another: forced edges, every unit of every probe."""

from __future__ import annotations

from ..errors import InputError
from ..families.speecht5.config import TINY
from . import speecht5_probe
from .compact_probe import CONFIGS, compact, sensitised
from .compare import forced
from .forcing.noise_floor import traced
from .instrument.ops import OpsProgram
from .report.verdict import Verdict


def pairs(family: str, reference: str, backend: str, seed: int = 0) -> dict[str, tuple[OpsProgram, OpsProgram]]:
    """For each probe of a family the reference and the port, with the same weights. Raises InputError."""
    sides = (reference, backend)
    if family == "compact":
        made = {probe: [compact(config, seed=seed, ops=side) for side in sides] for probe, config in CONFIGS.items()}
        return {probe: (one, other) for probe, (one, other) in made.items()}
    if family == "speecht5":
        arrays = sensitised(lambda w: speecht5_probe.parts(w, TINY), 0)
        one, other = (speecht5_probe.ours(TINY, arrays, seed=seed, ops=side) for side in sides)
        return {"tiny": (one, other)}
    raise InputError(f"there is no probe of the family {family!r}: choose compact or speecht5")


def compare(family: str, reference: str, backend: str, *, seed: int = 0) -> dict[str, Verdict]:
    """The verdict on a back end for each probe of a family. Raises InputError, BackendError, MissingExtra."""
    found = pairs(family, reference, backend, seed)
    return {probe: forced(traced(theirs), ours) for probe, (theirs, ours) in found.items()}
