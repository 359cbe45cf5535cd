"""What SpeechT5's documentation page: its text and its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...ops import open as open_ops
from ...weights.cursor import Weights
from ..spec import Page
from .config import TINY
from .loop import SpeechT5, StoppingCriteria
from .stages import Eager


def attention(path: Path) -> None:
    """The picture of cross-attention, from a run of the smallest model with drawn weights."""
    from ...audio import plot

    ops = open_ops("numpy")
    stages = Eager(Weights.fresh(ops, 3), Weights.fresh(ops, 4), TINY)
    ids = np.random.default_rng(0).integers(3, TINY.vocab_size, 24)
    stop = StoppingCriteria(threshold=9.0, maxlenratio=4.0)
    speaker = np.ones(TINY.speaker_embedding_dim, np.float32)
    said = SpeechT5(stages, TINY).generate([ids], speaker, stop=stop, attention=True)
    weights = said[0].alignment
    assert weights is not None
    figure = plot.plot_attention(weights.mean(1), title="cross-attention of a model with random weights")
    plot.save(figure, path)


PAGE = Page(
    title="The SpeechT5 family",
    config="base",
    lengths={"symbols": 60, "steps": 200},
    components={
        "text pre-net": r"^speecht5\.encoder\.prenet",
        "encoder": r"^speecht5\.encoder",
        "decoder pre-net": r"^speecht5\.decoder\.prenet",
        "decoder": r"^speecht5\.decoder|^$",  # the root makes the caches
        "frame and stop heads": r"^speech_decoder_postnet(\.feat_out|\.prob_out|$)",
        "post-net": r"^speech_decoder_postnet",
        "vocoder": r"^vocoder",
    },
    flow=[("ids", "encode"), ("memory", "step (a loop)"), ("frames, stop", "postnet"), ("mel", "vocode"), ("wave", "")],
    text="An encoder reads the letters; an autoregressive decoder predicts two frames and stop probabilities per step, "
    "and gets the second frame back as input of the next step (arXiv:2110.07205). The pre-net uses dropout at "
    "inference, so its masks are inputs. A post-net corrects the whole mel, and HiFi-GAN (arXiv:2010.05646) is the "
    "vocoder.",
    end="\n## Attention of the decoder\n\n![Cross-attention of a run](../img/speecht5-attention.png)\n\n"
    "Cross-attention weights, mean over heads, of each decoder layer over the steps of one run. The weights of "
    "this model are random (the configuration `tiny`, drawn from a seed), so no diagonal can be expected; "
    "`SpeechT5.generate(…, attention=True)` gives the same numbers for a trained checkpoint.\n",
    pictures={"speecht5-attention.png": attention},
)
