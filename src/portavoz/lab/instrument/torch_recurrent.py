"""PyTorch's recurrent layers spelled out: two linear layers a direction, the one of the state called once a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Linear = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]
LAYERS = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
CELLS = {"lstm_cell": "lstm", "gru_cell": "gru", "rnn_tanh_cell": "rnn_tanh", "rnn_relu_cell": "rnn_relu"}
State = tuple[Tensor, ...]


def spelled(name: str, args: Any, linear: Linear) -> Any | None:
    """A call of a layer or a cell, its products made by `linear`; None for one that is not spelled out here."""
    if name in CELLS:
        x, state, weights = args[0], args[1], args[2:]
        state = tuple(state) if isinstance(state, (tuple, list)) else (state,)
        roles = [weights[0], weights[1], *(weights[2:4] or (None, None))]
        new = _step(CELLS[name], linear(x, roles[0], roles[2]), linear(state[0], roles[1], roles[3]), state)
        return new if CELLS[name] == "lstm" else new[0]
    if len(args) != 9 or not isinstance(args[3], bool) or (args[5] and args[6]):
        return None  # packed sequences, and dropout
    x, first, flat, biases, layers, _, _, both, batch_first = args
    first = tuple(first) if isinstance(first, (tuple, list)) else (first,)
    ways = 2 if both else 1
    count = 4 if biases else 2
    if len(flat) != count * layers * ways:
        return None  # a projection of the state
    x = x.transpose(0, 1) if batch_first else x
    ends: list[State] = []
    for layer in range(layers):
        parts = []
        for way in range(ways):
            n = layer * ways + way
            roles = [*flat[count * n : count * (n + 1)], None, None][:4]
            y, end = _direction(name, x, tuple(s[n] for s in first), roles, (bool(way), linear))
            parts.append(y)
            ends.append(end)
        x = torch.cat(parts, -1)
    out = x.transpose(0, 1) if batch_first else x
    return (out, *(torch.stack([end[i] for end in ends]) for i in range(len(first))))


def _direction(name: str, x: Tensor, state: State, roles: list[Any], how: tuple[bool, Linear]) -> tuple[Tensor, State]:
    back, linear = how
    given = linear(x.transpose(0, 1), roles[0], roles[2]).transpose(0, 1)
    out: list[Tensor] = []
    steps = range(len(x))
    for t in reversed(steps) if back else steps:
        state = _step(name, given[t], linear(state[0], roles[1], roles[3]), state)
        out.append(state[0])
    return torch.stack(out[::-1] if back else out), state


def _step(name: str, a: Tensor, b: Tensor, state: State) -> State:
    if name == "lstm":
        i, f, g, o = (a + b).chunk(4, -1)
        cell = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(cell), cell
    if name == "gru":
        (ar, az, an), (br, bz, bn) = a.chunk(3, -1), b.chunk(3, -1)
        reset, update = torch.sigmoid(ar + br), torch.sigmoid(az + bz)
        new = torch.tanh(an + reset * bn)
        return (new + update * (state[0] - new),)
    return (torch.tanh(a + b) if name == "rnn_tanh" else torch.relu(a + b),)
