"""A voice's folder or a checkpoint's → its family → a model on a runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from .. import families, ops
from ..errors import BackendError, InputError, MissingExtra
from ..families.spec import Checkpoint, Engine, FamilySpec, Lookup
from ..families.synthesis import Opened, Options, SynthesisRequest
from ..flow import Stage, join
from ..folder import checkpoint, describe, is_checkpoint
from ..graph import processor
from ..graph.cache import Cache
from ..graph.compile import EAGER, Choice, Origin, assemble, plan, prebuilt
from ..graph.tuning import stored
from ..input_files import is_file
from ..ops.base import Ops
from . import locate

__all__ = ["Source", "load_family", "open_checkpoint"]


class Source(NamedTuple):
    """A folder, its family, and its checkpoint: no weight is read yet."""

    folder: Path
    family: FamilySpec
    checkpoint: Checkpoint


def open_checkpoint(voice: str | Path | None, vocoder: str | Path | None = None) -> Source:
    """The checkpoint of a voice's name or path. Raises InputError if no family recognises it, PortavozError."""
    folder = locate.locate(voice)
    family = _family(folder)
    beside = Lookup(vocoder, locate.folder, lambda name: _sibling(folder, name))
    found = family.open(folder, beside)
    about = found.about()
    join(*family.interfaces(found.config), Stage(f"the voice {about['name']}", about["rate"], about["rate"]))
    return Source(folder, family, found)


def _family(folder: Path) -> FamilySpec:
    if is_file(folder / "voice.json"):
        name = describe(folder)["family"]
        if name not in families.names():
            raise InputError(f"{folder}: family {name!r} is not known to this portavoz; install a newer one")
        return families.get(name)
    found = families.recognise(folder)
    if found is None:
        about = checkpoint(folder) if is_checkpoint(folder) else {"architecture": "an unknown kind", "family": ""}
        known = [name for family in families.all() for name in family.speaks]
        raise InputError(
            f"{folder}: a checkpoint of {about['architecture']} (model_type {about['family']!r}); supported "
            f"without a voice.json: {', '.join(known)}; choose one of them"
        )
    return found


def _sibling(folder: Path, name: str) -> Path | None:
    """Another checkpoint of the same owner, when the folder is one in the hub's cache."""
    owner = locate.owner(folder)
    return locate.hub(f"{owner}/{name}") if owner else None


def load_family(folder: Path, options: Options, request: SynthesisRequest | None = None) -> Opened:
    """The model in a folder on the requested runtime. Raises PortavozError for unsupported options.

    The parts of a request that the family cannot meet are refused before any weights are read.
    """
    for name in ("schedule", "mesh"):
        if getattr(options, name) and not options.backend:
            raise BackendError(f"{name} needs a back end that has one: give backend 'ttnn' too, or leave it out")
    _, family, found = open_checkpoint(folder, options.vocoder)
    if request is not None and family.refuse is not None:
        family.refuse(found, request)
    # On a back end or a device of the caller's choice the blocks run as they are written, in the first precision.
    bare = _bare(family, found)
    default = "eager" if bare else next(iter(family.runtimes))
    usual = options.runtime or ("eager" if options.backend or options.device else default)
    precisions = family.runtimes.get(usual, ("",))
    if options.backend or options.device:
        precisions = precisions[:1]
    runtime, precision = options.choose(family.name, tuple(family.runtimes), precisions, first=default)
    if bare and runtime != "eager":
        raise BackendError(f"{folder}: has weights but no graph for the runtime {runtime!r}; leave it out")
    said = options.runtime or options.precision or options.backend or options.device
    engine, about = (None if said else _tuned(family, found, options)) or _asked(
        family, found, runtime, precision, options
    )
    note = about.pop("note", "")
    shown = {**found.about(), **({"engine": about} if family.workload else {}), **({"note": note} if note else {})}
    main = next((spec.owner for spec in family.stages(found.config) if spec.main), None)
    used = about["stages"][main]["runtime"] if main else runtime
    return Opened(family.synthesizer(found, engine), shown, used)


def _bare(family: FamilySpec, found: Checkpoint) -> bool:
    """Whether there are weights but no way to make graphs of them."""
    return "eager" in family.runtimes and not family.stages(found.config) and not found.graphs()


Running = tuple[Engine, dict[str, Any]]


def _tuned(family: FamilySpec, found: Checkpoint, options: Options) -> Running | None:
    """The model as `portavoz tune` has chosen for these weights on this machine; None if nothing was chosen.

    Threads are the measured ones unless the caller asks for more than one.
    """
    cache = Cache()
    if family.workload is None or not any(cache.root.glob("tuned-*.json")):
        return None
    origin = Origin.of(family, found)
    tuned = stored(origin, cache)
    if tuned is None:
        return None
    one, many = (tuned.choices[n] for n in (min(tuned.choices), tuned.batch))
    if options.threads > 1:
        one, many = ({stage: replace(c, threads=options.threads) for stage, c in each.items()} for each in (one, many))
    alone = assemble(origin, one, cache)
    both = assemble(origin, many, cache, like=alone)
    engine = Engine(alone.runner, both.runner, tuned.batch, tuned.workers)
    return engine, _about(one, engine, tuned=True)


def _asked(family: FamilySpec, found: Checkpoint, runtime: str, precision: str, options: Options) -> Running:
    """The model on the requested runtime, or on the default.

    A compiled runtime uses only its own threads, so the vocoder runs on another core if there is one; PyTorch already
    has a thread per core.
    """
    beside = int(runtime != "eager" and processor.cores() > options.threads)
    back = _chosen(family, options) if runtime == "eager" else None
    model = _runner(family, found, runtime, precision, options, back)
    engine = Engine(model, model, family.batch, beside)
    about = _about(plan(family, runtime, precision, options.threads), engine, tuned=False)
    return engine, {**about, "note": "" if back is None else back.note}


def _about(choices: Mapping[str, Choice], engine: Engine, *, tuned: bool) -> dict[str, Any]:
    stages = {stage: asdict(choice) for stage, choice in choices.items()}
    return {"tuned": tuned, "stages": stages, "batch": engine.batch, "sound_beside_the_loop": bool(engine.workers)}


def _chosen(family: FamilySpec, options: Options) -> Ops | None:
    """The back end for the blocks; None where the family's fused form runs on its own."""
    backend = options.backend or ops.preferred()
    if options.device and not options.backend and backend == "numpy":
        raise MissingExtra("torch", "torch", f"device {options.device!r}")
    if not (options.backend or options.device or backend != EAGER) and family.fused:
        return None
    return ops.open(backend, **{**ops.backend(backend).spoken_options, **options.of_backend})


def _runner(
    family: FamilySpec, found: Checkpoint, runtime: str, precision: str, options: Options, back: Ops | None
) -> Any:
    """What the loop runs on: unfused blocks, the fused form, or compiled graphs."""
    if back is not None and not (back.fused and family.fused):
        return found.eager(back)
    choices = plan(family, runtime, precision, options.threads)
    if runtime == "eager":
        # Nothing is worth keeping for the next time, so nothing is written where it would stay.
        with tempfile.TemporaryDirectory(prefix="portavoz-") as folder:
            return assemble(Origin.of(family, found, transient=True, ops=back), choices, Cache(folder)).runner
    first = family.runtimes[runtime][0]
    if runtime == "onnx" and (precision == first or family.faster_graph) and (graphs := found.graphs()):
        return prebuilt(family, found.config, graphs, threads=options.threads, precision=precision)
    return assemble(Origin.of(family, found), choices).runner
