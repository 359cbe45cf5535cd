"""What a family is to the rest of the package: one value, `FAMILY = FamilySpec(…)` in its folder's `spec.py`.

`spec.py` imports what speaking needs. What only the lab, training or the documentation need is named by a `Target`,
``Target("portavoz.families.compact.probe:PROBE")``, and imported at the first call.
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

    `build(w, config)` takes from the cursor what this file must hold. `folds`: weight norm is fused while loading, so
    an unfused kernel is no fault. `key`: a step of its tensors' names that no other part has, by which a file that says
    nothing about itself is told from the others. `turned`: of the shapes of its tensors, those matrices that it stores
    [in, out].
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
    an example must be no width of any model, so that no axis is taken for a constant.
    """

    axes: str
    example: NDArray[Any]


class Past(NamedTuple):
    """The steps so far, among a stage's inputs: pairs of keys and values [B, heads, S, D] by their names.

    `hidden` names what is added to scores [1, 1, 1, S]: zeros where a step was said. A back end with caches of its own
    keeps them on its side and gives the stage one of them in the place of the keys, and None for values and `hidden`.
    """

    pairs: Sequence[tuple[str, str]]
    hidden: str


@dataclass(frozen=True)
class StageSpec:
    """A pure function with named, shaped inputs and outputs: all that a compiler, an exporter or a device needs.

    takes: name → Input. makes: name → axes, in order. build: a back end's cursor → the function, called with tensors
    in the order of `takes`; `part` is the entry of `FamilySpec.prepare` that the cursor stands on. group: the stage
    that this one is a piece of (a vocoder cut at its upsamplings); its own name by default. buckets: axis → the
    multiples to which a runner pads it, so that a graph meets few shapes.

    int8: eight-bit weights pay (the stage is weights more than arithmetic). native_convolutions: the exporter keeps
    the runtime's own convolution kernels (best for long, dilated ones). main: the stage whose runtime a voice is said
    to run on. held: inputs that do not change while a binding is used. past: see Past. packed: the
    stage is run often enough to lay its weights out for speed when it is opened.
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
        """The stage that runs, whole: its group's name."""
        return self.group or self.name

    def declared(self) -> tuple[list[tuple[str, NDArray[Any]]], list[str]]:
        """Inputs as "name: axes" with their examples, and outputs as "name: axes"."""
        return [(f"{n}: {i.axes}", i.example) for n, i in self.takes.items()], [
            f"{n}: {axes}" for n, axes in self.makes.items()
        ]


class Lookup(NamedTuple):
    """How a family finds what lies beside a checkpoint: the folder that the caller named, and its owner's others."""

    vocoder: str | Path | None = None  # as the caller named it
    find: Callable[[str | Path], Path] = Path
    sibling: Callable[[str], Path | None] = lambda name: None


@runtime_checkable
class Checkpoint(Protocol):
    """A voice's folder or a checkpoint's, opened: its configuration is known, no weight is read yet."""

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
        """The same with another file of weights in the place of the part that it holds."""
        ...

    def files(self) -> list[Path]:
        """Every file with weights in it."""
        ...

    def graphs(self) -> dict[str, Path]:
        """The compiled stages (ONNX) that came with it, by name; {} for none. Raises WeightError for a damaged one."""
        ...


