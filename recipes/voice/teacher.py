"""Builds the bundled voice's corpus: freely licensed engine voices speak, and give exact labels.

    python recipes/voice/teacher.py --out corpus --count 4500 --workers 2
    python recipes/voice/teacher.py --out corpus-two --count 4500 --workers 2 --speakers slt rms

Can be stopped and started again: finished utterances are kept. ``index.jsonl`` is written anew (atomically)
after every batch, so training can begin with the first few hundred.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from labels import LabelError, Labels, cut, label, limited, parse_labels, widened
from numpy.typing import NDArray
from sentences import BASE, Line, matrix_sentences, plan

from portavoz.atomic import atomic

RATE = 22050
BATCH = 50
FESTIVAL = "voice_cmu_us_slt_arctic_hts"
SCHEME = f"""({FESTIVAL})
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
Samples = NDArray[np.float64]


def festival(texts: dict[str, str], folder: Path) -> None:
    """One festival process for all `texts` (by name); writes ``name.wav`` and ``name.lab`` into `folder`."""
    calls = "\n".join(f'(pv_one "{text}" "{folder / name}")' for name, text in texts.items())
    script = folder / "batch.scm"
    script.write_text(SCHEME + calls + "\n")
    subprocess.run(["festival", "-b", str(script)], check=False, capture_output=True, timeout=1800)


def flite_rms(texts: dict[str, str], folder: Path) -> None:
    """One process of flite's `rms` for all `texts`, to the same effect."""
    script = folder / "batch.txt"
    script.write_text("".join(f"{name}\t{text}\n" for name, text in texts.items()), encoding="utf-8")
    program = [sys.executable, str(Path(__file__).with_name("flite.py")), "rms", str(script), str(folder)]
    subprocess.run(program, check=False, capture_output=True, timeout=1800)


def full_band(wave: Samples, rate: int) -> Samples:
    """flite's voices end at 7.6 kHz: the rest, as loud beside it as the first speaker has it."""
    return widened(wave, rate, top=7600, at=-3, slope=2.5)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A teacher: how it speaks, and what makes its waves fit beside the others'.

    One gain for every utterance, so that the teacher's relative loudness stays. Most then peak near 0.5; the few
    whose resonances shoot up are bent softly instead of holding all the others down.
    """

    speak: Callable[[dict[str, str], Path], None]
    gain: float
    about: str
    licence: str
    mend: Callable[[Samples, int], Samples] = lambda wave, rate: wave


SPEAKERS = {
    "slt": Speaker(
        festival,
        1.4,
        f"festival {FESTIVAL} (Debian festvox-us-slt-hts)",
        "EST-2003 and BSD-3-Clause (CMU, Nagoya Institute of Technology)",
    ),
    "rms": Speaker(flite_rms, 1.0, "flite cmu_us_rms (Debian libflite1)", "a permissive one (CMU)", full_band),
}
FIRST = "slt"


def key_of(speaker: str, line: Line) -> str:
    """An utterance's id: that of its line; later speakers' begin with their name."""
    return line.id if speaker == FIRST else f"{speaker}-{line.id}"


def finished(text: str, stem: Path, out: Path, speaker: Speaker) -> Labels:
    """Turns the teacher's ``stem.wav`` and ``stem.lab`` into the corpus wave `out` and its labels."""
    labels = label(text, parse_labels(stem.with_suffix(".lab").read_text()))
    read, rate = soundfile.read(stem.with_suffix(".wav"))
    samples = np.asarray(read, dtype=np.float64)
    if np.abs(samples).max() > 0.999:
        raise LabelError(f"{text!r} was clipped by the teacher")
    samples, ends = cut(samples, rate, labels)
    wave = limited(speaker.mend(soxr.resample(samples, rate, RATE, quality="VHQ"), RATE) * speaker.gain)
    out.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(out, wave, RATE, subtype="PCM_16")
    ends[-1] = len(wave) / RATE
    return Labels(labels.symbols, [round(end, 5) for end in ends])


