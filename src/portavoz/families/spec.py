"""How the rest of the package sees a family: one value, `FAMILY = FamilySpec(…)` in its folder's `spec.py`.

`spec.py` imports what synthesis needs. What only the lab, training or the documentation need is named by a `Target`,
``Target("portavoz.families.compact.probe:PROBE")``, and imported at the first call. docs/new-family.md writes a family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from numpy.typing import NDArray

from ..config_reader import read_object
from ..errors import InputError, SpecError
from ..flow import Stage
from ..input_files import is_file
from ..ops.base import Ops
from ..weights.cursor import Weights
from .optional import (
    Arrays,
    FaultCatalogue,
    GraphTwin,
    Lengths,
    Model,
    Page,
    PortedProgram,
    Probe,
    Reference,
    ReferenceRun,
    Target,
    Tensors,
    Workload,
)
from .synthesis import SynthesisRequest, Synthesizer

__all__ = [
    "Arrays", "Checkpoint", "CheckpointPart", "Engine", "FamilySpec", "FasterGraph", "FaultCatalogue", "GraphTwin",
    "Input", "Lengths", "Lookup", "Model", "Page", "Past", "PortedProgram", "Probe", "Reference", "ReferenceRun",
    "StageSpec", "Target", "Tensors", "Workload",
]  # fmt: skip


@dataclass(frozen=True)
class CheckpointPart:
    """One file of weights: its name ("model", "vocoder"), the prefix of its paths in a whole model, and its blocks.

    `build(w, config)` takes the tensors of this file from the cursor. `folds`: weight norm is fused while loading, so
    an unfused kernel is not a fault. `key`: a component of its tensors' names that no other part has, to recognise a
    file without metadata. `turned`: tensor shapes → the matrices that it stores as [in, out].
    """

    name: str
    build: Callable[[Weights, Any], object]
    prefix: str = ""
    folds: bool = False
    key: str = ""
    turned: Callable[[Mapping[str, tuple[int, ...]]], frozenset[str]] = lambda shapes: frozenset()


class Input(NamedTuple):
    """One input of a stage: its axes, and an example.

    `axes` has a name for each axis that varies and "_" for a fixed one; axes that are left out are fixed. The sizes of
    the example must differ from every width of the model, so that no axis is taken for a constant.
    """

    axes: str
    example: NDArray[Any]


class Past(NamedTuple):
    """The cache among a stage's inputs: names of pairs of keys and values [B, heads, S, D].

    `hidden` names what is added to the scores [1, 1, 1, S]: zero for steps that exist. A back end with its own cache
    type passes a cache in place of the keys, and None for values and `hidden`.
    """

    pairs: Sequence[tuple[str, str]]
    hidden: str


@dataclass(frozen=True)
class StageSpec:
    """A pure function with named, shaped inputs and outputs: all that a compiler, an exporter or a device needs.

    takes: name → Input. makes: name → axes, in order. build: a back end's cursor → the function, called with tensors
    in the order of `takes`; `part` is the entry of `FamilySpec.prepare` that the cursor stands on. group: the stage
    that this one is a part of (a vocoder cut at its upsampling layers); its own name by default. buckets: axis → the
    multiple to which a runner pads it, so that a graph sees few shapes.

    int8: int8 weights make it faster (it is bound by memory). native_convolutions: the exporter keeps the runtime's own
    convolution kernels (best for long, dilated ones). main: the stage whose runtime is reported as the voice's. held:
    inputs that do not change while a binding is used. past: see Past. packed: the stage runs often enough for its
    weights to be packed when it is opened.
    """

    name: str
    takes: Mapping[str, Input]
    makes: Mapping[str, str]
    build: Callable[[Weights, Any], Callable[..., Any]]
    part: str = "model"
    group: str = ""
    buckets: Mapping[str, int] = field(default_factory=dict)
    int8: bool = False
    native_convolutions: bool = False
    main: bool = False
    held: Sequence[str] = ()
    past: Past | None = None
    packed: bool = True

    @property
    def owner(self) -> str:
        """Its group's name: the whole stage."""
        return self.group or self.name

    def declared(self) -> tuple[list[tuple[str, NDArray[Any]]], list[str]]:
        """Inputs as "name: axes" with their examples, and outputs as "name: axes"."""
        return [(f"{n}: {i.axes}", i.example) for n, i in self.takes.items()], [
            f"{n}: {axes}" for n, axes in self.makes.items()
        ]


