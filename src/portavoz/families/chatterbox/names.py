"""What Chatterbox's files call their tensors, and how they become ours.

Paths are the reference's. What differs: weight norm (folded), GPT-2's matrices (stored [in, out] by the reference's
library), and where a part begins: ports split ``s3gen`` into files of their own and drop what every name begins with,
or put everything into one file. So a part is known by one tensor that no other has, and its prefix is what stands
before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import WeightError
from ...weights import fold
from .config import ChatterboxConfig

# Part → the tensor by which it is known, its root ("t3", "s3gen", "voice"), and its prefix there.
PARTS: dict[str, tuple[str, str, str]] = {
    "t3": ("speech_head.weight", "t3", ""),
    "voice": ("lstm.weight_ih_l0", "voice", ""),
    "tokenizer": ("quantizer._codebook.project_down.weight", "s3gen", "tokenizer."),
    "speaker_encoder": ("xvector.tdnn.linear.weight", "s3gen", "speaker_encoder."),
    "flow": ("input_embedding.weight", "s3gen", "flow."),
    "mel2wav": ("m_source.l_linear.weight", "s3gen", "mel2wav."),
}
ROOTS = ("t3", "s3gen", "voice")
TABLES = ("tokenizer._mel_filters", "tokenizer.window")  # buffers of the reference that are computed here
GPT2 = re.compile(r"(?:.*\.)?tfmr\.h\.\d+\.(?:attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight")

Tensors = Mapping[str, Any]


def prefixes(names: Iterable[str]) -> dict[str, str]:
    """The parts that a file's names show, and what each part's names begin with in it.

    Raises WeightError for a file with the same part twice.
    """
    out: dict[str, str] = {}
    for name in names:
        for part, (mark, _, _) in PARTS.items():
            if name != mark and not name.endswith("." + mark):
                continue
            if part in out:
                raise WeightError(f"{name}: the part {part} is here twice; keep one of the two")
            out[part] = name.removesuffix(mark)
    return out


def renamed(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Each name of a file → (root, our name). Raises WeightError for a name that belongs to no part of the file."""
    names = list(names)
    found = sorted(prefixes(names).items(), key=lambda item: len(item[1]), reverse=True)
    out: dict[str, tuple[str, str]] = {}
    for name in names:
        part = next(((part, prefix) for part, prefix in found if name.startswith(prefix)), None)
        if part is None:
            raise WeightError(f"{name}: belongs to no part of Chatterbox; is this one of its files?")
        _, root, ours = PARTS[part[0]]
        out[name] = root, ours + name.removeprefix(part[1])
    return out


def gathered(files: Mapping[str, Tensors]) -> dict[str, dict[str, Any]]:
    """Tensors of several files, by their paths → each root's, by our names.

    Raises WeightError for two files with one tensor, and for a part that none has.
    """
    out: dict[str, dict[str, Any]] = {root: {} for root in ROOTS}
    came: dict[tuple[str, str], str] = {}
    for path, tensors in files.items():
        for name, (root, ours) in renamed(tensors).items():
            if ours in out[root]:
                raise WeightError(f"{path}: {name} is also in {came[root, ours]}; keep one of the two files")
            out[root][ours], came[root, ours] = tensors[name], path
    return out


def turned(shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    """The matrices that a file stores [in, out]: GPT-2's, unless a port made linear layers of them.

    Square ones cannot say it themselves: the file's matrices for queries, keys and values do.
    """
    found = [name for name in shapes if GPT2.fullmatch(name)]
    wide = [shapes[name] for name in found if name.endswith("c_attn.weight")]
    ported = sum(shape[0] > shape[-1] for shape in wide)
    return frozenset() if 2 * ported > len(wide) else frozenset(found)


def folded(tensors: Tensors, config: ChatterboxConfig) -> dict[str, Any]:
    """Weight norm fused, GPT-2's matrices turned to [out, in]."""
    out = fold.weight_norm(tensors)
    other = turned({name: tuple(value.shape) for name, value in out.items()})
    return {key: value.T if key in other else value for key, value in out.items()}


def unturned(tensors: Tensors, config: ChatterboxConfig) -> dict[str, Any]:
    """Folded tensors as the reference's modules have them, their weight norm removed."""
    if config.tokens.backbone != "gpt2":
        return dict(tensors)
    return {key: value.T if GPT2.fullmatch(key) else value for key, value in tensors.items()}


def t3_variant(t3: Tensors, given: ChatterboxConfig) -> str:
    """The variant whose T3 this is: GPT-2's layers are turbo's, a small vocabulary (or `given`'s) is English."""
    if any(name.startswith("tfmr.h.") for name in t3):
        return "turbo"
    rows = int(t3["text_emb.weight"].shape[0]) if "text_emb.weight" in t3 else given.tokens.text_vocab
    english = rows == given.tokens.text_vocab and given.variant == "english"
    return "english" if english or rows < 1000 else "multilingual"


def mean_flow(gen: Tensors) -> bool:
    """Whether s3gen's flow is turbo's."""
    return "flow.decoder.estimator.time_embed_mixer.weight" in gen


def recognised(tensors: Mapping[str, Tensors], given: ChatterboxConfig) -> str:
    """The variant whose tensors these are. Raises WeightError when they are another's than `given`."""
    variant, mixer = t3_variant(tensors["t3"], given), mean_flow(tensors["s3gen"])
    if mixer != (variant == "turbo"):
        other = "turbo's (mean flow)" if mixer else "the ten-step one"
        raise WeightError(f"s3gen is {other} and t3 is {variant}'s: take both files from one checkpoint")
    return variant
