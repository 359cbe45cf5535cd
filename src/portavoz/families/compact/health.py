"""One sentence through a compact voice, step by step; each step describes its result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...text import normalize
from ...text.chunks import split_text
from ..health import SENTENCE, finite, level
from .loop import Compact
from .source_loop import SourceFilterLoop
from .voice import CompactVoice


def steps(voice: CompactVoice) -> list[Callable[[], str]]:
    """The steps behind the opening, in order."""
    seen = _Sentence(voice.model)
    between = seen.curves if isinstance(voice.model, SourceFilterLoop) else seen.mel
    return [seen.text, seen.phonemes, seen.durations, between, seen.wave]


class _Sentence:
    def __init__(self, model: Compact) -> None:
        self.model = model

    def text(self) -> str:
        """Words of the sentence."""
        return normalize(SENTENCE)

    def phonemes(self) -> str:
        """Symbols of the words."""
        self.symbols = next(iter(split_text(SENTENCE, secondary=self.model.c.secondary))).symbols
        return " ".join(self.symbols[1:])

    def durations(self) -> str:
        """Frames of the symbols."""
        self.memory, predicted = self.model.encode(self.symbols)
        self.frames = self.model.durations(self.symbols, predicted)
        return f"{self.frames.sum()} frames for {len(self.frames)} symbols"

    def mel(self) -> str:
        """The mel of the frames."""
        self.spectrum = self.model.mel(self.memory, self.frames)
        low, high = self.spectrum.values.min(), self.spectrum.values.max()
        finite(self.spectrum.values, "mel")
        return f"{self.spectrum.values.shape[1]} frames of {self.spectrum.spec.mels} bands, {low:.1f} … {high:.1f}"

    def curves(self) -> str:
        """F0 and loudness of the frames."""
        assert isinstance(self.model, SourceFilterLoop)
        self.controls = self.model.controls(self.memory, self.frames)
        finite(self.controls, "curves")
        f0 = np.expm1(5 * self.controls[:, -2])
        sung = f0[f0 > 0]
        low, high = (sung.min(), sung.max()) if len(sung) else (0.0, 0.0)
        return f"{len(f0)} frames, {len(sung)} with an F0 of {low:.0f} … {high:.0f} Hz"

    def wave(self) -> str:
        """The sound of what is between the halves."""
        if isinstance(self.model, SourceFilterLoop):
            return level(np.concatenate(list(self.model.spoken(self.controls))), self.model.rate)
        return level(np.concatenate(list(self.model.waves(self.spectrum))), self.model.rate)
