"""A family compared as a whole: with its reference package, or on one back end beside another."""

from __future__ import annotations

from typing import Any

from ..families.spec import FamilySpec
from .compare import compare, forced
from .forcing.noise_floor import traced
from .probes import configured, probe_of, program, reference_program
from .report.verdict import Verdict


def compare_backends(family: FamilySpec, against: str, backend: str, *, seed: int = 0) -> dict[str, Verdict]:
    """The verdict on a back end for each configuration of a family's probe. Raises PortavozError."""
    verdicts: dict[str, Verdict] = {}
    for name, config in probe_of(family).configs.items():
        theirs, ours = (program(family, config, seed=seed, ops=side) for side in (against, backend))
        verdicts[name] = forced(traced(theirs), ours)
    return verdicts


def compare_reference(
    family: FamilySpec, source: Any, name: str, backend: str, *, seed: int = 0, steps: int | None = None
) -> Verdict:
    """The verdict on our family on a back end beside its reference package, both loops running freely too.

    source: a configuration's name or file, or a Checkpoint whose weights both sides have. Raises PortavozError.
    """
    source = configured(family, source) if isinstance(source, str) else source
    config = getattr(source, "config", source)
    theirs, arrays = reference_program(family, source, name=name, seed=seed, steps=steps)
    return compare(
        theirs, program(family, config, seed=seed, steps=steps, arrays=arrays, ops=backend), free_running=True
    )
