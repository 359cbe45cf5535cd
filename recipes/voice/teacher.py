"""Builds the bundled voice's corpus with festival's ``voice_cmu_us_slt_arctic_hts`` and its exact labels.

    python recipes/voice/teacher.py --out corpus --count 4500 --workers 2

Can be stopped and started again: finished utterances are kept. ``index.jsonl`` is written anew (atomically)
after every batch, so training can begin with the first few hundred.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from sentences import BASE, Line, bare, matrix_sentences, plan

from portavoz.atomic import atomic
from portavoz.text.alphabet import CONSONANTS, VOWELS

RATE = 22050
SILENCE = 0.1  # seconds kept before the first and after the last phone
BATCH = 50
# One gain for every utterance, so that the teacher's relative loudness stays. Most then peak near 0.5; the few
# whose resonances shoot up are bent softly above KNEE instead of holding all the others down.
GAIN = 1.4
KNEE = 0.8
HUSH = 1e-4  # the level of the teacher's own pauses, for a pause that is too short and gets filled up
VOICE = "voice_cmu_us_slt_arctic_hts"
CORPUS = {
    "rate": RATE,
    "alphabet": 1,
    "speakers": ["slt"],
    "teacher": f"festival {VOICE} (Debian festvox-us-slt-hts)",
    "licence": "voice: EST-2003 and BSD-3-Clause (CMU, Nagoya Institute of Technology); texts: WordNet-3.0",
}

# The phones of festival's "radio" set that are not among the 39: reduced vowels, taps, syllabic consonants.
RADIO = {
    "ax": ("AH0",), "axr": ("ER0",), "ix": ("IH0",), "ux": ("UW0",), "dx": ("T",), "nx": ("N",), "hv": ("HH",),
    "el": ("AH0", "L"), "em": ("AH0", "M"), "en": ("AH0", "N"), "wh": ("W",),
}  # fmt: skip

SCHEME = f"""({VOICE})
(define (pv_one pv_text pv_path)
  (let ((pv_utt (eval (list 'Utterance 'Text pv_text))) (pv_file nil))
    (utt.synth pv_utt)
    (utt.save.wave pv_utt (string-append pv_path ".wav") 'riff)
    (set! pv_file (fopen (string-append pv_path ".lab") "w"))
    (mapcar
      (lambda (pv_seg)
        (format pv_file "%s %f %s %s %s\\n" (item.name pv_seg) (item.feat pv_seg 'end)
          (item.feat pv_seg "R:SylStructure.parent.stress")
          (item.feat pv_seg "R:SylStructure.parent.parent.id")
          (item.feat pv_seg "R:SylStructure.parent.parent.name")))
      (utt.relation.items pv_utt 'Segment))
    (fclose pv_file)))
"""


class Phone(NamedTuple):
    """One line of the teacher's labels: phone, end in seconds, the syllable's stress, the word's number and name."""

    name: str
    end: float
    stress: str
    word: str
    spelt: str


class LabelError(ValueError):
    """The teacher read something else than the text: the utterance is left out."""


@dataclass(slots=True)
class Labels:
    """Symbols and their end times in seconds, growing together."""

    symbols: list[str]
    ends: list[float]

    def add(self, symbol: str, end: float) -> None:
        self.symbols.append(symbol)
        self.ends.append(end)


def symbols_of(phone: Phone) -> tuple[str, ...]:
    """A festival phone in the alphabet's symbols. Raises LabelError for one that has none."""
    if phone.name in RADIO:
        return RADIO[phone.name]
    name = phone.name.upper()
    if name in VOWELS:
        return (name + ("1" if phone.stress == "1" else "0"),)
    if name in CONSONANTS:
        return (name,)
    raise LabelError(f"phone {phone.name!r} of {phone.spelt!r} has no symbol")


def parse_labels(text: str) -> list[Phone]:
    """The teacher's label lines."""
    rows = [row.split() for row in text.splitlines() if row.strip()]
    return [Phone(row[0], float(row[1]), row[2], row[3], row[4]) for row in rows]


def grouped(phones: Sequence[Phone]) -> list[list[Phone]]:
    """Phones by word; a split-off ``'s`` belongs to the word before it; pauses stand in groups of their own."""
    groups: list[list[Phone]] = []
    for phone in phones:
        same = groups and groups[-1][-1].word == phone.word
        possessive = groups and phone.spelt == "'s" and groups[-1][-1].name != "pau"
        if same or possessive:
            groups[-1].append(phone)
        else:
            groups.append([phone])
    return groups


def label(text: str, phones: Sequence[Phone]) -> Labels:
    """Symbols and end times of a text from the teacher's phones. Raises LabelError where words disagree.

    `text` is normalised; a word is followed by its mark or, where there is none, by a blank, and the
    pause found there (often none) is that gap's time.
    """
    words = re.findall(r"([a-z']+)([,.?!]?)", text)
    result, gap, index = Labels(["^"], [0.0]), 0.0, 0
    for group in grouped(phones):
        gap = group[-1].end
        if group[0].name == "pau":
            result.ends[-1] = gap  # "^" at the start, else the gap after the word before
            continue
        if index == len(words) or bare(words[index][0]) != bare(group[0].spelt):
            raise LabelError(f"{text!r} was read with {group[0].spelt!r} as word {index + 1}")
        add_word(result, group)
        result.add(words[index][1] or " ", gap)
        index += 1
    if index != len(words):
        raise LabelError(f"{text!r} was read with {index} words instead of {len(words)}")
    if result.symbols[-1] == " ":
        result.symbols[-1] = "."
    return result


def add_word(result: Labels, group: Iterable[Phone]) -> None:
    """A word's phones; one that stands for two symbols shares its time between them."""
    for phone in group:
        names, start = symbols_of(phone), result.ends[-1]
        for part, name in enumerate(names, 1):
            result.add(name, start + (phone.end - start) * part / len(names))


def cut(samples: NDArray[np.float64], rate: int, labels: Labels) -> tuple[NDArray[np.float64], list[float]]:
    """The wave with exactly `SILENCE` seconds before the first and after the last phone, and the moved ends.

    A longer pause is cut (faded over 5 ms), a shorter one filled up with noise as faint as the teacher's pauses.
    """
    first, last = round(labels.ends[0] * rate), round(labels.ends[-2] * rate)
    keep, ramp = round(SILENCE * rate), round(0.005 * rate)
    start, stop = max(first - keep, 0), min(last + keep, len(samples))
    body = samples[start:stop].copy()
    body[:ramp] *= np.linspace(0, 1, ramp)
    body[-ramp:] *= np.linspace(1, 0, ramp)
    whole = np.random.default_rng(len(samples)).normal(0, HUSH, last - first + 2 * keep)
    offset = start - (first - keep)
    whole[offset : offset + len(body)] = body
    shift = SILENCE - labels.ends[0]
    ends = [SILENCE, *(end + shift for end in labels.ends[1:-1]), labels.ends[-2] + shift + SILENCE]
    return whole, ends


def limited(wave: NDArray[np.float64]) -> NDArray[np.float64]:
    """Samples beyond ±`KNEE` bent softly so that none reaches ±0.99; all others stay as they are."""
    over, room = np.abs(wave) - KNEE, 0.99 - KNEE
    return np.where(over > 0, np.sign(wave) * (KNEE + room * np.tanh(np.maximum(over, 0) / room)), wave)


def finished(text: str, stem: Path, out: Path) -> Labels:
    """Turns the teacher's ``stem.wav`` and ``stem.lab`` into the corpus wave `out` and its labels."""
    labels = label(text, parse_labels(stem.with_suffix(".lab").read_text()))
    read, rate = soundfile.read(stem.with_suffix(".wav"))
    samples = np.asarray(read, dtype=np.float64)
    if np.abs(samples).max() > 0.999:
        raise LabelError(f"{text!r} was clipped by the teacher")
    samples, ends = cut(samples, rate, labels)
    wave = limited(soxr.resample(samples, rate, RATE, quality="VHQ") * GAIN)
    out.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(out, wave, RATE, subtype="PCM_16")
    ends[-1] = len(wave) / RATE
    return Labels(labels.symbols, [round(end, 5) for end in ends])


def synthesise(texts: dict[str, str], folder: Path) -> None:
    """One festival process for all `texts` (by name); writes ``name.wav`` and ``name.lab`` into `folder`."""
    calls = "\n".join(f'(pv_one "{text}" "{folder / name}")' for name, text in texts.items())
    script = folder / "batch.scm"
    script.write_text(SCHEME + calls + "\n")
    subprocess.run(["festival", "-b", str(script)], check=False, capture_output=True, timeout=1800)


def batch(lines: Sequence[tuple[str, str]], out: Path) -> tuple[dict[str, Labels], list[str]]:
    """Makes the waves ``out/ID.wav`` of (id, text) lines; returns their labels and what was left out, and why."""
    done: dict[str, Labels] = {}
    refused: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        waiting = dict(lines)
        while waiting:
            synthesise(waiting, folder)
            made = [key for key in waiting if (folder / f"{key}.lab").exists()]
            for key in made:
                try:
                    done[key] = finished(waiting.pop(key), folder / key, out / f"{key}.wav")
                except LabelError as error:
                    refused.append(f"{key}: {error}")
            if waiting:  # festival stopped at the first text that is still waiting: leave that one out, and go on
                key = next(iter(waiting))
                refused.append(f"{key}: festival could not speak {waiting.pop(key)!r}")
    return done, refused


def entry(line: Line, labels: Labels) -> dict[str, object]:
    """A line of index.jsonl."""
    return {
        **{"id": line.id, "text": line.text, "wav": f"wavs/{line.id}.wav", "speaker": "slt", "split": line.split},
        **{"symbols": labels.symbols, "ends": labels.ends},
    }


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one step, so that a reader never sees half of it."""
    with atomic(path, "w") as file:
        file.write(text)


def read_index(out: Path) -> dict[str, dict[str, object]]:
    """Finished entries by id (empty when there is no index yet)."""
    path = out / "index.jsonl"
    rows = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return {str(row["id"]): row for row in rows}


def build(out: Path, count: int, workers: int) -> None:
    """Makes what is still missing of the first `count` utterances of the plan, and writes the index as it grows."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "corpus.json", json.dumps(CORPUS, indent=1) + "\n")
    lines = {line.id: line for line in plan(count)}
    index = {key: row for key, row in read_index(out).items() if key in lines and lines[key].text == row["text"]}
    missing = [(line.id, line.text) for line in lines.values() if line.id not in index]
    began, refused = time.monotonic(), []
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(batch, missing[i : i + BATCH], out / "wavs") for i in range(0, len(missing), BATCH)]
        for job in as_completed(jobs):
            done, left_out = job.result()
            refused += left_out
            index |= {key: entry(lines[key], labels) for key, labels in done.items()}
            rows = [json.dumps(index[key]) for key in lines if key in index]
            write_text(out / "index.jsonl", "\n".join(rows) + "\n")
            print(
                f"{len(index)}/{count} utterances, {len(refused)} left out, {time.monotonic() - began:.0f} s",
                flush=True,
            )
    print(*refused, sep="\n", file=sys.stderr)


def matrix(out: Path, count: int = 100) -> list[tuple[str, Path]]:
    """The teacher's readings of the matrix sentences, made once and kept in ``out/matrix``."""
    texts = {f"{i:03d}": text for i, text in enumerate(matrix_sentences(count), 1)}
    folder = out / "matrix"
    missing = [(key, f"{text}.") for key, text in texts.items() if not (folder / f"{key}.wav").exists()]
    _, refused = batch(missing, folder) if missing else ({}, [])
    if refused:
        raise LabelError("; ".join(refused))
    return [(text, folder / f"{key}.wav") for key, text in texts.items()]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("corpus"))
    parser.add_argument("--count", type=int, default=BASE, help="utterances in all")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    build(options.out, options.count, options.workers)


if __name__ == "__main__":
    main()
