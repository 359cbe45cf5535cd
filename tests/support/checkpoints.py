"""SpeechT5 checkpoints for tests, written by the reference's own save_pretrained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import spm

from portavoz.families.speecht5.config import BASE, TINY, SpeechT5Config
from portavoz.families.speecht5.reference.transformers import Reference

SIZE = TINY.speaker_embedding_dim


def written(
    folder: Path, *, seed: int = 3, prob_bias: float | None = None, base: bool = False, **changes: Any
) -> Reference:
    """A folder with tokenizer and vocoder as a user has it, and the reference that wrote it.

    Weights are random at scales that show faults; the configuration is as small as the tokenizer allows.
    `prob_bias` moves the stop probabilities; `base`: the published size.
    """
    folder.mkdir(parents=True)
    tokenizer = spm.reference(spm.train(folder / "made.model"))
    tokenizer.save_pretrained(folder)
    (folder / "made.model").unlink()
    reference = Reference.fresh(BASE if base else config(vocab_size=len(tokenizer), **changes), seed)
    if prob_bias is not None:
        reference.model.speech_decoder_postnet.prob_out.bias.data.fill_(prob_bias)
    reference.model.save_pretrained(folder)
    reference.vocoder.save_pretrained(folder / "vocoder")
    return reference


def config(**changes: Any) -> SpeechT5Config:
    """The smallest configuration, with changes."""
    return dataclasses.replace(TINY, **changes)


def voice(number: int = 0, size: int = SIZE) -> np.ndarray:
    """An x-vector."""
    return np.random.default_rng(number).normal(size=size).astype(np.float32)
