"""What the compact family's documentation page: its text."""

from __future__ import annotations

from ..spec import Page

PAGE = Page(
    title="The compact family",
    config="production",
    lengths={"symbols": 64, "frames": 384},
    components={
        "text encoder": r"^acoustic\.encoder",
        "duration predictor": r"^acoustic\.durations",
        "mel decoder": r"^acoustic",
        "vocoder": r"^vocoder",
    },
    flow=[
        ("ids", "encode"), ("memory, durations", "regulate"), ("memory by frame", "decode"), ("mel", "vocode"),
        ("spectrum", "istft"), ("wave", ""),
    ],
    text="Text to mel in one pass, like FastSpeech (arXiv:1905.09263): each symbol's memory is repeated for its "
    "predicted number of frames, then a decoder of the same layers computes the mel. The vocoder stays at the frame "
    "rate and ends in an inverse Fourier transform (Vocos, arXiv:2306.00814). The configuration `natural`, which the "
    "bundled voice has, has no mel between its halves: F0 and loudness of every frame are predicted, then pulses and "
    "noise are filtered by five spectra (neural source–filter models, arXiv:1904.12088).",
)  # fmt: skip
