"""What `Voice` speaks through: one run of the graph for a piece of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, WeightError
from ...flow import Noise
from ...text.chunks import TextChunk
from ..durations import adjusted, by_symbol, ends
from ..own_graph import Session
from ..spec import Engine
from ..surgery import draw
from ..synthesis import SynthesisOptions, SynthesisStream
from .checkpoint import PiperFile
from .config import PiperConfig
from .eager import Eager
from .phonemes import Numbers, numbers, split
from .rewrite import LENGTHS, PRIOR

OPTIONS = {
    "noise_scale": "how much the sound varies, 0 to 2 (the voice's own: mostly 0.667)",
    "noise_w": "how much lengths vary, 0 to 2 (the voice's own: mostly 0.8)",
    "length_scale": "how long everything lasts, 0.1 to 10, besides `speed` (the voice's own: mostly 1)",
}
RANGES = {"noise_scale": (0, 2), "noise_w": (0, 2), "length_scale": (0.1, 10)}
CHANNELS, FRAMES = 192, 8  # numbers for a frame, frames for a phoneme: more would begin again
MOST = 1 << 22  # numbers


def synthesizer(file: PiperFile, engine: Engine) -> PiperVoice:
    """The voice of a file."""
    return PiperVoice(engine.one, file.config, file.graph.stem)


class PiperVoice:
    """A Piper voice with its speakers' names."""

    timed = True
    options: Mapping[str, str] = OPTIONS

    def __init__(self, session: Session | Eager, c: PiperConfig, name: str) -> None:
        self.session, self.c, self.name = session, c, name
        self.rate, self.speakers = c.rate, c.names

    def speaker(self, wanted: Any) -> int:
        """The number of a speaker, given by name or number (None: the first). Raises InputError."""
        if wanted is None:
            return 0
        if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < self.c.speakers:
            return wanted
        if isinstance(wanted, str) and wanted in self.speakers:
            return self.speakers.index(wanted)
        shown = ", ".join(self.speakers[:12]) + (" …" if len(self.speakers) > 12 else "")
        raise InputError(f"speaker {wanted!r}: the voice {self.name} has {shown}; choose one of them")

    def split_text(self, text: str | Iterable[str], manner: SynthesisOptions) -> Iterator[TextChunk]:
        """Phonemes or letters in pieces. Raises InputError for a setting out of range."""
        self._scales(manner)
        return split(text, self.c, manner.lexicon)

    def _scales(self, manner: SynthesisOptions) -> NDArray[np.float32]:
        """noise_scale, length_scale, noise_w."""
        values: dict[str, float] = dict(zip(("noise_scale", "length_scale", "noise_w"), self.c.scales))
        for name, value in manner.options.items():
            low, high = RANGES[name]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not low <= value <= high:
                raise InputError(f"{name} is {value!r}: give a number from {low} to {high}")
            values[name] = float(value)
        values["length_scale"] /= manner.speed
        return np.array(list(values.values()), np.float32)

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        """One piece, said; the same piece sounds the same wherever it stands."""
        read, scales = numbers(chunk, self.c), self._scales(manner)
        sound, durations = self._run(read, scales, manner, np.full(1, -1, np.float32))
        if manner.adjust is not None:
            wanted = adjusted(manner.adjust, chunk.symbols, durations, read.owner).astype(np.float32)
            sound, durations = self._run(read, scales, manner, wanted)
        frames = by_symbol(durations, read.owner, len(chunk.symbols))
        return SynthesisStream(ends(frames, len(sound), self.rate), iter([sound]))

    def _run(
        self, read: Numbers, scales: NDArray[np.float32], manner: SynthesisOptions, given: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        count = len(read.ids)
        noise, room = Noise(manner.seed), min(MOST, int(CHANNELS * FRAMES * count * max(1.0, float(scales[1]))))
        sound, durations = self.session.run(
            input=np.array([read.ids], np.int64),
            input_lengths=np.array([count], np.int64),
            scales=scales,
            sid=np.array([manner.speaker], np.int64),
            given=given,
            **draw(noise, [LENGTHS], 2 * count),
            **draw(noise, [PRIOR], room),
        )
        if not np.isfinite(sound).all():
            raise WeightError(f"the voice {self.name} made no sound but invalid numbers; fetch it again")
        return sound, durations
