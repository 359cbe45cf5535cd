"""Piper's graph with its random draws as inputs, and the durations as an output that a caller may set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import WeightError
from ..surgery import RANDOM, Graph
from .config import PiperConfig

TAKES = ("input", "input_lengths", "scales")
WHO = "a Piper voice"
PRIOR, LENGTHS = "noise.prior", "noise.durations"
TIME_FIRST = (2, 0, 1)  # the draws are [batch, channels, time]


def rewrite(model: Any, c: PiperConfig, path: Path) -> None:
    """Edit in place. Raises WeightError for a graph that is none of Piper's, or of another JSON."""
    graph = Graph(model, path)
    many = (*TAKES, "sid")
    graph.expect(TAKES if c.speakers == 1 else many, many, who=WHO)
    _fits(graph, path, "input", 1 + max(n for ids in c.ids.values() for n in ids), "phonemes")
    if "sid" in graph.inputs():
        _fits(graph, path, "sid", c.speakers, "speakers")
    lengths = [node for node in graph.nodes("Ceil") if graph.consumers(node.output[0])]
    if len(lengths) != 1:
        raise WeightError(f"{path}: no durations are in this graph, so it is not {WHO}'s; give the file it came with")
    for node in graph.nodes(*RANDOM):
        graph.seeded(node, PRIOR if _behind(graph, node, lengths[0]) else LENGTHS, TIME_FIRST)
    graph.overridden(lengths[0].output[0], "given", np.float32, 3)
    graph.settled()


def _fits(graph: Graph, path: Path, name: str, wanted: int, what: str) -> None:
    rows = graph.rows(name)
    if rows is not None and wanted > rows:
        raise WeightError(
            f"{path}: has {rows} {what}, and {path.name}.json counts up to {wanted}: the two are of different voices; "
            "give the JSON that came with it"
        )


def _behind(graph: Graph, node: Any, mark: Any) -> bool:
    """Whether a node's inputs depend on another node."""
    waiting, seen = list(node.input), set[str]()
    while waiting:
        name = waiting.pop()
        made = graph.producers.get(name)
        if name in seen or made is None:
            continue
        if made is mark or mark.output[0] in made.output:
            return True
        seen.add(name)
        waiting.extend(made.input)
    return False
