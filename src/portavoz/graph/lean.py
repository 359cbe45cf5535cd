"""The lean SpeechT5's stages as things that run: called, or exported, quantised, converted, and kept in the cache."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..blocks.hifigan import HifiGan
from ..families.speecht5.checkpoint import Checkpoint
from ..families.speecht5.config import SpeechT5Config
from ..families.speecht5.fused_decoder import AROUND, Lean, fused
from ..ops import open as open_ops
from ..ops.base import Ops
from ..weights import file, fold
from ..weights.cursor import Weights
from . import onnx, openvino
from .cache import Cache, digest
from .eager import Function

Tensors = Mapping[str, NDArray[Any]]
FORMAT = 4  # another number when the same weights give other files
STAGES = ("encode", "step", "postnet", "vocode")
PACKAGES = {"onnx": ("torch", "onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino", "nncf")}


@runtime_checkable
class Stage(Protocol):
    """One stage on some runtime."""

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]: ...
    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """What one stage runs on."""

    runtime: str
    precision: str
    threads: int = 1


class Signature(NamedTuple):
    """A stage's inputs, "name: axes" with an example, and its outputs; see graph.export."""

    inputs: list[tuple[str, NDArray[Any]]]
    outputs: list[str]

    @property
    def names(self) -> list[str]:
        """The inputs' names in order."""
        return [declared.split(":")[0] for declared, _ in self.inputs]


def signatures(c: SpeechT5Config) -> dict[str, Signature]:
    """What each stage takes and makes. The examples' sizes are no width of any model, so no axis is a constant."""
    B, T, S, F, heads = 2, 23, 41, 29, c.decoder_attention_heads
    size, mels = c.hidden_size // heads, c.num_mel_bins

    def zeros(*shape: int) -> NDArray[np.float32]:
        return np.zeros(shape, np.float32)

    def pairs(name: str, axis: str, n: int) -> list[tuple[str, NDArray[Any]]]:
        return [
            (f"{name}{kind}.{i}: B _ {axis}", zeros(B, heads, n, size))
            for i in range(c.decoder_layers)
            for kind in ("keys", "values")
        ]

    step = [
        ("frame: B", zeros(B, 1, mels)),
        ("kept: B", zeros(B, c.speech_decoder_prenet_layers, c.speech_decoder_prenet_units)),
        ("around: B", zeros(B, 1, c.hidden_size)),
        ("hidden: _ _ _ S", zeros(1, 1, 1, S)),
        ("padding: B _ _ T", zeros(B, 1, 1, T)),
        *pairs("", "S", S),
        *pairs("text_", "T", T),
    ]
    text = [("ids: B T", np.full((B, T), c.eos_token_id)), ("mask: B _ _ T", np.ones((B, 1, 1, T), bool))]
    mel = [("mel: B F", zeros(B, F, mels))]
    return {
        "encode": Signature(text, [name for name, _ in pairs("text_", "T", T)]),
        "step": Signature(step, ["out: B", "new: B"]),
        "postnet": Signature(mel, ["corrected: B F"]),
        **_vocoder_parts(c, mel),
    }


def _vocoder_parts(c: SpeechT5Config, mel: list[tuple[str, NDArray[Any]]]) -> dict[str, Signature]:
    """The vocoder is cut at its upsamplings, so that a window's neighbours can be dropped there."""
    parts, channels, last = {"vocode.0": mel}, c.vocoder.upsample_initial_channel, len(c.vocoder.upsample_rates) - 1
    for i in range(1, last + 1):
        channels //= 2
        parts[f"vocode.{i}"] = [("x: B N", np.zeros((2, 29, channels), np.float32))]
    return {
        name: Signature(given, ["wave: B M" if i == last else "y: B M"])
        for i, (name, given) in enumerate(parts.items())
    }


