"""What a family may have besides a voice: a probe, a reference, planted faults, a workload for tuning, a page.

A `Target` imports them at the first call.
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
# The eager model of a family: what its loop runs on without compiled stages.
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
    """What `portavoz tune` measures; created with a configuration, a number of steps and of symbols.

    by_row: the stages that run row by row, whatever the batch. sentence: how often each stage runs per sentence.
    """

    by_row: frozenset[str]
    sentence: Mapping[str, float]

    def prepare(self, runner: Any) -> None:
        """Compute and keep the inputs of later stages with this runner (eager float32)."""
        ...

    def output(self, stage: str, runner: Any) -> NDArray[np.float32]:
        """The output that a stage on this runner is compared by: a free run's mel, or the result for a fixed window."""
        ...

    def seconds(self, stage: str, runner: Any, batch: int) -> float:
        """One timing of a stage with `batch` rows, in seconds."""
        ...

    def speak(self, runner: Any, workers: int) -> None:
        """Synthesize one whole utterance, with `workers` threads for the vocoder."""
        ...


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A tiny model and a short utterance, on which ports are compared.

    configs: name → tiny configuration, the first is the default ("tiny" always means it). weights: a configuration →
    weights by whole-model path, with values that make every fault visible. inputs: configuration, seed and number of
    steps (None: the default) → named arrays. run: speaks the inputs with an eager model; every value that passes
    between stages goes through `ops.tap`. parts: the arguments of a planted fault's `edit`, from an eager model.

    For kits: decisions: what a port must get exactly right, from the named values of a run (each name's in call order).
    bring_up: a configuration → the stages in order, each with a pattern of its first unit. notes: Markdown for the
    author of a port, about what happens between the layers.
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
    """A reference's run for the lab to record: the call, its torch modules by path prefix, and its weights by path."""

    run: Callable[[], Any]
    modules: Mapping[str, Any]
    arrays: Arrays
    tensors: Mapping[str, Any] = {}


class PortedProgram(NamedTuple):
    """A reference and an independent port of it: `port(arrays, edit)` with a fault's weights and edit."""

    reference: ReferenceRun
    port: Callable[[Arrays, Callable[[Any, Any], None] | None], ReferenceRun]


class GraphTwin(NamedTuple):
    """A voice's graph (an onnx.ModelProto whose weights have their paths), its inputs, and our blocks.

    `arrays` are the weights by path. `build`: a cursor on them, the same inputs, and a function that may change the
    blocks after they were built (or None) → a call that runs them.
    """

    graph: Any
    inputs: Arrays
    arrays: Arrays
    build: Callable[[Any, Arrays, Callable[[Any], None] | None], Callable[[], Any]]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The reference package of a family. packages: what must be installed (extra `reference`).

    probe: a configuration (its weights are sensitised) or a Checkpoint, seed and steps → a run of the probe. stages: a
    Checkpoint (None: the probe's tiny model) → an eager model that consists of the reference's own modules.
    """

    packages: tuple[str, ...]
    probe: Target[Callable[[Any, int, int | None], ReferenceRun]]
    stages: Target[Callable[[Checkpoint | None], Model]]


@dataclass(frozen=True, kw_only=True)
class FaultCatalogue:
    """A catalogue of planted faults. `against`: the reference package, "" for the family's own blocks on NumPy.

    port: a seed → an independent port that the faults are planted in, instead of the family's blocks. `output`: the
    named value that the usual gates compare.
    """

    faults: Target[list[Any]]
    against: str = ""
    port: Target[Callable[[int], PortedProgram]] | None = None
    output: str = "wave#0:out"


@dataclass(frozen=True, kw_only=True)
class Page:
    """The text of a family's documentation page; see scripts/family_pages.py."""

    title: str
    config: str
    lengths: Lengths
    components: Mapping[str, str]  # name → pattern of paths, searched in this order
    flow: Sequence[tuple[str, str]]  # what travels, and the stage that takes it
    text: str
    end: str = ""
    pictures: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
