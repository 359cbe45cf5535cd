"""How a graph's weights are stored: widened, changed, in half precision, or as rows of int8; and one that computes in
eight bits. Works on graphs that `export` made, whose weights have their paths. Needs onnx, and no framework.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightError, needed
from .export import SMALL, halve

Arrays = Mapping[str, NDArray[Any]]
# What widens a stored weight when a session opens.
WIDENING: dict[str, Callable[..., NDArray[np.float32]]] = {
    "Cast": lambda x: x.astype(np.float32),
    "Mul": lambda x, y: (x * y).astype(np.float32),
}
# How a graph holds a weight [out, in, …]: as it is, its axes turned round, or those as one matrix.
Layout = Callable[[NDArray[Any]], NDArray[Any]]
LAYOUTS: tuple[Layout, ...] = (lambda a: a, lambda a: a.T, lambda a: a.T.reshape(-1, a.shape[0]))
SEVEN = 64  # the largest whole number of a weight that is computed with, see `eight_bits`
COMPUTED = ("MatMul", "Conv")  # what `eight_bits` gives to whole numbers


class Rows(NamedTuple):
    """int8 [out, …] and its scales [out], see `weights.quantized`."""

    numbers: NDArray[np.int8]
    scales: NDArray[np.float32]


def onnx() -> Any:
    """The package that reads and writes graphs. Raises MissingExtra."""
    with needed("onnx", "onnx", "compressing a voice"):
        import onnx
    return onnx


def read(path: str | Path) -> Any:
    """A stored graph. Raises WeightError for a file that is not a graph, or that computes in eight bits."""
    library = onnx()
    from google.protobuf.message import DecodeError  # what onnx is made of

    try:
        model = library.load(str(path))
    except (OSError, DecodeError) as problem:
        raise WeightError(f"{path}: not a graph that can be read ({problem}); export the voice again") from problem
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        raise WeightError(f"{path}: computes in eight bits already; compress the voice that it was made from")
    return model


def widened(model: Any) -> Any:
    """The model, changed in place: all its weights as float32."""
    library = onnx()
    arrays = {tensor.name: library.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type in WIDENING and all(name in arrays for name in node.input):
            arrays[node.output[0]] = WIDENING[node.op_type](*(arrays[name] for name in node.input))
        else:
            kept.append(node)
    replace_nodes(model, kept)
    del model.graph.initializer[:]
    model.graph.initializer.extend(library.numpy_helper.from_array(array, name) for name, array in arrays.items())
    forget(model)
    return model


def change(model: Any, old: Arrays, new: Arrays) -> None:
    """Give weights other values: an initialiser that holds `old[path]` gets `new[path]`, laid out alike."""
    helper = onnx().numpy_helper
    for tensor in model.graph.initializer:
        if tensor.name in new:
            layout = _layout(helper.to_array(tensor), old[tensor.name])
            if layout is not None:
                array = layout(new[tensor.name].astype(np.float32))
                tensor.CopyFrom(helper.from_array(np.ascontiguousarray(array), tensor.name))


def narrow(model: Any, packed: Mapping[str, Rows]) -> int:
    """Store weights as int8 rows that are widened when a session opens; returns how many.

    Only where the rows represent the weights exactly, so the graph computes the same.
    """
    library, added, count = onnx(), [], 0
    initializers = library.numpy_helper
    for tensor in list(model.graph.initializer):
        name = tensor.name
        if name not in packed:
            continue
        numbers, scales = packed[name]
        each = scales.reshape(-1, *[1] * (numbers.ndim - 1))
        layout = _layout(initializers.to_array(tensor), numbers.astype(np.float32) * each)
        if layout is None:
            continue
        tensor.CopyFrom(initializers.from_array(np.ascontiguousarray(layout(numbers)), f"{name}.int8"))
        model.graph.initializer.append(initializers.from_array(np.ascontiguousarray(layout(each)), f"{name}.scales"))
        make = library.helper.make_node
        added.append(make("Cast", [f"{name}.int8"], [f"{name}.wide"], to=library.TensorProto.FLOAT))
        added.append(make("Mul", [f"{name}.wide", f"{name}.scales"], [name]))
        count += 1
    replace_nodes(model, [*added, *model.graph.node])
    return count


def round_tables(model: Any, paths: Iterable[str]) -> None:
    """Round large constants that are not weights (precomputed position tables) to float16."""
    helper, weights = onnx().numpy_helper, {*paths}
    for tensor in model.graph.initializer:
        array = helper.to_array(tensor)
        if tensor.name not in weights and array.dtype == np.float32 and array.size >= SMALL:
            tensor.CopyFrom(helper.from_array(array.astype(np.float16).astype(np.float32), tensor.name))


def save(model: Any, path: Path, *, half: bool) -> None:
    """Write a graph atomically; with `half`, values that float16 represents exactly are stored so."""
    from ..atomic import atomic

    if half:
        halve(model)
    onnx().checker.check_model(model)
    with atomic(path, "wb") as out:
        out.write(model.SerializeToString())


def eight_bits(model: Any, examples: Sequence[Mapping[str, NDArray[Any]]], *, keep: Sequence[str] = ()) -> Any:
    """The graph with its products and convolutions by weights in whole numbers (QDQ), weights a channel at a time.

    Ranges of what flows are those of `examples` (inputs by name). Products of two activations stay in float32, and so
    do weights whose path begins with one of `keep`.
    """
    onnx()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    fold_shapes(model)
    # What its pre-processing would do is done: without this it says so on the log of whoever calls.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    stored = {tensor.name for tensor in model.graph.initializer}
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{number}"
    left = [
        node.name
        for node in model.graph.node
        if node.op_type in COMPUTED and (node.input[1] not in stored or node.input[1].startswith(tuple(keep)))
    ]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "eight.onnx"
        reader: Any = SimpleNamespace(get_next=partial(next, iter(examples), None))
        # Weights have seven bits: products of eight overflow on processors before VNNI.
        quantize_static(
            model, out, reader, quant_format=QuantFormat.QDQ, op_types_to_quantize=[*COMPUTED], per_channel=True,
            reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=left,
            calibrate_method=CalibrationMethod.MinMax,
        )  # fmt: skip
        return onnx().load(str(out))


def fold_shapes(model: Any) -> None:
    """Store kernels that a graph reshapes into matrices as those matrices: only stored weights are quantised."""
    helper, kept = onnx().numpy_helper, []
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Reshape" and all(name in tensors for name in node.input):
            array = helper.to_array(tensors[node.input[0]])
            name = f"{node.input[0]}.matrix"
            model.graph.initializer.append(
                helper.from_array(array.reshape(helper.to_array(tensors[node.input[1]])), name)
            )
            for reader in model.graph.node:
                for i, read in enumerate(reader.input):
                    if read == node.output[0]:
                        reader.input[i] = name
        else:
            kept.append(node)
    replace_nodes(model, kept)
    forget(model)


def _layout(array: NDArray[Any], known: NDArray[Any]) -> Layout | None:
    """How an initialiser stores a known tensor; None if it does not."""
    for layout in LAYOUTS:
        if known.size == array.size and np.array_equal(layout(known), array):
            return layout
    return None


def replace_nodes(model: Any, nodes: Sequence[Any]) -> None:
    """Replace the nodes of a model, including reused ones."""
    copied = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copied)


def forget(model: Any) -> None:
    """Remove weights that no node reads."""
    used = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    kept = [type(t).FromString(t.SerializeToString()) for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def heavy(path: str, array: NDArray[Any]) -> bool:
    """Whether a tensor is one of the large matrices and kernels."""
    return path.endswith(".weight") and array.ndim > 1 and array.size >= SMALL
