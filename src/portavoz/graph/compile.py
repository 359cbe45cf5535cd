"""A family's stages as sessions: called on an eager back end, or exported, quantised, converted, and kept in the cache.

origin = Origin.of(family, checkpoint)
runner = assemble(origin, plan(family, "onnx", "int8"))      what the family's loop runs on
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..families.spec import Checkpoint, FamilySpec, StageSpec, Tensors
from ..ops import open as open_ops
from ..ops.base import Ops
from ..weights import file
from ..weights.cursor import Weights
from . import onnx, openvino, processor
from .cache import Cache, digest
from .declared import DeclaredSession
from .eager import Function
from .forms import faster_convolutions

LOG = logging.getLogger("portavoz")
EAGER = "torch"  # the back end on which an eager voice runs its stages
FORMAT = 7  # another number when the same weights give other files
PACKAGES = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino", "nncf")}


@runtime_checkable
class Session(Protocol):
    """One stage on a runtime."""

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]: ...
    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """The runtime, precision and threads of one stage."""

    runtime: str
    precision: str
    threads: int = 1


class Assembled(NamedTuple):
    """A runner, its sessions by stage (a list of them where a stage is cut into parts), and what each was chosen for.

    `host` are the tensors that the runner itself reads.
    """

    runner: Any
    sessions: Mapping[str, Any]
    choices: Mapping[str, Choice]
    host: Tensors


def plan(family: FamilySpec, runtime: str, precision: str, threads: int = 1) -> dict[str, Choice]:
    """The choice for each stage. Raises BackendError, which names the choices."""
    if runtime not in family.runtimes:
        raise BackendError(
            f"runtime {runtime!r}: {family.title} runs on {', '.join(family.runtimes)}; choose one of them"
        )
    if precision not in family.runtimes[runtime]:
        known = ", ".join(family.runtimes[runtime])
        raise BackendError(
            f"precision {precision!r}: {family.title} on the runtime {runtime!r} has {known}; choose one"
        )
    if precision == "bfloat16" and not processor.bfloat16():
        raise BackendError(
            "precision 'bfloat16': this processor does not have it, and emulated it is 5 to 18 times slower; "
            "use float32 or int8"
        )
    usual = dict.fromkeys((stage["name"] for stage in family.shown), precision)
    each = usual | dict(family.precisions(runtime, precision, processor.native_precisions()))
    other = family.runs_on if runtime != "eager" else {}
    return {stage: Choice(other.get(stage, runtime), own, threads) for stage, own in each.items()}


class Origin:
    """Where a family's weights come from; they are read only when something has to be made from them.

    digest: a checksum of all weights. load: each part's tensors by the checkpoint's names.
    """

    def __init__(self, family: FamilySpec, config: Any, digest: str, load: Callable[[], Mapping[str, Tensors]]) -> None:
        self.family, self.config, self.digest, self._load = family, config, digest, load
        self.ops: Ops | None = None
        self.specs = {spec.name: spec for spec in family.stages(config)}
        self.groups: dict[str, list[StageSpec]] = {}
        for spec in self.specs.values():
            self.groups.setdefault(spec.owner, []).append(spec)

    @classmethod
    def of(
        cls, family: FamilySpec, checkpoint: Checkpoint, *, transient: bool = False, ops: Ops | None = None
    ) -> Origin:
        """The weights of a checkpoint; `ops` is for eager stages.

        `transient`: nothing of it will be cached, so its files need no checksum.
        """
        seen = "" if transient else digest(checkpoint.files())
        origin = cls(family, checkpoint.config, seen, checkpoint.tensors)
        origin.ops = ops
        return origin

    @classmethod
    def given(cls, family: FamilySpec, config: Any, parts: Mapping[str, Tensors]) -> Origin:
        """Tensors in memory, by part."""
        seen = hashlib.sha256()
        for tensors in parts.values():
            for name in sorted(tensors):
                seen.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
        return cls(family, config, seen.hexdigest(), lambda: parts)

    @cached_property
    def tensors(self) -> dict[str, Tensors]:
        """The tensors that stages are built on, by `StageSpec.part`."""
        return self.family.prepare(self._load(), self.config)

    def host(self, cache: Cache) -> Tensors:
        """The tensors that the runner itself reads; {} for none."""
        if not (self.family.fused or self.family.hosted):
            return {}

        def build(folder: Path) -> None:
            file.write(folder / "host.safetensors", dict(self.tensors["host"]), {})

        return file.read(cache.entry("host", self._about("host", ()), build) / "host.safetensors")[0]

    def call(self, name: str, ops: Ops) -> tuple[Callable[..., Any], Weights]:
        """A stage built on some back end, and the cursor that it was built from."""
        spec = self.specs[name]
        w, ops.stage = Weights(self.tensors[spec.part], ops), name
        return spec.build(w, self.config), w

    def load(self, group: str, choice: Choice, cache: Cache) -> Any:
        """A stage as chosen, or the row of its parts. Raises MissingExtra, WeightError, InputError."""
        made = [self.session(spec.name, choice, cache) for spec in self.groups[group]]
        return made[0] if len(made) == 1 and not self.groups[group][0].group else made

    def session(self, name: str, choice: Choice, cache: Cache) -> Session:
        """One graph as chosen, compiled if it is not in the cache yet."""
        if choice.runtime == "eager":
            ops = self.ops or _ops(choice.precision)
            return Function(self.call(name, ops)[0], ops, self.specs[name])
        int8 = choice.precision == "int8"
        if choice.runtime == "onnx":
            path = self.quantized(name, cache) if int8 else self.graph(name, cache)
            return onnx.Session(path, threads=choice.threads, packed=self.specs[name].packed)
        path = self.converted(name, cache, int8=int8)
        return openvino.Session(path, threads=choice.threads, precision=choice.precision)

    def graph(self, name: str, cache: Cache) -> Path:
        """The stage as an ONNX file in float32."""

        def build(folder: Path) -> None:
            LOG.info("%s: exporting the stage %s; it is kept in %s", self.family.title, name, cache.root)
            path, spec = folder / f"{name}.onnx", self.specs[name]
            if spec.native_convolutions:
                path.write_bytes(self.exported(name))
                faster_convolutions(path, {key: given.example for key, given in spec.takes.items()})
            else:
                self.written(name, path)

        return cache.entry(f"onnx-{name}", self._about(name, PACKAGES["onnx"]), build) / f"{name}.onnx"

    def exported(self, name: str, *, half: bool = False) -> bytes:
        """The stage as an ONNX file's bytes; with `half` its weights are stored in float16."""
        from .export import export
        from .onnx_ops import OnnxOps

        spec = self.specs[name]
        ops = OnnxOps(native_convolutions=spec.native_convolutions)
        return export(self.call(name, ops)[0], *spec.declared(), ops=ops, half=half)

    def written(self, name: str, path: Path) -> None:
        """Write the stage as an ONNX file, its weights in a file beside it."""
        from .export import write
        from .onnx_ops import OnnxOps

        ops = OnnxOps()
        write(path, self.call(name, ops)[0], *self.specs[name].declared(), ops=ops)

    def quantized(self, name: str, cache: Cache) -> Path:
        """The stage as an ONNX file with weights in eight bits."""

        def build(folder: Path) -> None:
            from .quantize import eight_bits

            eight_bits(self.graph(name, cache), folder / f"{name}.onnx")

        about = {**self._about(name, PACKAGES["onnx"]), "precision": "int8"}
        return cache.entry(f"onnx-int8-{name}", about, build) / f"{name}.onnx"

    def converted(self, name: str, cache: Cache, *, int8: bool) -> Path:
        """The stage as OpenVINO's model.xml, in float32 or with weights in eight bits."""

        def build(folder: Path) -> None:
            openvino.convert(self.graph(name, cache), folder, int8=int8)

        openvino.runtime()  # it says what is missing, and how to get it
        kind = "int8" if int8 else "float32"
        about = {**self._about(name, PACKAGES["onnx"] + PACKAGES["openvino"]), "precision": kind}
        return cache.entry(f"openvino-{kind}-{name}", about, build) / "model.xml"

    def _about(self, stage: str, packages: tuple[str, ...]) -> dict[str, Any]:
        declared = self.specs[stage].declared()[0] if stage in self.specs else []
        here = stage in self.specs and self.specs[stage].native_convolutions  # the form that was faster on this machine
        return {
            "format": FORMAT,
            **({"here": processor.kind()} if here else {}),
            "family": self.family.name,
            "stage": stage,
            "weights": self.digest,
            "config": dataclasses.asdict(self.config),
            "axes": [name for name, _ in declared],
            "versions": {name: version_of(name) for name in packages},
        }


