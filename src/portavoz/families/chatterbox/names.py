"""What Chatterbox's files call their tensors, and how they become ours.

Paths are the reference's. What differs: weight norm (folded), GPT-2's matrices (stored [in, out] by the reference's
library), a prefix of a file of its own (ports split ``s3gen`` and drop what every name begins with), and a wrapper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...weights import fold
from .config import ChatterboxConfig

# The four parts of s3gen's file, each a prefix.
S3GEN = ("tokenizer", "speaker_encoder", "flow", "mel2wav")
# Tables that the reference registers as buffers and newer files leave out: computed here.
TABLES = {"tokenizer._mel_filters": "a mel filter bank, computed", "tokenizer.window": "a Hann window, computed"}
GPT2 = re.compile(r"(?:.*\.)?tfmr\.h\.\d+\.(?:attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight")

Tensors = Mapping[str, Any]


def folded(tensors: Tensors, config: ChatterboxConfig) -> dict[str, Any]:
    """Weight norm fused, GPT-2's matrices turned to [out, in]."""
    out = fold.weight_norm(tensors)
    if config.tokens.backbone == "gpt2":
        out = {key: value.T if GPT2.fullmatch(key) else value for key, value in out.items()}
    return out
