"""What a kit is made of: a family in one of its probe's configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ... import families
from ...errors import InputError
from ...families.spec import Arrays, FamilySpec, Probe
from ...ops.base import Ops
from ...weights.cursor import Weights
from ..instrument.observer import Program
from ..probes import probe_of, probed, program
from ..trace.trace import Trace


@dataclass(frozen=True, slots=True)
class KitSubject:
    """One family in one configuration."""

    family: FamilySpec
    config: Any

    @property
    def probe(self) -> Probe:
        """The family's probe."""
        return probe_of(self.family)

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return self.probe.title(self.config)

    def weights(self) -> tuple[Arrays, dict[str, str]]:
        """Parity weights in PyTorch's order, and each tensor's role (what its axes mean)."""
        fresh = Weights.fresh(Ops())
        self.family.whole(fresh, self.config)
        return self.probe.weights(self.config), {k: fresh.record.roles.get(k, "") for k in fresh.record.taken}

    def program(self, arrays: Mapping[str, NDArray[Any]], inputs: Arrays) -> Program:
        """The family's blocks on NumPy, with these weights and inputs."""
        return program(self.family, self.config, arrays=arrays, inputs=inputs, ops="numpy")

    def expected(self, whole: Trace) -> dict[str, Any]:
        """The decisions of a run, from its named values."""
        values: dict[str, list[Any]] = {}
        for key, unit in whole.units.items():
            if unit.kind == "value":
                values.setdefault(unit.path, []).append(whole.array(key, "out"))
        return self.probe.decisions(self.config, values)


def named(family: str, config: str = "") -> KitSubject:
    """A family's by the configuration's name ("": the first). Raises InputError for one that has none."""
    if family not in probed():
        raise InputError(f"there is no kit of the family {family!r}: choose {' or '.join(probed())}")
    found = families.get(family)
    configs = probe_of(found).configs
    if config not in ("", *configs):
        raise InputError(f"{family} has no kit {config!r}: choose one of {', '.join(configs)}")
    return KitSubject(found, configs[config or next(iter(configs))])


def of(family: str, values: Mapping[str, Any]) -> KitSubject:
    """The same from what kit.json says. Raises InputError, SpecError."""
    found = named(family).family
    return KitSubject(found, found.parse(values, None))
