"""A Kokoro graph in ordinary float32 operators, with its weights under the checkpoint's paths.

Exports differ in how they are rounded (eight bits, half precision) and in what an optimiser joined. What comes out is
the same graph in the words that every reader knows, on the numbers that the file holds: the reference that blocks are
compared with, and where their weights come from. gamma and beta are called weight and bias, as everywhere here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..surgery import Graph

PARTS = ("bert", "bert_encoder", "predictor", "text_encoder", "decoder")
HEADS = ("decoder.", "encoder.", "kmodel.", "model.", "")  # modules around the parts in exports
ROLES = {"gamma": "weight", "beta": "bias"}
TRACKS = ("F0", "N", "F0_proj", "N_proj", "shared")  # parts of the predictor that an export calls by themselves


def path_of(name: str) -> str:
    """A tensor's path in the checkpoint; "" where its name does not tell."""
    for head in HEADS:
        rest = name.removeprefix(head).replace(".module.", ".")
        if name.startswith(head) and rest.partition(".")[0] in PARTS and "." in rest:
            stem, _, role = rest.rpartition(".")
            return f"{stem}.{ROLES.get(role, role)}"
    return ""


def place_of(node: Any) -> str:
    """The path of the module that a node comes from, by the node's name."""
    steps = node.name.strip("/").split("/")[:-1]
    steps = [one for one, after in zip(steps, [*steps[1:], ""]) if not after.startswith(f"{one}.")]
    if steps and steps[0] in ("encoder", "decoder", "kmodel", "model") and len(steps) > 1:
        steps = steps[1:]
    if steps and steps[0].partition(".")[0] in TRACKS:
        steps.insert(0, "predictor")
    # A layer that is called again has a number behind its name.
    return ".".join(re.sub(r"(?<=[a-z])_\d+$", "", one) if steps[0] == "bert" else one for one in steps)


def widen(model: Any, path: Path) -> None:
    """Edit in place."""
    graph = _Widening(model, path)
    for kind, edit in graph.edits().items():
        for node in graph.nodes(kind):
            edit(node)
    graph.swept()
    graph.renamed()


