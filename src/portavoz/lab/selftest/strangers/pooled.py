"""A speaker encoder (convolutions of images, squeeze and excitation, pooled statistics), as strangers write it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scene import Port, Scene, WrittenPort, faulty

BANDS, WIDE, OUT = 8, 10, 6
LENGTHS = (12, 9)


class Speaker(nn.Module):
    """A mel [batch, 8, frames] and lengths → a unit vector [batch, 6] a row."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.bend = nn.Conv2d(1, 4, (3, 3), stride=(2, 1), padding=1), nn.PReLU(4)
        self.wide = nn.Conv1d(16, WIDE, 5, padding=2)
        self.down, self.up = nn.Linear(WIDE, 4), nn.Linear(4, WIDE)
        self.score, self.weigh = nn.Conv1d(WIDE, 7, 1), nn.Conv1d(7, WIDE, 1)
        self.out = nn.Linear(2 * WIDE, OUT)

    def forward(self, mel: Tensor, lengths: Tensor) -> Tensor:
        mask = (torch.arange(mel.shape[-1]) < lengths[:, None])[:, None].float()
        x = self.bend(self.first(mel[:, None])).flatten(1, 2)
        x = torch.relu(self.wide(x)) * mask
        mean = x.sum(-1) / lengths[:, None]
        x = x * torch.sigmoid(self.up(torch.relu(self.down(mean))))[..., None]
        weights = self.weigh(torch.tanh(self.score(x))).masked_fill(mask == 0, float("-inf")).softmax(-1)
        mean = (weights * x).sum(-1)
        spread = ((weights * x * x).sum(-1) - mean * mean).clamp(min=1e-6).sqrt()
        return F.normalize(self.out(torch.cat([mean, spread], -1)), dim=-1)


def inputs(draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two mels, and how many frames each has."""
    return torch.randn(2, BANDS, max(LENGTHS), generator=draw), torch.tensor(LENGTHS)


class Written(WrittenPort):
    """The port."""

    def linear(self, x: Tensor, name: str) -> Tensor:
        """One layer."""
        weight, bias = self.w[f"{name}.weight"], self.w[f"{name}.bias"]
        return x @ weight.squeeze(-1).T + bias if self.how else F.linear(x, weight.squeeze(-1), bias)

    def image(self, mel: Tensor) -> Tensor:
        """The image's convolution and its activation [batch, 16, frames]."""
        kernel, bias, slope = self.w["first.weight"], self.w["first.bias"], self.w["bend.weight"]
        kernel = kernel.transpose(2, 3) if self.fault == "kernel turned" else kernel
        if self.how == "columns":
            flat = F.unfold(mel[:, None], (3, 3), padding=1, stride=(2, 1))
            y = (kernel.flatten(1) @ flat + bias[:, None]).unflatten(-1, (BANDS // 2, -1))
        else:
            y = F.conv2d(mel[:, None], kernel, bias, (2, 1), 1)
        slope = slope.mean() if self.fault == "one slope" else slope[:, None, None]
        y = torch.where(y > 0, y, slope * y) if self.how else torch.relu(y) - slope * torch.relu(-y)
        return y.transpose(1, 2).flatten(1, 2) if self.fault == "bands first" else y.flatten(1, 2)

    def excited(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Each channel scaled by what all frames say, x [batch, frames, channels]."""
        mean = x.mean(1) if self.fault == "mean of all frames" else x.sum(1) / lengths[:, None]
        mean = x.amax(1) if self.fault == "largest frame" else mean
        h = self.linear(torch.relu(self.linear(mean, "down")), "up")
        gate = 1 / (1 + torch.exp(-h)) if self.how == "by hand" else torch.sigmoid(h)
        gate = h.clamp(-3, 3) / 6 + 0.5 if self.fault == "hard sigmoid" else gate
        return x + gate[:, None] if self.fault == "added" else x * gate[:, None]

    def pooled(self, x: Tensor, inside: Tensor) -> Tensor:
        """Weighted mean and deviation of all frames."""
        h = self.linear(torch.tanh(self.linear(x, "score")), "weigh")
        if self.fault != "padding weighed":
            h = h.masked_fill(~inside[..., None], -torch.inf)
        weights = h.softmax(-1 if self.fault == "over channels" else 1)
        weights = torch.nan_to_num(weights)
        mean = (weights * x).sum(1)
        if self.how == "by hand":
            centre = x - mean[:, None]
            square = (weights * centre * centre).sum(1)
        else:
            square = (weights * x * x).sum(1) - mean * mean
        spread = square if self.fault == "no root" else square.clamp(min=1e-6).sqrt()
        return torch.cat([spread, mean] if self.fault == "spread first" else [mean, spread], -1)

    def forward(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """The whole, channels last after the image."""
        inside = torch.arange(mel.shape[-1]) < lengths[:, None]
        x = self.image(mel)
        x = F.conv1d(x, self.w["wide.weight"], self.w["wide.bias"], padding=2)
        x = torch.relu(x).mT * inside[..., None]
        y = self.linear(self.pooled(self.excited(x, lengths), inside), "out")
        if self.fault == "not normalised":
            return y
        if self.fault == "normalised over rows":
            return F.normalize(y, dim=0)
        return y / y.norm(dim=-1, keepdim=True) if self.how else F.normalize(y, dim=-1)


SOFT = r"edge:/softmax\.0$"
SCENE = Scene(
    "speaker", Speaker, inputs, Written.port,
    [
        *(Port(how or "as the reference", {"how": how}) for how in ("", "columns", "by hand")),
        faulty("kernel turned", r"(leaf|weights|edge):(first|wide)$", "axes|other|transposed|order"),
        faulty("one slope", r"(edge|leaf):wide$", "slope|differ|leaky|mostly"),
        faulty("bands first", r"edge:wide$", "split the other way"),
        faulty("mean of all frames", r"edge:down$", "rows|row|gain|differ"),
        faulty("largest frame", r"edge:down$", ".*"),
        faulty("hard sigmoid", r"(edge:score|leaf:/sigmoid\.0)$", "sigmoid|gate|mostly"),
        faulty("added", r"(edge|leaf):score$", "sum|gate|product"),
        faulty("padding weighed", SOFT, "mask"),
        faulty("over channels", r"(leaf|edge):(/softmax\.0|out)$", "axis"),
        faulty("no root", r"edge:out$", "root|square"),
        faulty("spread first", r"edge:out$", "other order"),
        faulty("not normalised", r"(edge|leaf|value):(/l2_normalize\.0|result)$", "norm"),
        faulty("normalised over rows", r"(leaf|edge|value):(/l2_normalize\.0|result)$", "norm|axis|row|gain"),
    ],
)  # fmt: skip
