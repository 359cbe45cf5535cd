"""A widened graph's weights by the checkpoint's paths, and the model's sizes, read from their shapes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightError
from ...weights.fold import weight_norm
from .sizes import KokoroSizes
from .widen import ROLES

Arrays = dict[str, NDArray[Any]]
PARTS = ("bert.", "bert_encoder.", "predictor.", "text_encoder.", "decoder.")
FIRST = ("decoder.generator.conv_post.weight", "bert.embeddings.word_embeddings.weight", "predictor.shared.W")
GATES = (0, 2, 3, 1)  # ONNX has i, o, f, c; PyTorch i, f, c, o
HEAD = 64  # channels of a head of ALBERT's


def tensors(model: Any, path: Path) -> Arrays:
    """The weights by path, float32, in PyTorch's order. Raises WeightError for a graph whose nodes do not tell."""
    from onnx import numpy_helper

    held = {one.name: one for one in model.graph.initializer if one.name.startswith(PARTS)}
    if missing := [name for name in FIRST if name not in held]:
        raise WeightError(
            f"{path}: does not tell which weight is {missing[0]}, so it runs only as a graph; leave the back end out"
        )
    products = {n.input[1] for n in model.graph.node if n.op_type == "MatMul"}
    found: Arrays = {}
    for name, tensor in held.items():
        a = numpy_helper.to_array(tensor).astype(np.float32, copy=False)
        if ".stft." in name or name.endswith((".norm.weight", ".norm.bias")):
            continue  # a transform's table, and norms without weights
        if ".alpha" in name:
            found[f"{name}.alpha"] = a.reshape(-1)
        elif name.endswith((".W", ".R", ".B")):
            found |= _recurrent(name, a)
        else:
            found[name] = a.T if name in products else a
    return found


def _recurrent(name: str, a: NDArray[Any]) -> Arrays:
    """Both directions of one of an LSTM's three tensors [2, …], with the gates in PyTorch's order."""
    stem, _, role = name.rpartition(".")
    out: Arrays = {}
    for one, suffix in zip(a, ("_l0", "_l0_reverse")):
        parts = np.split(one, 2) if role == "B" else [one]
        roles = ("bias_ih", "bias_hh") if role == "B" else ({"W": "weight_ih", "R": "weight_hh"}[role],)
        for part, called in zip(parts, roles):
            gates = np.split(part, 4)
            out[f"{stem}.{called}{suffix}"] = np.concatenate([gates[i] for i in GATES])
    return out


UNUSED = re.compile(r"\.(pooler\..*|position_ids)$")  # of ALBERT, which nothing here reads


def published(tensors: Mapping[str, NDArray[Any]], path: Path) -> Arrays:
    """The published checkpoint's tensors, with `module.` and weight norms as its training left them, by path.

    Scales and shifts of instance norms, which some versions store, are folded into the style's linear layers. Raises
    WeightError for a file of another model.
    """
    held = {name.replace("module.", ""): a for name, a in tensors.items()}
    held = weight_norm({name: a for name, a in held.items() if not UNUSED.search(name)})
    if wrong := [name for name in held if not name.startswith(PARTS)] or [n for n in FIRST[:2] if n not in held]:
        raise WeightError(
            f"{path}: {wrong[0]} is not a tensor of a Kokoro checkpoint, or is missing; give Kokoro's file"
        )
    found: Arrays = {}
    for name, a in held.items():
        stem, _, role = name.rpartition(".")
        a = a.astype(np.float32, copy=False)
        if ".alpha" in name:
            found[f"{name}.alpha"] = a.reshape(-1)
        elif not stem.endswith(".norm"):
            found[f"{stem}.{ROLES.get(role, role)}"] = a
    for name in [name for name in held if name.endswith(".norm.weight")]:
        _folded(found, name.removesuffix(".norm.weight"), held[name], held[name.replace(".weight", ".bias")])
    return found


