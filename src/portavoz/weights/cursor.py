"""Weights: a cursor that walks like `cd`. A model takes tensors by role and shape, and gets callable layers.

    w = Weights.load("model.safetensors", ops=ops.open("torch"))
    conv = (w / "decoder").conv1d("layers.0.conv", 64, 128, 3)     # takes decoder.layers.0.conv.weight and .bias
    w.finish()                                                     # WeightError: 1 unused tensor: extra.bias

Paths are the checkpoint's names, letter for letter: the weight map is the layer map.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightError
from ..ops.base import Ops
from ..ops.wrapper import OpsWrapper
from . import file, quantized
from .layer import Layer, Record
from .layout import ambiguous, looks_like, relayout

Source = Mapping[str, NDArray[Any]]
_ONE = np.ones(1, np.float32).tobytes()


class Weights:
    """A position in a tree of named tensors: a checkpoint's (load) or one that is being made (fresh).

    `place`, where the tensors come from, begins the message of every WeightError about them.
    """

    def __init__(
        self,
        source: Source | None,
        ops: Ops,
        *,
        layout: str | None = "torch",
        train: bool = False,
        place: str | Path = "",
    ) -> None:
        self.source, self.ops, self.train, self.place = source, ops, train, str(place)
        self.declared, self.layout = layout is not None, layout or "torch"
        self.seed = 0
        self.constants: Source = {}
        self.path = ""
        self.record = Record()

    @classmethod
    def load(cls, path: str | Path, ops: Ops, *, layout: str | None = None, train: bool = False) -> Weights:
        """Open a safetensors file. `layout` (such as "mlx") overrides the one in the file's metadata.

        A file that declares none is read as "torch", as long as shapes confirm it. With `train`, tensors gather
        gradients. Raises WeightError for a file that cannot be read.
        """
        tensors, metadata = file.read(path)
        return cls(tensors, ops, layout=layout or file.layout(metadata), train=train, place=path)

    @classmethod
    def fresh(cls, ops: Ops, seed: int = 0, *, constants: Source | None = None) -> Weights:
        """New weights for training. A tensor's first values depend on (seed, its path) alone.

        `constants` gives values to tensors that training does not change, such as a corpus' mean mel.
        """
        new = cls(None, ops, train=True)
        new.seed, new.constants = seed, constants or {}
        return new

    def at(self, name: str) -> Weights:
        """The cursor one level (or several, with dots) deeper; also written ``w / name``."""
        deeper = type(self).__new__(type(self))
        deeper.__dict__.update(self.__dict__)
        deeper.path = self._full(name)
        return deeper

    __truediv__ = at

    def has(self, name: str) -> bool:
        """Whether the source holds a tensor of this name below here (always True when fresh)."""
        return self.source is None or self._full(name) in self.source

    def tensor(
        self, name: str, shape: tuple[int, ...], *, role: str = "", init: float | None = None, train: bool = True
    ) -> Any:
        """Take one tensor. `role` names its axes (see layout), `init` its first value (None: random by fan-in).

        Asking again for a path that was taken gives the same tensor: tied weights. `train=False` marks a
        constant (statistics, tables). Raises WeightError when it is missing or has another shape.
        """
        path, shape, record = self._full(name), tuple(shape), self.record
        record.asked[path] += 1
        if path in record.taken:
            return self._again(path, shape)
        try:
            array = self._first(path, shape, init) if self.source is None else self._read(path, shape, role)
        except WeightError as problem:
            raise self._wrong(str(problem)) from problem
        grows = train and self.train
        value = self.ops.parameter(relayout(array, role, "torch", self.ops.layout), path, role, train=grows)
        record.taken[path], record.shapes[path] = value, shape
        record.roles[path], record.initial[path] = role, init
        if not train:
            record.fixed.add(path)
        if grows:
            record.trainable.add(path)
        if self.ops.wrapped:
            cast(OpsWrapper, self.ops).took(path, value, train)
        return value

    def _wrong(self, what: str) -> WeightError:
        return WeightError(f"{self.place}: {what}" if self.place else what)

    def _again(self, path: str, shape: tuple[int, ...]) -> Any:
        first = self.record.shapes[path]
        if first != shape:
            raise WeightError(f"{path}: taken as {first} and again as {shape}; tied weights have one shape")
        return self.record.taken[path]

    def _first(self, path: str, shape: tuple[int, ...], init: float | None) -> NDArray[Any]:
        return np.asarray(self.constants[path]) if path in self.constants else initial(path, shape, init, self.seed)

    def _full(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path and name else self.path or name

    def _read(self, path: str, shape: tuple[int, ...], role: str) -> Any:
        assert self.source is not None
        if path not in self.source:
            ending = path.rsplit(".", 2)[-2:]
            near = [k for k in self.source if k.split(".")[-len(ending) :] == ending and k not in self.record.taken]
            hint = f"; same ending, not taken yet: {', '.join(near[:3])}" if near else ""
            raise WeightError(f"{path}: not in the checkpoint{hint}")
        stored = quantized.stored(self.source, path, shape, role=role, used=self.record.ignored)
        if not self.declared and ambiguous(stored.shape, role):
            raise WeightError(
                f"{path}: {stored.shape} reads the same in every layout and the file does not say which it has; "
                "pass layout='torch' or layout='mlx'"
            )
        array = relayout(stored, role, self.layout, "torch") if self._fits(stored, role) else stored
        if tuple(array.shape) != shape:
            other = looks_like(array.shape, shape, role, self.layout)
            hint = f": this is the {other} layout, pass layout={other!r}" if other else ""
            raise WeightError(f"{path}: the checkpoint has {tuple(array.shape)}, the model wants {shape}{hint}")
        return array.astype(np.float32) if array.dtype == np.float16 else array

    def _fits(self, array: Any, role: str) -> bool:
        return array.ndim == {"conv1d": 3, "conv_transpose1d": 3, "conv2d": 4}.get(role, array.ndim)

    # Layers by role. Each takes `weight` (and `bias`) below `name`.

    def _layer(self, op: str, name: str, tensors: dict[str, Any], **fields: Any) -> Layer:
        layer = Layer(self.ops, op, self._full(name), **tensors, **fields)
        self.record.layers[layer.path] = layer
        return layer

    def _weighted(self, op: str, name: str, shape: tuple[int, ...], bias: int, **fields: Any) -> Layer:
        here = self.at(name)
        tensors = {"weight": here.tensor("weight", shape, role=op)}
        if bias:
            tensors["bias"] = here.tensor("bias", (bias,), init=0.0)
        return self._layer(op, name, tensors, **fields)

    def linear(self, name: str, inputs: int, outputs: int, *, bias: bool = True) -> Layer:
        """weight [out, in], bias [out]."""
        return self._weighted("linear", name, (outputs, inputs), outputs if bias else 0)

    def embedding(self, name: str, entries: int, channels: int) -> Layer:
        """weight [entries, channels]."""
        return self._weighted("embedding", name, (entries, channels), 0)

    def conv1d(
        self, name: str, inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1,
        padding: int | None = None, groups: int = 1, bias: bool = True,
    ) -> Layer:  # fmt: skip
        """weight [out, in / groups, k]; padding None keeps the length (odd kernels, stride 1)."""
        padding = dilation * (kernel - 1) // 2 if padding is None else padding
        shape = (outputs, inputs // groups, kernel)
        facts = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
        return self._weighted("conv1d", name, shape, outputs if bias else 0, **facts)

    def conv_transpose1d(
        self, name: str, inputs: int, outputs: int, kernel: int, *, stride: int, padding: int = 0
    ) -> Layer:
        """weight [in, out, k] (PyTorch's order: in first)."""
        facts = {"stride": stride, "padding": padding}
        return self._weighted("conv_transpose1d", name, (inputs, outputs, kernel), outputs, **facts)

    def lone_conv_transpose1d(
        self, name: str, channels: int, kernel: int, *, stride: int, padding: int, extra: int
    ) -> Layer:
        """weight [channels, 1, k]: each channel by itself; `extra` steps at the end (PyTorch's output_padding)."""
        facts = {"stride": stride, "padding": padding, "alone": True, "extra": extra}
        return self._weighted("conv_transpose1d", name, (channels, 1, kernel), channels, **facts)

    def conv2d(
        self, name: str, inputs: int, outputs: int, kernel: tuple[int, int], *, stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0), bias: bool = True,
    ) -> Layer:  # fmt: skip
        """weight [out, in, kh, kw]; strides and paddings as pairs."""
        facts = {"stride": stride, "padding": padding}
        return self._weighted("conv2d", name, (outputs, inputs, *kernel), outputs if bias else 0, **facts)

    def layer_norm(self, name: str, channels: int, eps: float = 1e-5, *, affine: bool = True) -> Layer:
        """weight and bias [channels]; without `affine` ones and zeros, which are not in the checkpoint."""
        if affine:
            return self._layer("layer_norm", name, self._scale_and_shift(name, channels), eps=eps)
        plain = {"weight": np.ones(channels, np.float32), "bias": np.zeros(channels, np.float32)}
        path = self._full(name)
        tensors = {role: self.ops.parameter(a, f"{path}.{role}", "") for role, a in plain.items()}
        return self._layer("layer_norm", name, tensors, eps=eps)

    def rms_norm(self, name: str, channels: int, eps: float = 1e-6) -> Layer:
        """weight [channels]."""
        return self._layer("rms_norm", name, {"weight": self.at(name).tensor("weight", (channels,), init=1.0)}, eps=eps)

    def batch_norm(self, name: str, channels: int, eps: float = 1e-5, *, affine: bool = True) -> Layer:
        """weight, bias and the running statistics [channels]; PyTorch's step counter is ignored by name.

        Without `affine` there is neither weight nor bias.
        """
        here = self.at(name)
        here.ignore("num_batches_tracked", why="a counter of training steps")
        tensors = self._scale_and_shift(name, channels) if affine else {}
        tensors["running_mean"] = here.tensor("running_mean", (channels,), init=0.0, train=False)
        tensors["running_var"] = here.tensor("running_var", (channels,), init=1.0, train=False)
        return self._layer("batch_norm", name, tensors, eps=eps)

    def lstm(self, name: str, inputs: int, channels: int, *, suffix: str = "_l0") -> Layer:
        """weight_ih [4 C, in], weight_hh [4 C, C], bias_ih, bias_hh [4 C], each name with PyTorch's suffix."""
        here, wide = self.at(name), 4 * channels
        shapes = {"weight_ih": (wide, inputs), "weight_hh": (wide, channels), "bias_ih": (wide,), "bias_hh": (wide,)}
        tensors = {k: here.tensor(k + suffix, s, init=0.0 if k.startswith("bias") else None) for k, s in shapes.items()}
        return self._layer("lstm", name, tensors)

    def snake(self, name: str, channels: int) -> Layer:
        """alpha [channels]."""
        return self._layer("snake", name, {"alpha": self.at(name).tensor("alpha", (channels,), init=1.0)})

    def _scale_and_shift(self, name: str, channels: int) -> dict[str, Any]:
        here = self.at(name)
        first = {"weight": 1.0, "bias": 0.0}
        return {name: here.tensor(name, (channels,), init=value) for name, value in first.items()}

    def transform(self, name: str, op: str, spec: Any) -> Layer:
        """A layer without weights: `op` is "stft" or "istft", `spec` its MelSpec."""
        return self._layer(op, name, {}, spec=spec)

    # The end of a walk

    def ignore(self, name: str, *, why: str) -> None:
        """Leave a tensor (or everything below `name`) untaken, for a reason that the audit prints."""
        self.record.ignored[self._full(name)] = why

    def left_over(self) -> list[str]:
        """Names in the source that were neither taken nor ignored."""
        skip = tuple(self.record.ignored)
        names = self.source or {}
        return [
            k for k in names if k not in self.record.taken and not any(k == s or k.startswith(s + ".") for s in skip)
        ]

    def finish(self) -> None:
        """Raise WeightError when the source holds tensors that were not taken."""
        left = self.left_over()
        if left:
            few = ", ".join(left[:4]) + (", …" if len(left) > 4 else "")
            many = "s" if len(left) > 1 else ""
            raise self._wrong(f"{len(left)} unused tensor{many}: {few}; is this the right model?")

    def tensors(self) -> dict[str, Any]:
        """Path → tensor of everything that training changes: for an optimiser, a checkpoint, a quantiser."""
        return {path: self.record.taken[path] for path in self.record.taken if path in self.record.trainable}

    def arrays(self, layout: str = "torch") -> dict[str, NDArray[Any]]:
        """Path → NumPy array of everything that was taken, in the layout asked for: what a file stores."""
        out: dict[str, NDArray[Any]] = {}
        for path, value in self.record.taken.items():
            array = self.ops.numpy(value)
            out[path] = np.asarray(relayout(array, self.record.roles[path], self.ops.layout, layout), order="C")
        return out


class ShapeOnlyWeights(Weights):
    """Fresh weights without first values, which take no memory: for asking what a model wants and costs."""

    def _first(self, path: str, shape: tuple[int, ...], init: float | None) -> NDArray[Any]:
        return np.ndarray(shape, np.float32, _ONE, strides=(0,) * len(shape))  # np.broadcast_to takes longer


def initial(path: str, shape: tuple[int, ...], init: float | None, seed: int) -> NDArray[np.float32]:
    """The first value of a tensor: a constant, or uniform in ±1/√fan_in (PyTorch's default for linear and conv)."""
    if init is not None:
        return np.full(shape, init, np.float32)
    digest = hashlib.sha256(f"{seed}/{path}".encode()).digest()
    generator = np.random.Generator(np.random.Philox(np.frombuffer(digest, np.uint64)[:2]))
    fan_in = max(1, int(np.prod(shape[1:])))
    return np.asarray(generator.uniform(-1.0, 1.0, shape) / np.sqrt(fan_in), np.float32)
