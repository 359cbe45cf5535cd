"""What a family may have besides a voice: a probe, a reference, planted faults, a workload to tune by, a page.

They are reached through a `Target`, which imports them at the first call.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .spec import Checkpoint

Arrays = dict[str, NDArray[Any]]
Tensors = Mapping[str, NDArray[Any]]
# The eager model of a family: whatever its loop runs on when the blocks are called one by one.
Model = Any
Lengths = Mapping[str, int]
T = TypeVar("T")


class Target(Generic[T]):
    """``module:attribute``, or a module, imported when it is called."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self) -> T:
        module, _, attribute = self.path.partition(":")
        found: Any = importlib.import_module(module)
        return getattr(found, attribute) if attribute else found


@runtime_checkable
class Workload(Protocol):
    """What `portavoz tune` measures: made with a configuration, a number of steps and of symbols.

    by_row: the stages that run row by row, whatever the batch. sentence: how often each stage runs for one sentence.
    """

    by_row: frozenset[str]
    sentence: Mapping[str, float]

    def prepare(self, runner: Any) -> None:
        """Keep what the stages behind the first ones are given, as this runner (eager float32) makes it."""
        ...

    def output(self, stage: str, runner: Any) -> NDArray[np.float32]:
        """What a stage on this runner is judged by: a free run's mel, or what it makes of a fixed window."""
        ...

    def seconds(self, stage: str, runner: Any, batch: int) -> float:
        """One measurement of a stage for so many rows."""
        ...

    def speak(self, runner: Any, workers: int) -> None:
        """One utterance to its end, its sound made beside the loop by so many workers."""
        ...


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A tiny model and a short utterance, on which ports are compared.

    configs: name → tiny configuration, the first is the default ("tiny" always means it). weights: a configuration →
    weights under which nothing hides, by whole-model path. inputs: configuration, seed and number of steps (None: the
    probe's own) → named arrays. run: speaks the inputs on an eager model; every value that crosses a stage's border
    passes `ops.tap`. parts: what a planted fault's `edit` is given of an eager model.

    For kits: decisions: what must come out exactly, from the named values of a run (each name's in call order).
    bring_up: a configuration → the stages in order, each with a pattern of the unit that it begins with. notes: what
    happens between the layers, for a port's author.
    """

    configs: Mapping[str, Any]
    weights: Callable[[Any], Arrays]
    inputs: Callable[[Any, int, int | None], Arrays]
    run: Callable[[Model, Arrays, Any], None]
    decisions: Callable[[Any, Mapping[str, Sequence[NDArray[Any]]]], dict[str, Any]]
    bring_up: Callable[[Any], tuple[tuple[str, str], ...]]
    notes: Callable[[Any], str]
    title: Callable[[Any], str]
    parts: Callable[[Model], tuple[Any, ...]] = lambda model: (model.acoustic, model.vocoder)
    steps: int | None = None


class ReferenceRun(NamedTuple):
    """A reference's run as the lab records it: the call, its torch modules by path prefix, and its weights by path."""

    run: Callable[[], Any]
    modules: Mapping[str, Any]
    arrays: Arrays
    tensors: Mapping[str, Any] = {}


class PortedProgram(NamedTuple):
    """A reference and a port of another author: `port(arrays, edit)` with a fault's weights and edit."""

    reference: ReferenceRun
    port: Callable[[Arrays, Callable[[Any, Any], None] | None], ReferenceRun]


class GraphTwin(NamedTuple):
    """A voice's graph (an onnx.ModelProto whose weights have their paths), what it is given, and our blocks.

    `arrays` are the weights by path; `build` makes of a cursor on them, of the same inputs, and of what may change the
    blocks after they were built (None: nothing), a call that speaks.
    """

    graph: Any
    inputs: Arrays
    arrays: Arrays
    build: Callable[[Any, Arrays, Callable[[Any], None] | None], Callable[[], Any]]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The reference package of a family. packages: what must be installed (extra `reference`).

    probe: a configuration (its weights are sensitised) or a Checkpoint, seed and steps → a run of the probe. stages: a
    Checkpoint (None: the probe's tiny model) → an eager model made of the reference's own modules.
    """

    packages: tuple[str, ...]
    probe: Target[Callable[[Any, int, int | None], ReferenceRun]]
    stages: Target[Callable[[Checkpoint | None], Model]]


@dataclass(frozen=True, kw_only=True)
class FaultCatalogue:
    """A catalogue of planted faults. `against`: the reference package, "" for the family's own blocks on NumPy.

    port: a seed → a program of another author that the faults are planted in, instead of the family's blocks; `output`
    is the named value that the usual gates look at.
    """

    faults: Target[list[Any]]
    against: str = ""
    port: Target[Callable[[int], PortedProgram]] | None = None
    output: str = "wave#0:out"


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a family's documentation page says besides its numbers; see scripts/family_pages.py."""

    title: str
    config: str
    lengths: Lengths
    components: Mapping[str, str]  # name → pattern of paths, searched in this order
    flow: Sequence[tuple[str, str]]  # what travels, and the stage that takes it
    text: str
    end: str = ""
    pictures: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
