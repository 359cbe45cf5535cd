"""Four engine voices in the layout of VCTK, and what a voice that learnt them from it sounds like beside them.

    python recipes/voice/four.py make --out corpus-four
    portavoz train recipes/voice/four.yaml --out runs/four
    python recipes/voice/four.py judge --voice runs/four/voice --json runs/four.json

The voices are flite's (Debian's package flite, all under Carnegie Mellon's permissive licence): a woman's and three
men's. No labels are written: the aligner finds the durations, as it would for VCTK.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from sentences import MATRIX, matrix_sentences, plan

import portavoz
from evaluate import wave_of
from portavoz.atomic import atomic
from portavoz.audio.resample import resample
from portavoz.evaluate import asr_wer
from portavoz.evaluate.distance import compare
from portavoz.flow import MelSpec, Wave
from portavoz.train.data.pitch import tracks

SPEAKERS = ("slt", "rms", "awb", "kal16")


def speak(speaker: str, text: str, path: Path) -> Path:
    """One sentence of one engine voice."""
    subprocess.run(["flite", "-voice", speaker, "-t", text, "-o", str(path)], check=True)
    return path


def make(out: Path, count: int) -> None:
    """Write txt/SPEAKER/SPEAKER_NNN.txt and wav48/SPEAKER/SPEAKER_NNN.wav, `count` different sentences of each."""
    lines = plan(count * len(SPEAKERS))
    jobs: list[tuple[str, str, Path]] = []
    for at, line in enumerate(lines):
        speaker = SPEAKERS[at % len(SPEAKERS)]
        name = f"{speaker}_{at // len(SPEAKERS) + 1:03d}"
        for folder in ("txt", "wav48"):
            (out / folder / speaker).mkdir(parents=True, exist_ok=True)
        (out / "txt" / speaker / f"{name}.txt").write_text(f"{line.text}\n", encoding="utf-8")
        jobs.append((speaker, line.text, out / "wav48" / speaker / f"{name}.wav"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: speak(*job), jobs))


def median_pitch(waves: list[Wave]) -> float:
    """Hz, over the voiced frames of all waves."""
    spec = MelSpec()
    found = np.concatenate([tracks(resample(w.samples, w.rate, spec.rate), spec)[:, 0] for w in waves])
    return float(np.exp(np.nanmedian(found)))


def distortion(reference: Wave, wave: Wave) -> float:
    """Mel cepstral distortion in dB."""
    total, frames = compare(reference, wave)["mcd"]
    return total / frames


def judged(voice: portavoz.Voice, count: int) -> dict[str, Any]:
    """Each speaker beside its engine: word errors, pitch, and whose reading of the sentence is the nearest."""
    texts, ear = [f"{text}." for text in matrix_sentences(count)], asr_wer.matrix(MATRIX)
    with tempfile.TemporaryDirectory() as folder:
        engines = {
            s: [wave_of(speak(s, text, Path(folder) / f"{s}-{n}.wav")) for n, text in enumerate(texts)]
            for s in SPEAKERS
        }
    report: dict[str, Any] = {}
    for speaker in SPEAKERS:
        spoken = [voice.speak(text, speaker=speaker) for text in texts]
        waves = [Wave(s.samples, s.rate) for s in spoken]
        errors = [
            [asr_wer.word_errors(text, ear.hear(w.samples, w.rate)) for text, w in zip(texts, kind)]
            for kind in (engines[speaker], waves)
        ]
        nearest = [min(SPEAKERS, key=lambda s, n=n, w=w: distortion(engines[s][n], w)) for n, w in enumerate(waves)]
        report[speaker] = {
            "engine_word_error": asr_wer.rate_of(errors[0]), "voice_word_error": asr_wer.rate_of(errors[1]),
            "engine_pitch": round(median_pitch(engines[speaker]), 1), "voice_pitch": round(median_pitch(waves), 1),
            "mcd": round(float(np.mean([distortion(a, b) for a, b in zip(engines[speaker], waves)])), 2),
            "nearest": {s: nearest.count(s) for s in SPEAKERS},
        }  # fmt: skip
    return report


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("--out", type=Path, default=Path("corpus-four"))
    making.add_argument("--count", type=int, default=240, help="sentences of each voice")
    judging = commands.add_parser("judge")
    judging.add_argument("--voice", required=True)
    judging.add_argument("--count", type=int, default=25, help="matrix sentences")
    judging.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.command == "make":
        make(options.out, options.count)
        return
    report = judged(portavoz.load(options.voice), options.count)
    for speaker, row in report.items():
        print(f"{speaker:<6}", *(f"{k} {v}" for k, v in row.items()), sep="  ")
    if options.json:
        with atomic(options.json, "w") as out:
            json.dump(report, out, indent=1)


if __name__ == "__main__":
    main()
