"""Who speaks: the voice encoder's vector for T3 and CAMPPlus' x-vector for the flow, out of a prompt's features."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...blocks.block import Block
from ...ops.shapes import Array, Float
from ...weights.cursor import Weights
from .config import VoiceConfig, XVectorConfig

SEGMENT = 100  # frames of the filter bank, after the first convolution's stride, that share one local mean
KERNEL = 3  # of every dense layer's convolution


class VoiceEncoder(Block):
    """Partial utterances, mel [B, 160, mels] → unit vectors [B, size]: an LSTM's last state, projected.

    Wan et al. 2018, arXiv:1710.10467 (GE2E), in Corentin Jemine's form.
    """

    def __init__(self, w: Weights, c: VoiceConfig) -> None:
        super().__init__(w)
        self.hidden = c.hidden
        self.layers = [w.lstm("lstm", c.hidden if i else c.mels, c.hidden, suffix=f"_l{i}") for i in range(c.layers)]
        self.proj = w.linear("proj", c.hidden, c.size)
        for name in ("similarity_weight", "similarity_bias"):
            w.ignore(name, why="scales cosines while training")

    def __call__(self, mel: Float[Array, "B T mels"]) -> Float[Array, "B 1 X"]:
        """mel [B, T, mels] → [B, 1, size]."""
        x, zero = mel, self.ops.full((mel.shape[0], self.hidden), 0.0)
        for layer in self.layers:
            x, _ = layer(x, (zero, zero))
        return self.ops.l2_normalize(self.ops.relu(self.proj(x[:, -1:])))


class Residual2d(Block):
    """Two convolutions over time and frequency with a shortcut; the first may halve the frequencies."""

    def __init__(self, w: Weights, planes: int, stride: int) -> None:
        super().__init__(w)
        self.conv1 = w.conv2d("conv1", planes, planes, (3, 3), stride=(stride, 1), padding=(1, 1), bias=False)
        self.conv2 = w.conv2d("conv2", planes, planes, (3, 3), padding=(1, 1), bias=False)
        self.norm1, self.norm2 = w.batch_norm("bn1", planes), w.batch_norm("bn2", planes)
        self.shortcut = None
        if stride != 1:
            self.shortcut = w.conv2d("shortcut.0", planes, planes, (1, 1), stride=(stride, 1), bias=False)
            self.shortcut_norm = w.batch_norm("shortcut.1", planes)

    def __call__(self, x: Float[Array, "B F T C"]) -> Float[Array, "B G T C"]:
        y = self.norm2(self.conv2(self.ops.relu(self.norm1(self.conv1(x)))))
        return self.ops.relu(y + (x if self.shortcut is None else self.shortcut_norm(self.shortcut(x))))


class Front(Block):
    """Filter bank [B, T, bands] → [B, T, planes · bands / 8]: convolutions over time and frequency."""

    def __init__(self, w: Weights, c: XVectorConfig) -> None:
        super().__init__(w)
        planes, self.bands = c.planes, c.mels // 8
        self.conv1 = w.conv2d("conv1", 1, planes, (3, 3), padding=(1, 1), bias=False)
        self.norm1 = w.batch_norm("bn1", planes)
        self.layers = [Residual2d(w / f"layer{i}.{j}", planes, 1 if j else 2) for i in (1, 2) for j in range(2)]
        self.conv2 = w.conv2d("conv2", planes, planes, (3, 3), stride=(2, 1), padding=(1, 1), bias=False)
        self.norm2 = w.batch_norm("bn2", planes)
        # The reference counts planes first, then bands; ours come out bands first.
        order = np.arange(planes * self.bands).reshape(self.bands, planes).T.reshape(1, -1)
        self.order = self.ops.tensor(order)

    def __call__(self, x: Float[Array, "1 T bands"]) -> Float[Array, "1 T C"]:
        ops = self.ops
        x = ops.relu(self.norm1(self.conv1(ops.swap(x)[..., None])))
        for layer in self.layers:
            x = layer(x)
        x = ops.merge_heads(ops.relu(self.norm2(self.conv2(x))))
        return ops.swap(ops.gather(ops.swap(x), self.order))


class Norm(Block):
    """Batch norm, then relu."""

    def __init__(self, w: Weights, channels: int) -> None:
        super().__init__(w)
        self.norm = w.batch_norm("batchnorm", channels)

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        return self.ops.relu(self.norm(x))


class Masking(Block):
    """A convolution whose channels are let through as far as their context says (Wang et al., arXiv:2303.00332)."""

    def __init__(self, w: Weights, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__(w)
        self.local = w.conv1d("linear_local", inputs, outputs, KERNEL, dilation=dilation, bias=False)
        self.linear1 = w.conv1d("linear1", inputs, inputs // 2, 1)
        self.linear2 = w.conv1d("linear2", inputs // 2, outputs, 1)

    def __call__(self, x: Float[Array, "B T I"], means: Float[Array, "1 N N"]) -> Float[Array, "B T O"]:
        """x [B, T, in]; `means` [1, N, N] adds up the whole's mean and the segment's (N is T)."""
        ops = self.ops
        context = ops.relu(self.linear1(ops.matmul(means, x)))
        return self.local(x) * ops.sigmoid(self.linear2(context))


class Dense(Block):
    """One layer of a densely connected block: its output stands beside its input."""

    def __init__(self, w: Weights, inputs: int, c: XVectorConfig, dilation: int) -> None:
        super().__init__(w)
        wide = c.bottleneck * c.growth
        self.norm1, self.linear1 = Norm(w / "nonlinear1", inputs), w.conv1d("linear1", inputs, wide, 1, bias=False)
        self.norm2, self.cam = Norm(w / "nonlinear2", wide), Masking(w / "cam_layer", wide, c.growth, dilation)

    def __call__(self, x: Float[Array, "B T I"], means: Float[Array, "1 N N"]) -> Float[Array, "B T O"]:
        return self.ops.concat([x, self.cam(self.norm2(self.linear1(self.norm1(x))), means)], -1)


class XVector(Block):
    """CAMPPlus: a filter bank without its mean, [1, T, bands] → the x-vector [1, 1, size]."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "with_means")

    def __init__(self, w: Weights, c: XVectorConfig) -> None:
        super().__init__(w)
        self.front, w = Front(w / "head", c), w / "xvector"
        n, planes = c.channels, c.planes * (c.mels // 8)
        self.tdnn = w.conv1d("tdnn.linear", planes, n, 5, stride=2, padding=2, bias=False)
        self.tdnn_norm = Norm(w / "tdnn.nonlinear", n)
        self.blocks = []
        for i, (layers, dilation) in enumerate(zip(c.layers, c.dilations), 1):
            dense = [Dense(w / f"block{i}.tdnnd{j + 1}", n + j * c.growth, c, dilation) for j in range(layers)]
            n += layers * c.growth
            norm = Norm(w / f"transit{i}.nonlinear", n)
            transit = w.conv1d(f"transit{i}.linear", n, n // 2, 1, bias=False)
            n //= 2
            self.blocks.append((dense, norm, transit))
        self.last = Norm(w / "out_nonlinear", n)
        self.dense = w.conv1d("dense.linear", 2 * n, c.size, 1, bias=False)
        self.dense_norm = w.batch_norm("dense.nonlinear.batchnorm", c.size, affine=False)

    def __call__(self, x: Float[Array, "1 T bands"]) -> Float[Array, "1 1 X"]:
        """x [1, T, bands] → [1, 1, size]; not normalised yet."""
        frames = (int(x.shape[1]) + 1) // 2
        return self.with_means(x, *(self.ops.tensor(a) for a in (context_means(frames), shares(frames))))

    def with_means(
        self, x: Float[Array, "1 T bands"], means: Float[Array, "1 N N"], shares: Float[Array, "1 2 N"]
    ) -> Float[Array, "1 1 X"]:
        """The same; `means` and `shares` as the functions of these names give them for the N = T / 2 steps inside."""
        x = self.tdnn_norm(self.tdnn(self.front(x)))
        for dense, norm, transit in self.blocks:
            for layer in dense:
                x = layer(x, means)
            x = transit(norm(x))
        return self.dense_norm(self.dense(self._statistics(self.last(x), shares)))

    def _statistics(self, x: Any, shares: Any) -> Any:
        """Mean and (unbiased) standard deviation over time, side by side: [1, T, C] → [1, 1, 2 C]."""
        ops = self.ops
        mean = ops.matmul(shares[:, :1], x)
        apart = x - mean
        return ops.concat([mean, ops.sqrt(ops.matmul(shares[:, 1:], apart * apart))], -1)


def shares(frames: int) -> NDArray[np.float32]:
    """[1, 2, frames]: each step's share of the mean, and of the unbiased variance."""
    return np.stack([np.full(frames, 1.0 / n, np.float32) for n in (frames, frames - 1)])[None]


def context_means(frames: int) -> NDArray[np.float32]:
    """[1, frames, frames]: what makes of a sequence its mean plus, for each step, the mean of its segment."""
    segment = np.arange(frames) // SEGMENT
    same = segment[:, None] == segment
    return (1.0 / frames + same / same.sum(1, keepdims=True)).astype(np.float32)[None]
