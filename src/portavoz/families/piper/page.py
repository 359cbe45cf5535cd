"""What Piper's documentation page: its text."""

from __future__ import annotations

from ..spec import Page

PAGE = Page(
    title="Piper",
    config="medium",
    lengths={"phonemes": 100, "frames": 300},
    components={
        "text encoder": r"^enc_p",
        "durations": r"^dp",
        "flow": r"^flow",
        "decoder (HiFi-GAN)": r"^dec",
    },
    flow=[("phonemes, scales", "speak"), ("wave, durations", "")],
    text="VITS (arXiv:2106.06103): a text encoder, a stochastic predictor of durations, a normalising flow, and "
    "HiFi-GAN's decoder, trained as one. [Graph, blocks and figures](../guide/piper.md).",
)
