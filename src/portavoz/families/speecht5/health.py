"""One sentence through SpeechT5, step by step; each step describes its result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..health import SENTENCE, finite, level
from .loop import decode
from .text import limit, read
from .voice import SpeechT5Voice


def steps(voice: SpeechT5Voice) -> list[Callable[[], str]]:
    """The steps behind the opening, in order."""
    seen = _Sentence(voice)
    return [seen.text, seen.ids, seen.memory, seen.mel, seen.wave]


class _Sentence:
    def __init__(self, voice: SpeechT5Voice) -> None:
        self.tokenizer, self.model = voice.tokenizer, voice.model
        size = self.model.c.speaker_embedding_dim
        # A made speaker where none came with the checkpoint.
        self.speaker = next(iter(voice.known.values()), np.full(size, size**-0.5, np.float32))

    def text(self) -> str:
        """Letters of the sentence."""
        self.letters = "".join(next(iter(read(SENTENCE, self.tokenizer, limit=limit(self.model.c)))).symbols)
        return self.letters

    def ids(self) -> str:
        """Numbers of the letters."""
        self.numbers = self.tokenizer.ids(self.letters)
        return f"{len(self.numbers)} of {self.tokenizer.size} known"

    def memory(self) -> str:
        """The encoded text, and the first step."""
        ids, masks = np.asarray(self.numbers, np.int64)[None], self.model.masks(0, 1)
        state = self.model.stages.encode(ids, np.ones(ids.shape, bool), self.speaker[None], 1)
        first = next(decode(self.model.stages, state, lambda step, rows: masks, 1, self.model.c, rows=1))
        finite(first.frames, "mel")
        return f"a first step of {first.frames.shape[1]} frames, stop {float(first.stops.sum()):.2f}"

    def mel(self) -> str:
        """The whole sentence, step by step, and its wave."""
        self.said = self.model.generate([self.numbers], self.speaker)[0]
        end = f"; {self.said.warnings[0]}" if self.said.warnings else ""
        return f"{self.said.mel.values.shape[1]} frames of {self.model.c.num_mel_bins} bands{end}"

    def wave(self) -> str:
        """What comes out."""
        return level(self.said.wave, self.model.rate)
