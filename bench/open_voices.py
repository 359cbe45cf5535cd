"""Voices of others beside the packages that they are usually run by: the same files, threads and texts.

    recipes/open_voices.sh runs/open            fetches the files, and makes an environment with both packages
    runs/open/venv/bin/python bench/open_voices.py [--folder runs/open] [--rounds 5] [--json FILE]

Taken in turns, one thread: seconds for a second of sound, and until the first sound of a text of two sentences.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _measure import Report, parser

# ruff: isort: split
import numpy as np
import onnxruntime
from numpy.typing import NDArray

import portavoz
from portavoz.errors import PortavozError

TEXT = "The old clock in the hall struck twelve, and nobody heard it. She asked whether the train had already left."
SPEAKER = "af_heart"
Speak = Callable[[], Iterator[NDArray[Any]]]


def session(path: Path) -> Any:
    """ONNX Runtime with one thread and its own settings otherwise."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def ours(place: Path, **how: Any) -> tuple[Speak, int]:
    """portavoz, sentence by sentence."""
    voice = portavoz.load(place)
    return lambda: (piece.samples for piece in voice.stream(TEXT, **how)), voice.rate


def piper(folder: Path) -> dict[str, tuple[Speak, int]]:
    """A Piper voice here, and by the package piper-tts."""
    graph = folder / "piper" / "en_US-joe-medium.onnx"
    cases = {"portavoz": ours(graph)}
    from piper import PiperVoice  # pyright: ignore[reportMissingImports] (the recipe's environment has it)

    other: Any = PiperVoice.load(graph)
    other.session = session(graph)
    cases["package"] = (lambda: (chunk.audio_float_array for chunk in other.synthesize(TEXT)), cases["portavoz"][1])
    return cases


def kokoro(folder: Path) -> dict[str, tuple[Speak, int]]:
    """A Kokoro model here, and by the package kokoro-onnx."""
    place = folder / "kokoro"
    cases = {"portavoz": ours(place, speaker=SPEAKER)}
    from kokoro_onnx import Kokoro  # pyright: ignore[reportMissingImports] (the recipe's environment has it)

    plain = session(place / "kokoro.onnx")
    style = np.fromfile(place / "voices" / f"{SPEAKER}.bin", np.float32).reshape(-1, 1, 256)
    archive = folder / "voices.npz"
    np.savez(archive, af_heart=style)
    other: Any = Kokoro.from_session(plain, str(archive))
    sentences = [part if part.endswith(".") else part + "." for part in TEXT.split(". ")]
    cases["package"] = (
        lambda: (other.create(part, SPEAKER, trim=False)[0] for part in sentences),
        cases["portavoz"][1],
    )
    return cases


def measured(case: tuple[Speak, int]) -> tuple[float, float]:
    """Processor seconds a second of sound, and seconds until the first of it."""
    speak, rate = case
    samples, first = 0, 0.0
    start, cpu = time.perf_counter(), time.process_time()
    for piece in speak():
        first = first or time.perf_counter() - start
        samples += len(piece)
    return (time.process_time() - cpu) / (samples / rate), first


def main() -> None:
    """Command line."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--folder", type=Path, default=Path("runs/open"), help="the recipe's (default: %(default)s)")
    args = options.parse_args()
    report = Report("open_voices", {"rounds": args.rounds, "threads": 1, "text": TEXT})
    for name, prepare in (("piper", piper), ("kokoro", kokoro)):
        try:
            cases = prepare(args.folder)
        except (ImportError, PortavozError) as problem:
            report.absent[name] = f"{problem}; make it with recipes/open_voices.sh"
            continue
        found: dict[str, list[tuple[float, float]]] = {case: [] for case in cases}
        for turn in range(args.rounds + 1):
            for case, how in cases.items():
                made = measured(how)
                if turn:  # the first warms up
                    found[case].append(made)
        for case, rows in found.items():
            report.figures[f"{name}_{case}_cpu_s"] = min(row[0] for row in rows)
            report.figures[f"{name}_{case}_first_s"] = min(row[1] for row in rows)
        for what in ("cpu_s", "first_s"):
            report.ratio(f"{name}_package_{what}", f"{name}_portavoz_{what}")
    report.finish(args.json, digits=5)


if __name__ == "__main__":
    main()
