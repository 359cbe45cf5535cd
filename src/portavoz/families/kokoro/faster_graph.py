"""Kokoro's graph with its generator's residual blocks written anew, in float32 and with fewer multiplications.

Two thirds of the time are their convolutions, which run with the products of `short_products`, as matrix products of
ONNX's own operators, on [time, channels]; a norm and the snake behind it are a scale and a shift for each channel,
v = scale · x + shift, and v + sin² v, whose factor 1 / α is in the next weights. The sound is that of the same weights
in float32: whatever the file rounds at run time is not rounded there. The source's transform stays as it is: where a
frame has no voice its phases are rounding noise, and the sound depends on them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightError
from ..short_convolutions import Rows, dilation_of
from ..short_products import algorithm
from ..spec import FasterGraph
from ..surgery import Graph
from . import names
from .config import STYLE, KokoroConfig
from .styled import EPS
from .widen import widen

BLOCK = re.compile(r"(decoder\.generator\.(?:noise_res|resblocks)\.\d+)\.convs1\.0\.weight")
FLOAT, HALF = 1, 10  # as ONNX numbers them
OPSET = 13  # the oldest whose operators these are
SMALLEST = 1e-6  # of a snake's α that is divided by
Arrays = dict[str, NDArray[Any]]


def faster(model: Any, c: KokoroConfig, path: Path) -> bool:
    """Edit a rewritten graph in place; gives whether anything was to be done. What is not as expected stays."""
    if min(one.version for one in model.opset_import if one.domain in ("", "ai.onnx")) < OPSET:
        return False
    wide = type(model)()
    wide.CopyFrom(model)
    try:
        widen(wide, path)
        found = names.tensors(wide, path)
    except (WeightError, LookupError, ValueError, StopIteration):
        return False
    widened, graph = Graph(wide, path), Graph(model, path)
    if not all(_unscaled(widened, node) for node in widened.nodes("InstanceNormalization")):
        return False
    convolutions = {node.input[1]: node for node in widened.nodes("Conv")}
    done = False
    for stem in [match[1] for name in found if (match := BLOCK.fullmatch(name))]:
        edges = _edges(widened, convolutions, stem)
        if edges is not None and edges[1] in graph.producers and _fits(found, stem, len(edges[2])):
            _Block(graph, found, stem, edges[2]).replace(*edges[:2])
            done = True
    if done:
        graph.swept()
    return done


def _unscaled(graph: Graph, node: Any) -> bool:
    """Whether a norm has no scale and no shift of its own, but those that the style gives."""
    scale, shift = (graph.known(name) for name in node.input[1:3])
    return scale is not None and shift is not None and bool((scale == 1).all() and (shift == 0).all())


def _edges(graph: Graph, convolutions: dict[str, Any], stem: str) -> tuple[str, str, list[int]] | None:
    """What a block reads and gives, and its dilations; None where it is no chain of sums as the model has."""
    first, state, dilations = "", "", list[int]()
    while (wide := convolutions.get(f"{stem}.convs1.{len(dilations)}.weight")) is not None:
        narrow = convolutions.get(f"{stem}.convs2.{len(dilations)}.weight")
        made = _biased(graph, narrow.output[0]) if narrow is not None else ""
        reads = graph.consumers(made)
        if len(reads) != 1 or reads[0].op_type != "Add" or dilation_of(graph, narrow) != 1:
            return None
        before = next((name for name in reads[0].input if name != made), "")
        dilation = dilation_of(graph, wide)
        if not before or state not in ("", before) or dilation == 0:
            return None
        first, state = first or before, reads[0].output[0]
        dilations.append(dilation)
    return (first, state, dilations) if dilations else None


def _biased(graph: Graph, value: str) -> str:
    """What a convolution gives, its bias added, which some exports do by itself."""
    reads = graph.consumers(value)
    if len(reads) != 1 or reads[0].op_type != "Add":
        return value
    other = next((name for name in reads[0].input if name != value), "")
    while other in graph.producers and graph.producers[other].op_type in ("Reshape", "Unsqueeze"):
        other = graph.producers[other].input[0]
    return reads[0].output[0] if other in graph.weights else value


def _fits(found: Arrays, stem: str, count: int) -> bool:
    """Whether the weights of a block are all there, and can be transformed."""
    for which in (f"{n}.{i}" for n in (1, 2) for i in range(count)):
        weight, alpha = found.get(f"{stem}.convs{which}.weight"), found.get(f"{stem}.alpha{which}.alpha")
        roles = (f"{stem}.adain{which}.fc.weight", f"{stem}.adain{which}.fc.bias", f"{stem}.convs{which}.bias")
        if weight is None or alpha is None or not {*roles} <= {*found}:
            return False
        if np.abs(alpha).min() < SMALLEST or algorithm(weight.shape[2], weight.shape[1]) is None:
            return False
    return True


class _Block(Rows):
    """One residual block being written; values are names, those with a time axis [steps, channels]."""

    def __init__(self, graph: Graph, found: Arrays, stem: str, dilations: list[int]) -> None:
        super().__init__(graph, stem)
        self.found, self.dilations = found, dilations
        self.channels = len(found[f"{stem}.convs1.0.weight"])

    def replace(self, first: str, last: str) -> None:
        """The block from `first` to `last` [1, channels, steps], in the place of what makes `last`."""
        old = self.graph.producers[last]
        x = self("Transpose", self("Cast", first, to=FLOAT), perm=[0, 2, 1])
        x = self("Reshape", x, self.number([-1, self.channels]))
        self._lengths(x)
        self.style = self("Cast", "style", to=FLOAT)
        bias = np.zeros(self.channels)
        for i, dilation in enumerate(self.dilations):
            y = self.filtered(self.steered(x, f"1.{i}"), f"1.{i}", dilation)
            x = self("Add", x, self.filtered(self.steered(y, f"2.{i}"), f"2.{i}", 1))
            bias += self.found[f"{self.stem}.convs2.{i}.bias"]  # the next norm takes it away again
        x = self("Transpose", self("Add", x, self.array(bias)), perm=[1, 0])
        half = any(one.data_type == HALF for name, one in self.graph.weights.items() if f"{self.stem}." in name)
        self("Cast", self("Unsqueeze", x, self.number([0])), to=HALF if half else FLOAT)
        self.made[-1].output[0] = last
        self.graph.insert(old, *self.made)
        self.graph.graph.node.remove(old)

    def _lengths(self, x: str) -> None:
        self.length = self.steps(x)
        whole = self("Cast", self.length, to=FLOAT)
        share = self("Div", self.array([[1.0]]), whole)
        shape = self("Concat", self.number([1]), self("Unsqueeze", self.length, self.number([0])), axis=0)
        self.mean = self("Expand", share, shape)  # [1, steps]: times a value, its mean over time

    def steered(self, x: str, which: str) -> str:
        """Adaptive norm and snake, times the snake's α."""
        fc, alpha = f"{self.stem}.adain{which}.fc", self.found[f"{self.stem}.alpha{which}.alpha"].astype(np.float64)
        weight, bias = (self.found[f"{fc}.{role}"].astype(np.float64) for role in ("weight", "bias"))
        made = []
        for n, plus in ((0, 1.0), (1, 0.0)):
            rows = slice(n * self.channels, (n + 1) * self.channels)
            steer = self("MatMul", self.style_half(weight.shape[1]), self.array((weight[rows] * alpha[:, None]).T))
            made.append(self("Add", steer, self.array((bias[rows] + plus) * alpha)))
        apart = self("Sub", x, self("MatMul", self.mean, x))
        spread = self("Sqrt", self("Add", self("MatMul", self.mean, self("Mul", apart, apart)), self.array(EPS)))
        v = self("Add", self("Mul", apart, self("Div", made[0], spread)), made[1])
        sine = self("Sin", v)
        return self("Add", v, self("Mul", sine, sine))

    def style_half(self, wide: int) -> str:
        """The first half of the style, which steers the sound."""
        if "style" not in self.known:
            self.known["style"] = self("Slice", self.style, self.number([0]), self.number([wide]), self.number([1]))
        return self.known["style"]

    def filtered(self, x: str, which: str, dilation: int) -> str:
        """x / α convolved; without a bias."""
        alpha = self.found[f"{self.stem}.alpha{which}.alpha"].astype(np.float64)
        weight = self.found[f"{self.stem}.convs{which}.weight"].astype(np.float64) / alpha[None, :, None]
        return self.convolved(x, self.length, weight, dilation)


def trial(takes: Sequence[str]) -> Arrays:
    """Half a second: a few phonemes of given lengths."""
    given = {
        "tokens": np.array([[0, *range(43, 51), 0]], np.int64),
        "style": np.zeros((1, STYLE), np.float32),
        "speed": np.ones(1, np.float32),
        "given": np.full(10, 2, np.int64),
    }
    return {name: given.get(name, np.full(64, 0.5, np.float32)) for name in takes}


FASTER = FasterGraph(faster, trial)
