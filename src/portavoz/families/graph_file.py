"""ONNX files of strangers, opened and looked at; nothing of them is executed here.

A file may have no operators but those that ONNX Runtime has itself, and its weights are in it or in a file of a plain
name beside it; both have a limit in bytes.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import WeightError, needed
from ..input_files import is_file
from .surgery import nodes

MOST = 2 << 30  # bytes of a graph with its weights: what a protocol buffer can hold
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
OLDEST = 11  # opset
# A field of the external data of a tensor.
_LOCATION = re.compile(rb"\x0a\x08location\x12[\x01-\x7f]([^\x00-\x1f/]{1,127})")


def open_graph(path: Path) -> Any:
    """An `onnx.ModelProto` with its weights. Raises WeightError for a damaged one and for what no stranger may have."""
    check_size(path)
    with needed("onnx", "open", f"{path.name}, a graph that is rewritten before it runs,"):
        import onnx
        from google.protobuf.message import DecodeError
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError, OSError) as problem:
        raise WeightError(f"{path}: no ONNX file, or one that is cut short; fetch it again") from problem
    if not model.graph.node:
        raise WeightError(f"{path}: no ONNX file, or one that is cut short; fetch it again")
    _operators(model, path)
    _beside(model, path)
    onnx.load_external_data_for_model(model, str(path.parent))
    return model


def check_size(path: Path) -> None:
    """Raises WeightError for a file that is missing, empty or too large."""
    try:
        size = path.stat().st_size
    except OSError as problem:
        raise WeightError(f"{path}: cannot be read ({problem.strerror}); fetch it again") from problem
    if size == 0:
        raise WeightError(f"{path}: empty; fetch it again")
    if size > MOST:
        raise WeightError(f"{path}: {size / 1e9:.1f} GB, and a graph has at most {MOST / 1e9:.1f}; give another file")


def mentioned(path: Path) -> list[Path]:
    """The files beside a graph that its bytes name as the place of weights, without parsing it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        names = {found.group(1) for found in _LOCATION.finditer(data)}
    places = sorted(path.parent / os.fsdecode(name) for name in names)
    return [place for place in places if is_file(place)]


def _operators(model: Any, path: Path) -> None:
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST:
        raise WeightError(f"{path}: opset {opset}, and {OLDEST} is the oldest that is read; export the model again")
    for node in nodes(model.graph):
        if node.domain not in DOMAINS:
            raise WeightError(
                f"{path}: the operator {node.domain}.{node.op_type} is not one of ONNX Runtime's, and third-party "
                "code is not loaded; export the model without it"
            )


def _beside(model: Any, path: Path) -> None:
    """Weights outside the file are in a file of a plain name beside it, and no more than fit."""
    total, home = 0, path.parent.resolve()
    for tensor in _tensors(model.graph):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        about = {entry.key: entry.value for entry in tensor.external_data}
        name = about.get("location", "")
        place = (home / name).resolve()
        if not name or os.path.basename(name) != name or place.parent != home:
            raise WeightError(f"{path}: its weights lie at {name[:80]!r}, which is not beside it; fetch it again")
        if not is_file(place):
            raise WeightError(f"{path}: its weights {name!r} are not beside it; fetch that file too")
        first = _number(about.get("offset", "0"))
        length = _number(about.get("length", str(place.stat().st_size)))
        total += length
        if first + length > place.stat().st_size or total > MOST:
            raise WeightError(f"{place}: shorter than {path.name} says, or too long; fetch both files again")


def _tensors(graph: Any) -> Iterator[Any]:
    """All tensors of a graph, those in attributes and in graphs inside it too."""
    yield from graph.initializer
    for node in graph.node:
        for fact in node.attribute:
            yield from [fact.t, *fact.tensors]
            for inner in [fact.g, *fact.graphs]:
                yield from _tensors(inner)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else MOST + 1
