"""What does a smaller voice cost? Size, speed, word errors and mel distance of every kind, beside float32.

    python bench/compress.py [--halves ACOUSTIC VOCODER] [--also NAME=FOLDER …] [--json FILE]

All voices say the same sentences. The mel distance is that of the sounds, with float32's durations given to all, so
that frames stand for the same thing; how far their own durations are from float32's stands beside it. Words are heard
by pocketsphinx: 100 sentences of a closed grammar, and held-out ones of a corpus with its general language model.
`--halves` begins with a training's float32 results; without them float32 is the voice's float16 widened. `--also` adds
voices that were made otherwise, such as a distilled one. scripts/compress_page.py writes the table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from _matrix import MATRIX, matrix_sentences
from _measure import Report, Took, interleaved, parser, table, timed

# ruff: isort: split
import numpy as np
from numpy.typing import NDArray

import portavoz
from portavoz.audio.mel import mel_spectrogram
from portavoz.evaluate import asr_wer
from portavoz.evaluate.asr_wer import WordErrors, compare, rate_of
from portavoz.evaluate.sentences import of_corpus, of_text
from portavoz.families.compact.loop import STAGES
from portavoz.flow import MelSpec
from portavoz.folder import describe, find
from portavoz.train.voice.bundle import bundle
from portavoz.train.voice.compress import KINDS, compress
from portavoz.voice import Voice
from portavoz.weights import file

DB = 20 / np.log(10)  # of a natural logarithm of a magnitude
Durations = dict[tuple[str, ...], NDArray[np.int64]]


def main() -> None:
    """Command line."""
    made = parser(__doc__, rounds=5)
    made.add_argument("--voice", default="heart", help="what is compressed (default: %(default)s)")
    made.add_argument("--halves", nargs=2, metavar="FILE", help="the voice's halves in float32")
    made.add_argument("--also", nargs="*", default=[], metavar="NAME=FOLDER", help="other voices beside them")
    made.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS), help="beside float32 (all)")
    made.add_argument("--prune", nargs="*", type=float, default=[0.1, 0.3, 0.5], metavar="F", help="fractions")
    made.add_argument("--corpus", type=Path, default=Path("corpus"), help="whose held-out sentences are said")
    made.add_argument("--count", type=int, default=200, help="of them; 0 leaves the judge out")
    options = made.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        voices = {name: portavoz.load(path) for name, path in made_voices(options, Path(folder)).items()}
        report = Report("compress", {"voice": options.voice, "count": options.count, "rounds": options.rounds})
        for name, voice in voices.items():
            for key, value in sizes(voice.folder).items():
                report.figures[f"{name}_{key}"] = value
        texts = [s.text for s in of_text(None, 24)]
        distances(voices, texts, report)
        speed(voices, texts[:8], options.rounds, report)
        if options.count:
            words(voices, options, report)
    show(report, list(voices))
    report.write(options.json)


def made_voices(options: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """float32 first, then everything made of it, by name."""
    out = {"float32": folder / "float32"}
    if options.halves:
        card = describe(find(options.voice))
        speakers = json.loads(file.read(options.halves[0])[1]["speakers"])  # in the training's order, not the voice's
        bundle(options.halves, out["float32"], name=card["name"], speakers=speakers, card={}, half=False)
    else:
        compress(options.voice, out["float32"], "float32")
    for kind in options.kinds:
        for fraction in options.prune if kind == "pruned" else [0.3]:
            name = f"pruned {fraction:.0%}" if kind == "pruned" else kind
            if name not in out:
                out[name] = folder / name.replace(" ", "-").replace("%", "")
                compress(out["float32"], out[name], kind, fraction=fraction)
    return {**out, **{name: Path(path) for name, _, path in (pair.partition("=") for pair in options.also)}}


def sizes(folder: Path) -> dict[str, float]:
    """Megabytes of the graphs that speak, of the weights' file, and of the graphs in a zip archive."""
    files = describe(folder)["files"]
    graphs = [f"{stage}.onnx" for stage in STAGES]
    with tempfile.TemporaryDirectory() as beside:
        packed = Path(beside) / "graphs.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in graphs:
                archive.write(folder / name, name)
        zipped = packed.stat().st_size
    return {
        "graphs_mb": sum(files[name]["bytes"] for name in graphs) / 1e6,
        "weights_mb": files["model.safetensors"]["bytes"] / 1e6, "zipped_mb": zipped / 1e6,
    }  # fmt: skip


