"""A graph with large products in int8, with activation ranges computed at run time.

    x @ W + b  ≈  (q − z) @ Q · (s · S) + b        q, s, z = DynamicQuantizeLinear(x), Q and S the rows of W

Standard ONNX operators (`DynamicQuantizeLinear`, `MatMulInteger`), which a runtime fuses into one kernel. A learned
scale or shift after a product is folded into its numbers. Works on graphs that `export` made. Needs onnx, no framework.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .export import halve
from .storage import SEVEN, fold_shapes, forget, onnx, replace_nodes

LEAST = 1 << 15  # a matrix with fewer numbers stays in float32: rounding what it is given costs more than it saves


class Product(NamedTuple):
    """x @ weight + bias → result; `joined` are the nodes that it stands for."""

    x: str
    path: str
    weight: NDArray[Any]
    bias: NDArray[Any]
    result: str
    joined: list[Any]


def rewritten(graph: bytes, *, keep: Sequence[str], half: bool) -> bytes:
    """A graph's bytes with its large products in whole numbers; with `half` the other weights are in float16."""
    model = dynamic(onnx().load_model_from_string(graph), keep=keep)
    if half:
        halve(model)
    onnx().checker.check_model(model)
    return model.SerializeToString()


def dynamic(model: Any, *, keep: Sequence[str] = ()) -> Any:
    """The model, changed in place: products with a stored matrix of `LEAST` numbers or more use int8.

    Matrices whose path begins with one of `keep` stay in float32.
    """
    fold_shapes(model)
    tensors = {t.name: onnx().numpy_helper.to_array(t) for t in model.graph.initializer}
    large = {
        name
        for name, array in tensors.items()
        if array.ndim == 2 and array.size >= LEAST and not name.startswith(tuple(keep))
    }
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    nodes, left, rounded = list[Any](), set[str](), set[str]()
    for node in model.graph.node:
        if node.output[0] in left:
            continue
        if node.op_type != "MatMul" or node.input[1] not in large:
            nodes.append(node)
            continue
        product = _product(node, tensors, readers)
        left.update(one.output[0] for one in product.joined)
        nodes += _whole(model, product, first=product.x not in rounded)
        rounded.add(product.x)
    replace_nodes(model, nodes)
    forget(model)
    return model


def _product(node: Any, tensors: dict[str, NDArray[Any]], readers: dict[str, list[Any]]) -> Product:
    """A product and the additions and products by one number a column that follow it."""
    x, path = node.input
    weight, joined, end = tensors[path].astype(np.float64), list[Any](), node.output[0]
    bias = np.zeros(weight.shape[1])
    while len(readers[end]) == 1 and readers[end][0].op_type in ("Add", "Mul"):
        after = readers[end][0]
        other = tensors.get(next((name for name in after.input if name != end), ""))
        if other is None or other.ndim > 1:
            break
        if after.op_type == "Mul":
            weight, bias = weight * other, bias * other
        else:
            bias = bias + other
        joined.append(after)
        end = after.output[0]
    return Product(x, path, weight, bias, end, joined)


def _whole(model: Any, product: Product, *, first: bool) -> list[Any]:
    """The nodes of a product; with `first` those that round its input, too."""
    library = onnx()
    make, store = library.helper.make_node, library.numpy_helper.from_array
    x, at = product.x, product.path
    # Weights have seven bits: products of eight overflow on processors before VNNI.
    scales = np.maximum(np.abs(product.weight).max(0), 1e-12) / (SEVEN - 1)
    numbers = np.ascontiguousarray(np.rint(product.weight / scales).astype(np.int8))
    stored = ((numbers, "int8"), (scales.astype(np.float32), "scales"), (product.bias.astype(np.float32), "shift"))
    model.graph.initializer.extend(store(array, f"{at}.{name}") for array, name in stored)
    q, s, z = (f"{x}.{name}" for name in ("whole", "scale", "zero"))
    return [
        *([make("DynamicQuantizeLinear", [x], [q, s, z])] if first else []),
        make("MatMulInteger", [q, f"{at}.int8", z], [f"{at}.sum"]),
        make("Cast", [f"{at}.sum"], [f"{at}.float"], to=library.TensorProto.FLOAT),
        make("Mul", [s, f"{at}.scales"], [f"{at}.step"]),
        make("Mul", [f"{at}.float", f"{at}.step"], [f"{at}.scaled"]),
        make("Add", [f"{at}.scaled", f"{at}.shift"], [product.result]),
    ]
