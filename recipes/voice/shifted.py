"""A corpus with some of its utterances once more at another pitch, so that a model learns what pitch alone changes.

    pip install pyworld 'setuptools<81'
    python recipes/voice/shifted.py --corpus corpus-tune --out corpus-pitch --count 800

The teachers hardly leave their own pitch, so a model that only heard them takes an utterance's level for a matter of
the speaker, and `--pitch` moves it little. WORLD (Morise et al. 2016) takes a recording apart into pitch, envelope and
noise, and puts it together with the pitch multiplied: the labels, the speaker and the envelope stay as they are.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from rich.progress import track

from portavoz.atomic import atomic
from portavoz.train.data.corpus import index
from portavoz.train.data.pitch import HIGHEST, LOWEST

# Only this script needs it, so nothing installs it.
pyworld: Any = importlib.import_module("pyworld")
WIDEST = 6.0  # semitones up or down
SEED = 20_261_121


def shifted(wave: NDArray[np.float64], rate: int, semitones: float) -> NDArray[np.float64]:
    """A wave [samples] at `rate` Hz with its pitch moved, as long and as loud as before."""
    pitch, times = pyworld.dio(wave, rate, f0_floor=LOWEST, f0_ceil=HIGHEST)
    pitch = pyworld.stonemask(wave, pitch, times, rate)
    envelope = pyworld.cheaptrick(wave, pitch, times, rate)
    noise = pyworld.d4c(wave, pitch, times, rate)
    made = pyworld.synthesize(pitch * 2 ** (semitones / 12), envelope, noise, rate)
    made = np.pad(made, (0, max(0, len(wave) - len(made))))[: len(wave)]
    return made * np.sqrt(np.mean(wave**2) / max(np.mean(made**2), 1e-12))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("corpus-tune"))
    parser.add_argument("--out", type=Path, default=Path("corpus-pitch"))
    parser.add_argument("--count", type=int, default=800, help="utterances that are heard again")
    options = parser.parse_args()
    lines = list(index(options.corpus))
    for line in lines:
        line["wav"] = os.path.relpath(options.corpus / line["wav"], options.out)
    draw = np.random.default_rng(SEED)
    (options.out / "wavs").mkdir(parents=True, exist_ok=True)
    more = []
    for at in track(draw.choice(len(lines), min(options.count, len(lines)), replace=False), "shifted"):
        line, semitones = lines[at], draw.uniform(-WIDEST, WIDEST)
        wave, rate = soundfile.read(options.out / line["wav"])
        wav = f"wavs/{line['id']}-shifted.wav"
        soundfile.write(options.out / wav, np.clip(shifted(np.asarray(wave, np.float64), rate, semitones), -1, 1), rate)
        more.append({**line, "id": f"{line['id']}-shifted", "wav": wav})
    with atomic(options.out / "index.jsonl", "w") as out:
        out.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines + more)
    with atomic(options.out / "corpus.json", "w") as out:
        out.write((options.corpus / "corpus.json").read_text())


if __name__ == "__main__":
    main()
