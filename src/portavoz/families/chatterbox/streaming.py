"""Sound while the tokens still come: the first after a second of them, the next after two more, then four, and so on.

The mel of a piece is made from all tokens so far, three of them only looked at; what was given once stays. So each
piece is twice as long as the one before: pieces of one length would do the work of the first ones again and again. The
vocoder sees neighbours on both sides of every piece and one continuous excitation, so that the pieces together are
what it would make of the whole mel at once: there is no seam to fade over.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...blocks.harmonic_source import HarmonicSource
from ...flow import Mel, Noise
from .loop import SILENCE, Chatterbox, Generation, Utterance, faded
from .prompt import Conditionals

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

FIRST = 25  # tokens: one second
PITCH, CONTEXT = 6, 16  # frames on either side that pitch and wave of one frame depend on, at most


class WaveStream:
    """Mel frames go in with `push`, finished samples come out."""

    def __init__(self, loop: Chatterbox, noise: Noise) -> None:
        self.loop, self.source = loop, HarmonicSource(loop.source, noise)
        c = loop.c
        self.mel: Floats = np.zeros((0, c.spec.mels), np.float32)
        self.excitation: Floats = np.zeros((0, 1), np.float32)
        self.sung = self.given = 0

    def push(self, mel: Floats, *, final: bool = False) -> Floats:
        """The next frames [frames, mels] → samples that no later frame changes."""
        self.mel = np.concatenate([self.mel, mel])
        end = len(self.mel) if final else max(self.sung, len(self.mel) - PITCH)
        self._sing(end)
        ready = end if final else max(self.given, end - CONTEXT)
        if ready <= self.given:
            return np.zeros(0, np.float32)
        hop, left = self.loop.c.spec.hop, max(0, self.given - CONTEXT)
        wave = self.loop.stages.vocode(self.mel[None, left:end], self.excitation[None, left * hop : end * hop])[0]
        wave = wave[(self.given - left) * hop : (ready - left) * hop]
        first, self.given = self.given == 0, ready
        return faded(wave, self.loop.rate) if first else wave

    def _sing(self, end: int) -> None:
        if end <= self.sung:
            return
        left, right = max(0, self.sung - PITCH), min(len(self.mel), end + PITCH)
        f0 = self.loop.stages.pitch(self.mel[None, left:right])[0, self.sung - left : end - left]
        sines = self.source.push(f0)
        self.excitation = np.concatenate([self.excitation, self.loop.stages.excite(sines[None])[0]])
        self.sung = end


def stream(
    loop: Chatterbox, ids: Whole, voice: Conditionals, how: Generation, noise: Noise, said: Utterance
) -> Iterator[Floats]:
    """The sound of ids [1, S] in pieces [samples], as tokens come; `said` gathers warnings."""
    start = loop.start(noise, 2 * (voice.flow_prompt.shape[1] + how.most + len(SILENCE)))
    waves, tokens, frames, more, wanted = WaveStream(loop, noise), list[int](), 0, FIRST, FIRST
    for token in loop.tokens(ids, voice, how, noise, said):
        tokens.append(token)
        if len(tokens) < wanted:
            continue
        more *= 2
        wanted += more
        mel = loop.mel(tokens, voice, how, start, final=False)
        piece = waves.push(mel.values[0, frames:])
        frames = mel.values.shape[1]
        if len(piece):
            yield piece
    if not tokens:
        said.warnings.append("the model said nothing")
        return
    last: Mel = loop.mel([*tokens, *SILENCE] if loop.c.variant == "turbo" else tokens, voice, how, start)
    yield waves.push(last.values[0, frames:], final=True)