def assemble(
    origin: Origin, choices: Mapping[str, Choice], cache: Cache | None = None, *, like: Assembled | None = None
) -> Assembled:
    """The runner with each stage on what was chosen for it; those that `like` has on the same are the same ones.

    What is not in the cache is made from the weights. Raises BackendError for a runtime that is not there,
    MissingExtra, WeightError, InputError (a cache that cannot be written).
    """
    cache, sessions = cache or Cache(), dict[str, Any]()
    for group in origin.groups:
        there = like is not None and like.choices[group] == choices[group]
        sessions[group] = like.sessions[group] if like and there else origin.load(group, choices[group], cache)
    host = origin.host(cache) if like is None else like.host
    return Assembled(origin.family.runner(sessions, host, origin.config), sessions, choices, host)


def prebuilt(
    family: FamilySpec, config: Any, graphs: Mapping[str, Path], *, threads: int = 1, precision: str = ""
) -> Any:
    """The runner on graphs that came with a checkpoint, on ONNX Runtime."""
    from .foreign import prepared

    ready = {name: prepared(path, family, config, precision=precision) for name, path in graphs.items()}
    specs = {spec.name: spec for spec in family.stages(config)}
    sessions = {
        # A family of strangers' graphs declares none: what such a graph gives is its own loop's to look at.
        name: DeclaredSession(path, specs[name], threads=threads)
        if name in specs
        else onnx.Session(path, threads=threads, planned=family.plans_memory)
        for name, path in ready.items()
    }
    return family.runner(sessions, {}, config)


def version_of(package: str) -> str:
    """The installed version of a package, "none" where it is not."""
    try:
        return version(package)
    except ImportError:
        return "none"


def _ops(precision: str) -> Ops:
    if precision == "float32":
        return open_ops(EAGER)
    open_ops(EAGER)
    from ..ops.torch import TorchOps, torch

    return TorchOps(dtype=torch.bfloat16)
