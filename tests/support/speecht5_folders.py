"""What a SpeechT5 folder should say, and ways to spoil one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest

import portavoz
from portavoz.audio.limit import soft_limit
from portavoz.errors import PortavozError
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.families.speecht5.validation import StoppingCriteria
from portavoz.voice import Voice
from portavoz.weights import file

TEXTS = ["Hello there.", "Dr. Smith paid $3.50!", "I don’t know “why”."]

SPEAKER = checkpoints.voice()


def expected(voice: Voice, reference: Reference, text: str, *, seed: int = 0, speaker: Any = SPEAKER) -> np.ndarray:
    """What the reference says for a text that is one piece, with the masks of a seed."""
    model: Any = voice.model
    manner = portavoz.families.synthesis.SynthesisOptions(speaker=speaker)
    (chunk,) = model.split_text(text, manner)
    ids = np.array(model.tokenizer.ids("".join(chunk.symbols)))
    masks = model.model.masks(seed, model.model.c.max_speech_positions)
    return reference.generate(ids, np.asarray(speaker), masks=masks, stop=StoppingCriteria()).wave


def close(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Equal as float32 goes, behind the limiter that every voice has."""
    theirs = soft_limit(theirs)
    return ours.shape == theirs.shape and bool(np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs))


def spoken(reference: tuple[Path, Reference]) -> np.ndarray:
    return expected(portavoz.load(reference[0]), reference[1], TEXTS[0])


def refused(kind: type[PortavozError], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as problem:
        call()
    message = str(problem.value)
    assert "\n" not in message and message.count(". ") == 0
    return message


def edited(path: Path, **changes: object) -> None:
    about = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({k: v for k, v in about.items() if v != "gone"}), encoding="utf-8")


def rewritten(place: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    tensors, metadata = file.read(place / "model.safetensors")
    change(tensors)
    file.write(place / "model.safetensors", tensors, metadata)
