"""The lab's view of a run: every unit of a program passes one observer, as arrays `[batch, time, channels]`.

A program (OpsProgram, TorchProgram, MlxProgram) runs under an observer. The observer sees the inputs of each unit, runs
it on them or on others, and may pass other outputs on. Recording, forcing and mirroring are observers, so they are
written once for all frameworks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = list[NDArray[Any]]
Run = Callable[[Arrays | None], Arrays]


@dataclass(slots=True)
class Unit:
    """One call of a leaf. `kind`: "leaf" (a word), "value" (a value that `tap` named), "random" (randomness).

    `key` is ``path#call`` for a word with weights, ``block#call/word.ordinal`` for one without, ``name#call`` for a
    border. `weights` by role, in PyTorch's order; `facts` what decides besides numbers (eps, stride, slope …).
    """

    key: str
    kind: str
    op: str
    path: str
    call: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    weights: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class LazyArrays(Mapping[str, NDArray[Any]]):
    """Arrays by role, converted on first use: most observers never read a weight."""

    def __init__(self, given: Mapping[str, Any], make: Callable[[str, Any], NDArray[Any]]) -> None:
        self.given, self.make = given, make

    def __getitem__(self, role: str) -> NDArray[Any]:
        return self.make(role, self.given[role])

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)


class Observer:
    """Sees every unit and changes nothing; subclasses override `observe` and `kernel`."""

    def observe(self, unit: Unit, xs: Arrays, run: Run) -> Arrays | None:
        """A unit is about to run on `xs`. ``run(None)`` runs it as it is, ``run(other)`` on other inputs.

        What this returns is handed on; None hands on what ``run(None)`` gives.
        """
        return None

    def kernel(self, unit: Unit, native: NDArray[Any], body: NDArray[Any]) -> None:
        """A back end's fused kernel and the body that it stands for gave these on the same inputs."""


class Program(Protocol):
    """A program that can be looked into. It must do the same each time it is followed."""

    name: str

    def run(self, observer: Observer, *, float64: bool = False) -> None:
        """Run it once under `observer`, in float64 where asked."""
        ...


def flatten(value: Any, is_tensor: Callable[[Any], bool]) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The tensors in nested tuples, lists and dictionaries, and how to put others in their places."""
    if is_tensor(value):
        return [value], lambda new: new[0]
    if isinstance(value, dict):
        keys = list(value)
        parts, join = flatten([value[k] for k in keys], is_tensor)
        return parts, lambda new: dict(zip(keys, join(new)))
    if not isinstance(value, (list, tuple)):
        return [], lambda new: value
    split = [flatten(part, is_tensor) for part in value]

    def joined(new: Sequence[Any]) -> Any:
        out, start = [], 0
        for parts, join in split:
            out.append(join(new[start : start + len(parts)]))
            start += len(parts)
        kind: Any = type(value)
        return kind(*out) if hasattr(value, "_fields") else kind(out)

    return [t for parts, _ in split for t in parts], joined
