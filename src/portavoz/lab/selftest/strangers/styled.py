"""A decoder in a speaker's style: instance norms, packed LSTMs, shortcuts; and how strangers write it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .scene import Port, Scene, WrittenPort, faulty

WIDE, STATE, STYLE = 12, 8, 6
LENGTHS = (7, 5)


class Adain(nn.Module):
    """An instance norm whose scale and shift are a style's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.fc = nn.InstanceNorm1d(channels, affine=True), nn.Linear(STYLE, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gain, shift = self.fc(style)[..., None].chunk(2, 1)
        return (1 + gain) * self.norm(x) + shift


class Styled(nn.Module):
    """Ids [batch, symbols], lengths, a style [batch, 6] → durations [batch, symbols, 5] and a curve twice as long."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.lstm = nn.Embedding(20, WIDE), nn.LSTM(WIDE + STYLE, STATE, batch_first=True, bidirectional=True)
        self.dur = nn.Linear(2 * STATE, 5)
        self.a1, self.a2 = Adain(2 * STATE), Adain(10)
        self.c1, self.c2 = nn.Conv1d(2 * STATE, 10, 3, padding=1), nn.Conv1d(10, 10, 3, padding=1)
        self.pool = nn.ConvTranspose1d(2 * STATE, 2 * STATE, 3, 2, padding=1, output_padding=1, groups=2 * STATE)
        self.short, self.f0 = nn.Conv1d(2 * STATE, 10, 1, bias=False), nn.Conv1d(10, 1, 1)

    def forward(self, ids: Tensor, lengths: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.cat([self.emb(ids), style[:, None].expand(-1, ids.shape[1], -1)], -1)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        h = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=ids.shape[1])[0]
        x = h.transpose(1, 2)
        y = self.c1(self.pool(F.leaky_relu(self.a1(x, style), 0.2)))
        y = self.c2(F.leaky_relu(self.a2(y, style), 0.2))
        y = (y + self.short(F.interpolate(x, scale_factor=2.0))) / 2**0.5
        return torch.sigmoid(self.dur(h)), self.f0(y)[:, 0]


def inputs(draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Ids of two rows, their lengths, and a style each."""
    return torch.randint(0, 20, (2, 7), generator=draw), torch.tensor(LENGTHS), torch.randn(2, STYLE, generator=draw)