def distances(voices: dict[str, Voice], texts: list[str], report: Report) -> None:
    """Mean |difference| of log-mels in dB with float32's durations, and by what share of frames durations differ."""
    given: Durations = {}

    def note(symbols: Any, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        return given.setdefault(tuple(symbols), frames)

    wanted = [mel(voices["float32"], text, note) for text in texts]
    for name, voice in voices.items():
        off: list[float] = []

        def replace(symbols: Any, frames: NDArray[np.int64], off: list[float] = off) -> NDArray[np.int64]:
            known = given[tuple(symbols)]
            off.append(float(np.abs(frames - known).sum() / known.sum()))
            return known

        errors = [np.abs(mel(voice, text, replace) - true).mean() for text, true in zip(texts, wanted)]
        report.figures[f"{name}_mel_db"] = float(np.mean(errors)) * DB
        report.figures[f"{name}_duration_share"] = float(np.mean(off))


def mel(voice: Voice, text: str, durations: Any) -> NDArray[np.float32]:
    """The log-mel [frames, mels] of what a voice makes of a text."""
    speech = voice.speak(text, durations=durations)
    return mel_spectrogram(speech.samples, MelSpec(rate=speech.rate))


def speed(voices: dict[str, Voice], texts: list[str], rounds: int, report: Report) -> None:
    """Seconds, and processor seconds, of work for a second of sound."""

    def case(voice: Voice) -> Took:
        return timed(lambda: [voice.speak(text) for text in texts])

    took = interleaved({name: lambda v=voice: case(v) for name, voice in voices.items()}, rounds)
    for name, voice in voices.items():
        sound = sum(voice.speak(text).duration for text in texts)
        report.figures[f"{name}_rtf"] = took[name].seconds / sound
        report.figures[f"{name}_cpu_rtf"] = took[name].cpu / sound
        report.ratio(f"{name}_rtf", "float32_rtf")


def words(voices: dict[str, Voice], options: argparse.Namespace, report: Report) -> None:
    """Word error rates in two modes, and the difference to float32 with its 95 % interval."""
    free = [s.text for s in of_corpus(options.corpus, options.count)]
    modes = {
        "matrix": (asr_wer.matrix(MATRIX), [f"{text}." for text in matrix_sentences(min(100, options.count))]),
        "free": (asr_wer.free(), free),
    }
    for mode, (ear, texts) in modes.items():
        first: list[WordErrors] = []
        for name, voice in voices.items():
            heard = [ear.errors(text, *sound(voice, text)) for text in texts]
            first = first or heard
            found = compare(first, heard)
            report.figures[f"{name}_{mode}"] = rate_of(heard)
            for key in ("difference", "low", "high"):
                report.figures[f"{name}_{mode}_{key}"] = getattr(found, key)
        report.settings[f"{mode}_words"] = sum(e.words for e in first)


def sound(voice: Voice, text: str) -> tuple[NDArray[np.float32], int]:
    """Samples and rate."""
    speech = voice.speak(text)
    return speech.samples, speech.rate


def show(report: Report, names: list[str]) -> None:
    """Print the table."""
    columns = ["graphs_mb", "zipped_mb", "rtf", "cpu_rtf", "mel_db", "duration_share", "matrix", "free"]
    table("voice", columns, {name: [report.figures.get(f"{name}_{key}") for key in columns] for name in names})


if __name__ == "__main__":
    main()
