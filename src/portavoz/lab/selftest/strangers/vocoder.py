"""Convolutions: a post-net with batch norms and an upsampler with weight norms, and how strangers write them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from .scene import Port, Scene, Weights, faulty, precisions

MELS, WIDE, UP = 12, 16, 4


class Vocoder(nn.Module):
    """A mel [batch, mels, frames] → a wave [batch, 1, 4 · frames]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(MELS, WIDE, 5, padding=2), nn.BatchNorm1d(WIDE)
        self.conv2, self.bn2 = nn.Conv1d(WIDE, WIDE, 5, padding=2), nn.BatchNorm1d(WIDE)
        self.pre = weight_norm(nn.Conv1d(WIDE, WIDE, 7, padding=3))
        self.up = weight_norm(nn.ConvTranspose1d(WIDE, 8, 2 * UP, UP, padding=UP // 2))
        self.res = weight_norm(nn.Conv1d(8, 8, 3, padding=3, dilation=3))
        self.post = weight_norm(nn.Conv1d(8, 1, 7, padding=3))

    def forward(self, mel: Tensor) -> Tensor:
        x = torch.tanh(self.bn1(self.conv1(mel)))
        x = F.elu(self.bn2(self.conv2(x)))
        x = self.up(F.leaky_relu(self.pre(x), 0.1))
        x = x + self.res(F.leaky_relu(x, 0.1))
        return torch.tanh(self.post(F.leaky_relu(x)))


def inputs(draw: torch.Generator) -> tuple[Tensor]:
    """Two mels."""
    return (torch.randn(2, MELS, 11, generator=draw),)


def single(draw: torch.Generator) -> tuple[Tensor]:
    """One mel."""
    return (torch.randn(1, MELS, 11, generator=draw),)


class Written:
    """The port; channels first, with or without a batch axis."""

    def __init__(self, w: Weights, fault: str = "", **how: Any) -> None:
        self.w, self.fault, self.how = w, fault, how

    def normed(self, name: str) -> Tensor:
        """A kernel from its size and direction."""
        g, v = (self.w[f"{name}.parametrizations.weight.original{i}"] for i in (0, 1))
        axes: tuple[int, ...] = (0, 2) if self.fault == f"{name} normed along the inputs" else (1, 2)
        if self.fault == f"{name} without its size":
            return v
        if self.how.get("wn") == "flat" and axes == (1, 2):
            return g * F.normalize(v.flatten(1), dim=1).reshape(v.shape)
        return g * v / v.pow(2).sum(axes, keepdim=True).sqrt()

    def conv(self, x: Tensor, weight: Tensor, bias: Tensor, pad: int, dilation: int = 1) -> Tensor:
        """A convolution in one of the ways that there are."""
        how = self.how.get("conv", "F")
        if how == "F":
            return F.conv1d(x, weight, bias, padding=pad, dilation=dilation)
        x = F.pad(x, (pad, pad))
        if how == "padded":
            return F.conv1d(x, weight, bias, dilation=dilation)
        if how == "flat":
            return F.conv2d(x[..., None, :], weight[:, :, None], bias, dilation=(1, dilation)).squeeze(-2)
        span = dilation * (weight.shape[-1] - 1)
        steps = x.shape[-1] - span
        taps = [x[..., k * dilation : k * dilation + steps] for k in range(weight.shape[-1])]
        if how == "taps":
            y = sum((weight[:, :, k] @ tap for k, tap in enumerate(taps)), torch.zeros(()))
        else:  # columns
            y = weight.flatten(1) @ torch.stack(taps, -2).flatten(-3, -2)
        return y + bias[:, None]

    def normalised(self, x: Tensor, name: str) -> Tensor:
        """A convolution and its batch norm."""
        number = name[-1]
        weight, bias = self.w[f"{name}.weight"], self.w[f"{name}.bias"]
        if self.fault == f"{name} flipped":
            weight = weight.flip(-1)
        g, b, mean, var = (self.w[f"bn{number}.{n}"] for n in ("weight", "bias", "running_mean", "running_var"))
        eps = 1e-2 if self.fault == f"bn{number} eps" else 1e-5
        if self.fault == f"bn{number} exchanged":
            mean, var = var, mean.abs() + 0.1
        if self.fault == f"bn{number} unrooted":
            var = var**2
        if self.how.get("bn") == "folded":
            if self.fault == f"{name} folded stale":
                weight = weight + 2e-3 * weight.flip(0)
            gain = g / torch.sqrt(var + eps)
            return self.conv(x, weight * gain[:, None, None], (bias - mean) * gain + b, 2)
        y = self.conv(x, weight, bias, 1 if self.fault == f"{name} narrow" else 2)
        if self.how.get("bn") == "hand":
            return (y - mean[:, None]) * torch.rsqrt(var[:, None] + eps) * g[:, None] + b[:, None]
        if y.dim() == 2:
            return F.batch_norm(y[None], mean, var, g, b, eps=eps)[0]
        return F.batch_norm(y, mean, var, g, b, eps=eps)

    def upsampled(self, x: Tensor) -> Tensor:
        """The transposed convolution."""
        weight, bias, how = self.normed("up"), self.w["up.bias"], self.how.get("up", "F")
        crop = UP // 2
        if self.fault == "up cropped":
            y = F.conv_transpose1d(x, weight, bias, stride=UP)
            return y[..., : y.shape[-1] - 2 * crop]
        if how == "cropped":
            return F.conv_transpose1d(x, weight, bias, stride=UP)[..., crop:-crop]
        if how == "stuffed":
            wide = x.new_zeros(*x.shape[:-1], (x.shape[-1] - 1) * UP + 1)
            wide[..., ::UP] = x
            room = weight.shape[-1] - 1 - crop
            return F.conv1d(F.pad(wide, (room, room)), weight.transpose(0, 1).flip(-1), bias)
        if how == "added":
            full = x.new_zeros(*x.shape[:-2], weight.shape[1], (x.shape[-1] - 1) * UP + weight.shape[-1])
            for k in range(weight.shape[-1]):
                full[..., k : k + (x.shape[-1] - 1) * UP + 1 : UP] += weight[:, :, k].T @ x
            return full[..., crop:-crop] + bias[:, None]
        return F.conv_transpose1d(x, weight, bias, stride=UP, padding=crop)

    def leaky(self, x: Tensor, slope: float, number: int) -> Tensor:
        """A leaky relu."""
        slope = 0.2 if self.fault == f"slope {number}" else slope
        how = self.how.get("leaky", "F")
        if how == "where":
            return torch.where(x > 0, x, slope * x)
        return torch.maximum(x, slope * x) if how == "max" else F.leaky_relu(x, slope)

    def forward(self, x: Tensor) -> Tensor:
        """The whole."""
        x = torch.tanh(self.normalised(x, "conv1"))
        x = F.elu(self.normalised(x, "conv2"))
        x = self.conv(x, self.normed("pre"), self.w["pre.bias"], 3)
        x = self.upsampled(self.leaky(x, 0.1, 0))
        dilation = 1 if self.fault == "dilation" else 3
        y = self.conv(self.leaky(x, 0.1, 1), self.normed("res"), self.w["res.bias"], dilation, dilation)
        x = y if self.fault == "no residual" else x + y
        x = self.conv(self.leaky(x, 0.01, 2), self.normed("post"), self.w["post.bias"], 3)
        return x.clamp(-1, 1) if self.fault == "clamped" else torch.tanh(x)


def port(w: Weights, mel: Tensor, **options: Any) -> Tensor:
    """The port, and what can be wrong around it."""
    fault, rows = options.get("fault", ""), options.pop("rows", "")
    written = Written(w, **options)
    if fault == "first frame lost":
        mel = mel[..., 1:]
    if fault == "frame in front":
        mel = F.pad(mel, (1, 0))
    if rows == "apart":
        return torch.stack([written.forward(row) for row in mel])
    if rows == "none":
        return written.forward(mel[0])[None]
    y = written.forward(mel)
    if fault == "last samples lost":
        return y[..., :-UP]
    return y.transpose(1, 2) if fault == "output turned" else y


CLEAN = [
    Port("batch norms by hand", {"bn": "hand"}),
    Port("batch norms folded", {"bn": "folded"}),
    Port("batch norms folded, padding apart", {"bn": "folded", "conv": "padded"}),
    Port("padding as an operation of its own", {"conv": "padded"}),
    Port("two-dimensional convolutions", {"conv": "flat"}),
    Port("a sum of taps", {"conv": "taps", "bn": "hand"}),
    Port("columns and a matrix", {"conv": "columns"}),
    Port("columns, folded", {"conv": "columns", "bn": "folded"}),
    Port("a transposed convolution cropped by hand", {"up": "cropped"}),
    Port("zeros between the steps", {"up": "stuffed"}),
    Port("zeros, taps and folds", {"up": "stuffed", "conv": "taps", "bn": "folded"}),
    Port("overlap and add", {"up": "added", "wn": "flat"}),
    Port("weight norm by F.normalize", {"wn": "flat"}),
    Port("leaky relu by where", {"leaky": "where"}),
    Port("leaky relu by maximum", {"leaky": "max", "bn": "folded"}),
    Port("row by row", {"rows": "apart"}),
    Port("row by row, folded", {"rows": "apart", "bn": "folded", "up": "cropped"}),
]
SINGLE = [
    Port("no batch axis", {"rows": "none"}),
    Port("no batch axis, folded and cropped", {"rows": "none", "bn": "folded", "up": "cropped"}),
    Port("no batch axis, columns", {"rows": "none", "conv": "columns", "leaky": "max"}),
    Port("one mel, zeros between", {"up": "stuffed"}),
    Port("one mel: slope", {"fault": "slope 0", "rows": "none"}, r"(leaf|facts):/leaky_relu\.0$", "slope"),
    Port("one mel: kernel flipped", {"fault": "conv1 flipped", "rows": "none"}, r"(leaf|weights):conv1$", "way round"),
]


FAULTS = [
    faulty("conv2 folded stale", r"(leaf|weights|edge):(conv2|bn2|/elu\.0)$", "numbers|weights|stale", bn="folded"),
    faulty("conv1 flipped", r"(leaf|weights):conv1$", "way round", conv="padded"),
    faulty("bn1 eps", r"(leaf|facts):bn1$", "eps"),
    Port("bn2 eps, by hand", {"fault": "bn2 eps", "bn": "hand"}, r"(leaf|edge):(bn2|/elu\.0)$", "eps|gain"),
    faulty("bn1 exchanged", r"(leaf|weights):bn1$", "mean and variance|statistics|exchanged"),
    faulty("bn2 unrooted", r"(leaf|weights|facts):bn2$", "variance|numbers|root"),
    faulty("res normed along the inputs", r"(leaf|weights):res$", "weight norm|another axis|axis"),
    faulty("pre normed along the inputs", r"(leaf|weights):pre$", "weight norm|another axis|axis", wn="flat"),
    faulty("pre without its size", r"(leaf|weights):pre$", "gain|size|weight norm|numbers"),
    faulty("up cropped", r"(leaf|shape|edge|facts):(up|/leaky_relu\.1)$", "padding|crop|shift"),
    faulty("slope 1", r"(leaf|facts|edge):(/leaky_relu\.1|res)$", "slope|leaky", leaky="where"),
    faulty("slope 2", r"(leaf|facts):/leaky_relu\.2$", "slope"),
    faulty("dilation", r"(leaf|facts):res$", "dilation"),
    faulty("no residual", r"edge:/leaky_relu\.2$", "res in its place|left out|sum"),
    faulty("clamped", r"value:result$", "clamp|tanh"),
    faulty("conv2 narrow", r"(leaf|shape|facts):(conv2|bn2)$", "padding|steps"),
    faulty("first frame lost", r"shape:conv1$", "first"),
    faulty("frame in front", r"shape:conv1$", "front"),
    faulty("last samples lost", r"shape:result$", "last"),
    faulty("output turned", r"(shape|value):result$", "axes|transposed|layout"),
]  # fmt: skip
SCENES = [
    Scene("vocoder", Vocoder, inputs, port, [*CLEAN, *FAULTS, *precisions(CLEAN[:8])]),
    Scene("vocoder, one mel", Vocoder, single, port, SINGLE),
]
