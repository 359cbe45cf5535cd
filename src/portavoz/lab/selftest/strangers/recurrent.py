"""Recurrent layers: an encoder with LSTMs and GRUs, and how strangers write them step by step."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scene import Port, Scene, Weights, faulty

WIDTH, STATE = 12, 10


class Recurrent(nn.Module):
    """Ids [batch, steps] → [batch, steps, 6]: an LSTM in both directions, then a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(20, WIDTH)
        self.lstm = nn.LSTM(WIDTH, STATE, batch_first=True, bidirectional=True)
        self.middle = nn.Linear(2 * STATE, WIDTH)
        self.gru = nn.GRU(WIDTH, STATE, batch_first=True)
        self.head = nn.Linear(STATE, 6)

    def forward(self, ids: Tensor) -> Tensor:
        x = torch.relu(self.middle(self.lstm(self.letters(ids))[0]))
        return self.head(self.gru(x)[0])


def inputs(draw: torch.Generator) -> tuple[Tensor]:
    """Three rows of eight ids."""
    return (torch.randint(0, 20, (3, 8), generator=draw),)


class Written:
    """The port: cells by hand, or PyTorch's modules."""

    def __init__(self, w: Weights, fault: str = "", **how: Any) -> None:
        self.w, self.fault, self.how = w, fault, how

    def module(self, kind: Any, name: str, x: Tensor, **more: Any) -> Tensor:
        """PyTorch's own module with the weights of a layer."""
        inner = kind(x.shape[-1], STATE, batch_first=True, **more)
        inner.load_state_dict({k[len(name) + 1 :]: v for k, v in self.w.items() if k.startswith(name + ".")})
        return inner(x)[0]

    def flipped(self, x: Tensor) -> Tensor:
        """Each direction by a module of its own, the second one on the steps in reverse."""
        back = {k.removesuffix("_reverse"): v for k, v in self.w.items() if k.endswith("_reverse")}
        other = Written(back).module(nn.LSTM, "lstm", x if self.fault == "not turned" else x.flip(1))
        there = {k: v for k, v in self.w.items() if not k.endswith("_reverse")}
        one = Written(there).module(nn.LSTM, "lstm", x)
        return torch.cat([one, other if self.fault == "not turned back" else other.flip(1)], -1)

    def gates(self, x: Tensor, h: Tensor, name: str, end: str) -> list[Tensor]:
        """What goes into the gates: of the input, and of the state."""
        roles = [[self.w[f"{name}.{r}_{s}_l0{end}"] for r in ("weight", "bias")] for s in ("ih", "hh")]
        if self.how.get("linear") == "matmul":
            return [x @ roles[0][0].T + roles[0][1], h @ roles[1][0].T + roles[1][1]]
        return [F.linear(x, *roles[0]), F.linear(h, *roles[1])]

    def lstm(self, x: Tensor, end: str) -> Tensor:
        """One direction of an LSTM."""
        steps = range(x.shape[1])
        back = bool(end) and self.fault != "both forward"
        h = c = x.new_zeros(len(x), STATE)
        out = []
        for t in reversed(steps) if back else steps:
            i, f, g, o = torch.add(*self.gates(x[:, t], h, "lstm", end)).chunk(4, -1)
            if self.fault == "gates in another order":
                g, o = o, g
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * (c if self.fault == "no tanh of the state" else torch.tanh(c))
            out.append(h)
        turned = back and self.fault != "not turned back"
        return torch.stack(out[::-1] if turned else out, 1)

    def gru(self, x: Tensor) -> Tensor:
        """A GRU."""
        h, out = x.new_zeros(len(x), STATE), []
        for t in range(x.shape[1]):
            a, b = self.gates(x[:, t], h, "gru", "")
            (ar, az, an), (br, bz, bn) = a.chunk(3, -1), b.chunk(3, -1)
            r, z = torch.sigmoid(ar + br), torch.sigmoid(az + bz)
            n = torch.tanh(an + bn if self.fault == "no reset" else an + r * bn)
            h = z * n + (1 - z) * h if self.fault == "update turned" else (1 - z) * n + z * h
            out.append(h)
        return torch.stack(out, 1)

    def forward(self, ids: Tensor) -> Tensor:
        """The whole."""
        x = F.embedding(ids, self.w["letters.weight"])
        if self.how.get("cells") == "module":
            x = self.module(nn.LSTM, "lstm", x, bidirectional=True)
        elif self.how.get("cells") == "flips":
            x = self.flipped(x)
        else:
            parts = [self.lstm(x, ""), self.lstm(x, "_reverse")]
            x = torch.cat(parts[::-1] if self.fault == "directions exchanged" else parts, -1)
        x = F.linear(x, self.w["middle.weight"], self.w["middle.bias"])
        x = F.gelu(x) if self.fault == "gelu for relu" else torch.relu(x)
        x = self.module(nn.GRU, "gru", x) if self.how.get("cells") == "module" else self.gru(x)
        return F.linear(x, self.w["head.weight"], self.w["head.bias"])


def port(w: Weights, ids: Tensor, **options: Any) -> Tensor:
    """The port, and what can be wrong around it."""
    rows = options.pop("rows", "")
    written = Written(w, **options)
    if rows == "apart":
        return torch.cat([written.forward(ids[i : i + 1]) for i in range(len(ids))])
    return written.forward(ids)


LSTM, GRU = r"(leaf|edge|weights):(lstm|lstm\.\w+|middle)$", r"(leaf|edge|weights):(gru|gru\.\w+|head)$"
SCENE = Scene(
    "recurrent", Recurrent, inputs, port,
    [
        Port("modules", {"cells": "module"}),
        Port("modules, row by row", {"cells": "module", "rows": "apart"}),
        Port("a direction by flips", {"cells": "flips"}),
        Port("cells by hand", {}),
        Port("cells by hand, x @ w.T", {"linear": "matmul"}),
        Port("cells by hand, row by row", {"rows": "apart"}),
        faulty("gates in another order", LSTM, "gate"),
        faulty("no tanh of the state", LSTM, "tanh|gate"),
        faulty("not turned back", LSTM, "way round|direction"),
        Port("flips, not turned back", {"fault": "not turned back", "cells": "flips"}, LSTM, "way round|in channels"),
        Port("flips, not turned", {"fault": "not turned", "cells": "flips"}, LSTM, "way round|direction"),
        faulty("both forward", LSTM, "way round|direction", linear="matmul"),
        faulty("directions exchanged", LSTM, "other order|direction"),
        faulty("no reset", GRU, "reset|gate"),
        faulty("update turned", GRU, "update|gate"),
        faulty("gelu for relu", r"(edge:gru(\.weight_ih_l0)?|leaf:/relu\.0)$", "gelu", cells="module"),
    ],
)  # fmt: skip
