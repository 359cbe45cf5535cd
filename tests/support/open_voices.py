"""Small ONNX files with the signatures of Piper's and Kokoro's graphs, and what lies beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RATE, HOP, CHANNELS = 16000, 64, 4
LETTERS = "_^$ !'(),-.:;?abcdefhijklmnopqrstuvwxyzæçðøħŋœɐɑɒɔəɚɛɜɡɪɹɾʃʊʌʒˈˌːθβᵻʔ\u0329\u0303"
OPSET = 17


class Builder:
    """Nodes and weights of a graph, by short calls; a value is its name."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.rng = np.random.default_rng(seed)

    def __call__(self, kind: str, *inputs: str, **facts: Any) -> str:
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=f"{kind}{len(self.nodes)}", **facts))
        return out

    def const(self, values: Any, dtype: Any = np.int64) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weight(self, *shape: int) -> str:
        return self.const(self.rng.normal(size=shape) / np.sqrt(shape[0]), np.float32)

    def spread(self, x: str, durations: str) -> str:
        """x [1, C, S], durations [S] (float) → [1, C, frames]."""
        ends = self("CumSum", durations, self.const(0))
        total = self("Cast", self("ReduceMax", ends, keepdims=0), to=TensorProto.INT64)
        at = self("Cast", self("Range", self.const(0), total, self.const(1)), to=TensorProto.FLOAT)
        passed = self(
            "GreaterOrEqual", self("Unsqueeze", at, self.const([1])), self("Unsqueeze", ends, self.const([0]))
        )
        index = self("ReduceSum", self("Cast", passed, to=TensorProto.INT64), self.const([1]), keepdims=0)
        return self("Gather", x, index, axis=2)

    def save(self, path: Path, inputs: list[Any], out: str, name: str, rank: int) -> Path:
        self.nodes.append(helper.make_node("Identity", [out], [name]))
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)]
        graph = helper.make_graph(self.nodes, "voice", inputs, outputs, self.weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
        return path


def value(name: str, kind: Any, *shape: Any) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def piper_graph(path: Path, *, rows: int = 100, speakers: int = 1) -> Path:
    """input, input_lengths, scales (and sid) → output [1, 1, 1, samples]."""
    g = Builder(1)
    x = g("Transpose", g("Gather", g.weight(rows, CHANNELS), "input"), perm=[0, 2, 1])
    log = g("ReduceMean", g("Mul", g("RandomNormalLike", g("Slice", x, g.const([0]), g.const([2]), g.const([1]))),
                            g("Gather", "scales", g.const(2))), axes=[1], keepdims=1)  # fmt: skip
    plain = g("ReduceSum", g("Mul", x, g.weight(1, CHANNELS, 1)), g.const([1]), keepdims=1)
    length = g("Mul", g("Exp", g("Add", log, plain)), g("Gather", "scales", g.const(1)))
    durations = g("Ceil", g("Mul", length, g.const(1.5, np.float32)))
    y = g.spread(x, g("Reshape", durations, g.const([-1])))
    if speakers > 1:
        y = g("Add", y, g("Unsqueeze", g("Gather", g.weight(speakers, CHANNELS), "sid"), g.const([2])))
    z = g("Add", y, g("Mul", g("RandomNormalLike", y), g("Gather", "scales", g.const(0))))
    sound = g("ConvTranspose", z, g.weight(CHANNELS, 1, HOP), strides=[HOP])
    inputs = [value("input", 7, "batch", "phonemes"), value("input_lengths", 7, "batch"), value("scales", 1, 3)]
    inputs += [value("sid", 7, "batch")] if speakers > 1 else []
    return g.save(path, inputs, g("Unsqueeze", g("Tanh", sound), g.const([1])), "output", 4)


def piper_json(graph: Path, **changes: Any) -> Path:
    """NAME.onnx.json; a change of None leaves the key out."""
    about: dict[str, Any] = {
        "audio": {"sample_rate": RATE},
        "espeak": {"voice": "en-us"},
        "phoneme_type": "espeak",
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_map": {},
        "phoneme_id_map": {letter: [n] for n, letter in enumerate(LETTERS)},
        "num_symbols": 100,
        "num_speakers": 1,
        "speaker_id_map": {},
    }
    about = {key: found for key, found in {**about, **changes}.items() if found is not None}
    path = graph.with_name(graph.name + ".json")
    path.write_text(json.dumps(about), encoding="utf-8")
    return path


def piper(folder: Path, *, speakers: int = 1, name: str = "en_US-tiny-low", **changes: Any) -> Path:
    """A voice of both files; gives the graph."""
    graph = piper_graph(folder / f"{name}.onnx", speakers=speakers)
    names = {f"p{n}": n for n in range(speakers)} if speakers > 1 else {}
    piper_json(graph, **{"num_speakers": speakers, "speaker_id_map": names, **changes})
    return graph


def kokoro_graph(path: Path, *, rows: int = 178, style: int = 256, drawn: bool = False, ids: str = "tokens") -> Path:
    """tokens, style, speed → audio [samples]."""
    g = Builder(2)
    x = g("Transpose", g("Gather", g.weight(rows, CHANNELS), ids), perm=[0, 2, 1])
    plain = g("ReduceSum", g("Mul", x, g.weight(1, CHANNELS, 1)), g.const([1]), keepdims=0)
    length = g("Div", g("Mul", g("Sigmoid", plain), g.const(6, np.float32)), "speed")
    whole = g("Cast", g("Clip", g("Round", length), g.const(1, np.float32)), to=TensorProto.INT64)
    durations = g("Gather", whole, g.const(0))
    y = g.spread(x, g("Cast", durations, to=TensorProto.FLOAT))
    if drawn:
        y = g("Add", y, g("Mul", g("RandomNormalLike", y), g.const(0.1, np.float32)))
        y = g("Add", y, g("RandomUniformLike", y, low=-0.1, high=0.1))
    sound = g("MatMul", g("Transpose", y, perm=[0, 2, 1]), g.weight(CHANNELS, HOP))
    sound = g("Add", sound, g("MatMul", "style", g.weight(style, 1)))
    inputs = [value(ids, 7, 1, "length"), value("style", 1, 1, style), value("speed", 1, 1)]
    return g.save(path, inputs, g("Reshape", g("Tanh", sound), g.const([-1])), "audio", 1)


def styles(seed: int = 0) -> dict[str, np.ndarray]:
    """Styles [510, 1, 256] of three speakers."""
    rng = np.random.default_rng(seed)
    made = {name: rng.normal(size=(1, 1, 256)) for name in ("af_heart", "bf_emma", "ef_dora")}
    ramp = np.linspace(0.5, 1.5, 510)[:, None, None]
    return {name: (one * ramp).astype(np.float32) for name, one in made.items()}


def kokoro(folder: Path, *, packed: bool = False, **graph: Any) -> Path:
    """A folder with graph and styles: one file each, or packed in one archive."""
    kokoro_graph(folder / "kokoro-v1.0.onnx", **graph)
    if packed:
        with (folder / "voices-v1.0.bin").open("wb") as file:
            np.savez(file, **styles())
        return folder
    (folder / "voices").mkdir()
    for name, table in styles().items():
        table.tofile(folder / "voices" / f"{name}.bin")
    return folder


def run(path: Path, **inputs: np.ndarray) -> np.ndarray:
    """What the file's own graph gives."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, inputs)[0].reshape(-1)
