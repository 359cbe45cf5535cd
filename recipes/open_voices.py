"""Sentences as the programs say them that usually run a voice: a corpus beside which `portavoz evaluate` sets its own.

    python recipes/open_voices.py piper|kokoro FOLDER --sentences FILE [--count 20]

FOLDER is that of `recipes/open_voices.sh`; the corpus is FOLDER/reference-NAME, in LJSpeech's layout.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

Say = Callable[[str], tuple[Any, int]]


def piper(folder: Path) -> Say:
    """By piper-tts, with espeak-ng's phonemes."""
    from piper import PiperVoice  # pyright: ignore[reportMissingImports] (the recipe's environment has it)
    from piper.config import SynthesisConfig  # pyright: ignore[reportMissingImports]

    voice: Any = PiperVoice.load(folder / "piper" / "en_US-joe-medium.onnx")
    plain: Any = SynthesisConfig(normalize_audio=False)

    def say(text: str) -> tuple[Any, int]:
        return np.concatenate([c.audio_float_array for c in voice.synthesize(text, plain)]), voice.config.sample_rate

    return say


def kokoro(folder: Path) -> Say:
    """By kokoro-onnx, with espeak-ng's phonemes."""
    from kokoro_onnx import Kokoro  # pyright: ignore[reportMissingImports] (the recipe's environment has it)

    style = np.fromfile(folder / "kokoro" / "voices" / "af_heart.bin", np.float32).reshape(-1, 1, 256)
    np.savez(folder / "voices.npz", af_heart=style)
    model: Any = Kokoro(str(folder / "kokoro" / "kokoro.onnx"), str(folder / "voices.npz"))
    return lambda text: model.create(text, "af_heart")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=("piper", "kokoro"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sentences", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20)
    options = parser.parse_args()
    say = {"piper": piper, "kokoro": kokoro}[options.name](options.folder)
    out = options.folder / f"reference-{options.name}"
    (out / "wavs").mkdir(parents=True, exist_ok=True)
    lines = [line.strip() for line in options.sentences.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = []
    for number, text in enumerate(lines[: options.count], 1):
        sound, rate = say(text)
        soundfile.write(out / "wavs" / f"{number:03}.wav", np.clip(sound, -1, 1), rate, subtype="PCM_16")
        rows.append(f"{number:03}|{text}|{text}\n")
    (out / "metadata.csv").write_text("".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
