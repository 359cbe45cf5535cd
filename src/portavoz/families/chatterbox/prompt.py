"""A voice by example: what the models need of a prompt, checked, saved and loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, WeightError
from ...weights import file
from ..synthesis import PROMPT_SECONDS
from .config import CODES, PROMPT_RATE, ChatterboxConfig
from .sampling import check_number

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

SHORTEST = {"english": 1.0, "multilingual": 1.0, "turbo": 5.0}  # seconds
T3_SECONDS = {"english": 6.0, "multilingual": 6.0, "turbo": 15.0}
FLOW_SECONDS = 10.0
QUIETEST = 1e-3  # loudest sample of something that can be heard
CLIPPED, CLIPS = 0.999, 0.01  # a level, and the share of samples that may be at it

# The names of the reference's own file of conditionals, flattened.
NAMES = {
    "speaker": "t3.speaker_emb", "t3_prompt": "t3.cond_prompt_speech_tokens", "flow_prompt": "gen.prompt_token",
    "mel": "gen.prompt_feat", "x_vector": "gen.embedding",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conditionals:
    """A voice. speaker [1, 1, X]; tokens of the prompt for T3 [1, P] and for the flow [1, N]; the prompt's mel
    [1, frames, 80], x-vector [1, 1, 192]; `emotion` is the exaggeration, 0 … 2; `notes` are for the listener."""

    speaker: Floats
    t3_prompt: Whole
    flow_prompt: Whole
    mel: Floats
    x_vector: Floats
    emotion: float = 0.5
    notes: tuple[str, ...] = ()

    def with_emotion(self, emotion: float | None) -> Conditionals:
        """The same voice with another exaggeration. Raises InputError outside 0 … 2."""
        if emotion is None:
            return self
        check_number("exaggeration", emotion, 0, 2)
        return replace(self, emotion=float(emotion))

    def save(self, path: str | Path) -> None:
        """Write it as safetensors."""
        tensors = {theirs: np.ascontiguousarray(getattr(self, ours)) for ours, theirs in NAMES.items()}
        tensors["t3.emotion_adv"] = np.full((1, 1, 1), self.emotion, np.float32)
        file.write(path, tensors, {"portavoz": "chatterbox conditionals"})

    @classmethod
    def load(cls, path: str | Path, config: ChatterboxConfig) -> Conditionals:
        """Read it back, or the reference's ``conds.pt`` converted. Raises WeightError when it does not fit."""
        tensors, _ = file.read(path)
        return cls.of(tensors, config, str(path))

    @classmethod
    def of(cls, tensors: Mapping[str, Any], config: ChatterboxConfig, place: str) -> Conditionals:
        """The voice in tensors by the reference's names."""
        missing = [name for name in NAMES.values() if name not in tensors]
        if missing:
            raise WeightError(
                f"{place}: not a saved Chatterbox voice, it has no {', '.join(missing)}; make it from a prompt"
            )
        parts: dict[str, Any] = {ours: np.asarray(tensors[theirs]) for ours, theirs in NAMES.items()}
        sizes = {"speaker": config.tokens.speaker, "x_vector": config.xvector.size, "mel": config.spec.mels}
        for name, size in sizes.items():
            part = parts[name].astype(np.float32)
            if part.shape[-1] != size or not np.isfinite(part).all():
                raise WeightError(
                    f"{place}: {NAMES[name]} is {part.shape}, wanted finite numbers [.., {size}]; is it this model's?"
                )
            parts[name] = part.reshape(1, -1, size)
        for name in ("t3_prompt", "flow_prompt"):
            part = parts[name] = parts[name].astype(np.int64).reshape(1, -1)
            if part.size and not (part.min() >= 0 and part.max() < CODES):
                raise WeightError(f"{place}: {NAMES[name]} has entries outside 0 … {CODES - 1}; is it this model's?")
        emotion = np.asarray(tensors.get("t3.emotion_adv", 0.5), np.float64).reshape(-1)
        return cls(**parts, emotion=float(emotion[0]) if emotion.size else 0.5)


def checked(samples: NDArray[Any], rate: int, shortest: float, channels: int = 1) -> tuple[Floats, tuple[str, ...]]:
    """A prompt [samples] or [samples, channels] as mono float32, at most a minute long, and what to say about it.

    `channels`: how many it was mixed down from already. Raises InputError for one that is too short, silent or no
    sound.
    """
    wave = np.asarray(samples)
    if wave.dtype.kind not in "fiu" or wave.ndim not in (1, 2):
        raise InputError(f"prompt: got {wave.dtype} {wave.shape}, wanted sound [samples]")
    if wave.dtype.kind != "f":
        wave = wave.astype(np.float64) / np.iinfo(wave.dtype).max
    notes: list[str] = []
    if wave.ndim == 2:
        wave, channels = wave.mean(1), wave.shape[1]
    if channels > 1:
        notes.append(f"the prompt's {channels} channels were mixed down to one")
    if not np.isfinite(wave).all():
        raise InputError("prompt: has numbers that are not finite; export the sound again")
    seconds = len(wave) / rate
    if seconds < shortest:
        raise InputError(
            f"prompt: {seconds:.2f} s long, wanted {shortest:g} to {PROMPT_SECONDS:g} s of one voice; record more"
        )
    if seconds > PROMPT_SECONDS:
        wave = wave[: int(PROMPT_SECONDS * rate)]
        notes.append(f"the prompt is longer than {PROMPT_SECONDS:g} s: only its first {PROMPT_SECONDS:g} s are used")
    if np.abs(wave).max() < QUIETEST:
        raise InputError("prompt: it is silent; record it again, closer to the microphone")
    if (np.abs(wave) >= CLIPPED).mean() > CLIPS:
        notes.append("the prompt is clipped: its voice may sound harsh; record it with less gain")
    if rate < PROMPT_RATE:
        notes.append(f"the prompt has {rate} Hz, so nothing above {rate // 2} Hz: its voice may sound muffled")
    return wave.astype(np.float32), tuple(notes)


def fitted(tokens: Whole, frames: int) -> Whole:
    """The flow's prompt tokens, no more than its mel has pairs of frames."""
    return tokens[:, : frames // 2]
