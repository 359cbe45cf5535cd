"""Chatterbox's reference models with random weights that show faults, and ours with the same weights."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from portavoz import ops
from portavoz.families.chatterbox import reference
from portavoz.families.chatterbox.config import CONFIGS, ChatterboxConfig
from portavoz.families.chatterbox.names import ROOTS, folded
from portavoz.families.reference import sensitise
from portavoz.weights.cursor import Weights


@functools.cache
def theirs(part: str, name: str = "tiny") -> Any:
    """A model of the reference: "t3", "voice", "s3gen"; sensitised, in evaluation mode."""
    c = CONFIGS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reference.sensitised(part, c, sensitise)


def tensors(part: str, name: str = "tiny") -> dict[str, np.ndarray]:
    """Its state dict as NumPy arrays, folded as a checkpoint is when it is opened."""
    state = theirs(part, name).state_dict()
    # Having spoken once, the reference's T3 has itself as a part.
    own = {key: tensor.numpy() for key, tensor in state.items() if not key.startswith("patched_model.")}
    return folded(own, CONFIGS[name])


def cursor(part: str, name: str = "tiny", back: str = "torch") -> Weights:
    """Our cursor over them."""
    return Weights(tensors(part, name), ops.open(back), place=part)


def config(name: str = "tiny") -> ChatterboxConfig:
    return CONFIGS[name]


def relative(got: Any, want: Any) -> float:
    """Relative L2 distance, in float64."""
    a, b = (np.asarray(x, np.float64) for x in (got, want))
    assert a.shape == b.shape, (a.shape, b.shape)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def stages(name: str = "tiny", back: str = "torch") -> Any:
    """Our stages with the reference's weights."""
    from portavoz.families.chatterbox.stages import Eager

    roots = {part: cursor(part, name, back) for part in ROOTS}
    made = Eager(roots, CONFIGS[name])
    for root in roots.values():
        root.finish()
    return made


def tokenizer(folder: Any, variant: str = "english") -> str:
    """A tokenizer file of the true format, made here: the published ones are not in the package."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    if variant == "turbo":
        return gpt2_tokenizer(folder)
    path = folder / "tokenizer.json"
    special = ["[STOP]", "[UNK]", "[SPACE]", "[PAD]", "[en]", "[ko]", "[de]"]
    letters = [chr(c) for c in range(33, 127)] + ["́", "̈"]
    vocab = {token: i for i, token in enumerate([*special, *letters, "th", "he"])}
    vocab["[START]"] = 255
    table = Tokenizer(models.BPE(vocab, [("t", "h"), ("h", "e")], unk_token="[UNK]"))
    table.pre_tokenizer = pre_tokenizers.Whitespace()
    table.add_special_tokens([*special, "[START]"])
    table.save(str(path))
    return str(path)


def gpt2_tokenizer(folder: Any) -> str:
    """Turbo's tokenizer in the files of the published checkpoint: it has no tokenizer.json."""
    import json

    from tokenizers import pre_tokenizers

    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("#", "#")]
    letters = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    vocab = {token: i for i, token in enumerate([*letters, "<|endoftext|>"])}
    added = {token: len(vocab) + i for i, token in enumerate(("[laugh]", "[clear throat]"))}
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    decoder = {str(number): {"content": token, **plain, "special": False} for token, number in added.items()}
    decoder[str(vocab["<|endoftext|>"])] = {"content": "<|endoftext|>", **plain, "special": True}
    end = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    config = {"add_prefix_space": False, "added_tokens_decoder": decoder, "tokenizer_class": "GPT2Tokenizer", **end}
    written = {"vocab.json": vocab, "added_tokens.json": added, "special_tokens_map.json": end}
    for name, content in {**written, "tokenizer_config.json": config}.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder / "vocab.json")


def prompt(folder: Any, seconds: float = 2.5, rate: int = 24_000) -> str:
    """A recording of something like a voice."""
    import soundfile

    path = folder / f"prompt-{seconds}-{rate}.wav"
    soundfile.write(path, speech(seconds, rate), rate)
    return str(path)


def speech(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Something like a voice: harmonics that come and go, a little noise, silence at both ends."""
    t = np.arange(round(seconds * rate)) / rate
    pitch = 2 * np.pi * np.cumsum(140 + 30 * np.sin(2 * np.pi * 0.7 * t)) / rate
    wave = sum(np.sin(k * pitch) / k for k in range(1, 20)) * (0.55 + 0.45 * np.sin(2 * np.pi * 2.3 * t))
    wave = 0.2 * wave + 0.003 * np.random.default_rng(seed).standard_normal(len(t))
    wave[: rate // 5] *= 1e-3
    wave[-rate // 4 :] *= 1e-3
    return wave.astype(np.float32)


def raw(part: str, name: str = "tiny") -> dict[str, np.ndarray]:
    """A model's state dict as the reference saves it: weight norm in two tensors, GPT-2's matrices turned."""
    state = theirs(part, name).state_dict()
    return {k: np.ascontiguousarray(v.numpy()) for k, v in state.items() if not k.startswith("patched_model.")}


PUBLISHED = {
    "english": ("t3_cfg.safetensors", "s3gen.safetensors", "ve.safetensors"),
    "multilingual": ("t3_mtl23ls_v2.safetensors", "s3gen.safetensors", "ve.safetensors"),
    "turbo": ("t3_turbo_v1.safetensors", "s3gen_meanflow.safetensors", "ve.safetensors"),
}


def published(folder: Any, name: str = "tiny") -> Any:
    """A folder with the files of a published checkpoint; its config.json has the small sizes."""
    import json

    from portavoz.weights import file

    folder.mkdir(parents=True, exist_ok=True)
    variant = CONFIGS[name].variant
    for part, target in zip(("t3", "s3gen", "voice"), PUBLISHED[variant]):
        # The published files leave the computed tables out.
        kept = {k: v for k, v in raw(part, name).items() if k not in ("tokenizer._mel_filters", "tokenizer.window")}
        file.write(folder / target, kept, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"family": "chatterbox", **CONFIGS[name].to_dict()}))
    tokenizer(folder, variant)
    return folder
