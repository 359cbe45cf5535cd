"""What Kokoro's documentation page: its text."""

from __future__ import annotations

from ..spec import Page

PAGE = Page(
    title="Kokoro",
    config="v1",
    lengths={"tokens": 50, "frames": 100},
    components={
        "PL-BERT": r"^bert",
        "durations": r"^predictor\.(text_encoder|lstm|duration_proj)",
        "F0 and loudness": r"^predictor",
        "text encoder": r"^text_encoder",
        "generator (iSTFTNet)": r"^decoder\.generator",
        "decoder": r"^decoder",
    },
    flow=[("tokens, style, speed", "speak"), ("wave, durations", "")],
    text="A StyleTTS 2 (arXiv:2306.07691) without diffusion: PL-BERT reads the phonemes, predictors give durations, F0 "
    "and loudness in a given style, and an iSTFTNet (arXiv:2203.02395) with a source of harmonics makes the sound. "
    "[Graph, blocks and figures](../guide/kokoro.md).",
)
