"""Kokoro, written once: phonemes and a style → durations → F0 and loudness → wave.

StyleTTS 2 (Li et al. 2023, arXiv:2306.07691) without its diffusion. Paths are those of the published checkpoint,
without the ``module.`` that its training left there. One utterance at a time; what is random, and what needs whole
phases, is made on the host between two stages (`source.py`).
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...blocks.block import Block
from ...weights.cursor import Weights
from .albert import PlBert
from .generator import Decoder
from .prosody import Predictor, TextEncoder
from .sizes import KokoroSizes


class Kokoro(Block):
    """The whole model; its stages are called one after the other by `Eager`."""

    entries: ClassVar[tuple[str, ...]] = ("encode", "plan", "curves", "merge", "decode")

    def __init__(self, w: Weights, c: KokoroSizes) -> None:
        super().__init__(w)
        self.c = c
        self.bert = PlBert(w / "bert", c)
        self.bert_encoder = w.linear("bert_encoder", c.bert, c.hidden)
        self.text_encoder = TextEncoder(w / "text_encoder", c)
        self.predictor = Predictor(w / "predictor", c)
        self.decoder = Decoder(w / "decoder", c)

    def encode(self, ids: Any) -> Any:
        """ids [1, S] → what the decoder reads [1, S, C]."""
        return self.text_encoder(ids)

    def plan(self, ids: Any, style: Any) -> tuple[Any, Any]:
        """ids [1, S], style [1, 1, S'] → what F0 is read from [1, S, C + S'], chances of each frame [1, S, most]."""
        return self.predictor.durations(self.bert_encoder(self.bert(ids)), style)

    def curves(self, x: Any, style: Any) -> tuple[Any, Any]:
        """x [1, T, C + S'] → F0 in Hz and loudness [1, 2 T, 1]."""
        return self.predictor.curves(x, style)

    def merge(self, waves: Any) -> Any:
        """The source's waves [1, samples, harmonics + 1] → excitation [1, samples, 1]."""
        return self.decoder.merge(waves)

    def decode(self, text: Any, f0: Any, loudness: Any, style: Any, spectrum: Any) -> Any:
        """text [1, T, C], F0 and loudness [1, 2 T, 1], the source's spectrum → wave [1, 2 T · frame]."""
        return self.decoder(text, f0, loudness, style, spectrum)