class Lookup(NamedTuple):
    """How a family finds further parts: the vocoder that the caller named, and other checkpoints of the same owner."""

    vocoder: str | Path | None = None  # as the caller named it
    find: Callable[[str | Path], Path] = Path
    sibling: Callable[[str], Path | None] = lambda name: None


@runtime_checkable
class Checkpoint(Protocol):
    """An opened folder of a voice or a checkpoint: its configuration is known, no weight is read yet."""

    @property
    def config(self) -> Any: ...
    def about(self) -> dict[str, Any]:
        """At least name, family, rate (Hz), speakers (names) and config (plain values)."""
        ...

    def tensors(self) -> dict[str, Tensors]:
        """Each part's tensors by name. Raises WeightError for a file that is damaged."""
        ...

    def eager(self, ops: Ops) -> Model:
        """The eager model on a back end. Raises WeightError for weights that do not fit."""
        ...

    def replaced(self, weights: Path) -> Checkpoint:
        """The same checkpoint with another file of weights for one of its parts."""
        ...

    def files(self) -> list[Path]:
        """Every file with weights in it."""
        ...

    def graphs(self) -> dict[str, Path]:
        """The compiled stages (ONNX) that came with it, by name; {} for none. Raises WeightError for a damaged one."""
        ...


class Engine(NamedTuple):
    """What runs a voice's stages: `one` for one piece of text, `many` for `batch` pieces together.

    `workers`: threads that run the vocoder beside the loop.
    """

    one: Any
    many: Any
    batch: int = 1
    workers: int = 0


class FasterGraph(NamedTuple):
    """Another form of a graph that came with a checkpoint.

    edit: (rewritten onnx.ModelProto, configuration, path), in place → whether it found anything to change.
    trial: the names of a graph's inputs → one utterance, for timing.
    """

    edit: Callable[[Any, Any, Path], bool]
    trial: Callable[[Sequence[str]], Arrays]


