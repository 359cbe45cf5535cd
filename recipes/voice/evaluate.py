"""Judges a voice beside its teacher: word errors on sentences neither has learnt from, and signal checks.

    python recipes/voice/evaluate.py --corpus corpus --json report.json       the bundled voice as the corpus' speaker
    python recipes/voice/evaluate.py --corpus corpus-two --speaker rms --voice FOLDER --count 100 --modes matrix
    python recipes/voice/evaluate.py --command "flite -voice slt -t {text} -o {wav}"

What counts is the paired difference to the teacher: the judge's own rates say little about a voice.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from sentences import MATRIX, known_words, wordnet_examples
from teacher import FIRST, matrix, read_index, write_text

import portavoz
from portavoz.audio.measures import Measures, measure
from portavoz.evaluate import asr_wer
from portavoz.evaluate.asr_wer import WordErrors, compare, word_errors, words_of
from portavoz.flow import Wave

Speak = Callable[[str], tuple[NDArray[np.float32], int]]
MODES = ("matrix", "trigram", "free")
# What a voice may do: word errors on the closed grammar, and beyond the teacher's otherwise.
MATRIX_RATE, BEYOND_TEACHER = 0.03, 0.05
DC, SILENCE_SECONDS, CLICK_RATIO, SPREAD_RATIO = 0.01, 0.3, 1.5, 1.1


@dataclass(frozen=True, slots=True)
class Item:
    """A sentence under test and the teacher's reading of it."""

    text: str
    wav: Path
    kind: str  # "matrix" or "held_out"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a voice made of a sentence, and how many seconds it took."""

    wave: Wave
    seconds: float


def items_of(corpus: Path, count: int, speaker: str = FIRST) -> list[Item]:
    """The matrix sentences and the first `count` held-out ones, with the waves of the speaker's teacher."""
    rows = (row for row in read_index(corpus).values() if row["speaker"] == speaker)
    held_out = [row for row in rows if row["split"] == "held_out"][:count]
    return [Item(f"{text}.", wav, "matrix") for text, wav in matrix(corpus, speaker=speaker)] + [
        Item(str(row["text"]), corpus / str(row["wav"]), "held_out") for row in held_out
    ]


def wave_of(path: Path) -> Wave:
    """A mono sound file."""
    samples, rate = soundfile.read(path, dtype="float32")
    return Wave(np.asarray(samples, dtype=np.float32), rate)


def readings(speak: Speak, texts: Sequence[str]) -> list[Reading]:
    """All texts spoken, one after the other, each timed."""
    result = []
    for text in texts:
        began = time.perf_counter()
        samples, rate = speak(text)
        result.append(Reading(Wave(np.asarray(samples, dtype=np.float32), rate), time.perf_counter() - began))
    return result


def judge_for(mode: str, items: Sequence[Item]) -> asr_wer.Judge:
    """The judge of a mode; the domain's language model has not seen the sentences under test."""
    if mode == "matrix":
        return asr_wer.matrix(MATRIX)
    if mode == "free":
        return asr_wer.free()
    tested = {" ".join(words_of(item.text)) for item in items}
    examples = [e for e in wordnet_examples(known_words()) if " ".join(words_of(e)) not in tested]
    return asr_wer.trigram(examples, words={word for text in tested for word in text.split()})


def teacher_heard(mode: str, items: Sequence[Item], ear: asr_wer.Judge, kept: Path) -> list[str]:
    """What the judge hears of the teacher; kept in a file, since it never changes for a corpus and a judge."""
    heard: dict[str, str] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    # The trigram's words are those under test, so what it hears depends on how many there are.
    prefix = f"{judge_name()}/{mode}/{len(items) if mode == 'trigram' else ''}/"
    for item in items:
        if prefix + item.text not in heard:
            wave = wave_of(item.wav)
            heard[prefix + item.text] = ear.hear(wave.samples, wave.rate)
    write_text(kept, json.dumps(heard, indent=0) + "\n")
    return [heard[prefix + item.text] for item in items]


def judge_name() -> str:
    """The recogniser with its version: rates of different versions must not be compared."""
    return f"pocketsphinx {importlib.metadata.version('pocketsphinx')}"


def judged(mode: str, items: Sequence[Item], spoken: Sequence[Reading], kept: Path) -> dict[str, Any]:
    """One mode's rates, paired difference, and every sentence that was not heard as it was said."""
    ear = judge_for(mode, items)
    first = teacher_heard(mode, items, ear, kept)
    second = [ear.hear(reading.wave.samples, reading.wave.rate) for reading in spoken]
    of_teacher = [word_errors(item.text, heard) for item, heard in zip(items, first)]
    of_voice = [word_errors(item.text, heard) for item, heard in zip(items, second)]
    result = compare(of_teacher, of_voice)
    ok = result.second <= MATRIX_RATE if mode == "matrix" else result.difference <= BEYOND_TEACHER
    return {
        "sentences": len(items),
        "words": sum(e.words for e in of_voice),
        **{"teacher": result.first, "voice": result.second},
        **{"difference": result.difference, "low": result.low, "high": result.high, "ok": bool(ok)},
        "voice_errors": kinds(of_voice),
        "misheard": [
            {"text": item.text, "teacher": a, "voice": b}
            for item, a, b, errors in zip(items, first, second, of_voice)
            if errors.total
        ],
    }


