"""The precision audit's executor: each matrix product and norm twice on the same input, exactly and by the schedule.

The exact one has the parameters that the model was given, before any rounding, in float64. So a row is the error that
an operation makes by itself; what it inherits is in its input, which both have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .golden import FUNCTIONS, PRODUCTS, Golden
from .number import rounded
from .operations import OPERATIONS
from .recording import Wrapper
from .schedule import Rule

AUDITED = ("linear", "matmul", "conv1d", "conv_transpose1d", "conv2d", "layer_norm", "rms_norm", "softmax",
           "sdpa_decode")  # fmt: skip
# What would lower an error, the cheapest first: what is changed in a rule.
REMEDIES: tuple[dict[str, str], ...] = (
    {"accumulation": "float32"},
    {"accumulation": "float32", "fidelity": "hifi2"},
    {"accumulation": "float32", "fidelity": "hifi4"},
    {"accumulation": "float32", "fidelity": "hifi4", "dtype": "bfloat16"},
    {"accumulation": "float32", "fidelity": "hifi4", "dtype": "float32", "output": "float32"},
)
BEHIND = "behind "  # an operation without a parameter is known by the layer in front of it
BETTER = 0.6  # a remedy must leave at most this share of the error


@dataclass
class Row:
    """One parameter's operation: relative L2, slope (gain) and PCC of what it gave, over all its calls.

    `floor` is the relative L2 of rounding the exact result to the output's dtype: below 1.5 floors the dtype cannot
    tell, and the answer is UNDECIDABLE. `remedy` is the line of a schedule that would lower the error.
    """

    owner: str
    operation: str
    rule: Rule
    calls: int
    error: float
    slope: float
    pcc: float
    floor: float
    remedy: str = ""

    @property
    def answer(self) -> str:
        """UNDECIDABLE where rounding the right answer is as far off, else LOSS."""
        return "UNDECIDABLE" if self.error <= 1.5 * self.floor else "LOSS"


class Sums:
    """Running sums of two results: what relative L2, slope and PCC need."""

    def __init__(self) -> None:
        self.n = self.a = self.b = self.aa = self.bb = self.ab = self.dd = self.rr = 0.0

    def add(self, exact: Tensor, got: Tensor, right: Tensor) -> None:
        """`right` is the exact result, rounded."""
        finite = torch.isfinite(exact) & torch.isfinite(got)
        a, b, r = (x.double()[finite] for x in (exact, got, right))
        self.n += len(a)
        self.a, self.b = self.a + float(a.sum()), self.b + float(b.sum())
        self.aa, self.bb, self.ab = self.aa + float(a @ a), self.bb + float(b @ b), self.ab + float(a @ b)
        self.dd += float((a - b) @ (a - b))
        self.rr += float((a - r) @ (a - r))

    def figures(self) -> tuple[float, float, float, float]:
        """Relative L2, slope, PCC, floor."""
        if not self.aa:
            return 0.0, 1.0, 1.0, 0.0
        spread = (self.aa - self.a**2 / self.n) * (self.bb - self.b**2 / self.n)
        pcc = (self.ab - self.a * self.b / self.n) / spread**0.5 if spread > 0 else 1.0
        return (self.dd / self.aa) ** 0.5, self.ab / self.aa, pcc, (self.rr / self.aa) ** 0.5


class Audit(Wrapper):
    """Golden with emulation, beside exact results. `rows` are worst first."""

    def __init__(self) -> None:
        super().__init__(Golden(emulate=True))
        self.last = ""  # the layer that ran before
        self.exact: dict[int, Tensor] = {}
        self.kept: list[Tensor] = []
        self.sums: dict[tuple[str, str], tuple[Sums, Rule, list[Sums]]] = {}
        self.count: dict[tuple[str, str], int] = {}
        self.own: dict[tuple[str, str], Sums] = {}  # of the calls that remedies are tried on: 1, 2, 4, 8, …

    def upload(self, array: Any, rule: Rule, *, parameter: bool = False, kernel: bool = False) -> Any:
        handle = super().upload(array, rule, parameter=parameter, kernel=kernel)
        if parameter and handle.is_floating_point():
            self.exact[id(handle)] = torch.from_numpy(np.array(array, np.float64))
            self.kept.append(handle)
        return handle

    def run(self, operation: str, tensors: Sequence[Any], rule: Rule, **options: Any) -> Any:
        out = super().run(operation, tensors, rule, **options)
        self.last = self.owner or self.last
        if operation in AUDITED:
            self._compare(operation, tensors, rule, options, out)
        return out

    def _compare(self, operation: str, tensors: Sequence[Any], rule: Rule, options: Any, out: Tensor) -> None:
        wide = [self._wide(t) for t in tensors]
        exact = self._plain(operation, wide, options)
        key = (self.owner or f"{BEHIND}{self.last}", operation)
        sums, _, tried = self.sums.setdefault(key, (Sums(), rule, [Sums() for _ in REMEDIES]))
        self.count[key] = calls = self.count.get(key, 0) + 1
        right = rounded(exact.float(), rule.output).double()
        sums.add(exact, out.double(), right)
        if calls & (calls - 1):
            return
        self.own.setdefault(key, Sums()).add(exact, out.double(), right)
        for change, one in zip(REMEDIES, tried):
            better = dataclasses.replace(rule, **change)
            given = [
                rounded(self.exact[id(t)].float(), better.dtype) if isinstance(t, Tensor) and id(t) in self.exact else t
                for t in tensors
            ]
            one.add(exact, self.inner.run(operation, given, better, **options).double(), right)

    def _wide(self, t: Any) -> Any:
        plain = not isinstance(t, Tensor) or not t.is_floating_point()
        return t if plain else self.exact.get(id(t), t.double())

    def _plain(self, operation: str, tensors: list[Any], options: Any) -> Tensor:
        if operation in PRODUCTS:
            return PRODUCTS[operation](torch.matmul, *tensors, **options)
        return FUNCTIONS[operation](*tensors, **options)

    def rows(self) -> list[Row]:
        """What each parameter's operation lost, worst first."""
        out = []
        for (owner, operation), (sums, rule, tried) in self.sums.items():
            error, slope, pcc, floor = sums.figures()
            row = Row(owner, operation, rule, self.count[owner, operation], error, slope, pcc, floor)
            if row.answer == "LOSS":
                most = BETTER * self.own[owner, operation].figures()[0]
                found = [c for c, one in zip(REMEDIES, tried) if one.figures()[0] <= most]
                row.remedy = _line(owner, operation, rule, found[0]) if found else ""
            out.append(row)
        return sorted(out, key=lambda row: -row.error)


def _line(owner: str, operation: str, rule: Rule, change: dict[str, str]) -> str:
    """Where the schedule decides about an operation, and what to write there; "" where it can say nothing."""
    section, keys = f'[[rule]] match = "{owner}"', {"dtype", "output", "fidelity", "accumulation"}
    if OPERATIONS[operation].unit == "vector":  # numbers one by one: the matrix unit has no part in it
        keys -= {"fidelity", "accumulation"}
    if owner.startswith(BEHIND):
        section, keys = "[defaults]", keys - {"dtype"}
    if operation == "sdpa_decode":  # it reads what its cache holds, and gives what the defaults say
        section, keys = "[cache]", keys - {"dtype", "output"}
    changed = [f'{key} = "{value}"' for key, value in change.items() if key in keys and getattr(rule, key) != value]
    return "; ".join([section, *changed]) if changed else ""
