"""An ONNX file as a side of a comparison: a graph is run node by node.

Nodes that stand for a unit of the lab (a layer with weights, an activation, softmax) are compared, by name and facts;
what other nodes compute is compared where it arrives at the next of these, and as the graph's outputs. Beside another
graph every node that computes numbers is a unit (`every_node`), whatever it is. Weights are the
initializers, by their names without ``.weight`` and ``.bias``. The nodes are computed by the reference implementation
of the onnx package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, MissingExtra
from .base import Call, Instrument
from .observer import Observer
from .onnx_nodes import computed

ACTIVATIONS = {
    "Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "Elu": "elu", "Gelu": "gelu", "Mish": "mish",
    "LeakyRelu": "leaky_relu", "Softmax": "softmax",
}  # fmt: skip
WEIGHTED = {
    "Gemm": "linear", "MatMul": "linear", "Conv": "conv1d", "ConvTranspose": "conv_transpose1d",
    "LayerNormalization": "layer_norm", "BatchNormalization": "batch_norm",
    "InstanceNormalization": "instance_norm", "Gather": "embedding",
}  # fmt: skip
ROLES = {
    "layer_norm": ("weight", "bias"), "batch_norm": ("weight", "bias", "running_mean", "running_var"),
    "conv1d": ("weight", "bias"), "conv_transpose1d": ("weight", "bias"), "linear": ("weight", "bias"),
    "embedding": ("weight",), "instance_norm": ("weight", "bias"),
}  # fmt: skip


# Nodes that only move numbers: what they move is compared where it arrives.
MOVES = {
    "Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Slice", "Split", "Concat",
    "Gather", "GatherElements", "GatherND", "Tile", "Shape", "Dropout",
}  # fmt: skip


class OnnxProgram:
    """A graph and what it is given: `inputs` by name. Its outputs are the named values `result`, `result.1` …

    `model` is the graph where it was opened already; `every_node`: all nodes that compute are units. Raises InputError
    for a file that is no graph or for inputs that are not its own, MissingExtra without `onnx`.
    """

    def __init__(
        self, path: str | Path, inputs: Mapping[str, NDArray[Any]], *, name: str = "", model: Any = None
    ) -> None:
        self.path, self.inputs, self.name = Path(path), dict(inputs), name or Path(path).name
        self.every_node = False
        self.model = _opened(self.path) if model is None else model
        wanted = [i.name for i in self.model.graph.input if i.name not in _initial(self.model)]
        if sorted(wanted) != sorted(self.inputs):
            raise InputError(f"{path}: its inputs are {', '.join(wanted)}; given {', '.join(self.inputs) or 'none'}")

    def run(self, observer: Observer, *, float64: bool = False) -> None:
        """Run it once under the observer; `float64` widens every float32 number."""
        graph = _Graph(observer, self.model, float64=float64)
        graph.every_node = self.every_node
        graph.run(self.inputs)


def _opened(path: Path) -> Any:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtra("onnx", "torch", "a graph as a side of a comparison") from error
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except (OSError, DecodeError, onnx.checker.ValidationError) as problem:
        text = " ".join(str(problem).split())[:160]
        raise InputError(f"{path}: is not an ONNX graph ({text}); export it again") from problem
    return model


def _initial(model: Any) -> set[str]:
    return {one.name for one in model.graph.initializer}


class _Graph(Instrument):
    """One run of a graph."""

    def __init__(self, observer: Observer, model: Any, *, float64: bool) -> None:
        super().__init__(observer)
        from onnx.reference import ReferenceEvaluator

        self.model, self.float64, self.every_node = model, float64, False
        self.nodes: list[Any] = ReferenceEvaluator(model).rt_nodes_
        self.constants: dict[str, NDArray[Any]] = {}
        self.used: dict[str, int] = {}

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, np.ndarray)

    def array(self, tensor: NDArray[Any]) -> NDArray[Any]:
        return np.array(tensor, np.float32 if tensor.dtype == np.float16 else None, copy=True)

    def like(self, array: NDArray[Any], tensor: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(array, tensor.dtype).reshape(tensor.shape)

    def wide(self, a: NDArray[Any]) -> NDArray[Any]:
        return a.astype(np.float64) if self.float64 and a.dtype.kind == "f" else a

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Compute the nodes in order."""
        from onnx import numpy_helper

        values: dict[str, Any] = {"": None}
        for one in self.model.graph.initializer:
            self.constants[one.name] = values[one.name] = self.wide(numpy_helper.to_array(one))
        values |= {name: self.wide(np.asarray(a)) for name, a in inputs.items()}
        waiting = self._biases()
        for node in self.nodes:
            outputs = self._node(node, values, waiting)
            values |= dict(zip(node.output, outputs))
        for i, out in enumerate(self.model.graph.output):
            values[out.name] = self.named_value(f"result.{i}" if i else "result", values[out.name])

    def _biases(self) -> dict[str, tuple[Any, str]]:
        """Products whose only reader adds a bias: the product's output → (the node that adds, the bias)."""
        readers: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        out: dict[str, tuple[Any, str]] = {}
        initial = _initial(self.model)
        for node in self.nodes:
            after = readers.get(node.output[0], [])
            if node.op_type == "MatMul" and node.input[1] in initial and len(after) == 1 and after[0].op_type == "Add":
                bias = [n for n in after[0].input if n in initial]
                if len(bias) == 1:
                    out[node.output[0]] = (after[0], bias[0])
        return out

    def _node(self, node: Any, values: dict[str, Any], waiting: dict[str, tuple[Any, str]]) -> Sequence[Any]:
        given = [values[name] for name in node.input]
        if node.op_type == "Constant":
            made = tuple(self.wide(np.asarray(a)) for a in node.run())
            self.constants |= dict(zip(node.output, made))
            return made
        if node.op_type == "Cast" and self.float64:
            return tuple(self.wide(np.asarray(a)) for a in node.run(*given))

        def run(*arrays: Any) -> tuple[Any, ...]:
            return tuple(self.wide(np.asarray(a)) for a in computed(node, *arrays))

        if node.output[0] in waiting:
            return given[:1]  # the product is computed together with its bias
        if node.op_type == "Add":
            product = next((n for n in node.input if waiting.get(n, (None, ""))[0] is node), "")
            if product:
                return [self._linear(node, product, values, waiting)]
        call = self._call(node, given, run)
        if call is not None:
            return [self.called(call[0], call[1])]
        return self._computed(node, given, run) if self.every_node else run(*given)

    def _computed(self, node: Any, given: list[Any], run: Callable[..., tuple[Any, ...]]) -> Sequence[Any]:
        """A node that is no unit of the lab, as one of its own; its inputs are those that are no constants."""
        places = [
            i for i, (name, a) in enumerate(zip(node.input, given))
            if a is not None and name not in self.constants and a.dtype.kind == "f"
        ]  # fmt: skip
        if node.op_type in MOVES or not places:
            return run(*given)

        def on(tensors: Sequence[Any]) -> tuple[Any, ...]:
            whole = list(given)
            for place, tensor in zip(places, tensors):
                whole[place] = tensor
            return run(*whole)

        return self.called(node.op_type.lower(), Call([given[i] for i in places], on))

    def _linear(self, node: Any, product: str, values: dict[str, Any], waiting: dict[str, tuple[Any, str]]) -> Any:
        maker = next(n for n in self.nodes if n.output[0] == product)
        weight, bias = values[maker.input[1]], values[waiting[product][1]]
        self._owned(maker.input[1], weight)
        return self.called(
            "linear",
            Call(
                [values[product]],
                lambda t: np.matmul(t[0], weight) + bias,
                {"weight": weight.T, "bias": bias},
                given=weight,
            ),
        )

    def _owned(self, name: str, weight: NDArray[Any]) -> None:
        path = name.removesuffix(".weight").removesuffix("_weight")
        self.owners.setdefault(id(weight), path)

    def _call(self, node: Any, given: list[Any], run: Callable[..., tuple[Any, ...]]) -> tuple[str, Call] | None:
        facts = {
            a: getattr(node, a, None) for a in ("strides", "dilations", "pads", "group", "epsilon", "alpha", "axis")
        }
        if node.op_type in ACTIVATIONS:
            op = ACTIVATIONS[node.op_type]
            known: dict[str, Any] = {"slope": facts["alpha"]} if op == "leaky_relu" else {}
            if op == "gelu":
                known = {"approximate": getattr(node, "approximate", "none") == "tanh"}
            axis = facts["axis"] if op == "softmax" and facts["axis"] is not None else -1
            axis = axis - given[0].ndim if axis >= 0 else axis
            return op, Call([given[0]], lambda t: run(t[0])[0], facts=known, axis=axis)
        op = WEIGHTED.get(node.op_type, "")
        place = 0 if op == "embedding" else 1
        if not op or node.input[place] not in self.constants or given[place].dtype.kind != "f":
            return None
        return self._weighted(op, node, given, run, facts)

    def _weighted(
        self, op: str, node: Any, given: list[Any], run: Callable[..., tuple[Any, ...]], facts: dict[str, Any]
    ) -> tuple[str, Call] | None:
        place = 0 if op == "embedding" else 1
        weight = given[place]
        self._owned(node.input[place], weight)
        rest = [a for i, a in enumerate(given) if i != (1 if op == "embedding" else 0) and a is not None]
        weights = dict(zip(ROLES[op], rest))
        if op == "linear" and not (node.op_type == "Gemm" and getattr(node, "transB", 0)):
            weights["weight"] = weight.T
        known: dict[str, Any] = {}
        if op in ("conv1d", "conv_transpose1d"):
            if weight.ndim != 3:
                return None
            known = {"stride": _first(facts["strides"], 1), "padding": _first(facts["pads"], 0)}
            if op == "conv1d":
                known |= {"dilation": _first(facts["dilations"], 1), "groups": facts["group"] or 1}
        if op in ("layer_norm", "batch_norm", "instance_norm"):
            known = {"eps": float(np.float32(facts["epsilon"] if facts["epsilon"] is not None else 1e-5))}
            known["eps"] = float(f"{known['eps']:.6g}")
        second = 1 - given[0].ndim
        axis = {"conv1d": -2, "conv_transpose1d": -2, "batch_norm": second, "instance_norm": second}.get(op, -1)
        if op == "embedding":
            return op, Call([given[1]], lambda t: run(weight, t[0])[0], weights, known, weight)
        return op, Call([given[0]], lambda t: run(t[0], *given[1:])[0], weights, known, weight, axis)


def _first(value: Any, default: int) -> int:
    return int(value[0]) if value is not None and len(value) else default
