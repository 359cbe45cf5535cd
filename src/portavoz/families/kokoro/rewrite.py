"""Kokoro's graph with one name for its inputs, its random draws as inputs, and its durations to be seen and set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import WeightError
from ..surgery import RANDOM, Graph
from .config import KokoroConfig

TOKENS = ("tokens", "input_ids")
WHO = "a Kokoro model"
SHAPES = ("Clip", "Cast", "Gather", "Squeeze", "Reshape", "Max", "Unsqueeze", "Identity")


def rewrite(model: Any, c: KokoroConfig, path: Path) -> None:
    """Edit in place. Raises WeightError for a graph of another model."""
    graph = Graph(model, path)
    graph.expect(*((tokens, "style", "speed") for tokens in TOKENS), who=WHO)
    _checked(graph, c, path)
    for value in graph.graph.input:
        if value.name == TOKENS[1]:
            value.name = TOKENS[0]
            for node in graph.graph.node:
                node.input[:] = [TOKENS[0] if one == TOKENS[1] else one for one in node.input]
    for number, node in enumerate(graph.nodes(*RANDOM)):
        graph.seeded(node, draw_name(node, number))
    del graph.graph.output[1:]
    durations = next(filter(None, (_whole(graph, node) for node in graph.nodes("Round"))), "")
    if durations:
        graph.overridden(durations, "given", np.int64, 1)
    graph.settled()


def draw_name(node: Any, number: int) -> str:
    """What a random node's numbers are called."""
    return f"noise.{'uniform' if 'Uniform' in node.op_type else 'normal'}.{number}"


def _checked(graph: Graph, c: KokoroConfig, path: Path) -> None:
    from onnx import TensorProto

    rows = max(filter(None, map(graph.rows, TOKENS)), default=c.symbols)
    if rows < c.symbols:
        raise WeightError(f"{path}: has {rows} phonemes, {WHO} has {c.symbols}: another model's file; give Kokoro's")
    for value in graph.graph.input:
        tensor = value.type.tensor_type
        if value.name == "style":
            wide = tensor.shape.dim[-1].dim_value if len(tensor.shape.dim) else 0
            if wide not in (0, c.style):
                raise WeightError(f"{path}: takes styles of {wide} numbers, {WHO} of {c.style}; give Kokoro's file")
        if value.name == "speed" and tensor.elem_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
            raise WeightError(f"{path}: takes speeds as whole numbers; give an export that takes them as float32")


def _whole(graph: Graph, node: Any) -> str:
    """The durations as whole numbers, followed from where they are rounded; "" where that is something else."""
    value, cast = node.output[0], False
    while True:
        after = graph.consumers(value)
        step = after[0] if len(after) == 1 and after[0].input[0] == value else None
        if step is None or step.op_type not in SHAPES or (cast and step.op_type == "Cast"):
            return value if cast else ""
        value, cast = step.output[0], cast or step.op_type == "Cast"
