"""A generated corpus: every phoneme is a sound of its own, so a training can be tried anywhere in a minute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...audio.files import write
from ...flow import Wave
from ...text.alphabet import CONSONANTS, START, VOWELS
from .corpus import write_about, write_index

RATE = 22050


def make(folder: str | Path, *, count: int = 24, seed: int = 0) -> Path:
    """Write a corpus folder of `count` utterances (every eighth held out), vowels as chords, consonants as noise."""
    folder = Path(folder)
    (folder / "wavs").mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    lines = []
    for number in range(count):
        symbols = _symbols(draw)
        lengths = [int(draw.integers(4, 12)) if s not in (" ",) else 0 for s in symbols]
        name = f"{number:04d}"
        write(folder / "wavs" / f"{name}.wav", Wave(_sound(symbols, lengths, draw), RATE))
        lines.append({
            "id": name, "text": name, "wav": f"wavs/{name}.wav", "speaker": "toy",
            "split": "train" if number % 8 else "held_out",
            "symbols": symbols, "ends": (np.cumsum(lengths) * 256 / RATE).tolist(),
        })  # fmt: skip
    write_index(folder, lines)
    write_about(folder, rate=RATE, speakers=["toy"], teacher="sums of sines", licence="Apache-2.0")
    return folder


def _symbols(draw: np.random.Generator) -> list[str]:
    out = [START]
    words = int(draw.integers(2, 6))
    for word in range(words):
        for _ in range(int(draw.integers(1, 4))):
            out += [str(draw.choice(CONSONANTS)), f"{draw.choice(VOWELS)}{draw.integers(0, 3)}"]
        out.append("." if word == words - 1 else " ")
    return out


def _sound(symbols: list[str], lengths: list[int], draw: np.random.Generator) -> NDArray[np.float32]:
    parts = [np.zeros(0)]
    for symbol, frames in zip(symbols, lengths):
        time = np.arange(frames * 256) / RATE
        if symbol[:-1] in VOWELS:
            pitch = 120 + 15 * VOWELS.index(symbol[:-1])
            parts.append(0.1 * np.sum([np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12)], axis=0))
        elif symbol in CONSONANTS:
            noise = draw.standard_normal(len(time))
            color = CONSONANTS.index(symbol) / len(CONSONANTS)
            parts.append(0.05 * (noise - color * np.roll(noise, 1)))
        else:
            parts.append(np.zeros(len(time)))
    return np.concatenate(parts).astype(np.float32)
