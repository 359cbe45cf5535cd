"""Draws teacher and voice side by side, for people to look at.

python recipes/voice/pictures.py --corpus corpus-heart --out docs/img/voice.png [--voice FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure

import portavoz
from portavoz.audio.files import read
from portavoz.audio.mel import mel_spectrogram
from portavoz.audio.plot import save
from portavoz.flow import MelSpec
from portavoz.train.data.corpus import index


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Spectrograms of teacher and voice on held-out sentences.")
    parser.add_argument("--corpus", type=Path, default=Path("corpus-heart"), help="what neural.py made")
    parser.add_argument("--voice", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=5)
    options = parser.parse_args()
    voice = portavoz.load(options.voice)
    spec = MelSpec(rate=voice.rate, fft=1200, hop=300, window=1200, mels=80, high=voice.rate / 2)
    held_out = [row for row in index(options.corpus) if row["split"] == "held_out"][: options.count]
    figure = Figure(figsize=(11, 2.3 * len(held_out)), layout="constrained")
    grid = figure.subplots(len(held_out), 2, squeeze=False)
    for axes, row in zip(grid, held_out):
        teacher = read(options.corpus / str(row["wav"]), rate=spec.rate).samples
        spoken = voice.speak(str(row["text"])).samples
        for place, (name, samples) in zip(axes, (("teacher", teacher), ("voice", spoken))):
            seconds = len(samples) / spec.rate
            mel = mel_spectrogram(samples, spec).T
            place.imshow(mel, origin="lower", aspect="auto", vmin=-11, vmax=1, extent=(0, seconds, 0, spec.mels))
            place.set_title(f"{name}: {row['text']}", fontsize=8, loc="left")
            place.tick_params(labelsize=7)
    grid[-1][0].set_xlabel("seconds", fontsize=8)
    grid[-1][0].set_ylabel("mel band", fontsize=8)
    save(figure, options.out)


if __name__ == "__main__":
    main()
