"""Programs of a family: its probe on a back end, and its probe in the reference package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .. import families
from ..errors import InputError
from ..families.reference import package
from ..families.spec import Arrays, FamilySpec, Probe, Reference, ReferenceRun
from ..weights.cursor import Weights
from .instrument.onnx import OnnxProgram
from .instrument.ops import OpsProgram


def probe_of(family: FamilySpec) -> Probe:
    """A family's probe. Raises InputError for one that has none."""
    if family.probe is None:
        raise InputError(f"{family.title} has no probe: families with one are {', '.join(probed())}")
    return family.probe()


def probed() -> list[str]:
    """The names of the families with a probe."""
    return [family.name for family in families.all() if family.probe is not None]


def configured(family: FamilySpec, name: str = "") -> Any:
    """A probe's configuration by its name ("" and "tiny": the first), or from a JSON file. Raises InputError."""
    known = probe_of(family).configs
    if name in ("", "tiny"):
        return next(iter(known.values()))
    return known[name] if name in known else family.configuration(name)


def program(
    family: FamilySpec,
    config: Any = None,
    *,
    seed: int = 0,
    steps: int | None = None,
    arrays: Mapping[str, NDArray[Any]] | None = None,
    inputs: Arrays | None = None,
    ops: Any = "torch",
    edit: Callable[..., None] | None = None,
) -> OpsProgram:
    """Our model of a family, speaking its probe.

    config: a configuration (None: the probe's first). arrays: its weights by path (None: parity weights). inputs: what
    it speaks (None: the probe's of this `seed` and number of `steps`). ops: a back end's name, or makes one. edit: may
    change the model's parts after it was built (see Probe.parts).
    """
    probe = probe_of(family)
    config = configured(family) if config is None else config
    given = probe.inputs(config, seed, steps) if inputs is None else inputs

    def build(w: Weights) -> Callable[[], Any]:
        model = family.whole(w, config)
        if edit is not None:
            edit(*probe.parts(model))
        return lambda: probe.run(model, given, config)

    name = f"{family.name} on {ops}" if isinstance(ops, str) else family.name
    return OpsProgram(build, probe.weights(config) if arrays is None else arrays, ops=ops, name=name)


def reference(family: FamilySpec, name: str = "") -> tuple[str, Reference]:
    """A family's reference by its name ("": its first). Raises InputError, MissingExtra for an absent package."""
    if not family.references:
        raise InputError(f"{family.title} has no reference package: give a back end, such as numpy")
    name = name or next(iter(family.references))
    if name not in family.references:
        raise InputError(f"{family.title} has no reference {name!r}: choose one of {', '.join(family.references)}")
    for needed in family.references[name].packages:
        package(needed)
    return name, family.references[name]


def reference_program(
    family: FamilySpec,
    source: Any = None,
    *,
    name: str = "",
    seed: int = 0,
    steps: int | None = None,
) -> tuple[Any, Arrays]:
    """The reference speaking the probe, and its weights for `program`.

    source: a configuration (None: the probe's first) with sensitised weights, or a Checkpoint. Raises InputError,
    MissingExtra.
    """
    name, found = reference(family, name)
    run = found.probe()(configured(family) if source is None else source, seed, steps)
    return torch_program(run, f"{family.name} in {name}"), run.arrays


def torch_program(run: ReferenceRun, name: str) -> Any:
    """A reference's run as a program of the lab."""
    from .instrument.torch import TorchProgram

    return TorchProgram(run.run, modules=run.modules, tensors=run.tensors, name=name, recurrent=False)


def graph_and_blocks(
    voice: str | Path, *, seed: int = 0, ops: str = "torch", edit: Callable[[Any], None] | None = None
) -> tuple[OnnxProgram, OpsProgram]:
    """A voice's own graph, computed node by node, and our blocks with its weights: reference and port.

    edit: may change the blocks after they were built, which plants a fault. Raises InputError for a file that no family
    has blocks for.
    """
    voice = Path(voice)
    family = families.recognise(voice)
    if family is None or family.twin is None:
        raise InputError(f"{voice}: no family here has blocks for this graph; give a port too")
    found = family.twin()(voice, seed)
    wanted = {value.name for value in found.graph.graph.input}
    given = {name: array for name, array in found.inputs.items() if name in wanted}
    graph = OnnxProgram(voice, given, model=found.graph)
    return graph, OpsProgram(
        lambda w: found.build(w, given, edit), found.arrays, ops=ops, name=f"{family.name} on {ops}"
    )