def batch(lines: Sequence[tuple[str, str]], out: Path, name: str) -> tuple[dict[str, Labels], list[str]]:
    """Makes the waves ``out/ID.wav`` of (id, text) lines; returns their labels and what was left out, and why."""
    done: dict[str, Labels] = {}
    refused: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        waiting = dict(lines)
        while waiting:
            SPEAKERS[name].speak(waiting, folder)
            made = [key for key in waiting if (folder / f"{key}.lab").exists()]
            for key in made:
                try:
                    text = waiting.pop(key)
                    done[key] = finished(text, folder / key, out / f"{key}.wav", SPEAKERS[name])
                except LabelError as error:
                    refused.append(f"{key}: {error}")
            if waiting:  # the teacher stopped at the first text that is still waiting: leave that one out, and go on
                key = next(iter(waiting))
                refused.append(f"{key}: {name} could not speak {waiting.pop(key)!r}")
    return done, refused


def entry(line: Line, labels: Labels, speaker: str) -> dict[str, object]:
    """A line of index.jsonl."""
    key = key_of(speaker, line)
    return {
        **{"id": key, "text": line.text, "wav": f"wavs/{key}.wav", "speaker": speaker, "split": line.split},
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


def about(speakers: Sequence[str]) -> dict[str, object]:
    """What corpus.json says."""
    licences = dict.fromkeys(SPEAKERS[name].licence for name in speakers)
    return {
        **{"rate": RATE, "alphabet": 1, "speakers": list(speakers)},
        "teacher": "; ".join(SPEAKERS[name].about for name in speakers),
        "licence": f"voice: {'; '.join(licences)}; texts: WordNet-3.0",
    }


def build(out: Path, count: int, workers: int, speakers: Sequence[str] = (FIRST,)) -> None:
    """Makes what is missing of the plan's first `count` lines by each speaker, and writes the index as it grows."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "corpus.json", json.dumps(about(speakers), indent=1) + "\n")
    lines = {key_of(name, line): (name, line) for line in plan(count) for name in speakers}
    index = {key: row for key, row in read_index(out).items() if key in lines and lines[key][1].text == row["text"]}
    began, refused = time.monotonic(), []
    with ProcessPoolExecutor(workers) as pool:
        jobs = []
        for name in speakers:
            missing = [(key, line.text) for key, (who, line) in lines.items() if who == name and key not in index]
            parts = [missing[i : i + BATCH] for i in range(0, len(missing), BATCH)]
            jobs += [pool.submit(batch, part, out / "wavs", name) for part in parts]
        for job in as_completed(jobs):
            done, left_out = job.result()
            refused += left_out
            index |= {key: entry(lines[key][1], labels, lines[key][0]) for key, labels in done.items()}
            rows = [json.dumps(index[key]) for key in lines if key in index]
            write_text(out / "index.jsonl", "\n".join(rows) + "\n")
            seconds = time.monotonic() - began
            print(f"{len(index)}/{len(lines)} utterances, {len(refused)} left out, {seconds:.0f} s", flush=True)
    print(*refused, sep="\n", file=sys.stderr)


def matrix(out: Path, count: int = 100, speaker: str = FIRST) -> list[tuple[str, Path]]:
    """A teacher's readings of the matrix sentences, made once and kept in ``out/matrix``."""
    texts = {f"{i:03d}": text for i, text in enumerate(matrix_sentences(count), 1)}
    folder = out / ("matrix" if speaker == FIRST else f"matrix-{speaker}")
    missing = [(key, f"{text}.") for key, text in texts.items() if not (folder / f"{key}.wav").exists()]
    _, refused = batch(missing, folder, speaker) if missing else ({}, [])
    if refused:
        raise LabelError("; ".join(refused))
    return [(text, folder / f"{key}.wav") for key, text in texts.items()]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("corpus"))
    parser.add_argument("--count", type=int, default=BASE, help="utterances of each speaker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--speakers", nargs="+", choices=[*SPEAKERS], default=[FIRST])
    options = parser.parse_args()
    build(options.out, options.count, options.workers, options.speakers)


if __name__ == "__main__":
    main()