class Written(WrittenPort):
    """The port."""

    def cell(self, x: Tensor, h: Tensor, c: Tensor, end: str) -> tuple[Tensor, Tensor]:
        """One step of an LSTM."""
        wi, wh, bi, bh = (self.w[f"lstm.{n}_l0{end}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        if self.fault == "one bias":
            bh = bh * 0
        if self.how == "one product":
            gates = torch.cat([x, h], -1) @ torch.cat([wi, wh], 1).T + (bi + bh)
        elif self.how == "kernels turned":  # [in, 4 · state], as Keras keeps them
            gates = x @ wi.T.contiguous() + h @ wh.T.contiguous() + (bi + bh)
        else:
            gates = F.linear(x, wi, bi) + F.linear(h, wh, bh)
        i, f, g, o = gates.chunk(4, -1)
        i, f, g, o = (i, g, f, o) if self.fault == "gates as i c f o" else (i, f, g, o)
        forget = f + 1 if self.fault == "forget bias of 1" else f
        c = torch.sigmoid(forget) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def lstm(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Both directions; padded steps are zeros."""
        parts = []
        for end in ("", "_reverse"):
            h = c = x.new_zeros(len(x), STATE)
            out = [h] * x.shape[1]
            for t in reversed(range(x.shape[1])) if end else range(x.shape[1]):
                new, cell = self.cell(x[:, t], h, c, end)
                inside = (t < lengths)[:, None]
                inside = torch.ones_like(inside) if self.fault == "padding heard" and end else inside
                h, c = torch.where(inside, new, h), torch.where(inside, cell, c)
                out[t] = h if self.fault == "padding kept" else h * (t < lengths)[:, None]
            parts.append(torch.stack(out, 1))
        return torch.cat(parts, -1)

    def adain(self, x: Tensor, style: Tensor, name: str) -> Tensor:
        """An instance norm and a style."""
        weight, bias = self.w[f"{name}.norm.weight"], self.w[f"{name}.norm.bias"]
        both = F.linear(style, self.w[f"{name}.fc.weight"], self.w[f"{name}.fc.bias"])[..., None]
        gain, shift = both.chunk(2, 1)
        if self.fault == "interleaved style" and name == "a1":
            gain, shift = both[:, 0::2], both[:, 1::2]
        gain = gain if self.fault == "style without one" and name == "a2" else gain + 1
        if self.how == "norm by hand":
            centre = x - x.mean(-1, keepdim=True)
            y = centre * torch.rsqrt((centre * centre).mean(-1, keepdim=True) + 1e-5)
            return y * (gain * weight[:, None]) + (gain * bias[:, None] + shift)
        if self.fault == "batch statistics" and name == "a1":
            return gain * F.batch_norm(x, None, None, weight, bias, training=True) + shift
        if self.fault == "instance unbiased" and name == "a1":
            y = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt() * weight[:, None] + bias[
                :, None
            ]
            return gain * y + shift
        return gain * F.instance_norm(x, weight=weight, bias=bias) + shift

    def pool(self, x: Tensor) -> Tensor:
        """Twice as long, each channel by itself."""
        kernel, bias = self.w["pool.weight"], self.w["pool.bias"]
        kernel = kernel.flip(-1) if self.fault == "pool flipped" else kernel
        if self.how == "pool by parts":
            even = x * kernel[:, :, 1].reshape(-1, 1)
            after = F.pad(x, (0, 1))[..., 1:]
            odd = x * kernel[:, :, 2].reshape(-1, 1) + after * kernel[:, :, 0].reshape(-1, 1)
            return torch.stack([even, odd], -1).flatten(-2) + bias[:, None]
        if self.fault == "pool early":
            whole = F.conv_transpose1d(x, kernel, bias, stride=2, padding=0, groups=len(kernel))
            return whole[..., : 2 * x.shape[-1]]
        return F.conv_transpose1d(x, kernel, bias, 2, 1, 1, len(kernel))

    def forward(self, ids: Tensor, lengths: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """The whole."""
        w, spread = self.w, style[:, None].expand(-1, ids.shape[1], -1)
        x = torch.cat([w["emb.weight"][ids], spread], -1)
        x = torch.cat([spread, w["emb.weight"][ids]], -1) if self.fault == "style in front" else x
        h = self.lstm(x, lengths)
        x = h.transpose(1, 2)
        y = F.conv1d(self.pool(F.leaky_relu(self.adain(x, style, "a1"), 0.2)), w["c1.weight"], w["c1.bias"], padding=1)
        y = F.conv1d(F.leaky_relu(self.adain(y, style, "a2"), 0.2), w["c2.weight"], w["c2.bias"], padding=1)
        long = F.interpolate(x, scale_factor=2.0, mode="linear" if self.fault == "short linear" else "nearest")
        if self.how == "short first":
            both = y + torch.repeat_interleave(w["short.weight"][:, :, 0] @ x, 2, -1)
        else:
            both = y + F.conv1d(long, w["short.weight"])
        y = both if self.fault == "no root of two" else both * 0.5**0.5
        durations = F.linear(h, w["dur.weight"], w["dur.bias"])
        return torch.sigmoid(durations), F.conv1d(y, w["f0.weight"], w["f0.bias"]).squeeze(1)


# Packed sequences are no unit, so what their cells make is judged at the next edge.
LSTM = r"edge:(dur|a1\.norm|/leaky_relu\.0)$"
A1, A2 = r"(edge|leaf):(a1\S*|/leaky_relu\.0)$", r"(edge|leaf):(a2\S*|/leaky_relu\.1)$"
SCENE = Scene(
    "styled", Styled, inputs, Written.port,
    [
        *(Port(how or "as the reference", {"how": how})
          for how in ("", "one product", "kernels turned", "norm by hand", "pool by parts", "short first")),
        faulty("gates as i c f o", LSTM, "gate"), faulty("forget bias of 1", LSTM, "gate|bias"),
        faulty("one bias", LSTM, "bias"), faulty("padding heard", LSTM, "padding|differ"),
        faulty("padding kept", LSTM, "differ"), faulty("style in front", LSTM, "order"),
        faulty("interleaved style", A1, "exchanged|order|interleaved"),
        faulty("style without one", A2, "left out|times"),
        faulty("batch statistics", r"(leaf|edge):(a1\.norm|/leaky_relu\.0)$", "batch|weight and bias"),
        faulty("instance unbiased", A1, "n − 1|gain"), faulty("pool flipped", r"(leaf|weights):pool$", "way round"),
        faulty("pool early", r"(facts|shape|leaf|edge):(pool|c1)$", "padding|cropped|shift"),
        faulty("short linear", r"edge:(short|f0)$", "differ|linear"),
        faulty("no root of two", r"edge:f0$", "scale|gain"),
    ],
)  # fmt: skip