class Origin:
    """Where the weights come from; they are read only when something has to be made from them.

    digest: a checksum of all weights. load: the model's and the vocoder's tensors by the checkpoint's names.
    """

    def __init__(self, config: SpeechT5Config, digest: str, load: Callable[[], tuple[Tensors, Tensors]]) -> None:
        self.config, self.digest, self._load = config, digest, load
        self.signatures = signatures(config)

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Origin:
        """A folder's."""
        return cls(checkpoint.config, digest(checkpoint.files()), checkpoint.checked)

    @classmethod
    def given(cls, config: SpeechT5Config, model: Tensors, vocoder: Tensors) -> Origin:
        """Tensors' in memory."""
        seen = hashlib.sha256()
        for tensors in (model, vocoder):
            for name in sorted(tensors):
                seen.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
        return cls(config, seen.hexdigest(), lambda: (model, vocoder))

    @cached_property
    def tensors(self) -> tuple[Tensors, Tensors]:
        """The lean model's tensors, and the vocoder's."""
        model, vocoder = self._load()
        return fused(model, self.config), fold.weight_norm(vocoder)

    def around(self, cache: Cache) -> Tensors:
        """The tensors of what stands around the graphs."""

        def build(folder: Path) -> None:
            own = {name: array for name, array in self.tensors[0].items() if name.startswith(AROUND)}
            file.write(folder / "around.safetensors", own, {})

        return file.read(cache.entry("around", self._about("around", ()), build) / "around.safetensors")[0]

    def call(self, stage: str, ops: Ops) -> tuple[Callable[..., Any], Weights]:
        """A stage built on some words, and the cursor that it was built from."""
        if stage.startswith("vocode"):
            w = Weights(self.tensors[1], ops)
            return partial(HifiGan(w, self.config.vocoder).part, int(stage.split(".")[1])), w
        w = Weights({k: v for k, v in self.tensors[0].items() if not k.startswith(AROUND)}, ops)
        model = Lean(w, self.config)
        return {"encode": model.encode, "step": model.step, "postnet": model.postnet}[stage], w

    def vocoder(self, choice: Choice, cache: Cache) -> list[Stage]:
        """The vocoder's parts as chosen; see `stage`."""
        return [self.stage(name, choice, cache) for name in self.signatures if name.startswith("vocode")]

    def stage(self, name: str, choice: Choice, cache: Cache) -> Stage:
        """A stage as chosen, compiled if it is not in the cache yet. Raises MissingExtra, WeightError, InputError."""
        if choice.runtime == "eager":
            ops = _words(choice.precision)
            return Function(self.call(name, ops)[0], ops, self.signatures[name].names)
        int8 = choice.precision == "int8"
        if choice.runtime == "onnx":
            path = self.quantized(name, cache) if int8 else self.graph(name, cache)
            return onnx.Session(path, threads=choice.threads)
        path = self.converted(name, cache, int8=int8)
        return openvino.Session(path, threads=choice.threads, precision=choice.precision)

    def graph(self, name: str, cache: Cache) -> Path:
        """The stage as an ONNX file in float32."""

        def build(folder: Path) -> None:
            from .export import export

            open_ops("torch")  # it says what is missing, and how to get it
            from .export_ops import ExportOps

            # Convolutions of sound are long and dilated: there the runtimes' own kernels are best.
            ops = ExportOps() if name in ("encode", "step") else open_ops("torch")
            stage, w = self.call(name, ops)
            made = export(stage, self.signatures[name].inputs, self.signatures[name].outputs, w=w)
            (folder / f"{name}.onnx").write_bytes(made)

        return cache.entry(f"onnx-{name}", self._about(name, PACKAGES["onnx"]), build) / f"{name}.onnx"

    def quantized(self, name: str, cache: Cache) -> Path:
        """The stage as an ONNX file with weights in eight bits."""

        def build(folder: Path) -> None:
            from .quantize import eight_bits

            eight_bits(self.graph(name, cache), folder / f"{name}.onnx")

        about = {**self._about(name, PACKAGES["onnx"]), "precision": "int8"}
        return cache.entry(f"onnx-int8-{name}", about, build) / f"{name}.onnx"

    def converted(self, name: str, cache: Cache, *, int8: bool) -> Path:
        """The stage as OpenVINO's model.xml, in float32 or with weights in eight bits."""

        def build(folder: Path) -> None:
            openvino.convert(self.graph(name, cache), folder, int8=int8)

        openvino.runtime()  # it says what is missing, and how to get it
        kind = "int8" if int8 else "float32"
        about = {**self._about(name, PACKAGES["onnx"] + PACKAGES["openvino"]), "precision": kind}
        return cache.entry(f"openvino-{kind}-{name}", about, build) / "model.xml"

    def _about(self, stage: str, packages: tuple[str, ...]) -> dict[str, Any]:
        """Everything that decides what a compiled stage is."""
        return {
            "format": FORMAT,
            "stage": stage,
            "weights": self.digest,
            "config": dataclasses.asdict(self.config),
            "axes": [name for name, _ in self.signatures[stage].inputs] if stage in self.signatures else [],
            "versions": {name: version_of(name) for name in packages},
        }


def version_of(package: str) -> str:
    """The installed version of a package, "none" where it is not."""
    try:
        return version(package)
    except ImportError:
        return "none"


def _words(precision: str) -> Ops:
    if precision == "float32":
        return open_ops("torch")
    open_ops("torch")
    from ..ops.torch import TorchOps, torch

    return TorchOps(dtype=torch.bfloat16)
