"""A Piper graph's weights by the checkpoint's paths, and the model's sizes, read from their shapes.

The exporter loses some names: a kernel whose weight norm was folded is found by its node, tables by their input, and
the scale of the last flow is stored as its exponential. gamma and beta are called weight and bias, as everywhere here.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightError
from .sizes import VitsConfig

Arrays = dict[str, NDArray[Any]]
PARTS = ("enc_p.", "dp.", "flow.", "dec.", "emb_g.")
LAST_FLOW = "/dp/flows.0/Exp_output_0"


def rename(model: Any) -> None:
    """Give the weights of an `onnx.ModelProto` their paths, in place."""
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    new: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            place = ".".join(node.name.strip("/").split("/")[:-1])
            for name, role in zip(node.input[1:], ("weight", "bias")):
                if place and name in known and not name.startswith(PARTS):
                    new[name] = f"{place}.{role}"
        if node.op_type == "Gather" and node.input[0] in known and node.input[1] in ("input", "sid"):
            new[node.input[0]] = "enc_p.emb.weight" if node.input[1] == "input" else "emb_g.weight"
    for name in known:
        stem, _, role = name.rpartition(".")
        if role in ("gamma", "beta"):
            new[name] = f"{stem}.{'weight' if role == 'gamma' else 'bias'}"
    for name, path in new.items():
        known[name].name = path
    for node in model.graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]


def tensors(model: Any, path: Path) -> Arrays:
    """The weights by path, float32. Raises WeightError for a graph without them (rounded to eight bits)."""
    from onnx import numpy_helper

    rename(model)
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {name: numpy_helper.to_array(held[name]).astype(np.float32) for name in held if name.startswith(PARTS)}
    if LAST_FLOW in held:
        found["dp.flows.0.logs"] = -np.log(numpy_helper.to_array(held[LAST_FLOW]).astype(np.float32))
    if "dec.conv_pre.weight" not in found or "enc_p.emb.weight" not in found:
        raise WeightError(
            f"{path}: holds no weights in float32 or float16 by their names, so it runs as the graph that it is; leave "
            "the back end out"
        )
    return found


def sizes(model: Any, found: Arrays, path: Path) -> VitsConfig:
    """The model's sizes, from its weights' shapes and the strides of its convolutions.

    Raises WeightError for weights that are not all of a Piper voice's, SpecError for sizes that cannot be.
    """
    try:
        return _sizes(model, found).checked()
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as problem:
        raise WeightError(
            f"{path}: not all of a Piper voice's weights are in it ({problem}); fetch it again"
        ) from problem


def _sizes(model: Any, found: Arrays) -> VitsConfig:
    facts = {".".join(n.name.strip("/").split("/")[:-1]): n for n in model.graph.node if n.op_type.startswith("Conv")}

    def fact(place: str, name: str) -> int:
        return next((a.ints[0] for a in facts[place].attribute if a.name == name), 1) if place in facts else 1

    def count(pattern: str) -> int:
        return next(n for n in itertools.count() if pattern.format(n) not in found)

    symbols, channels = found["enc_p.emb.weight"].shape
    keys = found["enc_p.encoder.attn_layers.0.emb_rel_k"].shape
    filter_, _, kernel = found["enc_p.encoder.ffn_layers.0.conv_1.weight"].shape
    flows = sum(f"flow.flows.{2 * i}.pre.weight" in found for i in range(32))
    wave = found["flow.flows.0.enc.in_layers.0.weight"].shape
    double = "dec.resblocks.0.convs1.0.weight" in found
    convs = "convs1" if double else "convs"
    ups = count("dec.ups.{}.weight")
    kinds = count("dec.resblocks.{}." + convs + ".0.weight") // ups
    speakers, conditions = found["emb_g.weight"].shape if "emb_g.weight" in found else (1, 0)
    blocks = tuple(
        (
            found[f"dec.resblocks.{j}.{convs}.0.weight"].shape[2],
            tuple(
                fact(f"dec.resblocks.{j}.{convs}.{i}", "dilations")
                for i in range(count(f"dec.resblocks.{j}.{convs}.{{}}.weight"))
            ),
        )
        for j in range(kinds)
    )
    return VitsConfig(
        symbols=symbols, speakers=speakers, channels=channels, filter=filter_, kernel=kernel,
        layers=count("enc_p.encoder.attn_layers.{}.conv_q.weight"), heads=channels // keys[2], window=keys[1] // 2,
        conditions=conditions, flows=flows, wave_layers=count("flow.flows.0.enc.in_layers.{}.weight"),
        wave_kernel=wave[2], wave_dilation=fact("flow.flows.0.enc.in_layers.1", "dilations"),
        predictor=found["dp.pre.weight"].shape[0], separable=found["dp.convs.convs_sep.0.weight"].shape[2],
        first=found["dec.conv_pre.weight"].shape[0],
        upsampling=tuple((found[f"dec.ups.{i}.weight"].shape[2], fact(f"dec.ups.{i}", "strides")) for i in range(ups)),
        blocks=blocks, double=double,
    )  # fmt: skip
