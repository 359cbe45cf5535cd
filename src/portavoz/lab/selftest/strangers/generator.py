"""A generator: a group norm, a speaker's scale and shift, snakes, three kernels; and how strangers write it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scene import Port, Scene, WrittenPort, faulty

GROUPS, WIDE, NARROW, UP = 4, 16, 8, 3


class Generator(nn.Module):
    """A mel [batch, 10, frames] and a speaker [batch, 6] → a wave [batch, 1, 3 · frames]."""

    def __init__(self) -> None:
        super().__init__()
        self.pre, self.gn, self.film = nn.Conv1d(10, WIDE, 7, padding=3), nn.GroupNorm(GROUPS, WIDE), nn.Linear(6, 32)
        self.dw, self.pw = nn.Conv1d(WIDE, WIDE, 3, padding=1, groups=WIDE), nn.Conv1d(WIDE, WIDE, 1)
        self.up, self.post = nn.Conv1d(WIDE, NARROW, 5, padding=2), nn.Conv1d(NARROW, 1, 7, padding=3)
        self.r1, self.r2 = nn.Conv1d(NARROW, NARROW, 3, padding=1), nn.Conv1d(NARROW, NARROW, 5, padding=2)
        self.r3 = nn.Conv1d(NARROW, NARROW, 3, padding=3, dilation=3)
        self.alpha = nn.Parameter(torch.rand(1, NARROW, 1) + 0.5)

    def forward(self, mel: Tensor, speaker: Tensor) -> Tensor:
        gain, shift = self.film(F.normalize(speaker))[..., None].chunk(2, 1)
        x = F.leaky_relu(self.gn(self.pre(mel)) * (1 + gain) + shift, 0.1)
        x = x + self.pw(self.dw(x))
        x = self.up(F.interpolate(x, scale_factor=float(UP), mode="nearest"))
        x = x + torch.sin(self.alpha * x) ** 2 / self.alpha
        return torch.tanh(self.post(F.leaky_relu((self.r1(x) + self.r2(x) + self.r3(x)) / 3)))


def inputs(draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """A mel and a speaker of two rows."""
    return torch.randn(2, 10, 11, generator=draw), torch.randn(2, 6, generator=draw)


class Written(WrittenPort):
    """The port."""

    def conv(self, x: Tensor, name: str, dilation: int = 1, scale: float = 1.0) -> Tensor:
        """A convolution that keeps the length."""
        kernel, bias = self.w[f"{name}.weight"] * scale, self.w[f"{name}.bias"] * scale
        size = kernel.shape[-1]
        room = dilation * (size - 1) // 2
        if self.fault == "reflection" and name == "up":
            return F.conv1d(F.pad(x, (room, room), "reflect"), kernel, bias)
        if self.fault == "causal" and name == "r2":
            return F.conv1d(F.pad(x, (2 * room, 0)), kernel, bias)
        if self.how == "same":
            return F.conv1d(x, kernel, bias, padding="same", dilation=dilation)
        wide, steps = F.pad(x, (room, room)), x.shape[-1]
        if self.how == "windows":
            windows = wide.unfold(-1, dilation * (size - 1) + 1, 1)[..., ::dilation]
            return torch.einsum("bctk,ock->bot", windows, kernel) + bias[:, None]
        if self.how == "last":
            rows = wide.transpose(1, 2)
            taps = [rows[:, j * dilation : j * dilation + steps] @ kernel[:, :, j].T for j in range(size)]
            return torch.stack(taps).sum(0).transpose(1, 2) + bias[:, None]
        return F.conv1d(x, kernel, bias, padding=room, dilation=dilation)

    def normed(self, x: Tensor) -> Tensor:
        """The group norm."""
        weight, bias = self.w["gn.weight"], self.w["gn.bias"]
        if self.how in ("F", "same"):
            return F.group_norm(x, GROUPS, weight, bias)
        y = x.unflatten(1, (8 if self.fault == "eight groups" else GROUPS, -1))
        mean, var = y.mean((2, 3), keepdim=True), y.var((2, 3), keepdim=True, unbiased=self.fault == "unbiased")
        return ((y - mean) / (var + 1e-5).sqrt()).flatten(1, 2) * weight[:, None] + bias[:, None]

    def spoken(self, x: Tensor, speaker: Tensor) -> Tensor:
        """Scale and shift of a speaker."""
        length = speaker.pow(2).sum(-1, keepdim=True).sqrt().clamp(min=1e-12)
        unit = speaker / length if self.how == "by hand" else F.normalize(speaker)
        unit = speaker if self.fault == "not normalised" else unit
        bias = self.w["film.bias"]
        if self.how == "one in the bias":
            bias = bias + (torch.arange(32) < WIDE).to(bias.dtype)
        gain, shift = (unit @ self.w["film.weight"].T + bias)[..., None].chunk(2, 1)
        if self.fault == "scale and shift exchanged":
            gain, shift = shift, gain
        return x * (gain if self.how == "one in the bias" or self.fault == "no one" else 1 + gain) + shift

    def apart(self, x: Tensor) -> Tensor:
        """A convolution of each channel, then one of width 1."""
        depth, point = self.w["dw.weight"], self.w["pw.weight"][:, :, 0]
        if self.how == "merged":
            bias = point @ self.w["dw.bias"] + self.w["pw.bias"]
            return x + F.conv1d(x, point[:, :, None] * depth[:, 0][None], bias, padding=1)
        if self.how == "shifts":
            wide, steps = F.pad(x, (1, 1)), x.shape[-1]
            y = torch.stack([wide[..., j : j + steps] * depth[:, 0, j, None] for j in range(3)]).sum(0)
        else:
            kernel = depth.flip(-1) if self.fault == "flipped" else depth
            y = F.conv1d(x, kernel, padding=1, groups=WIDE)
        y = point @ (y + self.w["dw.bias"][:, None]) + self.w["pw.bias"][:, None]
        return y if self.fault == "no skip" else x + y

    def longer(self, x: Tensor) -> Tensor:
        """Every step three times."""
        if self.fault == "linear":
            return F.interpolate(x, scale_factor=float(UP), mode="linear")
        if self.how == "expand":
            return x[..., None].expand(*x.shape, UP).flatten(-2)
        return x.repeat_interleave(UP, -1) if self.how else F.interpolate(x, scale_factor=float(UP), mode="nearest")

    def snake(self, x: Tensor) -> Tensor:
        """The activation."""
        a = self.w["alpha"]
        if self.how == "cosine":
            return x + (1 - torch.cos(2 * a * x)) / (2 * a)
        wave = torch.sin(a * x) if self.fault == "no square" else torch.sin(a * x) ** 2
        return x + (wave * a if self.fault == "alpha on top" else wave / a)

    def three(self, x: Tensor) -> Tensor:
        """The mean of three convolutions."""
        kernels, biases = ([self.w[f"r{n}.{role}"] for n in (1, 2, 3)] for role in ("weight", "bias"))
        if self.how == "a third":
            return self.conv(x, "r1", 1, 1 / 3) + self.conv(x, "r2", 1, 1 / 3) + self.conv(x, "r3", 3, 1 / 3)
        if self.how == "stacked":
            both = torch.cat([F.pad(kernels[0], (1, 1)), kernels[1]])
            y = F.conv1d(x, both, torch.cat(biases[:2]), padding=2)
            return (y[:, :NARROW] + y[:, NARROW:] + self.conv(x, "r3", 3)) / 3
        if self.how == "one kernel":
            whole = F.pad(kernels[0], (2, 2)) + F.pad(kernels[1], (1, 1))
            whole[..., 0::3] += kernels[2]
            return F.conv1d(x, whole / 3, torch.stack(biases).sum(0) / 3, padding=3)
        first = self.conv(x, "r1") + self.conv(x, "r2")
        return (first + self.conv(x, "r3", 1 if self.fault == "dilation" else 3)) / (2 if self.fault == "half" else 3)

    def forward(self, mel: Tensor, speaker: Tensor) -> Tensor:
        """The whole."""
        x = F.leaky_relu(self.spoken(self.normed(self.conv(mel, "pre")), speaker), 0.1)
        x = self.snake(self.conv(self.longer(self.apart(x)), "up"))
        y = self.conv(F.leaky_relu(self.three(x), 0.1 if self.fault == "slope" else 0.01), "post")
        return torch.sigmoid(y) * 2 - 1 if self.fault == "sigmoid" else torch.tanh(y)


HOWS = ("F", "same", "windows", "last", "by hand", "one in the bias", "merged", "shifts", "expand", "cosine", "a third",
        "stacked", "one kernel")  # fmt: skip
SPOKEN = r"(edge|leaf|facts):/leaky_relu\.0$"
SCENE = Scene(
    "generator", Generator, inputs, Written.port,
    [
        *(Port(how, {"how": how}) for how in HOWS),
        faulty("eight groups", SPOKEN, "norm|group"), faulty("unbiased", SPOKEN, "n − 1|gain"),
        faulty("not normalised", r"(edge:film|leaf:/l2_normalize\.0)$", "norm"),
        faulty("scale and shift exchanged", SPOKEN, "exchanged|order"), faulty("no one", SPOKEN, "left out|times"),
        faulty("flipped", r"leaf:dw$", "way round"), faulty("no skip", r"edge:up$", "left out|in its place"),
        faulty("linear", r"edge:up$", "only .*differ"), faulty("reflection", r"(edge|facts):up$", "reflection"),
        faulty("causal", r"(edge|facts):r2$", "causal"), faulty("alpha on top", r"edge:r1$", "alpha|snake"),
        faulty("no square", r"edge:r1$", "square|snake"), faulty("dilation", r"(facts|leaf):r3$", "dilation"),
        faulty("half", r"edge:/leaky_relu\.1$", "gain of 1.5"), faulty("slope", r"facts:/leaky_relu\.1$", "slope"),
        faulty("sigmoid", r"value:result$", "sigmoid"),
    ],
)  # fmt: skip
