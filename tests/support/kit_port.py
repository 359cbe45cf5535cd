"""A port that somebody wrote by a kit: plain NumPy, nothing of portavoz, weights as MLX has them.

It says every word of `goldens/0-words.trace`, then the compact family with the iSTFT vocoder, and writes down what it
did. Every function of `WORDS` and every method of `Port` may be replaced by one with a fault in it.
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])


def opened(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A safetensors file by its bytes: arrays and metadata."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    meta = header.pop("__metadata__", {})
    kinds = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "BOOL": "?"}
    body = raw[8 + size :]
    return {
        name: np.frombuffer(body[slice(*one["data_offsets"])], kinds[one["dtype"]]).reshape(one["shape"])
        for name, one in header.items()
    }, meta


def conv1d(x, p, stride=1, padding=0, dilation=1, groups=1):
    w = p["weight"]  # [out, k, in / groups]
    x = np.pad(x, ((0, 0), (padding, padding), (0, 0)))
    n = (x.shape[1] - dilation * (w.shape[1] - 1) - 1) // stride + 1
    at = np.arange(n)[:, None] * stride + np.arange(w.shape[1]) * dilation
    seen = x[:, at].reshape(len(x), n, w.shape[1], groups, -1)
    rows = np.einsum("bnkgi,goki->bngo", seen, w.reshape(groups, -1, *w.shape[1:]), optimize=True)
    return rows.reshape(len(x), n, -1) + p.get("bias", 0)


def conv_transpose1d(x, p, stride=1, padding=0):
    w = p["weight"]  # [out, k, in]
    y = np.zeros((len(x), (x.shape[1] - 1) * stride + w.shape[1], w.shape[0]), np.float32)
    for t in range(x.shape[1]):
        y[:, t * stride : t * stride + w.shape[1]] += np.einsum("bi,oki->bko", x[:, t], w)
    return y[:, padding : y.shape[1] - padding] + p.get("bias", 0)


def conv2d(x, p, stride=(1, 1), padding=(0, 0)):
    w = p["weight"]  # [out, kh, kw, in]
    x = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(x, w.shape[1:3], (1, 2))[:, :: stride[0], :: stride[1]]
    return np.einsum("bpqihw,ohwi->bpqo", seen, w) + p.get("bias", 0)


def normed(x, p, eps, axis_mean=True):
    x = x.astype(np.float64)
    d = x - x.mean(-1, keepdims=True) if axis_mean else x
    return d / np.sqrt((d * d).mean(-1, keepdims=True) + eps) * p["weight"] + p.get("bias", 0)


def lstm(x, h, c, p):
    rows = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ p["weight_ih"].T + h @ p["weight_hh"].T + p["bias_ih"] + p["bias_hh"], 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        rows.append(h)
    return np.stack(rows, 1), h, c


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x.astype(np.float64)))


def gelu(x, approximate=False):
    x = x.astype(np.float64)
    inner = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) if approximate else erf(x / math.sqrt(2))
    return 0.5 * x * (1 + inner)


def softmax(x):
    with np.errstate(invalid="ignore"):
        e = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def window(n):
    return np.sin(np.pi * np.arange(n) / n) ** 2


def stft(x, fft, hop, window, padding):
    left = fft // 2 if padding == "center" else (fft - hop) // 2
    right = left if padding == "center" else fft - hop - left
    count = x.shape[1] // hop + (padding == "center")
    x = np.pad(x.astype(np.float64), ((0, 0), (left, right)), mode="reflect")
    frames = np.stack([x[:, t * hop : t * hop + fft] * globals()["window"](fft) for t in range(count)], 1)
    out = np.fft.rfft(frames)
    return out.real, out.imag


def istft(real, imag, fft, hop, window, padding):
    shape, frames = globals()["window"](fft), np.fft.irfft(real + 1j * imag, fft)
    wave, weight = (np.zeros((len(real), real.shape[1] * hop + fft)) for _ in range(2))
    for t in range(real.shape[1]):
        wave[:, t * hop : t * hop + fft] += frames[:, t] * shape
        weight[:, t * hop : t * hop + fft] += shape**2
    left = fft // 2 if padding == "center" else (fft - hop) // 2
    count = (real.shape[1] - (padding == "center")) * hop
    return (wave / np.where(weight > 1e-10, weight, 1))[:, left : left + count]


def rope(x, cos, sin, heads):
    a, b = np.split(x.reshape(*x.shape[:2], heads, -1), 2, -1)
    cos, sin = cos[:, None], sin[:, None]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1).reshape(x.shape)


def heads_of(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def merged(x):
    return x.transpose(0, 2, 1, 3).reshape(len(x), x.shape[2], -1)


def scores(q, k, heads, scale, mask=None, bias=None):
    s = np.einsum("bhtd,bhsd->bhts", heads_of(q, heads), heads_of(k, heads)) * scale
    s = s if bias is None else s + bias
    return s if mask is None else np.where(mask, s, -1e9).astype(np.float32)


def attention(q, k, v, heads, scale, mask=None, bias=None):
    return merged(softmax(scores(q, k, heads, scale, mask, bias)) @ heads_of(v, heads))


def write(buffer, new, at):
    return np.concatenate([buffer[:, :at], new, buffer[:, at + new.shape[1] :]], 1)


def weighted(x, p, eps=None):
    return x @ p["weight"].T + p.get("bias", 0)


WORDS = {
    "linear": weighted,
    "embedding": lambda ids, p: p["weight"][ids],
    "conv1d": conv1d,
    "conv_transpose1d": conv_transpose1d,
    "conv2d": conv2d,
    "layer_norm": normed,
    "rms_norm": lambda x, p, eps: normed(x, p, eps, False),
    "batch_norm": lambda x, p, eps: (x - p["running_mean"]) / np.sqrt(p["running_var"].astype(float) + eps)
    * p["weight"] + p["bias"],
    "lstm": lstm,
    "snake": lambda x, p: x + np.sin(p["alpha"].astype(float) * x) ** 2 / p["alpha"],
    "relu": lambda x: np.where(x > 0, x, 0),
    "gelu": gelu,
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(x.astype(float), 0)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0).astype(float))),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "leaky_relu": lambda x, slope: np.maximum(x, 0) + slope * np.minimum(x, 0),
    "softmax": softmax,
    "l2_normalize": lambda x: x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12),
    "stft": stft,
    "istft": istft,
    "concat": lambda a, b, axis: np.concatenate([a, b], axis),
    "chunk": lambda x, n: np.split(x, n, -1),
    "split_heads": heads_of,
    "merge_heads": merged,
    "swap": lambda x: np.moveaxis(x, -1, -2),
    "matmul": lambda a, b: np.einsum("...nk,...km->...nm", a, b),
    "masked": lambda x, allowed: np.where(allowed, x, np.float32(-np.inf)),
    "full": lambda shape, value: np.full(shape, value, np.float32),
    "rows": lambda table, start, n: table[start : start + n],
    "write": write,
    "gather": lambda x, index: np.stack([row[i] for row, i in zip(x, index)]),
    "cumsum": lambda x: np.cumsum(x, 1),
    "pad": lambda x, before, after: np.pad(x, ((0, 0), (before, after), (0, 0))),
    "upsample": lambda x, factor: x.repeat(factor, 1),
    "rope": rope,
    "exp": lambda x: np.exp(x.astype(float)),
    "sqrt": lambda x: np.sqrt(x.astype(float)),
    "sin": lambda x: np.sin(x.astype(float)),
    "cos": lambda x: np.cos(x.astype(float)),
    "clip": lambda x, low, high: np.minimum(np.maximum(x, -np.inf if low is None else low), high),
    "attention": attention,
}  # fmt: skip


def spread(durations):
    """For each frame its symbol, and where it lies in it; a shorter row repeats its last symbol."""
    longest = durations.sum(-1).max()
    index, place = [], []
    for row in durations:
        own = [s for s, long in enumerate(row) for _ in range(long)]
        own += own[-1:] * (longest - len(own))
        starts = np.cumsum(row) - row
        middle = (np.arange(longest) + 0.5 - starts[own]) / np.maximum(row[own], 1)
        index.append(own)
        place.append(np.stack([np.clip(middle, 0, 1), np.log1p(row[own])], -1))
    return np.array(index), np.array(place, np.float32)


class Port:
    """The program: `words()`, then `encode`, `decode`, `vocode`; `dump` writes what was seen."""

    def __init__(self, kit: Path) -> None:
        self.kit, self.about = kit, json.loads((kit / "kit.json").read_text())
        self.c, self.w = self.about["config"], opened(kit / "weights.safetensors")[0]
        self.units: list[dict[str, Any]] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.calls: Counter[str] = Counter()
        self.words = dict(WORDS)

    def check_weights(self) -> list[str]:
        """Step 1 of the page: tensors whose shape or checksum is not the kit's."""
        wrong = []
        for name, one in self.about["tensors"].items():
            flat = self.w[name].astype(np.float64).ravel()
            check = float((flat * (1 + np.arange(flat.size) % 251)).sum())
            if list(self.w[name].shape) != one["shape"] or not math.isclose(check, one["check"], rel_tol=1e-6):
                wrong.append(name)
        return wrong

    # Writing down

    def saw(self, key: str, word: str, given: list[Any], made: list[Any], facts: Any = None, kind: str = "tap") -> None:
        self.units.append({"key": key, "word": word, "facts": facts or {}, "kind": kind})
        places = [f"in{i}" for i in range(len(given))] + ["out", *(f"out.{i}" for i in range(1, len(made)))]
        for place, a in zip(places, [*given, *made]):
            a = np.asarray(a)
            self.tensors[f"{key}:{place}"] = a.astype(np.float32) if a.dtype.kind == "f" else a

    def dump(self, path: Path) -> Path:
        index, body = {}, b""
        for name, a in self.tensors.items():
            raw, kind = np.ascontiguousarray(a).tobytes(), {"f": "F32", "i": "I64", "b": "BOOL"}[a.dtype.kind]
            index[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [len(body), len(body) + len(raw)]}
            body += raw
        told = {"format": "portavoz-trace", "version": 1, "producer": "kit_port.py", "units": self.units}
        head = json.dumps({"__metadata__": {"portavoz.trace": json.dumps(told)}, **index}).encode()
        path.write_bytes(struct.pack("<Q", len(head)) + head + body)
        return path

    # Words

    def layer(self, path: str, word: str, x: np.ndarray, **facts: Any) -> np.ndarray:
        roles = {name[len(path) + 1 :]: a for name, a in self.w.items() if name.rpartition(".")[0] == path}
        y = np.asarray(self.words[word](x, roles, **facts), np.float32)
        self.saw(f"{path}#{self.calls[path]}", word, [x], [y], facts)
        self.calls[path] += 1
        return y

    def say(self, word: str, *xs: np.ndarray, **facts: Any) -> np.ndarray:
        y = np.asarray(self.words[word](*xs, **facts), np.float32)
        self.saw(f"net#0/{word}.{self.calls[word]}", word, list(xs), [y], facts)
        self.calls[word] += 1
        return y

    def gives(self, name: str, value: np.ndarray) -> None:
        self.saw(f"{name}#0", "border", [], [value], kind="border")

    def every_word(self) -> None:
        """Step 2 of the page."""
        golden, meta = opened(self.kit / "goldens" / "0-words.trace")
        for unit in json.loads(meta["portavoz.trace"])["units"]:
            facts = dict(unit["facts"])
            names = facts.pop("inputs")
            xs = [golden[f"{unit['key']}:in{i}"] for i in range(len(names))]
            roles = {n[len(unit["path"]) + 1 :]: a for n, a in self.w.items() if n.startswith(unit["path"] + ".")}
            if unit["op"] in ("attention", "clip"):
                out = self.words[unit["op"]](**dict(zip(names, xs)), **facts)
            else:
                out = self.words[unit["op"]](*xs, *([roles] if roles else []), **facts)
            self.saw(unit["key"], unit["op"], xs, list(out) if isinstance(out, (list, tuple)) else [out], unit["facts"])

    # The model

    def attend(self, x: np.ndarray, path: str, real: np.ndarray) -> np.ndarray:
        heads, steps = self.c["heads"], x.shape[1]
        size = x.shape[-1] // heads
        angles = np.arange(steps)[:, None] * 10000.0 ** (-np.arange(0, size, 2) / size)
        q, k, v = (self.layer(f"{path}.{n}", "linear", x) for n in "qkv")
        q, k = (rope(t, np.cos(angles), np.sin(angles), heads).astype(np.float32) for t in (q, k))
        weights = self.say("softmax", scores(q, k, heads, self.scale(size), real[:, None, None]).astype(np.float32))
        return self.layer(f"{path}.out", "linear", merged(weights @ heads_of(v, heads)))

    def scale(self, size: int) -> float:
        return size**-0.5

    def stack(self, x: np.ndarray, path: str, layers: int, real: np.ndarray) -> np.ndarray:
        keep, half = real[..., None].astype(np.float32), self.c["kernel"] // 2
        conv = {"stride": 1, "padding": half, "dilation": 1, "groups": 1}
        for i in range(layers):
            at = f"{path}.layers.{i}"
            x = x + self.attend(self.layer(f"{at}.norm1", "layer_norm", x, eps=1e-5), f"{at}.attention", real)
            y = self.layer(f"{at}.norm2", "layer_norm", x, eps=1e-5) * keep
            y = self.say("gelu", self.layer(f"{at}.feed_forward.wide", "conv1d", y, **conv), approximate=False)
            x = x + self.layer(f"{at}.feed_forward.narrow", "linear", y)
        return self.layer(f"{path}.norm", "layer_norm", x, eps=1e-5)

    def encode(self, ids: np.ndarray, lengths: np.ndarray, speaker: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, real = "acoustic.encoder", np.arange(ids.shape[1]) < lengths[:, None]
        x = self.layer(f"{at}.embedding", "embedding", ids)
        x = self.stack(x, f"{at}.stack", self.c["encoder_layers"], real)
        memory = x + self.layer(f"{at}.speaker", "embedding", speaker)[:, None]
        x, keep = memory, real[..., None].astype(np.float32)
        for i in range(2):
            conv = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1}
            x = self.say("relu", self.layer(f"acoustic.durations.convs.{i}", "conv1d", x * keep, **conv))
            x = self.layer(f"acoustic.durations.norms.{i}", "layer_norm", x, eps=1e-5)
        logs = self.layer("acoustic.durations.out", "linear", x * keep)
        self.gives("log_durations", logs)
        exact = np.maximum(np.expm1(np.where(real, logs[..., 0], 0).astype(np.float64)), 0)
        ends = np.floor(np.cumsum(exact, -1) + 0.5).astype(np.int64)
        durations = np.clip(np.diff(ends, prepend=0), 0, 5)
        self.gives("durations", durations)
        self.gives("memory", memory)
        return memory, durations

    def decode(self, memory: np.ndarray, durations: np.ndarray) -> np.ndarray:
        index, place = spread(durations)
        real = np.arange(index.shape[1]) < durations.sum(-1, keepdims=True)
        frames = np.stack([row[i] for row, i in zip(memory, index)])
        x = frames + self.layer("acoustic.decoder.place", "linear", place)
        x = self.stack(x, "acoustic.decoder.stack", self.c["decoder_layers"], real)
        mel = self.layer("acoustic.decoder.out", "linear", x) * self.w["acoustic.decoder.scale"]
        mel = mel + self.w["acoustic.decoder.mean"]
        self.gives("mel", mel)
        return mel

    def vocode(self, mel: np.ndarray) -> np.ndarray:
        x = (mel - self.w["vocoder.mean"]) / self.w["vocoder.scale"]
        wide = {"stride": 1, "padding": 3, "dilation": 1}
        x = self.layer("vocoder.embed", "conv1d", x, **wide, groups=1)
        x = self.layer("vocoder.norm", "layer_norm", x, eps=1e-6)
        for i in range(self.c["istft"]["layers"]):
            at = f"vocoder.blocks.{i}"
            y = self.layer(f"{at}.depthwise", "conv1d", x, **wide, groups=x.shape[-1])
            y = self.layer(f"{at}.wide", "linear", self.layer(f"{at}.norm", "layer_norm", y, eps=1e-6))
            y = self.layer(f"{at}.narrow", "linear", self.say("gelu", y, approximate=False))
            x = x + y * self.w[f"{at}.gamma"]
        x = self.layer("vocoder.head", "linear", self.layer("vocoder.last", "layer_norm", x, eps=1e-6))
        size, phase = np.split(x.astype(np.float64), 2, -1)
        size = np.minimum(np.exp(size), 100)
        real, imag = ((size * f(phase)).astype(np.float32) for f in (np.cos, np.sin))
        m = self.c["mel"]
        wave = np.asarray(self.words["istft"](real, imag, m["fft"], m["hop"], m["window"], m["padding"]), np.float32)
        self.saw("vocoder.istft#0", "istft", [real, imag], [wave])
        self.gives("wave", wave)
        return wave

    def everything(self) -> None:
        """Steps 2 and 3 of the page."""
        self.every_word()
        given = opened(self.kit / "inputs.safetensors")[0]
        memory, durations = self.encode(given["ids"], given["lengths"], given["speaker"])
        self.vocode(self.decode(memory, durations))
