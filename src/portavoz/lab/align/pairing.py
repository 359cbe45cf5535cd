"""Which units and layers of two traces belong together, by which rule, and what has no partner."""

from __future__ import annotations

from dataclasses import dataclass, field

from .views import View


@dataclass(slots=True)
class Pairing:
    """`units` live key → keys in the trace (several where the port packs layers), `layers` the same for paths.

    `rules` says for each live key or path how it was paired; `packed` live path → which part gives each channel;
    `unmatched` live keys without a partner, `uncovered` trace keys that nobody stands for, `fused` trace keys that the
    port works out between two units that are paired: they are judged at the next edge (`inside` its own keys there).
    `views` says for live keys whose calls are parts of the trace's, or the other way round, which part each one is;
    `dropped` are units that were compared and turned out to be fused, `own` their live keys → keys in the trace;
    `histories` are live paths that one side calls on the whole history, which grows with every call, and the other on
    its last step. `any_row_order`: the rows of a batch may come in another order.
    """

    layers: dict[str, list[str]] = field(default_factory=dict)
    units: dict[str, list[str]] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    packed: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    fused: list[str] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    views: dict[str, View] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    own: dict[str, list[str]] = field(default_factory=dict)
    histories: set[str] = field(default_factory=set)
    any_row_order: bool = True

    @property
    def met(self) -> set[str]:
        """The trace's units that are paired."""
        return {key for keys in self.units.values() for key in keys}

    @property
    def reached(self) -> set[str]:
        """The trace's paths of layers that are paired."""
        return {path for paths in self.layers.values() for path in paths}

    @property
    def coverage(self) -> float:
        """The share of the trace's units that are paired or judged at the next edge."""
        judged = len(self.met) + len(self.fused)
        return judged / max(1, judged + len(self.uncovered))

    @property
    def seen(self) -> float:
        """The share of the trace's units that are paired and judged by themselves."""
        return len(self.met) / max(1, len(self.met) + len(self.fused) + len(self.uncovered))
