"""What Chatterbox's documentation page: its text."""

from __future__ import annotations

from ..spec import Page

PAGE = Page(
    title="Chatterbox",
    config="base",
    lengths={"symbols": 40, "prompt": 25, "tokens": 25},
    components={
        "T3 (text → tokens)": r"^t3",
        "voice encoder": r"^ve",
        "S3 tokenizer": r"^tokenizer",
        "x-vector": r"^speaker_encoder",
        "flow estimator": r"^flow\.decoder",
        "token encoder": r"^flow",
        "vocoder (HiFT)": r"^mel2wav",
    },
    flow=[
        ("prompt", "voice, x_vector, codes"), ("voice, ids", "prefill, step"), ("tokens", "mu"),
        ("mu, prompt mel", "velocity × 10"), ("mel", "pitch, vocode"), ("wave", ""),
    ],
    text="A language model over speech tokens (T3, Llama's layers), then a flow-matching decoder that makes the mel of "
    "all frames at once in ten steps (arXiv:2210.02747), each twice for classifier-free guidance, then HiFT "
    "(arXiv:2309.09493). A recording of a few seconds gives the voice. English, multilingual and turbo (GPT-2's "
    "layers, two steps of a mean flow without guidance) are configurations of the same code. The standard model does "
    "not reach real time on two processor cores: every token reads all of T3's weights.",
)  # fmt: skip
