"""The words in TTNN's operations. Which executor runs them, and in which precision, is the caller's choice."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...audio import stft as transform
from ...errors import BackendError
from ..base import Ops
from ..layouts import ROLES
from ..shapes import Size
from .operations import OPERATIONS, Executor, Refused, Tensor
from .schedule import BYTES, Rule, Schedule, load

L1 = 64 * 1_395_424  # bytes: what the 64 cores of a Wormhole leave for tensors


class TtnnOps(Ops):
    """Every word as operations of Tenstorrent's TTNN (see `operations`).

    `device`: "golden" (None: this one) computes in PyTorch with the card's roundings; "card" calls the package ttnn,
    which may be a card, a simulator or its mock device. `schedule`: a name ("float32", "bfloat16", "fast") or a TOML
    file. `emulate`: golden computes every matrix product in the schedule's fidelity and accumulation, which is slow.

    Raises BackendError for a device or schedule that is not there.
    """

    name = "ttnn"
    float64 = False
    fused = True
    spoken_options: ClassVar[dict[str, Any]] = {"schedule": "bfloat16"}

    def __init__(
        self, device: str | None = None, schedule: str | Path | Schedule = "float32", *, emulate: bool = False,
        executor: Executor | None = None,
    ) -> None:  # fmt: skip
        self.schedule = schedule if isinstance(schedule, Schedule) else load(schedule)
        self.executor = executor or _executor(device or "golden", emulate=emulate)
        self.device = self.executor.name
        self.note = f"ttnn, schedule {self.schedule.name}: {self.executor.about}"
        self.l1 = 0.0  # bytes of parameters that stay in L1
        self._made: dict[Any, Any] = {}

    def _apply(self, operation: str, *xs: Any, rule: Rule | None = None, **options: Any) -> Tensor:
        """An operation of the table on tensors and numbers; `rule` None is the schedule's for what has no parameter."""
        xs = tuple(self.tensor(x) if isinstance(x, np.ndarray) else x for x in xs)
        given = [x.handle if isinstance(x, Tensor) else x for x in xs]
        rule = rule or self.schedule.defaults
        owner = next((x.owner for x in xs if isinstance(x, Tensor) and x.owner), "")
        self.executor.owner = owner
        try:
            return Tensor(self, self.executor.run(operation, given, rule, **options))
        except Refused as problem:
            shapes = ", ".join(str(list(x.shape)) for x in xs if isinstance(x, Tensor))
            what = f"{OPERATIONS[operation].library}{f' of {owner}' if owner else ''} on {shapes}"
            raise BackendError(self._refusal(what, rule, problem)) from problem

    def _refusal(self, what: str, rule: Rule, problem: Refused) -> str:
        """What the library said, of what it was said, and the line of the schedule."""
        remedy = "choose memory or shard otherwise there" if "L1" in str(problem) else "change it there"
        return f"{what} was refused ({rule.place or f'{self.schedule.name}, defaults'}): {problem}; {remedy}"

    # The door

    def tensor(self, a: Any, train: bool = False) -> Any:
        return Tensor(self, self.executor.upload(np.asarray(a), self.schedule.defaults))

    def parameter(self, a: Any, path: str, role: str, train: bool = False) -> Any:
        rule, order = self.schedule.rule(path), (1, 0) if role == "linear" else None
        array = np.asarray(a) if order is None else np.asarray(a).T
        if rule.memory == "l1" and role not in ROLES:
            self._in_l1(array.size * BYTES[rule.dtype], path, rule)
        try:
            handle = self.executor.upload(array, rule, parameter=True, kernel=role in ROLES)
        except Refused as problem:
            raise BackendError(self._refusal(f"{path} {list(array.shape)}", rule, problem)) from problem
        return Tensor(self, handle, rule=rule, owner=path, order=order)

    def _in_l1(self, size: float, path: str, rule: Rule) -> None:
        """Count what stays in L1, which all cores together have so much of. Raises BackendError when it overflows."""
        self.l1 += size
        if self.l1 > L1:
            raise BackendError(
                f"{path}: with it the parameters in L1 need {self.l1 / 2**20:.0f} MiB, the cores have {L1 / 2**20:.0f} "
                f'({rule.place or f"{self.schedule.name}, defaults"}): Not enough space; set memory = "dram" there'
            )

    def numpy(self, x: Any) -> np.ndarray:
        array = np.asarray(self.executor.download(x.handle))
        return array if x.order is None else array.T

    # Words with parameters

    def _rule(self, p: Any) -> Rule | None:
        return getattr(p.weight, "rule", None)

    def _weight(self, p: Any) -> Tensor:
        """A linear layer's weight as the card has it, [in, out], whoever made the tensor."""
        return p.weight if p.weight.order is not None else self._turned(p.weight, (1, 0))

    def _turned(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return self._apply("permute", x, axes=axes)

    def _biased(self, p: Any) -> list[Tensor]:
        return [p.weight] if p.bias is None else [p.weight, p.bias]

    def linear(self, x: Any, p: Any) -> Any:
        return self._apply("linear", x, self._weight(p), *self._biased(p)[1:], rule=self._rule(p))

    def embedding(self, ids: Any, p: Any) -> Any:
        return self._apply("embedding", ids, p.weight, rule=self._rule(p))

    def conv1d(self, x: Any, p: Any) -> Any:
        facts = {"stride": p.stride, "padding": p.padding, "dilation": p.dilation, "groups": p.groups}
        return self._apply("conv1d", x, *self._biased(p), rule=self._rule(p), **facts)

    def conv_transpose1d(self, x: Any, p: Any) -> Any:
        facts = {"stride": p.stride, "padding": p.padding}
        return self._apply("conv_transpose1d", x, *self._biased(p), rule=self._rule(p), **facts)

    def conv2d(self, x: Any, p: Any) -> Any:
        facts = {"stride": tuple(p.stride), "padding": tuple(p.padding)}
        return self._apply("conv2d", x, *self._biased(p), rule=self._rule(p), **facts)

    def layer_norm(self, x: Any, p: Any) -> Any:
        return self._apply("layer_norm", x, p.weight, p.bias, rule=self._rule(p), eps=p.eps)

    def rms_norm(self, x: Any, p: Any) -> Any:
        return self._apply("rms_norm", x, p.weight, rule=self._rule(p), eps=p.eps)

    def batch_norm(self, x: Any, p: Any) -> Any:
        y = (x - p.running_mean) * self._apply("rsqrt", p.running_var + p.eps)
        return y if p.weight is None else self._apply("add", y * p.weight, p.bias, rule=self._rule(p))

    def lstm(self, x: Any, state: Any, p: Any) -> Any:
        (h, c), rows = state, []
        inner, outer = self._turned(p.weight_ih, (1, 0)), self._turned(p.weight_hh, (1, 0))
        given = self._apply("linear", x, inner, p.bias_ih + p.bias_hh)
        for t in range(x.shape[1]):
            i, f, g, o = self.chunk(given[:, t] + self._apply("linear", h, outer), 4)
            c = self.sigmoid(f) * c + self.sigmoid(i) * self.tanh(g)
            h = self.sigmoid(o) * self.tanh(c)
            rows.append(h[:, None])
        return self.concat(rows, 1), (h, c)

    def snake(self, x: Any, p: Any) -> Any:
        wave = self.sin(x * p.alpha)
        return x + wave * wave / (p.alpha + 1e-9)

    # Words without

    def relu(self, x: Any) -> Any:
        return self._apply("relu", x)

    def gelu(self, x: Any, approximate: bool = False) -> Any:
        return self._apply("gelu", x, approximate=approximate)

    def silu(self, x: Any) -> Any:
        return self._apply("silu", x)

    def mish(self, x: Any) -> Any:
        return self._apply("mish", x)

    def elu(self, x: Any) -> Any:
        return self._apply("elu", x)

    def tanh(self, x: Any) -> Any:
        return self._apply("tanh", x)

    def sigmoid(self, x: Any) -> Any:
        return self._apply("sigmoid", x)

    def leaky_relu(self, x: Any, slope: float) -> Any:
        return self._apply("leaky_relu", x, slope=slope)

    def softmax(self, x: Any) -> Any:
        return self._apply("softmax", x)

    def l2_normalize(self, x: Any) -> Any:
        length = self.sqrt(self._apply("sum", x * x))
        return x / self.clip(length, 1e-12, None)

    # The library has no Fourier transform: both are convolutions with the transform's basis as the kernel.

    def stft(self, x: Any, p: Any) -> Any:
        spec = p.spec
        index = np.pad(np.arange(x.shape[1]), transform.margins(spec), mode="reflect")
        index = np.broadcast_to(index, (x.shape[0], len(index)))
        x = self.gather(x[:, :, None], self.tensor(np.ascontiguousarray(index)))
        # Two halves of an odd size are one sample short of the last frame.
        x = self.pad(x, 0, int(spec.padding == "center") * (spec.fft % 2))
        kernel = self._constant(("stft", spec), lambda: _basis(spec)[:, None])
        y = self._apply("conv1d", x, kernel, stride=spec.hop, padding=0, dilation=1, groups=1)
        real, imag = self.chunk(y, 2)
        return real, imag

    def istft(self, real: Any, imag: Any, p: Any) -> Any:
        spec, frames = p.spec, real.shape[1]
        kernel = self._constant(("istft", spec), lambda: _inverse(spec)[:, None])
        wave = self._apply("conv_transpose1d", self.concat([real, imag], -1), kernel, stride=spec.hop, padding=0)
        left = transform.margins(spec)[0]
        inner = slice(left, left + (frames - (spec.padding == "center")) * spec.hop)
        envelope = self._constant(("envelope", spec, frames), lambda: 1.0 / _envelope(spec, frames)[None, inner])
        return wave[:, inner, 0] * envelope

    def _constant(self, key: Any, make: Any) -> Tensor:
        if key not in self._made:
            self._made[key] = self.tensor(make().astype(np.float32))
        return self._made[key]

    # Glue

    def concat(self, xs: list[Any], axis: int) -> Any:
        return self._apply("concat", *xs, axis=axis % len(xs[0].shape))

    def chunk(self, x: Any, n: int) -> list[Any]:
        size = x.shape[-1] // n
        return [x[..., i * size : (i + 1) * size] for i in range(n)]

    def split_heads(self, x: Any, heads: Size) -> Any:
        batch, time, channels = x.shape
        return self._turned(self._apply("reshape", x, shape=(batch, time, heads, channels // heads)), (0, 2, 1, 3))

    def merge_heads(self, x: Any) -> Any:
        batch, heads, time, size = x.shape
        return self._apply("reshape", self._turned(x, (0, 2, 1, 3)), shape=(batch, time, heads * size))

    def swap(self, x: Any) -> Any:
        n = len(x.shape)
        return self._turned(x, (*range(n - 2), n - 1, n - 2))

    def matmul(self, a: Any, b: Any) -> Any:
        return self._apply("matmul", a, b)

    def masked(self, x: Any, allowed: Any) -> Any:
        return self._apply("where", allowed, x, other=-math.inf)

    def full(self, shape: tuple[Size, ...], value: float) -> Any:
        return self._apply("full", shape=tuple(shape), value=value)

    def rows(self, table: Any, start: Size, n: Size) -> Any:
        return table[start : start + n]

    def write(self, buffer: Any, new: Any, at: Size) -> Any:
        return self._apply("write", buffer, new, at=at)

    def gather(self, x: Any, index: Any) -> Any:
        return self._apply("gather", x, index)

    def cumsum(self, x: Any) -> Any:
        return self._apply("cumsum", x)

    def pad(self, x: Any, before: Size, after: Size) -> Any:
        return self._apply("pad", x, before=before, after=after) if before or after else x

    def upsample(self, x: Any, factor: Size) -> Any:
        return self._apply("repeat", x, factor=factor)

    def rope(self, x: Any, cos: Any, sin: Any, heads: int) -> Any:
        batch, time, channels = x.shape
        x = self._apply("reshape", x, shape=(batch, time, heads, channels // heads))
        a, b = self.chunk(x, 2)
        cos, sin = cos[:, None], sin[:, None]
        turned = self.concat([a * cos - b * sin, b * cos + a * sin], -1)
        return self._apply("reshape", turned, shape=(batch, time, channels))

    def exp(self, x: Any) -> Any:
        return self._apply("exp", x)

    def sqrt(self, x: Any) -> Any:
        return self._apply("sqrt", x)

    def sin(self, x: Any) -> Any:
        return self._apply("sin", x)

    def cos(self, x: Any) -> Any:
        return self._apply("cos", x)

    def clip(self, x: Any, low: float | None, high: float | None) -> Any:
        return x if low is None and high is None else self._apply("clamp", x, low=low, high=high)


def _executor(device: str, *, emulate: bool) -> Any:
    if device == "golden":
        from .golden import Golden

        return Golden(emulate=emulate)
    if device == "card":
        from .device import Card

        return Card()
    raise BackendError(f"ttnn has no device {device!r}: choose golden (PyTorch with the card's roundings) or card")


def _angles(spec: Any) -> tuple[np.ndarray, np.ndarray]:
    n, k = np.arange(spec.fft), np.arange(spec.fft // 2 + 1)
    turns = (k[:, None] * n[None] % spec.fft) * (2 * np.pi / spec.fft)
    return np.cos(turns), np.sin(turns)


def _basis(spec: Any) -> np.ndarray:
    """[2 · bins, fft]: windowed cosines, then negative sines."""
    cos, sin = _angles(spec)
    return np.concatenate([cos, -sin]) * transform.window_of(spec)


def _inverse(spec: Any) -> np.ndarray:
    """[2 · bins, fft]: what each bin's real, then imaginary part adds to a windowed frame."""
    cos, sin = _angles(spec)
    twice = np.full((len(cos), 1), 2.0)
    twice[0] = 1.0
    if spec.fft % 2 == 0:
        twice[-1] = 1.0
    return np.concatenate([cos * twice, -sin * twice]) / spec.fft * transform.window_of(spec)


def _envelope(spec: Any, frames: int) -> np.ndarray:
    """The squared windows of all frames, added where they overlap: [(frames − 1) hop + fft]."""
    out, square = np.zeros((frames - 1) * spec.hop + spec.fft), transform.window_of(spec).astype(np.float64) ** 2
    for i in range(frames):
        out[i * spec.hop : i * spec.hop + spec.fft] += square
    return out