class Engine(NamedTuple):
    """What runs a voice's stages: for one piece of text, and for `batch` pieces together.

    `workers`: threads that make sound beside the loop.
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
    title: str  # in sentences: "SpeechT5"
    configs: Mapping[str, Any]  # named configurations, the smallest first
    # Plain values, and the folder that they come from (None for none) → a configuration. `values` is the inverse.
    parse: Callable[[Mapping[str, Any], Path | None], Any]
    parts: tuple[CheckpointPart, ...]  # () where only the graphs that came with a checkpoint speak
    stages: Callable[[Any], tuple[StageSpec, ...]]  # of a configuration
    shown: Sequence[Mapping[str, Any]]  # the stages as a reader sees them: name, inputs, outputs
    runtimes: Mapping[str, tuple[str, ...]]  # runtime → its precisions; the first ones are the defaults
    open: Callable[[Path, Lookup], Checkpoint]
    eager: Callable[[Mapping[str, Weights], Any], Model]  # a cursor for each part, and a configuration
    runner: Callable[[Mapping[str, Any], Tensors, Any], Any]  # sessions by stage, host tensors, configuration
    synthesizer: Callable[[Any, Engine], Synthesizer]  # a Checkpoint and what runs its stages
    exercise: Callable[[Model, Any, Lengths], None]  # one utterance of these lengths, for counting and timing
    lengths: Lengths  # the usual ones

    # Raises InputError for what a Checkpoint cannot be asked, before a weight is read.
    refuse: Callable[[Any, SynthesisRequest], None] | None = None
    values: Callable[[Any], dict[str, Any]] = lambda config: config.to_dict()
    interfaces: Callable[[Any], tuple[Stage, ...]] = lambda config: ()  # from the text to the wave, see flow.join
    # Checkpoints without a voice.json: whether a folder is one, which architectures they name, what is fetched beside
    # weights and JSON, and where further parts lie.
    recognises: Callable[[Path], bool] = lambda folder: False
    speaks: tuple[str, ...] = ()
    hub_files: tuple[str, ...] = ()
    part_folders: Callable[[Path], Mapping[str, Path]] = lambda folder: {}
    # Each part's file in a checkpoint's folder, where the folder is known by its files; their tensors give the sizes.
    part_files: Callable[[Path], Mapping[str, Path]] = lambda folder: {}
    # A file of weights that says its configuration itself → a Checkpoint, where the whole model is one file.
    bare: Callable[[Path, Any], Checkpoint] | None = None
    # Each part's tensors → what the stages are built on, by StageSpec.part. `fused`: that is a faster form of the
    # model, with tensors for the runner ("host"); an eager voice runs it where the caller chose no back end.
    prepare: Callable[[Mapping[str, Tensors], Any], dict[str, Tensors]] = lambda parts, config: dict(parts)
    fused: bool = False
    hosted: bool = False  # `prepare` gives tensors for the runner too, though its eager voice runs the blocks
    # Runtime, precision, the precisions that the processor itself multiplies → the stages that run in another one.
    precisions: Callable[[str, str, Set[str]], Mapping[str, str]] = lambda runtime, precision, native: {}
    # Stage → the compiled runtime that it runs on whichever one is chosen: as fast there, and smaller.
    runs_on: Mapping[str, str] = field(default_factory=dict)
    batch: int = 1  # chunks spoken together where nothing was measured
    # Edits the graphs that came with a checkpoint of strangers in place: (onnx.ModelProto, configuration, path).
    rewrite: Target[Callable[[Any, Any, Path], None]] | None = None
    # The same graph in another form, which is kept where it is the faster one on this machine.
    faster_graph: Target[FasterGraph] | None = None
    # Whether ONNX Runtime plans, as it opens a graph, which values share memory; that takes seconds where a
    # graph has thousands of nodes whose sizes vary.
    plans_memory: bool = True
    # A voice's graph and our blocks on its weights, with what a seed draws as inputs: both sides of a comparison.
    twin: Target[Callable[[Path, int], GraphTwin]] | None = None
    needs: str = ""  # what a file of such a graph needs beside it, for messages

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
        """A cursor for each part of a whole model, whose paths have the parts' prefixes."""
        return {part.name: w / part.prefix if part.prefix else w for part in self.parts}

    def whole(self, w: Weights, config: Any) -> Model:
        """The eager model from one cursor."""
        return self.eager(self.cursors(w), config)

    def part(self, name: str) -> CheckpointPart:
        """A part by its name. Raises InputError for one that there is not."""
        for part in self.parts:
            if part.name == name:
                return part
        known = ", ".join(part.name for part in self.parts)
        raise InputError(f"part {name!r}: the parts of {self.title} are {known}; choose one of them")

    def fresh(self, config: Any, ops: Ops, seed: int = 0) -> Model:
        """The eager model with new weights."""
        cursors = {part.name: Weights.fresh(ops, seed + n) for n, part in enumerate(self.parts)}
        return self.eager(cursors, config)
