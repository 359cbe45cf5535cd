"""The operations that a model may use. Their NumPy bodies are specification, documentation and oracle.

Activations are `[batch, time, channels]` everywhere (B, T, C below); the back end owns layout, placement and
precision. An op has the size of a layer, so that a native kernel exists for it. An op with parameters is
``op(x, p)``, where `p` is the layer itself: its tensors, stride, eps, and its *path*, by which wrappers name it.
Between ops a model uses only ``+ - * /``, ``.shape`` and slices along time.

Weights have PyTorch's axis order here: linear ``[out, in]``, conv1d ``[out, in / groups, k]``, conv_transpose1d
``[in, out, k]``, conv2d ``[out, in, kh, kw]``. A back end with another order declares it in `layout`, and
the cursor of `weights` passes the weights in that order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from ..audio import stft as transform
from ..errors import BackendError
from .layouts import AXES
from .shapes import Array, Bool, Float, Int, Num, Shaped, Size
from .worker import Worker

# Leaf ops: a reference has them as one call too. The lab compares and forces them.
LEAF_OPS = (
    "linear embedding conv1d conv_transpose1d conv2d layer_norm rms_norm batch_norm lstm snake "
    "relu gelu silu mish elu tanh sigmoid leaky_relu softmax l2_normalize stft istft"
).split()
# Structural ops: named, not compared: their faults show at the edge into the next leaf op.
STRUCTURAL_OPS = (
    "concat chunk split_heads merge_heads swap matmul masked full rows write gather cumsum pad upsample rope "
    "exp sqrt sin cos clip"
).split()
# Composites: a body of other ops, at least one of them a leaf. A back end may override them with a fused kernel.
COMPOSITE_OPS = ("attention",)
# Host transfer between NumPy and the back end; no mathematics.
HOST_OPS = ("tensor", "parameter", "numpy", "gradients")


class Ops:
    """The ops in NumPy, float32 or float64: slow, but simple and correct.

    Facts about a back end are attributes of its class, so that no other code needs a list.
    """

    name = "numpy"
    layout = "torch"  # of its kernels: one of ops.layout_names(), or its own with `axes`
    axes: ClassVar[Mapping[str, str]] = {}  # role → axes ("out in k"), where `layout` is the back end's own
    float64 = True  # whether it computes in float64
    trains = False  # whether `gradients` works
    fused = False  # whether a voice uses the stages of compiled runtimes on it: few shapes, static buffers
    spoken_options: ClassVar[Mapping[str, Any]] = {}  # options of `open` when a voice speaks
    # Where a back end has caches of its own for decode attention: their class (see blocks.attention.empty_cache); and
    # (stage, axis, length) → the length to which a runner pads it. None: blocks.attention's, and any length.
    cache: Any = None
    bucket: Callable[[str, str, int], int] | None = None
    stage = ""  # the stage that is built or runs, for messages
    note = ""  # a message for the user when a voice speaks
    wrapped = False
    worker: Worker | None = None  # the only thread that may touch this back end's tensors; None: any thread

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if cls.axes:
            AXES.setdefault(cls.layout, cls.axes)

    @classmethod
    def devices(cls) -> list[str]:
        """The accelerators of this machine that it can use, as a person reads them: "cuda:0 NAME"."""
        return []

    # Host transfer

    def tensor(self, a: Array, train: bool = False) -> Array:
        """A NumPy array as a tensor of this back end; with `train`, one that gathers gradients."""
        return np.asarray(a)

    def parameter(self, a: Array, path: str, role: str, train: bool = False) -> Array:
        """An array that a model takes as the tensor at `path`, in this back end's layout.

        `role` is the op that uses it as its weight, "" for biases and others. A back end decides by path and role
        where a tensor is placed and how it is rounded.
        """
        return self.tensor(a, train)

    def numpy(self, x: Array) -> NDArray[Any]:
        """A tensor as a NumPy array: a host read, so only at the border of a stage."""
        return np.asarray(x)

    def gradients(self, loss: Callable[[], Array], tensors: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """``loss()``, and its gradient by each of the tensors that a model holds. Raises BackendError without `trains`.

        Called on the worker's thread where there is one.
        """
        raise BackendError(f"the back end {self.name!r} computes no gradients: choose one that trains, such as torch")

    # Ops with parameters

    def linear(self, x: Float[Array, "*rows I"], p: Any) -> Float[Array, "*rows O"]:
        """``x @ weight.T + bias``: [..., in] → [..., out]."""
        y = x @ p.weight.T
        return y if p.bias is None else y + p.bias

    def embedding(self, ids: Int[Array, "*rows"], p: Any) -> Float[Array, "*rows C"]:
        """Rows of a table by integer: ids [...] → [..., C]; weight [entries, C]."""
        return p.weight[ids]

    def conv1d(self, x: Float[Array, "B T I"], p: Any) -> Float[Array, "B N O"]:
        """Cross-correlation along time: [B, T, in] → [B, (T + 2 padding − dilation (k − 1) − 1) // stride + 1, out]."""
        out, per_group, k = p.weight.shape
        x = self.pad(x, p.padding, p.padding)
        n = (x.shape[1] - p.dilation * (k - 1) - 1) // p.stride + 1
        x = x.reshape(*x.shape[:2], p.groups, per_group)
        weight = p.weight.reshape(p.groups, out // p.groups, per_group, k)
        y = 0
        for j in range(k):
            tap = x[:, j * p.dilation : j * p.dilation + (n - 1) * p.stride + 1 : p.stride]
            y = y + np.matmul(tap[..., None, :], weight[..., j].swapaxes(-1, -2))[..., 0, :]
        y = cast(Array, y).reshape(x.shape[0], n, out)
        return y if p.bias is None else y + p.bias

    def conv_transpose1d(self, x: Float[Array, "B T I"], p: Any) -> Float[Array, "B N O"]:
        """The gradient of conv1d: [B, T, in] → [B, (T − 1) stride + k − 2 padding + extra, out].

        Layers may have `extra` steps at the end (PyTorch's output_padding), and `alone`: each channel has a kernel of
        its own, weight [in, 1, k].
        """
        batch, time, _ = x.shape
        _, out, k = p.weight.shape
        alone, extra = getattr(p, "alone", False), getattr(p, "extra", 0)
        y = np.zeros((batch, (time - 1) * p.stride + k + extra, x.shape[2] if alone else out), x.dtype)
        for j in range(k):
            made = x * p.weight[:, 0, j] if alone else x @ p.weight[:, :, j]
            y[:, j : j + (time - 1) * p.stride + 1 : p.stride] += made
        y = y[:, p.padding : y.shape[1] - p.padding]
        return y if p.bias is None else y + p.bias

    def conv2d(self, x: Float[Array, "B H W I"], p: Any) -> Float[Array, "B P Q O"]:
        """Cross-correlation over two axes, channels last: [B, H, W, in] → [B, H', W', out]; stride, padding: pairs."""
        _, _, kh, kw = p.weight.shape
        (sh, sw), (ph, pw) = p.stride, p.padding
        x = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
        height, width = (x.shape[1] - kh) // sh + 1, (x.shape[2] - kw) // sw + 1
        y = 0
        for i in range(kh):
            for j in range(kw):
                tap = x[:, i : i + (height - 1) * sh + 1 : sh, j : j + (width - 1) * sw + 1 : sw]
                y = y + tap @ p.weight[:, :, i, j].T
        return y if p.bias is None else y + p.bias

    def layer_norm(self, x: Float[Array, "*rows C"], p: Any) -> Float[Array, "*rows C"]:
        """Zero mean, unit (biased) variance over channels, then weight and bias. Ba et al. 2016, arXiv:1607.06450."""
        d = x - x.mean(-1, keepdims=True)
        return d / np.sqrt((d * d).mean(-1, keepdims=True) + p.eps) * p.weight + p.bias

    def rms_norm(self, x: Float[Array, "*rows C"], p: Any) -> Float[Array, "*rows C"]:
        """Unit root mean square over channels, then weight. Zhang & Sennrich 2019, arXiv:1910.07467."""
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + p.eps) * p.weight

    def batch_norm(self, x: Float[Array, "*rows C"], p: Any) -> Float[Array, "*rows C"]:
        """By the running statistics, then weight and bias where there are any. Ioffe & Szegedy, arXiv:1502.03167."""
        y = (x - p.running_mean) / np.sqrt(p.running_var + p.eps)
        return y if p.weight is None else y * p.weight + p.bias

    def lstm(
        self, x: Float[Array, "B T I"], state: tuple[Float[Array, "B C"], Float[Array, "B C"]], p: Any
    ) -> tuple[Float[Array, "B T C"], tuple[Float[Array, "B C"], Float[Array, "B C"]]]:
        """One LSTM layer, gates in the order i, f, g, o: x [B, T, in], state two [B, C] → [B, T, C], state.

        weight_ih [4 C, in], weight_hh [4 C, C], bias_ih and bias_hh [4 C]: PyTorch's names and order.
        """
        h, c = state
        rows: list[Array] = []
        for t in range(x.shape[1]):
            gates = x[:, t] @ p.weight_ih.T + p.bias_ih + h @ p.weight_hh.T + p.bias_hh
            i, f, g, o = np.split(gates, 4, -1)
            c = self.sigmoid(f) * c + self.sigmoid(i) * np.tanh(g)
            h = self.sigmoid(o) * np.tanh(c)
            rows.append(h)
        return np.stack(rows, 1), (h, c)

    def snake(self, x: Float[Array, "*rows C"], p: Any) -> Float[Array, "*rows C"]:
        """``x + sin²(alpha x) / alpha`` with one alpha a channel. Ziyin et al. 2020, arXiv:2006.08195."""
        return x + np.sin(p.alpha * x) ** 2 / (p.alpha + np.asarray(1e-9, x.dtype))

    # Ops without parameters

    def relu(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """max(x, 0)."""
        return np.maximum(x, 0)

    def gelu(self, x: Float[Array, "*shape"], approximate: bool = False) -> Float[Array, "*shape"]:
        """``x Φ(x)``, or its tanh approximation. Hendrycks & Gimpel 2016, arXiv:1606.08415."""
        if approximate:
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x * x)))
        erf = cast(Array, np.frompyfunc(math.erf, 1, 1)(math.sqrt(0.5) * x)).astype(x.dtype)
        return 0.5 * x * (1 + erf)

    def silu(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """``x sigmoid(x)``."""
        return x * self.sigmoid(x)

    def mish(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """``x tanh(log(1 + eˣ))``. Misra 2019, arXiv:1908.08681."""
        return x * np.tanh(np.logaddexp(x, np.asarray(0, x.dtype)))

    def elu(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """x above 0, eˣ − 1 below."""
        return cast(Array, np.where(x > 0, x, np.expm1(np.minimum(x, 0))))

    def tanh(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Hyperbolic tangent."""
        return np.tanh(x)

    def sigmoid(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """``1 / (1 + e⁻ˣ)``, written so that no exponential overflows."""
        e = np.exp(-np.abs(x))
        return cast(Array, np.where(x >= 0, 1 / (1 + e), e / (1 + e)))

    def leaky_relu(self, x: Float[Array, "*shape"], slope: float) -> Float[Array, "*shape"]:
        """x above 0, slope · x below."""
        return cast(Array, np.where(x > 0, x, x * np.asarray(slope, x.dtype)))

    def softmax(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Over the last axis; a row that is −inf throughout gives NaN, as everywhere."""
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def l2_normalize(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """``x / max(‖x‖₂, 1e-12)`` over the last axis."""
        return x / np.maximum(np.sqrt((x * x).sum(-1, keepdims=True)), np.asarray(1e-12, x.dtype))

    def stft(self, x: Float[Array, "B samples"], p: Any) -> tuple[Array, Array]:
        """Short-time spectrum of waves by `p.spec` (a MelSpec): [B, samples] → real, imaginary [B, frames, bins]."""
        spectrum = transform.stft(x, p.spec)
        return spectrum.real.astype(x.dtype), spectrum.imag.astype(x.dtype)

    def istft(
        self, real: Float[Array, "B frames bins"], imag: Float[Array, "B frames bins"], p: Any
    ) -> Float[Array, "B samples"]:
        """Waves from their spectrum, overlap-add divided by the envelope: [B, frames, bins] → [B, samples]."""
        return transform.istft(real + 1j * imag, p.spec).astype(real.dtype)

    # Glue: where frameworks spell the same thing differently

    def concat(self, xs: list[Array], axis: int) -> Array:
        """Tensors one after the other along an axis (1: time, −1: channels)."""
        return np.concatenate(xs, axis)

    def chunk(self, x: Float[Array, "*rows C"], n: int) -> list[Float[Array, "*rows D"]]:
        """The channels cut into n equal parts: [..., n C] → n × [..., C]."""
        return np.split(x, n, -1)

    def split_heads(self, x: Float[Array, "B T C"], heads: Size) -> Float[Array, "B heads T D"]:
        """[B, T, heads · D] → [B, heads, T, D]."""
        return x.reshape(x.shape[0], x.shape[1], heads, -1).swapaxes(1, 2)

    def merge_heads(self, x: Float[Array, "B heads T D"]) -> Float[Array, "B T C"]:
        """[B, heads, T, D] → [B, T, heads · D]."""
        return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)

    def swap(self, x: Shaped[Array, "*rows T C"]) -> Shaped[Array, "*rows C T"]:
        """The last two axes exchanged."""
        return x.swapaxes(-1, -2)

    def matmul(self, a: Float[Array, "... N K"], b: Float[Array, "... K M"]) -> Float[Array, "... N M"]:
        """Matrix product over the last two axes."""
        return a @ b

    def masked(self, x: Float[Array, "*shape"], allowed: Bool[Array, "..."]) -> Float[Array, "*shape"]:
        """x where `allowed` (boolean, broadcast), −inf elsewhere: for scores before a softmax."""
        return np.where(allowed, x, np.asarray(-np.inf, x.dtype))

    def full(self, shape: tuple[Size, ...], value: float) -> Float[Array, "..."]:
        """A new tensor of one value."""
        return np.full(shape, value, np.float32)

    def rows(self, table: Shaped[Array, "N *rest"], start: Size, n: Size) -> Shaped[Array, "n *rest"]:
        """n rows of a table from `start`."""
        return table[start : start + n]

    def write(self, buffer: Float[Array, "B N C"], new: Float[Array, "B T C"], at: Size) -> Float[Array, "B N C"]:
        """`buffer` with `new` over its time steps from `at`; the buffer given must not be used again."""
        buffer = buffer.copy()
        buffer[:, at : at + new.shape[1]] = new
        return buffer

    def gather(self, x: Float[Array, "B T C"], index: Int[Array, "B N"]) -> Float[Array, "B N C"]:
        """Time steps by number: x [B, T, C], index [B, N] → [B, N, C]."""
        return np.take_along_axis(x, index[..., None], 1)

    def cumsum(self, x: Num[Array, "B T *rest"]) -> Num[Array, "B T *rest"]:
        """Running sum along time (axis 1)."""
        return np.cumsum(x, 1)

    def pad(self, x: Float[Array, "B T C"], before: Size, after: Size) -> Float[Array, "B N C"]:
        """Zeros before and after, along time: [B, T, C] → [B, before + T + after, C]."""
        return np.pad(x, ((0, 0), (before, after), (0, 0)))

    def upsample(self, x: Float[Array, "B T C"], factor: Size) -> Float[Array, "B N C"]:
        """Every time step `factor` times: [B, T, C] → [B, T · factor, C]."""
        return np.repeat(x, factor, 1)

    def rope(
        self, x: Float[Array, "B T C"], cos: Float[Array, "T half"], sin: Float[Array, "T half"], heads: int
    ) -> Float[Array, "B T C"]:
        """Rotary positions, half-split: x [B, T, heads · D], cos and sin [T, D / 2] (Su et al., arXiv:2104.09864)."""
        batch, time, channels = x.shape
        x = x.reshape(batch, time, heads, 2, -1)
        a, b = x[:, :, :, 0], x[:, :, :, 1]
        cos, sin = cos[:, None], sin[:, None]
        return cast(Array, np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)).reshape(batch, time, channels)

    def exp(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """eˣ."""
        return np.exp(x)

    def sqrt(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """√x."""
        return np.sqrt(x)

    def sin(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Sine of radians."""
        return np.sin(x)

    def cos(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Cosine of radians."""
        return np.cos(x)

    def clip(self, x: Float[Array, "*shape"], low: float | None, high: float | None) -> Float[Array, "*shape"]:
        """x held between two bounds; None leaves a side open."""
        low, high = -np.inf if low is None else low, np.inf if high is None else high
        return cast(Any, np).clip(x, low, high)

    # Composites: these bodies are what a fused kernel must equal, and where the lab looks inside

    def attention(
        self, q: Float[Array, "B T C"], k: Float[Array, "B S C"], v: Float[Array, "B S C"], *, heads: int, scale: float,
        mask: Bool[Array, "..."] | None = None, bias: Float[Array, "..."] | None = None,
    ) -> Float[Array, "B T C"]:  # fmt: skip
        """Multi-head dot-product attention. Vaswani et al. 2017, arXiv:1706.03762, section 3.2.

        q [B, T, C], k and v [B, S, C]; `mask` boolean (True = may be seen) and `bias` (added to the scaled
        scores) broadcast to [B, heads, T, S]. Returns [B, T, C].
        """
        q, k, v = (self.split_heads(x, heads) for x in (q, k, v))
        scores = self.matmul(q * scale, self.swap(k))
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = self.masked(scores, mask)
        return self.merge_heads(self.matmul(self.softmax(scores), v))
