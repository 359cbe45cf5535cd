"""Stages as ONNX graphs, exported from the torch back end. Needs the extra `torch` (torch, onnx, onnxscript)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtra
from ..weights.cursor import Weights

OPSET = 20  # the first that has Gelu in one piece
SMALL = 1024  # tensors with fewer numbers stay float32 in a half-precision file: they weigh nothing


def export(
    stage: Callable[..., Any],
    inputs: Sequence[tuple[str, NDArray[Any]]],
    outputs: Sequence[str],
    *,
    w: Weights,
    half: bool = False,
) -> bytes:
    """One stage as an ONNX file's bytes.

    `inputs` are "name: axis axis …" with an example array: named axes vary, the others ("_", and those not listed)
    are fixed. `w` is the cursor that the stage's model was built from: initialisers get their paths back from it.
    With `half` the weights are stored in float16 and widened when a session opens; the arithmetic stays float32.
    Raises MissingExtra when torch, onnx or onnxscript is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch.onnx needs it and says so only in a traceback)
        import torch
    except ImportError as problem:
        raise MissingExtra(problem.name or "onnx", "torch", "exporting a stage") from problem

    class Graph(torch.nn.Module):
        def forward(self, *xs: Any) -> Any:
            return stage(*xs)

    names = [name.split(":")[0] for name, _ in inputs]
    varies = torch.export.Dim.DYNAMIC
    shapes = tuple({i: varies for i, axis in enumerate(_axes(name)) if axis != "_"} for name, _ in inputs)
    # The exporter logs and warns about its own insides; nothing of it is about the caller's graph.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        examples = tuple(torch.from_numpy(a) for _, a in inputs)
        program = torch.onnx.export(
            Graph().eval(), examples, dynamo=True, dynamic_shapes=(shapes,), opset_version=OPSET, verbose=False,
            input_names=names, output_names=[o.split(":")[0] for o in outputs],
        )  # fmt: skip
    assert program is not None  # None is what the older, deprecated path of the exporter returns
    model = program.model_proto
    name_axes(model, [n for n, _ in inputs], outputs)
    restore_paths(model, w)
    forget_traces(model)
    if half:
        halve(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def forget_traces(model: Any) -> None:
    """Drop what the exporter notes beside every node: stack traces, with the paths of the machine it ran on."""
    del model.metadata_props[:], model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]


def name_axes(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Call the axes that vary by the names they were declared with, instead of the exporter's s31, s46, …"""
    for values, declared in ((model.graph.input, inputs), (model.graph.output, outputs)):
        for value, name in zip(values, declared):
            for dimension, axis in zip(value.type.tensor_type.shape.dim, _axes(name)):
                if axis != "_":
                    dimension.dim_param = axis


def _axes(declared: str) -> list[str]:
    """The axes of "name: axis axis …", in order."""
    return declared.split(":")[1].split()


def fingerprint(array: NDArray[Any]) -> str:
    """Sums over the values' bits: the same for a transposed or reshaped copy, and in one pass over large tensors."""
    bits = np.ravel(np.asarray(array, np.float32), order="K").view(np.uint32).astype(np.uint64)
    mixed = bits * np.uint64(0x9E3779B97F4A7C15)
    return f"{bits.size}-{bits.sum():x}-{(mixed ^ (mixed >> np.uint64(29))).sum():x}"


def restore_paths(model: Any, w: Weights) -> None:
    """Give initialisers, which the exporter calls by numbers, the parameter paths of the cursor's tensors."""
    import onnx

    known: dict[str, list[str]] = {}
    for path, array in w.arrays().items():
        known.setdefault(fingerprint(array), []).append(path)
    renamed: dict[str, str] = {}
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        paths = known.get(fingerprint(array), []) if array.dtype == np.float32 and array.size > 1 else []
        if paths:
            # Tensors of equal values (two norms at one, say) are told apart by their order alone.
            renamed[tensor.name] = tensor.name = paths.pop(0) if len(paths) > 1 else paths[0]
    _rename(model, renamed)


def _rename(model: Any, names: Mapping[str, str]) -> None:
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name in names:
                node.input[i] = names[name]


def halve(model: Any) -> None:
    """Store large float32 initialisers as float16, each followed by a Cast that ONNX Runtime folds on opening.

    Only values that float16 holds exactly are halved, so the graph computes the same numbers.
    """
    import onnx

    casts = []
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        small = array.astype(np.float16) if array.dtype == np.float32 else array
        if array.dtype != np.float32 or array.size < SMALL or not np.array_equal(small.astype(np.float32), array):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(small, f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
