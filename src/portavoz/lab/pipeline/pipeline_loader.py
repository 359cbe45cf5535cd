"""How to name a pipeline for `lab swap` and `lab precision`: a family's probe, a voice, or a file of weights.

FAMILY    FAMILY@numpy    heart@onnx    my-voice    my-checkpoint@transformers    model_fixed.safetensors@torch
"""

from __future__ import annotations

from pathlib import Path

from ... import families, ops
from ...errors import InputError
from ...families.pipeline import SENTENCE, Pipeline, PipelineSpec, Request
from ...families.spec import FamilySpec
from ...folder import voices
from ...graph.compile import Origin, assemble, plan, prebuilt
from ...graph.onnx import computes_in_whole_numbers
from ...input_files import is_file, is_there, parse_json
from ...loading import Source, open_checkpoint
from ...loading.locate import here
from ...ops.base import Ops
from ...weights import file
from ...weights.cursor import Weights
from ..probes import configured, probe_of, reference

__all__ = ["SENTENCE", "Request", "check_side", "on", "other_speaker", "parted", "side"]


def runtimes() -> dict[str, str]:
    """What may stand behind the @ → "backend", "runtime" or "reference"."""
    found = dict.fromkeys(ops.names(), "backend")
    for family in families.all():
        found |= dict.fromkeys(family.runtimes, "runtime") | dict.fromkeys(family.references, "reference")
    return found


def side(name: str, request: Request, *, beside: str | None = None) -> Pipeline:
    """A pipeline by its name, ``NAME[@RUNTIME]``; `beside` is another's, whose voice a bare file of weights belongs to.

    RUNTIME: a back end (numpy, torch, mlx: the blocks on it; the default is the first that is installed), a compiled
    runtime (onnx, openvino; also ``onnx:int8`` …), or a reference package (transformers), which is the default of the
    probe of a family that has one. Raises PortavozError.
    """
    base, runtime = parted(name)
    kind, _, precision = runtime.partition(":")
    family = families.get(base) if base in families.names() else None
    what = runtimes().get(kind, "")
    if what == "reference" or (family is not None and family.references and not runtime):
        return _reference(base, family, kind, request, name)
    if what == "runtime":
        return _compiled(base, family, kind, precision or None, request, name)
    if precision:
        raise InputError(f"{name}: a back end runs in float32 here; leave {precision!r} out, or see lab precision")
    return on(ops.open(kind or ops.preferred()), base, request, beside=beside, name=name)


def check_side(name: str) -> None:
    """Raises InputError for a name that no pipeline can have, before a framework is imported; programs are left out."""
    if ":" in name.partition("@")[0] and not is_there(name):
        return
    base, _ = parted(name)
    if base in families.names():
        pipelines(families.get(base))
    elif base.endswith((".safetensors", ".trace")):
        if not is_file(base):
            raise InputError(f"{base}: there is no such file; check the path")
    elif here(base) is not None:
        pipelines(open_checkpoint(base).family)


def parted(name: str) -> tuple[str, str]:
    """``heart@onnx:int8`` → heart, onnx:int8. What stands behind a hub's @ is no runtime, so it stays in the name."""
    base, _, runtime = name.rpartition("@")
    known = runtimes()
    if base and runtime.partition(":")[0] in known:
        return base, runtime
    if base in families.names() or base in voices() or is_there(base):
        raise InputError(f"{name}: there is no runtime {runtime!r}; choose one of {', '.join(known)}")
    return name, ""


def on(back: Ops, base: str, request: Request, *, beside: str | None = None, name: str = "") -> Pipeline:
    """A probe, a voice or a file of weights, its blocks on this back end. Raises PortavozError."""
    if base in families.names():
        return _probe(families.get(base), back, request, name)
    if base.endswith(".safetensors"):
        source = _weights(Path(base), beside)
    else:
        source = open_checkpoint(base)
    return pipelines(source.family).voice(source.checkpoint.eager(back), source.checkpoint, request, name)


def other_speaker(base: str, request: Request) -> Request | None:
    """The same request for another speaker of the voice; None where there is only one. Raises PortavozError."""
    if base.endswith(".safetensors"):
        return None
    if base in families.names():
        return pipelines(families.get(base)).other_speaker(None, request)
    source = open_checkpoint(base)
    return pipelines(source.family).other_speaker(source.checkpoint, request)


def pipelines(family: FamilySpec) -> PipelineSpec:
    """How a family's models become pipelines. Raises InputError for one that does not say."""
    if family.pipeline is None:
        raise InputError(f"{family.title} cannot be split into stages here; use lab compare")
    return family.pipeline()


def _probe(family: FamilySpec, back: Ops, request: Request, name: str) -> Pipeline:
    config = configured(family)
    if family.references:  # the reference's own fresh weights, so that both sides have the same
        weights = reference(family)[1].probe()(config, 0, None).arrays
    else:
        weights = probe_of(family).weights(config)
    return pipelines(family).probe(family.whole(Weights(weights, back), config), request, name)


def _weights(path: Path, beside: str | None) -> Source:
    """A file: the rest of its voice is in its folder, in its metadata, or what the other side has."""
    if not is_file(path):
        raise InputError(f"{path}: there is no such file; give a safetensors file")
    near = str(path.parent) if any(is_file(path.parent / f) for f in ("voice.json", "config.json")) else None
    other = None if beside is None or parted(beside)[0] in families.names() else parted(beside)[0]
    voice = other or near
    if voice is not None:
        source = open_checkpoint(voice)
        return source._replace(checkpoint=source.checkpoint.replaced(path))
    about = file.read(path)[1]
    family = families.get(about["family"]) if about.get("family") in families.names() else None
    if family is None or family.bare is None or "config" not in about:
        raise InputError(
            f"{path}: neither its metadata nor a voice.json beside it names its family; put it into a voice folder"
        )
    return Source(path.parent, family, family.bare(path, family.parse(parse_json(about["config"]), None)))


def _compiled(
    base: str, family: FamilySpec | None, runtime: str, precision: str | None, request: Request, name: str
) -> Pipeline:
    if family is not None:
        raise InputError(f"{name}: a probe runs on back ends ({', '.join(ops.names())}); give a voice with a runtime")
    source = open_checkpoint(base)
    _, spec, found = source
    if runtime not in spec.runtimes:
        raise InputError(f"{name}: {spec.title} runs on {', '.join(spec.runtimes)}; choose one of them")
    choices = plan(spec, runtime, precision or spec.runtimes[runtime][0])
    graphs = found.graphs() if runtime == "onnx" and precision in (None, "float32") else {}
    if any(computes_in_whole_numbers(graph) for graph in graphs.values()):
        graphs = {}  # what is compared here is float32: exported once more, from the weights
    runner = prebuilt(spec, found.config, graphs) if graphs else assemble(Origin.of(spec, found), choices).runner
    return pipelines(spec).voice(runner, found, request, name)


def _reference(base: str, family: FamilySpec | None, package: str, request: Request, name: str) -> Pipeline:
    if family is not None:
        stages = reference(family, package)[1].stages()(None)
        return pipelines(family).probe(stages, request, name)
    source = open_checkpoint(base)
    stages = reference(source.family, package)[1].stages()(source.checkpoint)
    return pipelines(source.family).voice(stages, source.checkpoint, request, name)
