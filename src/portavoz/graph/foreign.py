"""Third-party ONNX files: checked before anything runs them, rewritten by their family, kept in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..families.graph_file import check_size, mentioned, open_graph
from ..families.spec import FamilySpec, FasterGraph
from . import processor
from .cache import Cache, digest
from .compile import version_of
from .forms import fastest
from .onnx import folded

FORMAT = 2  # another number when the same file is rewritten in another way
OWN = "as the file is"  # the precision that asks for no other form


def prepared(path: Path, family: FamilySpec, config: Any, cache: Cache | None = None, *, precision: str = OWN) -> Path:
    """The graph as the family runs it, in its faster form unless `precision` asks for the original.

    Raises WeightError for an unusable file, MissingExtra without `onnx`.
    """
    edit = None if family.rewrite is None else family.rewrite()
    if edit is None:
        return path
    faster = None if family.faster_graph is None or precision == OWN else family.faster_graph()
    check_size(path)

    def build(folder: Path) -> None:
        model = open_graph(path)
        edit(model, config, path)
        other = _other(model, faster, config, path)
        places = []
        for name, form in (("graph", model), *([] if other is None else [("other", other)])):
            _float_doors(form)
            places.append(folder / f"{name}.onnx")
            places[-1].write_bytes(form.SerializeToString())
        if faster is not None and len(places) > 1:
            folded(places[1])
            fastest(places, faster.trial, planned=family.plans_memory).replace(places[0])
            places[1].unlink(missing_ok=True)

    seen = digest([path, *mentioned(path)])
    about = {"format": FORMAT, "family": family.name, "file": seen, "config": family.values(config)}
    if faster is not None:
        about["here"] = [processor.kind(), version_of("onnxruntime")]
    return (cache or Cache()).entry("graph", about, build) / "graph.onnx"


def _other(model: Any, faster: FasterGraph | None, config: Any, path: Path) -> Any:
    """Another form of a rewritten graph; None if there is none."""
    if faster is None:
        return None
    other = type(model)()
    other.CopyFrom(model)
    return other if faster.edit(other, config, path) else None


def _float_doors(model: Any) -> None:
    """Inputs and outputs in half precision become float32, so that callers need only one type."""
    from onnx import TensorProto, helper

    graph = model.graph
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            inner = f"{value.name}/half"
            for node in graph.node:
                node.input[:] = [inner if one == value.name else one for one in node.input]
            graph.node.insert(0, helper.make_node("Cast", [value.name], [inner], to=TensorProto.FLOAT16))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            inner = f"{value.name}/half"
            for node in graph.node:
                node.output[:] = [inner if one == value.name else one for one in node.output]
                node.input[:] = [inner if one == value.name else one for one in node.input]
            graph.node.append(helper.make_node("Cast", [inner], [value.name], to=TensorProto.FLOAT))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
