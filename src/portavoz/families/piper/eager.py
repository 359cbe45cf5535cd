"""The blocks in the place of the graph: the same inputs and outputs, on any back end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ops.tap import tap
from ...weights.cursor import Weights
from .sizes import VitsConfig
from .vits import Vits

Floats = NDArray[Any]  # float32, or float64 where a judge computes in it


class Eager:
    """One utterance at a time; what crosses a stage's border is named by `tap`."""

    def __init__(self, w: Weights, c: VitsConfig, *, names: tuple[str, str] = ("wave", "durations")) -> None:
        self.ops, self.c, self.model, self.names = w.ops, c, Vits(w, c), names

    def run(self, **given: NDArray[Any]) -> tuple[Floats, Floats]:
        """The rewritten graph's inputs by name → samples, frames of each number (see rewrite.py)."""
        ops, model = self.ops, self.model
        prior, length, vary = (float(x) for x in given["scales"])
        ids, number = given["input"], given.get("sid", np.zeros(1, np.int64))
        S = ids.shape[1]
        speaker = model.speaker(ops.tensor(number))
        hidden, mean, log = model.encode(ops.tensor(ids))
        drawn = np.resize(given["noise.durations"], 2 * S).reshape(1, S, 2) * np.float32(vary)
        logs = tap("log_durations", ops.numpy(model.durations(hidden, ops.tensor(drawn), speaker)))
        frames = np.ceil(np.exp(logs[:, None, :, 0]) * np.float32(length))
        told = np.broadcast_to(given["given"], frames.shape)
        frames = tap(self.names[1], np.where(told < 0, frames, told).astype(np.float32)).reshape(-1)
        index = ops.tensor(np.repeat(np.arange(S), frames.astype(np.int64))[None])
        T, C = index.shape[1], self.c.channels
        noise = np.resize(given["noise.prior"], T * C).reshape(1, T, C) * np.float32(prior)
        wave = model.decode(ops.gather(mean, index), ops.gather(log, index), ops.tensor(noise), speaker)
        return tap(self.names[0], ops.numpy(wave)[:, None, None]).reshape(-1), frames
