"""Small ONNX files with the signatures of Piper's and Kokoro's graphs, and what lies beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from portavoz.text.chunks import TextChunk, split_text

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


def kokoro_named(path: Path, seed: int = 3, *, kernel: int = 0) -> dict[str, Any]:
    """A graph with the signature of Kokoro's whose weights and nodes are called as in its exports; gives the weights.

    A table, a linear layer, an LSTM of both directions and a convolution: one of each kind that is quantised. With
    `kernel`, one of the generator's residual blocks too, and a short-time transform.
    """
    g, width, half = Builder(seed), 8, 4

    def named(name: str, *shape: int) -> str:
        g.weights.append(numpy_helper.from_array(g.rng.normal(size=shape).astype(np.float32) / 4, name))
        return name

    def last(out: str, name: str) -> str:
        g.nodes[-1].name = name
        return out

    x = g("Gather", named("encoder.bert.module.embeddings.word_embeddings.weight", 178, width), "tokens")
    x = g("Add", x, g.const(0.1, np.float32))  # so that the table is widened before the first product
    x = last(g("MatMul", x, named("onnx::MatMul_7", width, width)), "/encoder/bert_encoder/MatMul")
    x = g("Add", named("encoder.bert_encoder.bias", width), x)
    plain = g("Sigmoid", g("ReduceSum", x, g.const([2]), keepdims=0))
    length = g("Round", g("Div", g("Mul", plain, g.const(6, np.float32)), "speed"))
    whole = g("Cast", g("Clip", length, g.const(1, np.float32)), to=TensorProto.INT64)
    durations = g("Cast", g("Gather", whole, g.const(0)), to=TensorProto.FLOAT)
    y = g("Transpose", g.spread(g("Transpose", x, perm=[0, 2, 1]), durations), perm=[2, 0, 1])
    recurrent = (named(f"onnx::LSTM_{n}", 2, *shape) for n, shape in enumerate(((16, width), (16, half), (32,))))
    y = last(g("LSTM", y, *recurrent, hidden_size=half, direction="bidirectional"), "/encoder/shared/LSTM")
    y = g("Reshape", g("Transpose", y, perm=[2, 1, 3, 0]), g.const([1, width, -1]))
    if kernel:
        y = _residual_block(g, named, y, "decoder.generator.resblocks.0", kernel)
        y = g("Add", y, _transformed(g, y))
    post = [f"decoder.generator.conv_post.{role}" for role in ("weight", "bias")]
    y = g("Conv", y, named(post[0], HOP, width, 3), named(post[1], HOP), pads=[1, 1])
    last(y, "/decoder/generator/conv_post/Conv")
    sound = g("Add", g("Transpose", y, perm=[0, 2, 1]), g("MatMul", "style", g.weight(256, 1)))
    inputs = [value("tokens", 7, 1, "length"), value("style", 1, 1, 256), value("speed", 1, 1)]
    g.save(path, inputs, g("Reshape", g("Tanh", sound), g.const([-1])), "audio", 1)
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in g.weights}


def _residual_block(g: Builder, named: Any, x: str, stem: str, kernel: int, width: int = 8) -> str:
    """x [1, width, steps]: styled norm, snake and convolution, twice, in two dilations, as exports spell them."""
    half = g("Slice", "style", g.const([0]), g.const([128]), g.const([1]))

    def part(x: str, which: str, dilation: int) -> str:
        told = g("Gemm", half, named(f"{stem}.adain{which}.fc.weight", 2 * width, 128),
                 named(f"{stem}.adain{which}.fc.bias", 2 * width), transB=1)  # fmt: skip
        told = g("Unsqueeze", told, g.const([2]))
        scale, shift = (g("Slice", told, g.const([n]), g.const([n + width]), g.const([1])) for n in (0, width))
        apart = g("Sub", x, g("ReduceMean", x, axes=[2]))
        spread = g("Sqrt", g("Add", g("ReduceMean", g("Mul", apart, apart), axes=[2]), g.const(1e-5, np.float32)))
        y = g("Add", g("Mul", g("Add", scale, g.const(1, np.float32)), g("Div", apart, spread)), shift)
        alpha = f"{stem}.alpha{which}"
        values = (g.rng.uniform(0.3, 2, (1, width, 1))).astype(np.float32)
        g.weights.append(numpy_helper.from_array(values, alpha))
        sine = g("Sin", g("Mul", y, alpha))
        y = g("Add", y, g("Mul", g("Div", g.const(1, np.float32), alpha), g("Mul", sine, sine)))
        pads, place = [(kernel - 1) // 2 * dilation] * 2, f"{stem}.convs{which}"
        weights = (named(f"{place}.weight", width, width, kernel), named(f"{place}.bias", width))
        return g("Conv", y, *weights, pads=pads, dilations=[dilation])

    for i, dilation in enumerate((1, 3)):
        x = g("Add", part(part(x, f"1.{i}", dilation), f"2.{i}", 1), x)
    return x


def _transformed(g: Builder, y: str) -> str:
    """The mean of a short-time spectrum of all of y."""
    signal = g("Reshape", y, g.const([1, -1, 1]))
    window = g.const(np.hanning(9)[:8], np.float32)
    weighed = g("Mul", g("STFT", signal, g.const(4), window, g.const(8), onesided=1), g.weight(1, 1, 5, 2))
    return g("ReduceMean", weighed, keepdims=0)


def eight_bits(path: Path, *, per_channel: bool, signed: bool) -> None:
    """A file with its weights in eight bits and whole-number products, by ONNX Runtime's tool, as people publish."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kinds, kind = ["Conv", "MatMul", "Gather", "LSTM"], QuantType.QInt8 if signed else QuantType.QUInt8
    quantize_dynamic(path, path, op_types_to_quantize=kinds, per_channel=per_channel, weight_type=kind)


def slowed(path: Path, trips: int = 5_000_000) -> Path:
    """A graph that goes round so many times before it gives its sound: some ten seconds."""
    model = onnx.load(str(path))
    graph = model.graph
    step = helper.make_graph(
        [helper.make_node("Sin", ["x"], ["y"]), helper.make_node("Identity", ["on"], ["still"])], "step",
        [value("turn", 7), value("on", TensorProto.BOOL), value("x", 1)],
        [value("still", TensorProto.BOOL), value("y", 1)],
    )  # fmt: skip
    for name, one in (("trips", np.array(trips)), ("on0", np.array(True)), ("x0", np.array(0, np.float32))):
        graph.initializer.append(numpy_helper.from_array(one, name))
    last, out = graph.node[-1], graph.output[0].name
    last.output[0] = "quick"
    graph.node.append(helper.make_node("Loop", ["trips", "on0", "x0"], ["turned"], name="slow", body=step))
    graph.node.append(helper.make_node("Add", ["quick", "turned"], [out]))
    onnx.save(model, str(path))
    return path


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


def chunk(text: str) -> TextChunk:
    """The first sentence, with secondary stress."""
    return next(iter(split_text(text, secondary=True)))


def run(path: Path, **inputs: np.ndarray) -> np.ndarray:
    """What the file's own graph gives."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, inputs)[0].reshape(-1)
