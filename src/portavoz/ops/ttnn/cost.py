"""What a recorded program would cost, as an estimate from published peaks. No time of a device is claimed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .number import PHASES
from .recording import Entry
from .schedule import BYTES

# A Wormhole n150 as its maker publishes it: 262 TFLOPS of block floats in one phase, 288 GB/s of DRAM, 64 cores in use.
FLOPS, BANDWIDTH, CORES = 262e12, 288e9, 64


@dataclass(frozen=True)
class Cost:
    """Sums over a program: `dispatches` of operations, multiply–adds, bytes of parameters and activations.

    `l1` is the largest sum of one operation's tensors for each core, in bytes. `arithmetic` and `memory` are seconds at
    the published peaks: the larger one is the least time that the program could take, by these figures alone.
    """

    dispatches: int
    products: int
    parameters: float
    activations: float
    l1: float
    arithmetic: float
    memory: float

    @property
    def bound(self) -> float:
        """The least seconds by the published peaks, dispatching not counted: an estimate."""
        return max(self.arithmetic, self.memory)

    def __str__(self) -> str:
        return (
            f"{self.dispatches} dispatches, {self.products / 1e6:.2f} M multiply–adds, "
            f"{self.parameters / 1e6:.3f} MB of parameters, {self.activations / 1e6:.3f} MB of activations, "
            f"L1 {self.l1 / 1024:.1f} KiB a core; estimate ≥ {self.bound * 1e6:.2f} µs (not measured on a card)"
        )


def cost(entries: Sequence[Entry]) -> Cost:
    """The cost of these operations."""
    parameters = activations = largest = arithmetic = 0.0
    for entry in entries:
        held = 0.0
        for n, shape in enumerate(t for t in entry.takes if isinstance(t, tuple)):
            size = math.prod(shape)
            if entry.owner and n:
                parameters += size * BYTES[entry.rule.dtype]
                held += size * BYTES[entry.rule.dtype]
            else:
                held += size * BYTES[entry.rule.output]
        made = math.prod(entry.gives) * BYTES[entry.rule.output]
        activations += held * (not entry.owner) + made
        largest = max(largest, (held + made) / CORES)
        arithmetic += 2 * entry.products * PHASES[entry.rule.fidelity] / FLOPS
    moved = (parameters + activations) / BANDWIDTH
    products = sum(entry.products for entry in entries)
    return Cost(len(entries), products, parameters, activations, largest, arithmetic, moved)
