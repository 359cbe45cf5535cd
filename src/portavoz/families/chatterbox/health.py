"""One sentence through Chatterbox, step by step; each step describes its result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...flow import Mel, Noise
from ..health import SENTENCE, finite, level
from .loop import Utterance
from .pipeline import made_voice
from .text import punctuated
from .voice import ChatterboxVoice

TOKENS = 12


def steps(voice: ChatterboxVoice) -> list[Callable[[], str]]:
    """The steps behind the opening, in order."""
    seen = _Sentence(voice)
    return [seen.ids, seen.tokens, seen.mel, seen.wave]


class _Sentence:
    def __init__(self, voice: ChatterboxVoice) -> None:
        self.tokenizer, self.loop = voice.tokenizer, voice.model
        self.voice = voice.default or made_voice(voice.model.c, 0)
        self.how = self.loop.generation(most=TOKENS)

    def ids(self) -> str:
        """Numbers of the sentence's pieces."""
        self.numbers = self.tokenizer.ids(punctuated(SENTENCE, self.loop.c.variant))
        return f"{self.numbers.shape[1]} symbols"

    def tokens(self) -> str:
        """The first speech tokens."""
        drawn = self.loop.tokens(self.numbers, self.voice, self.how, Noise(0), Utterance())
        self.said = np.array([*drawn, 0])
        return f"{len(self.said)} tokens"

    def mel(self) -> str:
        """Their mel."""
        frames = 2 * (self.voice.flow_prompt.shape[1] + len(self.said))
        self.made: Mel = self.loop.mel(self.said, self.voice, self.how, self.loop.start(Noise(0), frames))
        finite(self.made.values, "mel")
        return f"{self.made.values.shape[1]} frames of {self.made.spec.mels} bands"

    def wave(self) -> str:
        """What comes out."""
        return level(self.loop.wave(self.made, Noise(0)), self.loop.rate)
