"""Further speakers for the corpus: a Kokoro style's prosody and envelopes on the first teacher's spectra.

    python recipes/voice/speakers.py kokoro/ --style af_bella --name bella --out corpus-heart
    python recipes/voice/speakers.py kokoro/ --style am_eric --name eric --pitch 1 --skip 1500
    python recipes/voice/speakers.py kokoro/ --style am_michael --name michael --share 0.25 --pitch 3 --skip 1500

Only `heart` has a teacher that gives the five spectra of a source–filter head. But the two models read the same
phonemes in the same steps of 25 ms, so a style's durations, F0 and loudness can be told to heart's second half, and
its sound lies frame by frame beside the style's own. What is left between the two is timbre: the mean difference of
their log envelopes for every phoneme, voiced and unvoiced apart, smooth along frequency and time, is added to the
spectra. Ninety seconds of the style's sound are enough for the means (Kokoro takes 0.7 processor seconds a second).
The folder holds kokoro.onnx and voices/ (../open_voices.sh fetches them). Needs hibari-tts, onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from halves import Spectra
from neural import HOP, MOST, RATE, Floats, Lesson, Teacher, build, chunks, voiced
from numpy.typing import NDArray

from portavoz.families.kokoro.config import NUMBERS
from portavoz.families.kokoro.phonemes import phonemes
from portavoz.text.chunks import TextChunk

BINS, FFT = 601, 1200
OUTPUTS = ("/encoder/Gather_output_0", "/encoder/F0_proj/Conv_output_0", "/encoder/N_proj/Conv_output_0")
LOUDER = 5  # Kokoro's loudness in units of the teacher's
HEARD = 90.0  # seconds of the style's own sound, for its envelopes
KNOWN = 20  # frames that a phoneme's mean is pulled towards the mean of all
BINS_SMOOTH, FRAMES_SMOOTH = 25, 9
PULSE = 150.0  # Hz, in place of F0 where there is none


class Style:
    """A Kokoro style: its phonemes, prosody (a cut graph, which is fast), and its sound (the whole graph)."""

    def __init__(self, folder: Path, name: str) -> None:
        import onnxruntime
        from onnx.utils import extract_model

        whole = folder / "kokoro.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # Not beside the whole one: a folder with two models is no voice.
        with TemporaryDirectory() as place:
            cut = str(Path(place) / "prosody.onnx")
            extract_model(str(whole), cut, ["tokens", "style", "speed"], list(OUTPUTS), check_model=False)
            self.prosody: Any = onnxruntime.InferenceSession(cut, options)
        self.sound: Any = onnxruntime.InferenceSession(str(whole), options)
        self.table = np.fromfile(folder / "voices" / f"{name}.bin", np.float32).reshape(-1, 1, 256)

    def read(self, chunk: TextChunk) -> list[int]:
        """The chunk's phonemes as the graph's ids."""
        return [0, *(NUMBERS[one] for text, _ in phonemes(chunk) for one in text), 0]

    def run(self, session: Any, ids: list[int]) -> list[NDArray[Any]]:
        """What a graph makes of ids in this style."""
        style = self.table[len(ids) - 2]
        given = {"tokens": np.array([ids], np.int64), "style": style, "speed": np.ones(1, np.float32)}
        return [made.ravel() for made in session.run(None, given)]


class Styled(Teacher):
    """A teacher that speaks in a style: heart's spectra of the style's prosody, moved by the style's envelopes."""

    def __init__(self, style: Style, share: float, pitch: float = 0.0) -> None:
        super().__init__()
        self.style, self.share, self.spectra = style, share, Spectra()
        self.pitch = np.float32(2 ** (pitch / 12))
        self.means: dict[tuple[str, bool], Floats] = {}

    def spoken(self, chunk: TextChunk) -> tuple[list[int], NDArray[np.int64], Floats, Floats]:
        """Symbol and steps of every phoneme, curves [frames, 2], spectra [frames, 5 · bins] as they were."""
        ids, owner = self.read(chunk)
        steps, f0, loudness = self.style.run(self.style.prosody, self.style.read(chunk))
        curves = np.stack([voiced(f0) * self.pitch, loudness / LOUDER], -1).astype(np.float32)
        ticks = steps.astype(np.int64)
        return owner, ticks, curves, self.spectra.filters(ids, ticks, *curves.T)

    def keys(self, chunk: TextChunk, owner: list[int], ticks: NDArray[np.int64], f0: Floats) -> list[tuple[str, bool]]:
        """Phoneme without its stress, and voicing, of every frame."""
        symbols = np.repeat(np.asarray(owner), 2 * ticks)
        return [(chunk.symbols[s].rstrip("012"), bool(hz > 0)) for s, hz in zip(symbols, f0)]

    def listen(self, texts: Iterable[TextChunk]) -> None:
        """Take the style's mean envelopes, beside those of heart's spectra with the same prosody."""
        sums: dict[tuple[str, bool], list[Any]] = defaultdict(lambda: [0.0, 0])
        seconds = 0.0
        for chunk in texts:
            owner, ticks, curves, filters = self.spoken(chunk)
            f0, own = curves[:, 0], self.style.run(self.style.sound, self.style.read(chunk))[0]
            moved = envelope(own, f0 / self.pitch) - envelope(self.wave(filters, f0), f0)
            for key, row in zip(self.keys(chunk, owner, ticks, f0), moved):
                for name in (key, ("", key[1])):
                    sums[name] = [sums[name][0] + row, sums[name][1] + 1]
            seconds += len(f0) * HOP / RATE
            if seconds >= HEARD:
                break
        for key, (total, count) in sums.items():
            every, frames = sums["", key[1]]
            self.means[key] = smooth((total + KNOWN * every / frames) / (count + KNOWN), BINS_SMOOTH)

    def __call__(self, chunk: TextChunk) -> Lesson | None:
        """The chunk, spoken; None where it is too long."""
        if len(self.read(chunk)[0]) > MOST:
            return None
        owner, ticks, curves, filters = self.spoken(chunk)
        keys = self.keys(chunk, owner, ticks, curves[:, 0])
        moved = np.stack([self.means.get(key, self.means["", key[1]]) for key in keys])
        moved = self.share * np.apply_along_axis(smooth, 0, moved, FRAMES_SMOOTH)
        h, theta, n, r, phi = np.split(filters, 5, axis=1)
        return self.lesson(
            chunk, owner, ticks, np.concatenate([h + moved, theta, n + moved, r + moved, phi], 1), curves
        )


