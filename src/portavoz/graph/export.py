"""Stages as ONNX graphs, which they write themselves: built on `OnnxOps` and called once. Needs onnx, no framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import needed
from .onnx import weights_of
from .onnx_ops import OnnxOps
from .onnx_tensor import Tensor
from .onnx_writer import Node
from .symbolic import Length, Size

OPSET = 20  # the first that has Gelu in one piece
FORMAT = 10  # of files, the oldest that has this opset
SMALL = 1024  # tensors with fewer numbers stay in the graph, and float32 in a half-precision file: they weigh nothing
PAGE = 4096  # bytes; a tensor that is mapped begins at one


def export(
    stage: Callable[..., Any],
    inputs: Sequence[tuple[str, NDArray[Any]]],
    outputs: Sequence[str],
    *,
    ops: OnnxOps,
    half: bool = False,
) -> bytes:
    """One stage as an ONNX file's bytes.

    `ops` is what the stage was built on, of its own: it holds the nodes of one graph. `inputs` are "name: axis axis …"
    with an example array: named axes vary, the others ("_", and those not listed) have the example's length. Weights
    have the paths of their parameters. With `half` they are stored in float16 and widened when a session opens; the
    arithmetic stays float32. Raises MissingExtra when onnx is not installed, BackendError for a stage whose text
    depends on values or lengths that are known only when it runs.
    """
    onnx = _onnx()
    model = _model(stage, inputs, outputs, ops, onnx.numpy_helper.from_array)
    if half:
        halve(model)
    graph = model.SerializeToString()
    onnx.checker.check_model(graph)  # bytes, so that it makes no more of them
    return graph


def write(
    path: Path,
    stage: Callable[..., Any],
    inputs: Sequence[tuple[str, NDArray[Any]]],
    outputs: Sequence[str],
    *,
    ops: OnnxOps,
) -> None:
    """One stage as an ONNX file, its weights in a file beside it that a runtime maps instead of reading it.

    That opens several times as fast, and a graph may have more than the two gigabytes of a file of ONNX. Arguments and
    errors as in `export`.
    """
    onnx = _onnx()
    with weights_of(path).open("wb") as out:

        def store(array: NDArray[Any], name: str) -> Any:
            if array.size < SMALL:
                return onnx.numpy_helper.from_array(array, name)
            out.write(b"\0" * (-out.tell() % PAGE))
            kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            tensor = onnx.TensorProto(name=name, data_type=kind, dims=array.shape)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", Path(out.name).name), ("offset", out.tell()), ("length", array.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            array.tofile(out)
            return tensor

        model = _model(stage, inputs, outputs, ops, store)
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(path))


def _onnx() -> Any:
    with needed("onnx", "onnx", "exporting a stage"):
        import onnx
    return onnx


def _model(
    stage: Callable[..., Any],
    inputs: Sequence[tuple[str, NDArray[Any]]],
    outputs: Sequence[str],
    ops: OnnxOps,
    store: Callable[[NDArray[Any], str], Any],
) -> Any:
    """The stage's graph, each weight as `store` makes it."""
    from onnx import TensorProto, helper

    given = [ops.input(name.split(":")[0], _axes(name), example) for name, example in inputs]
    made = stage(*given)
    made = list(made) if isinstance(made, (tuple, list)) else [made]
    names = [name.split(":")[0] for name in outputs]
    nodes = _named(ops, made, names)
    read = {name for node in nodes for name in node.inputs}
    kept = {name: array for name, array in ops.writer.weights.items() if name in read}
    return helper.make_model(
        helper.make_graph(
            [_proto(node) for node in nodes],
            "stage",
            [_info(x, x.name, axes=_axes(name)) for x, (name, _) in zip(given, inputs)],
            [_info(x, name, axes=_axes(declared)) for x, name, declared in zip(made, names, outputs)],
            [store(np.ascontiguousarray(array).reshape(array.shape), name) for name, array in kept.items()],
            value_info=[
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [_dimension(n) for n in shape])
                for name, shape in ops.writer.shapes.items()
                if name in read
            ],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT, producer_name="portavoz",
    )  # fmt: skip


def _named(ops: OnnxOps, made: Sequence[Tensor], names: Sequence[str]) -> list[Node]:
    """Identity nodes that give these values their names."""
    written = {name for node in ops.writer.nodes for name in node.outputs}
    called, more = dict[str, str](), list[Node]()
    for x, name in zip(made, names):
        if x.name in written and x.name not in called:
            called[x.name] = name
        else:  # an input, a weight, or a value that has a name already
            more.append(Node("Identity", (x.name,), (name,), ()))
    nodes = [*ops.writer.needed([x.name for x in made]), *more]
    return [
        node._replace(
            inputs=tuple(called.get(name, name) for name in node.inputs),
            outputs=tuple(called.get(name, name) for name in node.outputs),
        )
        for node in nodes
    ]


def _proto(node: Node) -> Any:
    from onnx import helper

    return helper.make_node(node.op, node.inputs, node.outputs, name=node.outputs[0], **dict(node.facts))


def _info(x: Tensor, name: str, *, axes: Sequence[str]) -> Any:
    """The declaration of an input or output; varying axes have their declared names."""
    from onnx import helper

    shape = [_dimension(n) for n in x.shape]
    for i, axis in enumerate(axes):
        if axis != "_":
            shape[i] = axis
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), shape)


def _dimension(n: Length) -> int | str:
    return str(n) if isinstance(n, Size) else int(n)


def _axes(declared: str) -> list[str]:
    """The axes of "name: axis axis …", in order."""
    return declared.split(":")[1].split()


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