def kinds(errors: Sequence[WordErrors]) -> dict[str, int]:
    """Errors by kind, all sentences together."""
    return {name: sum(getattr(e, name) for e in errors) for name in ("substitutions", "insertions", "deletions")}


def signal_checks(teacher: Sequence[Measures], voice: Sequence[Measures]) -> dict[str, dict[str, Any]]:
    """Figures of the waves beside the teacher's, each with the most that is allowed."""

    def check(name: str, figure: Callable[[Sequence[Measures]], float], allowed: float) -> tuple[str, dict[str, Any]]:
        value = figure(voice)
        return name, {"teacher": figure(teacher), "voice": value, "allowed": allowed, "ok": bool(value <= allowed)}

    def spread(waves: Sequence[Measures]) -> float:
        return float(np.std([m.loudness for m in waves]))

    def click(waves: Sequence[Measures]) -> float:
        return max(m.click.ratio for m in waves)

    return dict(
        [
            check("sharpest click", click, CLICK_RATIO * click(teacher)),
            check("largest |DC|", lambda waves: max(abs(m.dc) for m in waves), DC),
            check("clipped samples", lambda waves: float(sum(m.clipped for m in waves)), 0.0),
            check("longest leading silence, s", lambda waves: max(m.silence.leading for m in waves), SILENCE_SECONDS),
            check("longest trailing silence, s", lambda waves: max(m.silence.trailing for m in waves), SILENCE_SECONDS),
            check("loudness spread, dB", spread, SPREAD_RATIO * spread(teacher)),
        ]
    )


def evaluate(
    speak: Speak, corpus: Path, *, count: int = 200, modes: Sequence[str] = MODES, speaker: str = FIRST
) -> dict[str, Any]:
    """Everything about one voice as plain values for JSON. `speak` makes samples −1 … 1 and a rate in Hz of a text."""
    items = items_of(corpus, count, speaker)
    kept = corpus / ("teacher_heard.json" if speaker == FIRST else f"teacher_heard_{speaker}.json")
    spoken = readings(speak, [item.text for item in items])
    own = [measure(reading.wave) for reading in spoken]
    teachers = [measure(wave_of(item.wav)) for item in items]
    seconds = sum(m.seconds for m in own)
    report: dict[str, Any] = {
        **{"voice": speaker, "judge": judge_name(), "modes": {}},
        "signals": signal_checks(teachers, own),
        "duration_ratio": seconds / sum(m.seconds for m in teachers),
        "real_time_factor": sum(reading.seconds for reading in spoken) / seconds,
    }
    for mode in modes:
        chosen = [i for i, item in enumerate(items) if (item.kind == "matrix") == (mode == "matrix")]
        if chosen:
            report["modes"][mode] = judged(mode, [items[i] for i in chosen], [spoken[i] for i in chosen], kept)
    return report


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{report['voice']}, judged by {report['judge']}",
        "mode     sentences  teacher   voice   difference (95 %)",
    ]
    for mode, r in report["modes"].items():
        interval = f"{r['difference']:+7.1%} ({r['low']:+.1%} … {r['high']:+.1%})"
        line = f"{mode:<8} {r['sentences']:>9} {r['teacher']:>8.1%} {r['voice']:>7.1%}  {interval}"
        lines.append(line + ("" if r["ok"] else "  too much"))
    lines.append("signal                        teacher    voice  allowed")
    for name, r in report["signals"].items():
        mark = "" if r["ok"] else "  too much"
        lines.append(f"{name:<28} {r['teacher']:>8.3g} {r['voice']:>8.3g} {r['allowed']:>8.3g}{mark}")
    lines.append(
        f"lasts {report['duration_ratio']:.3f} of the teacher; real-time factor {report['real_time_factor']:.4f}"
    )
    return "\n".join(lines)


def of_voice(name: str | None, speaker: str) -> Speak:
    """How a speaker of the bundled voice, or of the one in a folder, speaks."""
    voice = portavoz.load(name)

    def speak(text: str) -> tuple[NDArray[np.float32], int]:
        speech = voice.speak(text, speaker=speaker)
        return speech.samples, speech.rate

    speak("Ready.")  # the first sentence also pays for loading
    return speak


def of_command(template: str) -> Speak:
    """How any program speaks: its command line with {text} and {wav} in it."""

    def speak(text: str) -> tuple[NDArray[np.float32], int]:
        with tempfile.TemporaryDirectory() as folder:
            wav = Path(folder) / "speech.wav"
            subprocess.run([part.format(text=text, wav=wav) for part in shlex.split(template)], check=True)
            wave = wave_of(wav)
        return wave.samples, wave.rate

    return speak


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--voice", help="a voice's folder or name; the bundled one when left out")
    parser.add_argument("--speaker", help="of the voice and of the corpus; the corpus' first when left out")
    parser.add_argument("--command", help="any other engine: a command line with {text} and {wav}")
    parser.add_argument("--count", type=int, default=200, help="held-out sentences")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--json", type=Path, help="where to write the whole report")
    options = parser.parse_args()
    speaker = options.speaker or json.loads((options.corpus / "corpus.json").read_text())["speakers"][0]
    speak = of_command(options.command) if options.command else of_voice(options.voice, speaker)
    report = evaluate(speak, options.corpus, count=options.count, modes=options.modes, speaker=speaker)
    report["voice"] = options.command or f"{options.voice or 'bundled voice'}, {speaker}"
    print(table(report))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
