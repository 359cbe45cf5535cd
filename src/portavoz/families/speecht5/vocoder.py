"""mel → wave, and mel → mel behind the post-net, in windows: what a part of a stream needs, exactly.

Both stages depend on a bounded number of frames to either side, so a window that carries that many neighbours gives
exactly the frames of the whole. Windows end at fixed places, whatever the pieces in which the mel arrives, so a
stream is the same, bit for bit, however it is pulled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
STRIDE = 128  # frames of a window


class Edges(NamedTuple):
    """Where windows end, in frames from the start: at each of `first`, then every `stride`."""

    first: tuple[int, ...] = (16, 64)
    stride: int = STRIDE

    def after(self, done: int) -> int:
        """The end of the window that gives out from frame `done` on."""
        for edge in self.first:
            if done < edge:
                return edge
        last = self.first[-1] if self.first else 0
        return done + self.stride - (done - last) % self.stride


# A short first window, so that sound starts early, then longer ones, which have fewer neighbours.
EARLY = Edges()


class Windows(NamedTuple):
    """The progress of one stage over one mel. Each value is used once.

    `run` is the stage on a window of which some frames before and after are only neighbours: [1, F, …], before, after
    → [1, (F − before − after) · hop, …]; `reach` the frames it looks to either side; `late` how many frames after each
    edge its windows end (what the stage behind it looks ahead); `held` the frames that are still needed, the first of
    them number `first`; `done` frames were given out.

        first        done            ready          end
        |---reach----|=== given out ===|---reach---|       held = first … end, of which done … ready come out
    """

    run: Callable[[Floats, int, int], Floats]
    reach: int
    late: int
    held: Floats
    first: int = 0
    done: int = 0
    edges: Edges = EARLY

    @classmethod
    def start(
        cls, run: Callable[..., Floats], *, reach: int, hop: int, late: int, mels: int, cuts: bool = False
    ) -> Windows:
        """Nothing seen yet. `run` makes whole windows, [1, F, …] → [1, F · hop, …], or it `cuts` neighbours itself."""

        def cut(window: Floats, before: int, after: int) -> Floats:
            return run(window)[:, before * hop : (window.shape[1] - after) * hop]

        return cls(run if cuts else cut, reach, late, np.zeros((0, mels), np.float32))

    def push(self, mel: Floats, *, final: bool) -> tuple[list[Floats], Windows]:
        """What can be given out once the frames [frames, mels] are known too; `final` with the last ones."""
        far, held, first, done = self.reach, self.held, self.first, self.done
        held = np.concatenate([held, mel])
        end, pieces = first + len(held), []
        while done < end:
            ready = self.edges.after(max(done - self.late, 0)) + self.late
            if ready + far > end:
                if not final:
                    break
                ready = end
            last = min(end, ready + far)
            pieces.append(self.run(held[: last - first][None], done - first, last - ready)[0])
            keep = max(first, ready - far)
            held, first, done = held[keep - first :], keep, ready
        return pieces, self._replace(held=held, first=first, done=done)
