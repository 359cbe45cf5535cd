"""The loop of a source–filter voice: plan durations, F0 and loudness, then speak the plan block after block.

encode   ids [1, S], speaker [1]                             → memory [1, S, 2 · hidden], log(1 + steps) [1, S, 1]
decode   memory [1, S, hidden], index [1, T], place [1, T, 2] → curves [1, 2 · T, 2], of every second frame
vocode   text [1, F, hidden], place, prosody [1, F, 2]           → filters [1, F, 5 · bins]

The host draws pulses and noise, sends them through the filters and inverts the spectrum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.durations import frames
from ...blocks.filtered import filtered
from ...blocks.pulse_source import VOICED, Complexes, PulseSource, joined
from ...flow import Noise
from ...ops.tap import tap
from . import vocoder as compact_wave
from .config import CompactConfig
from .loop import Compact, Floats

NOISE = 256  # frames after which the noise repeats: 3.2 seconds, longer than any ear remembers noise


@lru_cache(maxsize=4)
def noise_rows(seed: int, bins: int) -> Complexes:
    """The noise's spectrum [NOISE, bins], the same for every utterance of a seed."""
    rows = joined(Noise(seed).draw("source.noise", (NOISE, 2 * bins)))
    rows.flags.writeable = False
    return rows


def prosody(f0: Floats, loudness: Floats) -> Floats:
    """F0 in Hz and loudness [F] as the head takes them [F, 2]."""
    return np.stack([np.log1p(f0) / 5, loudness], -1).astype(np.float32)


class SourceFilterLoop(Compact):
    """Symbols → durations → curves → wave. Holds no state: many threads may call it."""

    stages: Any

    @property
    def pitched(self) -> bool:
        """Its F0 is explicit."""
        return True

    def encode(self, symbols: Sequence[str], speaker: int = 0, *, pitch: float = 0.0) -> tuple[Floats, Floats]:
        """Memory [1, S, 2 · hidden] and log(1 + steps) [S] of one utterance. Raises InputError when it is too long.

        `pitch` is moved later, in `controls`.
        """
        return super().encode(symbols, speaker)

    def lasting(
        self, symbols: Sequence[str], predicted: Floats, speed: float, scale: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Predicted durations, which are in steps, as frames [S]."""
        return frames(predicted, speed=speed, scale=self.c.source_filter.step * scale)

    def controls(self, memory: Floats, durations: NDArray[np.int64], *, pitch: float = 0.0) -> Floats:
        """What the head is given of every frame [F, hidden + 4]: text, place, log F0 and loudness.

        `pitch` moves F0 by so many semitones. Raises InputError when there is no frame, or too many.
        """
        index, place = self.layout(durations)
        mine = memory[:, :, : self.c.hidden]
        curves = tap("curves", self.stages.decode(mine, index[:, ::2], place[:, ::2]))[0, : index.shape[1]]
        f0 = np.where(curves[:, 0] > VOICED, curves[:, 0], np.float32(0)) * np.float32(2 ** (pitch / 12))
        f0 = np.minimum(f0, np.float32(self.c.mel.rate / 2))  # what no rate can carry is no F0
        text = memory[0, index[0], self.c.hidden :]
        return np.concatenate([text, place[0], prosody(f0, curves[:, 1])], -1)

    def sound(self, memory: Floats, durations: NDArray[np.int64], pitch: float, seed: int) -> Iterator[Floats]:
        """The sound of durations [S] in pieces, F0 moved by `pitch` semitones, its noise drawn from `seed`."""
        yield from self.spoken(self.controls(memory, durations, pitch=pitch), seed=seed)

    def spoken(self, controls: Floats, *, seed: int = 0) -> Iterator[Floats]:
        """The wave of the controls [F, hidden + 4] in pieces, block after block as they are made."""
        source = PulseSource(self.c.mel, np.expm1(5 * controls[:, -2]).astype(np.float32))
        rows = noise_rows(seed, self.c.mel.fft // 2 + 1)

        def spectrum(filters: Floats, first: int) -> Complexes:
            return filtered(filters, source.spectra(first + len(filters)), rows, first)

        yield from compact_wave.pieces(self._vocode, self.c, controls, spectrum=spectrum)

    def _vocode(self, controls: Floats) -> Floats:
        hidden = self.c.hidden
        parts = controls[..., :hidden], controls[..., hidden : hidden + 2], controls[..., hidden + 2 :]
        return self.stages.vocode(*(np.ascontiguousarray(part) for part in parts))


def loop(stages: Any, c: CompactConfig) -> Compact:
    """The loop that fits a configuration's stages."""
    return (SourceFilterLoop if c.vocoder == "source_filter" else Compact)(stages, c)
