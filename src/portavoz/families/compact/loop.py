"""The loop of the compact family, written once: it does not know what runs its three stages.

encode   ids [1, S], speaker [1] (, pitch [1])        → memory [1, S, hidden], log(1 + frames) [1, S, 1]
decode   memory, index [1, F], place [1, F, 2]        → log-mel [1, F, mels]
vocode   log-mel [1, F, mels]                         → spectrum [1, F, 2 · bins] or wave [1, F · hop]

`source_loop` has the stages of a source–filter voice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...blocks.durations import LONGEST, frames
from ...errors import InputError
from ...flow import Mel
from ...ops.base import Ops
from ...ops.tap import tap
from ...text.alphabet import ALPHABET, GAPS, START
from ...weights.cursor import Weights
from ..durations import asked
from . import vocoder as compact_wave
from .acoustic import Acoustic, layout, padded
from .config import CompactConfig

Floats = NDArray[np.float32]
STAGES = ("encode", "decode", "vocode")


@runtime_checkable
class Stages(Protocol):
    """The three stages on some runtime; NumPy in, NumPy out."""

    def encode(
        self, ids: NDArray[np.int64], speaker: NDArray[np.int64], pitch: Floats | None = None
    ) -> tuple[Floats, Floats]: ...
    def decode(self, memory: Floats, index: NDArray[np.int64], place: Floats) -> Floats: ...
    def vocode(self, mel: Floats) -> Floats: ...


class Eager:
    """The stages by calling the blocks on an eager back end."""

    def __init__(self, w: Weights, c: CompactConfig) -> None:
        self.ops: Ops = w.ops
        self.longest = c.most_symbols
        self.acoustic = Acoustic(w / "acoustic", c)
        self.vocoder = compact_wave.vocoder(w / "vocoder", c)
        self.stage = compact_wave.stage(self.vocoder)

    def encode(
        self, ids: NDArray[np.int64], speaker: NDArray[np.int64], pitch: Floats | None = None
    ) -> tuple[Floats, Floats]:
        steps, t, moved = ids.shape[1], self.ops.tensor, None if pitch is None else self.ops.tensor(pitch)
        ids, keep = padded(self.ops, ids, self.longest)
        memory, log_durations = self.acoustic.encode(t(ids), t(speaker), keep, pitch=moved)
        return self.ops.numpy(memory)[:, :steps], self.ops.numpy(log_durations)[:, :steps]

    def decode(self, memory: Floats, index: NDArray[np.int64], place: Floats) -> Floats:
        t = self.ops.tensor
        return self.ops.numpy(self.acoustic.decode(t(memory), t(index), t(place)))

    def vocode(self, mel: Floats) -> Floats:
        return self.ops.numpy(self.stage(self.ops.tensor(mel)))


class Utterance(NamedTuple):
    """What one piece of text becomes: when each symbol ends (seconds from its start), and its sound in pieces."""

    ends: tuple[float, ...]
    waves: Iterator[Floats]


Adjust = Callable[[Sequence[str], NDArray[np.int64]], NDArray[np.int64]]


class Compact:
    """Symbols → durations → mel → wave on whatever runs the stages. Holds no state: many threads may call it."""

    def __init__(self, stages: Stages, c: CompactConfig) -> None:
        self.stages, self.c = stages, c
        self.rate, self.spec, self.most_symbols = c.mel.rate, c.mel, c.most_symbols

    @property
    def pitched(self) -> bool:
        """Whether its pitch can be moved."""
        return self.c.pitch

    def synthesize(
        self,
        symbols: Sequence[str],
        *,
        speaker: int = 0,
        speed: float = 1.0,
        pauses: float = 1.0,
        pitch: float = 0.0,
        seed: int = 0,
        adjust: Adjust | None = None,
    ) -> Utterance:
        """One piece of text, said. `adjust` may change the frames [S] that each symbol lasts before they are used.

        Durations are worked out here; the mel and the wave when the first piece of sound is asked for.
        Raises InputError for a speed, a speaker or durations that cannot be.
        """
        memory, predicted = self.encode(symbols, speaker, pitch=pitch)
        lasting = self.durations(symbols, predicted, speed=speed, pauses=pauses)
        if adjust is not None:
            lasting = asked(adjust, symbols, lasting)
        ends = np.cumsum(lasting) * (self.c.mel.hop / self.c.mel.rate)
        return Utterance(tuple(ends.tolist()), self.sound(memory, lasting.astype(np.int64), pitch, seed))

    def sound(self, memory: Floats, durations: NDArray[np.int64], pitch: float, seed: int) -> Iterator[Floats]:
        """The sound of durations [S] in pieces; `pitch` and `seed` are not used here."""
        yield from self.waves(self.mel(memory, durations))

    def encode(self, symbols: Sequence[str], speaker: int = 0, *, pitch: float = 0.0) -> tuple[Floats, Floats]:
        """Memory [1, S, hidden] and log(1 + frames) [S] of one utterance, its pitch moved by so many semitones.

        Raises InputError when it is too long, or the model has no pitch to move.
        """
        if pitch and not self.pitched:
            raise InputError(f"pitch {pitch:g}: this voice has no pitch input; leave it at 0")
        if not 0 <= speaker < self.c.speakers:
            raise InputError(f"speaker {speaker}: this voice has speakers 0 to {self.c.speakers - 1}")
        if len(symbols) > self.c.most_symbols:
            raise InputError(f"{len(symbols)} symbols at once, the model holds {self.c.most_symbols}: split the text")
        ids = np.array([ALPHABET.encode(symbols)], np.int64)
        moved = (np.array([pitch], np.float32),) if self.c.pitch else ()
        memory, log_durations = self.stages.encode(ids, np.array([speaker], np.int64), *moved)
        return tap("memory", memory), tap("log_durations", log_durations)[0, :, 0]

    def durations(
        self, symbols: Sequence[str], predicted: Floats, *, speed: float = 1.0, pauses: float = 1.0
    ) -> NDArray[np.int64]:
        """Frames a symbol [S]; `pauses` stretches the silence at gaps, and only that, to a 16th of `longest`.

        A phoneme has at least one frame.
        """
        silent = np.array([s in GAPS or s == START for s in symbols])
        if not np.isfinite(pauses) or pauses < 0:
            raise InputError(f"pauses is {pauses!r}: give a number from 0 up, such as 0.5 or 2")
        out = self.lasting(symbols, predicted, speed, np.where(silent, pauses, 1.0))
        most = np.where(silent, self.c.longest // 16, self.c.longest)
        return tap("durations", np.clip(out, np.where(silent, 0, 1), most))

    def lasting(
        self, symbols: Sequence[str], predicted: Floats, speed: float, scale: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Predicted durations as frames [S], each times its scale."""
        # The blank between two words is silent only by exception; a fraction of a frame there is no pause.
        short = np.array([s == " " for s in symbols]) & (np.expm1(np.minimum(predicted, LONGEST)) < 1.0)
        return frames(np.where(short, 0.0, predicted), speed=speed, scale=scale)

    def mel(self, memory: Floats, durations: NDArray[np.int64]) -> Mel:
        """The log-mel [1, F, mels] of one utterance. Raises InputError when it has no frame, or too many."""
        index, place = self.layout(durations)
        return Mel(tap("mel", self.stages.decode(memory, index, place)), self.c.mel)

    def layout(self, durations: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
        """Where the frames [1, F] of one utterance lie. Raises InputError when it has no frame, or too many."""
        total = int(durations.sum())
        if not 0 < total <= self.c.longest:
            seconds = self.c.longest * self.c.mel.hop / self.c.mel.rate
            raise InputError(
                f"{total} frames at once, it holds 1 to {self.c.longest} ({seconds:.0f} s): split the text"
            )
        return layout(durations[None])

    def waves(self, mel: Mel) -> Iterator[Floats]:
        """The wave of a mel in pieces, block after block as they are made."""
        return compact_wave.pieces(self.stages.vocode, self.c, mel.values[0])
