"""ONNX files of strangers, before anything runs them: looked at, rewritten by their family, kept in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..families.graph_file import check_size, mentioned, open_graph
from ..families.spec import FamilySpec
from .cache import Cache, digest

FORMAT = 1  # another number when the same file is rewritten in another way


def prepared(path: Path, family: FamilySpec, config: Any, cache: Cache | None = None) -> Path:
    """The graph as the family runs it. Raises WeightError for a file that it cannot be, MissingExtra without `onnx`."""
    edit = None if family.rewrite is None else family.rewrite()
    if edit is None:
        return path
    check_size(path)

    def build(folder: Path) -> None:
        model = open_graph(path)
        edit(model, config, path)
        _float_doors(model)
        (folder / "graph.onnx").write_bytes(model.SerializeToString())

    seen = digest([path, *mentioned(path)])
    about = {"format": FORMAT, "family": family.name, "file": seen, "config": family.values(config)}
    return (cache or Cache()).entry("graph", about, build) / "graph.onnx"


def _float_doors(model: Any) -> None:
    """What is half precision at a door is float32 there: whoever calls knows one type."""
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