def _folded(found: Arrays, place: str, scale: NDArray[Any], shift: NDArray[Any]) -> None:
    """(1 + g) (scale n + shift) + b with g, b = fc(style), as (1 + g') n + b' of another fc."""
    weight, bias = f"{place}.fc.weight", f"{place}.fc.bias"
    (g, b), (gb, bb) = np.split(found[weight], 2), np.split(found[bias], 2)
    found[weight] = np.concatenate([g * scale[:, None], b + g * shift[:, None]]).astype(np.float32)
    found[bias] = np.concatenate([(1 + gb) * scale - 1, bb + (1 + gb) * shift]).astype(np.float32)


def sizes(model: Any, found: Arrays) -> KokoroSizes:
    """The model's sizes, from its weights' shapes, its strides, and how often its shared layer is run."""
    strides, dilations, calls, half_turn = dict[str, int](), dict[str, int](), 0, 1
    readers = {name: node for node in model.graph.node for name in node.input if node.op_type == "Greater"}
    made = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        facts = {a.name: a.ints[0] for a in node.attribute if a.name in ("strides", "dilations") and a.ints}
        if len(node.input) > 1:
            strides[node.input[1]], dilations[node.input[1]] = facts.get("strides", 1), facts.get("dilations", 1)
            calls += node.input[1].endswith(".attention.query.weight")
        if node.op_type == "Atan":  # an angle as an export spells it: 0 is not above 0, so a half turn is negative
            half_turn = -1 if made[node.input[0]].input[0] in readers else 1
    c = of(found, strides, dilations, layers=calls)
    return replace(c, half_turn=half_turn, divided=_divided(model))


def _divided(model: Any) -> tuple[float, ...]:
    """The envelope that an export divides by, where it is one of a single window, whatever the length of the sound."""
    from onnx import numpy_helper

    tables = [one for one in model.graph.initializer if one.name.endswith(".window_sum")]
    return tuple(numpy_helper.to_array(tables[0]).tolist()) if tables else ()


def of(
    found: Arrays,
    strides: dict[str, int] | None = None,
    dilations: dict[str, int] | None = None,
    *,
    layers: int = 12,
) -> KokoroSizes:
    """The sizes by the weights' shapes; what shapes do not tell is the published model's."""
    usual = KokoroSizes()
    g, bert = "decoder.generator.", "bert.encoder.albert_layer_groups.0.albert_layers.0."

    def shape(path: str) -> tuple[int, ...]:
        return found[f"{path}.weight"].shape

    def count(pattern: str) -> int:
        return next(n for n in itertools.count() if pattern.format(n) not in found)

    ups = count(g + "ups.{}.weight")
    kinds = count(g + "resblocks.{}.convs1.0.weight") // ups
    turns = count(g + "resblocks.0.convs1.{}.weight")
    up = [f"{g}ups.{i}" for i in range(ups)]
    kernels = tuple(shape(path)[2] for path in up)
    fft = shape(g + "conv_post")[0] - 2
    symbols, embedding = shape("bert.embeddings.word_embeddings")
    width = shape(bert + "ffn")[1]
    return KokoroSizes(
        symbols=symbols, longest=shape("bert.embeddings.position_embeddings")[0], embedding=embedding, bert=width,
        heads=max(1, width // HEAD), inner=shape(bert + "ffn")[0], layers=layers, hidden=shape("bert_encoder")[0],
        style=shape("decoder.encode.norm1.fc")[1], depth=count("text_encoder.cnn.{}.0.weight"),
        kernel=shape("text_encoder.cnn.0.0")[2], most=shape("predictor.duration_proj.linear_layer")[0],
        wide=shape("decoder.encode.conv1")[0], residual=shape("decoder.asr_res.0")[0], first=shape(up[0])[0],
        rates=tuple((strides or {}).get(f"{path}.weight", k // 2) for path, k in zip(up, kernels)), kernels=kernels,
        res_kernels=tuple(shape(f"{g}resblocks.{j}.convs1.0")[2] for j in range(kinds)),
        dilations=tuple(
            (dilations or {}).get(f"{g}resblocks.0.convs1.{i}.weight", usual.dilations[i % 3]) for i in range(turns)
        ),
        source_kernels=tuple(shape(f"{g}noise_res.{i}.convs1.0")[2] for i in range(ups)), fft=fft, hop=fft // 4,
        harmonics=shape(g + "m_source.l_linear")[1] - 1,
    )  # fmt: skip