def smooth(row: Floats, width: int) -> Floats:
    """Running mean of an odd width; the ends go on."""
    return np.convolve(np.pad(row, width // 2, mode="edge"), np.ones(width) / width, "valid")


def envelope(wave: Floats, f0: Floats) -> Floats:
    """Log envelope [frames, bins]: power smoothed over 1.5 F0, as in CheapTrick (Morise 2015), then over 5 bins."""
    window, padded = np.hanning(FFT + 1)[:-1], np.pad(wave, ((FFT - HOP) // 2, FFT))
    frames = np.stack([padded[HOP * i : HOP * i + FFT] for i in range(len(f0))])
    power = np.abs(np.fft.rfft(window * frames)) ** 2 + 1e-9
    half = np.maximum(4, np.round(0.75 * np.where(f0 > 0, f0, PULSE) * FFT / RATE)).astype(int)
    margin = int(half.max()) + 1
    total = np.cumsum(np.pad(power, ((0, 0), (margin, margin)), mode="edge"), 1)
    at = np.arange(BINS) + margin
    mean = np.stack([(row[at + h] - row[at - h - 1]) / (2 * h + 1) for row, h in zip(total, half)])
    return np.apply_along_axis(smooth, 1, 0.5 * np.log(mean), 5)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kokoro", type=Path)
    parser.add_argument("--style", required=True)
    parser.add_argument("--name", required=True, help="what the speaker is called here")
    parser.add_argument("--share", type=float, default=1.0, help="how much of the envelopes' difference is added")
    parser.add_argument("--pitch", type=float, default=0.0, help="semitones that the style's F0 is moved by")
    parser.add_argument("--hours", type=float, default=1.2)
    parser.add_argument("--count", type=int, default=20_000, help="texts of the plan")
    parser.add_argument("--skip", type=int, default=0, help="texts of the plan that are left to other speakers")
    parser.add_argument("--out", type=Path, default=Path("corpus-heart"))
    options = parser.parse_args()
    teacher = Styled(Style(options.kokoro, options.style), options.share, options.pitch)
    later = islice(chunks(options.count), options.skip + 5000, None)
    teacher.listen(chunk for _, _, split, chunk in later if split == "train")
    build(options.out, teacher, options.hours, options.count, speaker=options.name, skip=options.skip)


if __name__ == "__main__":
    main()