@dataclass(frozen=True, kw_only=True)
class FamilySpec:
    """A family of models. Fields without a comment are explained by their type."""

    name: str
    title: str  # for messages: "SpeechT5"
    configs: Mapping[str, Any]  # named configurations, the smallest first
    # Plain values, and the folder that they come from (None for none) → a configuration. `values` is the inverse.
    parse: Callable[[Mapping[str, Any], Path | None], Any]
    parts: tuple[CheckpointPart, ...]  # () where only the graphs that came with a checkpoint speak
    stages: Callable[[Any], tuple[StageSpec, ...]]  # of a configuration
    shown: Sequence[Mapping[str, Any]]  # the stages for people: name, inputs, outputs
    runtimes: Mapping[str, tuple[str, ...]]  # runtime → its precisions; the first of each are the defaults
    open: Callable[[Path, Lookup], Checkpoint]
    eager: Callable[[Mapping[str, Weights], Any], Model]  # a cursor per part, configuration → model
    # Sessions by stage, host tensors, configuration → what the loop runs on.
    runner: Callable[[Mapping[str, Any], Tensors, Any], Any]
    synthesizer: Callable[[Any, Engine], Synthesizer]  # a Checkpoint, what runs its stages → the voice
    exercise: Callable[[Model, Any, Lengths], None]  # one utterance of these lengths, for counting and timing
    lengths: Lengths  # the usual ones

    # Raises InputError for what a Checkpoint cannot be asked, before a weight is read.
    refuse: Callable[[Any, SynthesisRequest], None] | None = None
    values: Callable[[Any], dict[str, Any]] = lambda config: config.to_dict()
    interfaces: Callable[[Any], tuple[Stage, ...]] = lambda config: ()  # from text to wave, see flow.join
    # Checkpoints without a voice.json: whether a folder is one, the architectures that they name, the files to download
    # besides weights and JSON, and the folders of further parts.
    recognises: Callable[[Path], bool] = lambda folder: False
    speaks: tuple[str, ...] = ()
    hub_files: tuple[str, ...] = ()
    part_folders: Callable[[Path], Mapping[str, Path]] = lambda folder: {}
    # Each part's file in a checkpoint's folder, where the folder is recognised by its files; their tensors give the
    # sizes.
    part_files: Callable[[Path], Mapping[str, Path]] = lambda folder: {}
    # A file of weights and its configuration → a Checkpoint, where the whole model is one file.
    bare: Callable[[Path, Any], Checkpoint] | None = None
    # Each part's tensors → the tensors that stages are built on, by StageSpec.part. `fused`: this is a faster form of
    # the model, with tensors for the runner ("host"); an eager voice uses it unless the caller chose a back end.
    prepare: Callable[[Mapping[str, Tensors], Any], dict[str, Tensors]] = lambda parts, config: dict(parts)
    fused: bool = False
    hosted: bool = False  # `prepare` returns tensors for the runner, but an eager voice runs the blocks
    # Runtime, precision, the processor's native precisions → the stages that run in another precision.
    precisions: Callable[[str, str, Set[str]], Mapping[str, str]] = lambda runtime, precision, native: {}
    # Stage → the compiled runtime that it always runs on, because it is as fast there and needs less memory.
    runs_on: Mapping[str, str] = field(default_factory=dict)
    batch: int = 1  # default batch size, before `portavoz tune`
    # Edits the graph of a third-party checkpoint in place: (onnx.ModelProto, configuration, path).
    rewrite: Target[Callable[[Any, Any, Path], None]] | None = None
    # Another form of that graph, used where it is faster on this machine.
    faster_graph: Target[FasterGraph] | None = None
    # Whether ONNX Runtime plans memory reuse when it opens a graph; that takes seconds for thousands of nodes with
    # varying sizes.
    plans_memory: bool = True
    # A voice's graph and our blocks with its weights, with the inputs of a seed: both sides of a comparison.
    twin: Target[Callable[[Path, int], GraphTwin]] | None = None
    needs: str = ""  # the files that such a graph needs beside it, for messages

    probe: Target[Probe] | None = None
    references: Mapping[str, Reference] = field(default_factory=dict)
    faults: Mapping[str, FaultCatalogue] = field(default_factory=dict)
    pipeline: Target[Any] | None = None  # a module like families.pipeline.PipelineSpec
    workload: Target[Callable[[Any, int, int], Workload]] | None = None
    health: Target[Callable[[Any], list[Callable[[], str]]]] | None = None  # a synthesizer → steps of one sentence
    train_tasks: Mapping[str, str] = field(default_factory=dict)  # "begin" → the "module:attribute" that gives a Setup
    page: Target[Page] | None = None

    def configuration(self, name: str | Path) -> Any:
        """A configuration by its name, or from a JSON file. Raises InputError, SpecError."""
        if str(name) in self.configs:
            return self.configs[str(name)]
        if not is_file(name):
            raise SpecError(
                f"there is no {self.name} configuration {str(name)!r}: choose one of {', '.join(self.configs)}, "
                "or give a JSON file"
            )
        return self.parse(read_object(Path(name), "give the values of a configuration"), Path(name).parent)

    def cursors(self, w: Weights) -> dict[str, Weights]:
        """A cursor per part, from a cursor on a whole model, whose paths have the parts' prefixes."""
        return {part.name: w / part.prefix if part.prefix else w for part in self.parts}

    def whole(self, w: Weights, config: Any) -> Model:
        """The eager model from one cursor."""
        return self.eager(self.cursors(w), config)

    def part(self, name: str) -> CheckpointPart:
        """A part by its name. Raises InputError for an unknown one."""
        for part in self.parts:
            if part.name == name:
                return part
        known = ", ".join(part.name for part in self.parts)
        raise InputError(f"part {name!r}: the parts of {self.title} are {known}; choose one of them")

    def fresh(self, config: Any, ops: Ops, seed: int = 0) -> Model:
        """The eager model with new weights."""
        cursors = {part.name: Weights.fresh(ops, seed + n) for n, part in enumerate(self.parts)}
        return self.eager(cursors, config)
