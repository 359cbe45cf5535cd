"""Weights in eight bits, in an ONNX graph: blocks of a column share a scale, inputs are rounded while it runs.

ONNX Runtime's MatMulNBits: w ≈ (q − 128) · scale, with q of eight bits and one scale for `BLOCK` inputs of an output.
At accuracy level 4 the inputs are rounded to eight bits too, each row of a batch by itself, so that a row does not
depend on its neighbours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .onnx import weights_of

BLOCK, ZERO = 128, 128
SMALL = 10  # a matrix with less than a tenth of the largest one's numbers stays as it is: it weighs nothing


def eight_bits(graph: Path, out: Path) -> None:
    """Write `graph` with the weights of its large products in eight bits to `out`. Needs the extra `onnx`."""
    import onnx

    model = onnx.load(str(graph))
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in tensors]
    sizes = {node.input[1]: int(np.prod(tensors[node.input[1]].dims)) for node in products}
    largest = max(sizes.values(), default=0)
    for node in products:
        name = node.input[1]
        if sizes[name] * SMALL < largest or len(tensors[name].dims) != 2:
            continue
        if name in tensors and f"{name}.q" not in tensors:
            quantized, scales = blocks(onnx.numpy_helper.to_array(tensors[name]))
            for ending, array in (("q", quantized), ("scales", scales)):
                tensors[f"{name}.{ending}"] = onnx.numpy_helper.from_array(array, f"{name}.{ending}")
        _replace(node, name, tensors[name].dims)
    used = {name for node in model.graph.node for name in node.input} | {o.name for o in model.graph.output}
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensor for name, tensor in tensors.items() if name in used)
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, str(out), save_as_external_data=True, location=weights_of(out).name)


def _replace(node: Any, name: str, dims: Any) -> None:
    import onnx

    facts = {"K": dims[0], "N": dims[1], "bits": 8, "block_size": BLOCK, "accuracy_level": 4}
    node.op_type, node.domain = "MatMulNBits", "com.microsoft"
    node.input[1] = f"{name}.q"
    node.input.append(f"{name}.scales")
    node.attribute.extend(onnx.helper.make_attribute(key, value) for key, value in facts.items())


def blocks(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """[inputs, outputs] → numbers [outputs, blocks, BLOCK] and scales [outputs · blocks]."""
    inputs, outputs = weight.shape
    padded = np.zeros((outputs, -(-inputs // BLOCK) * BLOCK), np.float32)
    padded[:, :inputs] = weight.T
    parts = padded.reshape(outputs, -1, BLOCK)
    scales = np.maximum(np.abs(parts).max(-1), np.finfo(np.float32).tiny) / np.float32(127)
    numbers = np.clip(np.rint(parts / scales[..., None]), -127, 127) + ZERO
    return numbers.astype(np.uint8), scales.astype(np.float32).reshape(-1)