class _Widening(Graph):
    """One graph being widened."""

    def __init__(self, model: Any, path: Path) -> None:
        super().__init__(model, path)
        self.readers: dict[str, list[Any]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.out: dict[int, list[Any]] = {}  # nodes in the place of others, by their number
        self.gone: set[int] = set()

    def edits(self) -> dict[str, Callable[[Any], None]]:
        """What is done to each kind of node."""
        return {
            "DequantizeLinear": self._table, "ConvInteger": self._product, "MatMulInteger": self._product,
            "DynamicQuantizeLSTM": self._lstm, "FastGelu": self._gelu, "SkipLayerNormalization": self._added_norm,
            "FusedMatMul": self._turned,
        }  # fmt: skip

    def array(self, name: str) -> NDArray[Any]:
        """A weight's numbers."""
        from onnx import numpy_helper

        return numpy_helper.to_array(self.weights[name])

    def wide(self, name: str, scale: str, zero: str, axis: int) -> NDArray[np.float32]:
        """Rounded numbers as float32; a scale for each step of `axis`, one for all, or [first axis, last axis]."""
        a, s = self.array(name).astype(np.float32), self.array(scale).astype(np.float32)
        z = self.array(zero).astype(np.float32) if zero else np.float32(0)

        def along(x: Any) -> Any:
            if np.ndim(x) == 2:
                return x[:, None]
            return x.reshape([-1 if n == axis else 1 for n in range(a.ndim)]) if np.size(x) > 1 else np.reshape(x, ())

        return (a - along(z)) * along(s)

    def replaced(self, last: Any, made: list[Any], *gone: Any) -> None:
        """`made` stands where `last` stood."""
        self.out[id(last)] = made
        self.gone |= {id(last), *map(id, gone)}

    def _table(self, node: Any) -> None:
        gather = self.producers[node.input[0]]
        wide = f"{gather.input[0]}/wide"
        if wide not in self.weights:
            self._weight(wide, self.wide(gather.input[0], node.input[1], node.input[2], -1))
        made = _copy(gather, "Gather", [wide, *gather.input[1:]], node.output[0])
        self.replaced(node, [made], gather)

    def _weight(self, name: str, values: NDArray[Any]) -> str:
        made = self.graph.initializer.add(name=name, data_type=1, dims=values.shape)
        made.raw_data = np.asarray(values, "<f4").tobytes()
        self.weights[name] = made
        return name

    def _product(self, node: Any) -> None:
        """An integer product, scaled afterwards, its bias added before or after."""
        gone, after = [node], self.readers[node.output[0]][0]
        bias = ""
        if after.op_type == "Add":
            bias = next(one for one in after.input if one != node.output[0])
            while bias not in self.weights:
                bias = self.producers[bias].input[0]
            gone.append(after)
            after = self.readers[after.output[0]][0]
        (last,) = self.readers[after.output[0]]  # behind the cast
        scales = self.producers[next(one for one in last.input if one != after.output[0])]
        scale = next(one for one in scales.input if one in self.weights)
        wide = f"{node.input[1]}/wide"
        if wide not in self.weights:
            conv = node.op_type == "ConvInteger"
            zero = node.input[3] if len(node.input) > 3 else ""
            self._weight(wide, self.wide(node.input[1], scale, zero, 0 if conv else 1))
        x = self.producers[node.input[0]].input[0]
        kind = "Conv" if node.op_type == "ConvInteger" else "MatMul"
        made = _copy(node, kind, [x, wide, *([bias] if bias else [])], last.output[0])
        self.replaced(last, [made], *gone, after)

    def _lstm(self, node: Any) -> None:
        x, w, r, b, lengths, h, c, peep, w_scale, w_zero, r_scale, r_zero = node.input
        names = []
        for name, scale, zero in ((w, w_scale, w_zero), (r, r_scale, r_zero)):
            made = self.wide(name, scale, zero, 0)
            names.append(self._weight(f"{name}/wide", np.ascontiguousarray(made.swapaxes(1, 2))))
        kept = _copy(node, "LSTM", [x, *names, b, lengths, h, c, peep], *node.output)
        self.replaced(node, [kept])

    def _gelu(self, node: Any) -> None:
        from onnx import helper

        x, made = node.input[0], []
        if len(node.input) > 1:
            made.append(helper.make_node("Add", list(node.input), [f"{node.output[0]}/added"]))
            x = made[0].output[0]
        made.append(helper.make_node("Gelu", [x], list(node.output), name=node.name, approximate="tanh"))
        self.replaced(node, made)

    def _added_norm(self, node: Any) -> None:
        from onnx import helper

        x, past, *rest = node.input
        added = f"{node.output[0]}/added"
        eps = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-12)
        made = [
            helper.make_node("Add", [x, past], [added]),
            helper.make_node("LayerNormalization", [added, *rest[:2]], [node.output[0]], name=node.name, epsilon=eps),
        ]
        self.replaced(node, made)

    def _turned(self, node: Any) -> None:
        from onnx import helper

        facts = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        made, names = [], list(node.input)
        for i, key in enumerate(("transA", "transB")):
            if facts.get(key):
                turned = f"{node.output[0]}/{key}"
                made.append(helper.make_node("Transpose", [names[i]], [turned], perm=[0, 2, 1]))
                names[i] = turned
        made.append(helper.make_node("MatMul", names, list(node.output), name=node.name))
        self.replaced(node, made)

    def swept(self) -> None:
        """Put the new nodes in, and drop what nothing reads any more."""
        nodes = [
            one for node in self.graph.node for one in self.out.get(id(node), [] if id(node) in self.gone else [node])
        ]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        super().swept()
        self.adders = {name: node for node in self.graph.node if node.op_type == "Add" for name in node.input}

    def renamed(self) -> None:
        """Give weights their paths, and float32 to what is half precision."""
        new = {name: path for name in self.weights if (path := path_of(name.removesuffix("_quantized/wide")))}
        for node in self.graph.node:
            for name, path in self._paths(node).items():
                new.setdefault(name, path)
        for name, path in new.items():
            self.weights[name].name = path
        for node in self.graph.node:
            node.input[:] = [new.get(name, name) for name in node.input]

    def _paths(self, node: Any) -> dict[str, str]:
        """The weights of a node that its other weights, or its own name, say the path of."""
        if node.op_type == "LayerNormalization" and not path_of(node.input[1]):
            place = f"{place_of(node)}.norm"  # ones and zeros, shared by all: a pair for each
            for i, role in ((1, "weight"), (2, "bias")):
                node.input[i] = self._weight(f"{place}.{role}", self.array(node.input[i]))
            return {}
        if node.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm") and node.input[1] in self.weights:
            bias = path_of(self._bias(node))
            place = bias.rpartition(".")[0] or place_of(node)
            return {node.input[1]: f"{place}.weight"} if place.partition(".")[0] in PARTS else {}
        if node.op_type == "LSTM":
            return {name: f"{place_of(node)}.{role}" for name, role in zip(node.input[1:4], ("W", "R", "B"))}
        return {}

    def _bias(self, node: Any) -> str:
        if len(node.input) > 2:
            return node.input[2]
        after = self.adders.get(node.output[0])
        return "" if after is None else next((one for one in after.input if one in self.weights), "")


def _copy(node: Any, kind: str, inputs: list[str], *outputs: str) -> Any:
    """A node with another's name and facts."""
    from onnx import helper

    made = helper.make_node(kind, inputs, list(outputs), name=node.name)
    made.attribute.extend(node.attribute)
    return made
