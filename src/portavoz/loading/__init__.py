"""A voice's folder or a checkpoint's → the family that it is of → a model on a runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from .. import families, ops
from ..errors import BackendError, InputError
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
    """A folder, the family that it is of, and its checkpoint: no weight is read yet."""

    folder: Path
    family: FamilySpec
    checkpoint: Checkpoint


def open_checkpoint(voice: str | Path | None, vocoder: str | Path | None = None) -> Source:
    """The checkpoint that a voice's name or path means. Raises InputError where no family knows it, PortavozError."""
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
            f"{folder}: a checkpoint of {about['architecture']} (model_type {about['family']!r}); of checkpoints "
            f"without a voice.json this portavoz speaks with {', '.join(known)}; choose another one"
        )
    return found


def _sibling(folder: Path, name: str) -> Path | None:
    """Another checkpoint of the same owner, when the folder is one in the hub's cache."""
    owner = locate.owner(folder)
    return locate.hub(f"{owner}/{name}") if owner else None


def load_family(folder: Path, options: Options, request: SynthesisRequest | None = None) -> Opened:
    """The model in a folder on the runtime that was asked for. Raises PortavozError for what cannot be.

    What the family can refuse of a request is refused before a weight is read.
    """
    for name in ("schedule", "mesh"):
        if getattr(options, name) and not options.backend:
            raise BackendError(f"{name} is of a back end that has one: give backend 'ttnn' with it, or leave it out")
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
        raise BackendError(f"{folder}: has weights and no graph, so no runtime {runtime!r}; leave it out")
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
    """Whether there are weights that nothing makes graphs of."""
    return "eager" in family.runtimes and not family.stages(found.config) and not found.graphs()


Running = tuple[Engine, dict[str, Any]]


def _tuned(family: FamilySpec, found: Checkpoint, options: Options) -> Running | None:
    """The model as `portavoz tune` has chosen for these weights on this machine. None where nothing was chosen.

    Threads are the measured ones unless the caller says more than one.
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
    """The model on what the caller asked for, or on what is there without asking.

    A compiled runtime has as many threads as it was given, so sound is made on a core beside them where there is one;
    PyTorch has a thread for every core already.
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
    """The back end that the blocks run on; None where the family's fused form runs on its own."""
    backend = options.backend or ops.preferred()
    if not (options.backend or options.device or backend != EAGER) and family.fused:
        return None
    return ops.open(backend, **{**ops.backend(backend).spoken_options, **options.of_backend})


def _runner(
    family: FamilySpec, found: Checkpoint, runtime: str, precision: str, options: Options, back: Ops | None
) -> Any:
    """What the loop runs on: the blocks as they are written, the fused form, or compiled graphs."""
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
