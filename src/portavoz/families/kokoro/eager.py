"""The blocks in the place of the graph: the same inputs and outputs, on any back end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ops.tap import tap
from ...weights.cursor import Weights
from .network import Kokoro
from .sizes import KokoroSizes
from .source import levels, spectrum, waves

Floats = NDArray[Any]  # float32, or float64 where a judge computes in it
NORMAL = "noise.normal"
INPUTS = ("tokens", "style", "speed", "given")


class Eager:
    """One utterance at a time; what crosses a stage's border is named by `tap`.

    `draws`: the names of what is random (exports without a random node have none, and neither have their weights).
    """

    def __init__(
        self, w: Weights, c: KokoroSizes, *, draws: tuple[str, ...] = (), names: tuple[str, str] = ("wave", "durations")
    ) -> None:
        self.ops, self.c, self.model, self.names = w.ops, c, Kokoro(w, c), names
        self.takes = [*INPUTS, *draws]

    def run(self, **given: NDArray[Any]) -> tuple[Floats, NDArray[np.int64]]:
        """The rewritten graph's inputs by name → samples, frames of each token (see rewrite.py)."""
        ops, model, c = self.ops, self.model, self.c
        ids, style = ops.tensor(given["tokens"]), given["style"][:, None]
        timbre, prosody = (ops.tensor(np.array(half)) for half in np.split(style, 2, -1))
        x, chances = model.plan(ids, prosody)
        told = tap("chances", ops.numpy(chances)).sum(-1)[0] / given["speed"]
        frames = np.maximum(np.round(told), 1).astype(np.int64)
        frames = np.where(given["given"] < 0, frames, given["given"])
        frames = tap(self.names[1], frames.astype(np.float32)).astype(np.int64)
        index = ops.tensor(np.repeat(np.arange(ids.shape[1]), frames)[None])
        f0, loudness = model.curves(ops.gather(x, index), prosody)
        pitch = tap("f0", ops.numpy(f0))[0, :, 0]
        noise = next((a for name, a in given.items() if name.startswith(NORMAL)), np.zeros(1, np.float32))
        excitation = ops.numpy(model.merge(ops.tensor(waves(pitch, noise, c))))[:, :, 0]
        found = ops.tensor(tap("source", spectrum(excitation, c)))
        wave = model.decode(ops.gather(model.encode(ids), index), f0, loudness, timbre, found)
        sound = ops.numpy(wave)[0]
        if c.divided:
            sound = sound * levels(len(sound), c).astype(sound.dtype)
        return tap(self.names[0], sound), frames
