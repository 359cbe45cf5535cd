"""The corpus of the natural voice: a neural teacher speaks the plan's texts, and gives what its frames are made of.

    pip install hibari-tts onnx 'portavoz[train]'        (and the Debian package wordnet-base)
    python recipes/voice/neural.py --out corpus-heart --hours 12

hibari-tts (Apache-2.0) is a student of Kokoro's voice af_heart (Apache-2.0). It reads phonemes that the voice's own
front end wrote, so nothing has to be aligned: durations, F0, loudness and the five spectra are tensors of its graph.
Can be stopped and started again: utterances that are in the index are kept.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray
from texts import plan

from portavoz.families.kokoro.phonemes import phonemes
from portavoz.text.chunks import TextChunk, split_text
from portavoz.train.data.corpus import write_about
from portavoz.train.data.taught import CURVES, SPECTRA

RATE, HOP, STEP = 24_000, 300, 2  # a step of two frames, 25 ms, is the teacher's unit of durations
BEFORE, AFTER = 4, 8  # steps of silence that are kept in front and behind: 0.1 and 0.2 s
DURATIONS, CONDITION, LOUDNESS = "/Clip_output_0", "/Concat_43_output_0", 129
TEACHERS = "hibari-tts 0.2.1, a student of Kokoro-82M's af_heart; prosody and envelopes of other speakers: Kokoro-82M"
FILTERS = ("lh", "theta", "ln", "lr", "phi")
VOICED = 40.0  # Hz
MOST = 500  # phonemes that it reads at once
SPEAKER = "heart"
Floats = NDArray[np.floating]


class Lesson(NamedTuple):
    """One utterance as the teacher gives it: steps a symbol, spectra and curves a frame, its wave."""

    steps: NDArray[np.int64]
    spectra: NDArray[np.float16]
    curves: NDArray[np.float32]
    wave: NDArray[np.float32]


class Teacher:
    """hibari's graph with durations and loudness as further outputs; `told` names tensors that it is given instead."""

    def __init__(self, told: Mapping[str, int] = MappingProxyType({})) -> None:
        import hibari  # pyright: ignore[reportMissingImports] (an environment for the recipe has it)
        import onnx
        import onnxruntime
        from hibari import dsp  # pyright: ignore[reportMissingImports]

        assets = Path(str(hibari.__file__)).parent / "assets"
        graph: Any = onnx.load(assets / "hibari.onnx")
        for name in (DURATIONS, CONDITION):
            graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        for name, kind in told.items():
            for node in graph.graph.node:
                node.output[:] = [f"{name} as predicted" if made == name else made for made in node.output]
            graph.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, None))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session: Any = onnxruntime.InferenceSession(graph.SerializeToString(), options)
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.numbers = json.loads((assets / "vocab.json").read_text(encoding="utf-8"))
        self.synth, self.rng = dsp.synth, np.random.default_rng(3)

    def read(self, chunk: TextChunk) -> tuple[list[int], list[int]]:
        """The chunk's phonemes as the graph's ids, and the symbol that each belongs to."""
        ids, owner = [0], [0]
        for text, symbol in phonemes(chunk):
            ids += [self.numbers[one] for one in text]
            owner += [symbol] * len(text)
        return [*ids, 0], [*owner, len(chunk.symbols) - 1]

    def run(self, ids: list[int], **told: Any) -> dict[str, Any]:
        """The graph's outputs by name."""
        given = {"ids": np.array([ids], np.int64), "speed": np.ones(1, np.float32), **told}
        return dict(zip(self.outputs, self.session.run(None, given)))

    def __call__(self, chunk: TextChunk) -> Lesson | None:
        """The chunk, spoken; None where it is too long."""
        ids, owner = self.read(chunk)
        if len(ids) > MOST:
            return None
        made = self.run(ids)
        curves = np.stack([voiced(made["f0"][0]), made[CONDITION][0, LOUDNESS]], -1)
        filters = np.concatenate([made[name][0] for name in FILTERS]).T
        return self.lesson(chunk, owner, made[DURATIONS].ravel(), filters, curves)

    def lesson(
        self, chunk: TextChunk, owner: list[int], ticks: NDArray[Any], filters: Floats, curves: Floats
    ) -> Lesson:
        """What was made of a chunk (steps of phonemes, spectra, curves), less the silence around it, and its wave."""
        steps = np.bincount(owner, ticks.astype(int), len(chunk.symbols)).astype(np.int64)
        first, last = max(0, steps[0] - BEFORE), max(0, steps[-1] - AFTER)
        kept = slice(STEP * first, STEP * (steps.sum() - last))
        steps[0], steps[-1] = steps[0] - first, steps[-1] - last
        wave = self.wave(filters, curves[:, 0])[kept.start * HOP : kept.stop * HOP]
        return Lesson(steps, filters[kept].astype(np.float16), curves[kept].astype(np.float32), wave)

    def wave(self, filters: Floats, f0: Floats) -> Floats:
        """The sound of spectra [frames, 5 · bins] on pulses of F0 (Hz) and fresh noise."""
        parts = np.split(np.ascontiguousarray(filters.T, np.float32), len(FILTERS))
        return np.asarray(self.synth(*parts, f0.astype(np.float32), self.rng), np.float32)


def voiced(f0: Floats) -> Floats:
    """F0 in Hz, zero where there is none."""
    return np.where(f0 < VOICED, np.float32(0), f0)


def chunks(count: int) -> Iterator[tuple[str, str, str, TextChunk]]:
    """(id, text, split, chunk) of the plan: what the front end read without guessing a word."""
    for line in plan(count):
        found = [c for c in split_text(line.text, secondary=True) if c.symbols]
        for number, chunk in enumerate(found):
            # A sentence that is tested is one chunk: its text is what is heard.
            if not chunk.unknown and (line.split == "train" or len(found) == 1):
                yield f"{line.id}-{number}", line.text, line.split, chunk


def finished(out: Path, width: int) -> list[dict[str, Any]]:
    """The index so far; arrays are cut to what it lists."""
    path = out / "index.jsonl"
    rows = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    frames = sum(round(row["ends"][-1] * RATE / HOP) for row in rows)
    for name, size in ((CURVES, 2 * 4), (SPECTRA, width * 2)):
        with (out / name).open("ab") as file:
            file.truncate(frames * size)
    return rows


def build(out: Path, teacher: Teacher, hours: float, count: int, *, speaker: str = SPEAKER, skip: int = 0) -> None:
    """Speak until there are so many hours of a speaker; the first `skip` texts for training are left to others."""
    (out / "wavs").mkdir(parents=True, exist_ok=True)
    began, rows = time.monotonic(), finished(out, 5 * 601)
    known = {row["id"] for row in rows}
    seconds = sum(row["ends"][-1] for row in rows if row["speaker"] == speaker)
    prefix = "" if speaker == SPEAKER else f"{speaker}-"
    with (
        (out / CURVES).open("ab") as curves,
        (out / SPECTRA).open("ab") as spectra,
        (out / "index.jsonl").open("a", encoding="utf-8") as index,
    ):
        for number, (key, text, split, chunk) in enumerate(chunks(count)):
            if seconds >= hours * 3600:
                break
            key = prefix + key
            if (number < skip and split == "train") or key in known or (lesson := teacher(chunk)) is None:
                continue
            curves.write(lesson.curves.tobytes())
            spectra.write(lesson.spectra.tobytes())
            curves.flush()
            spectra.flush()
            soundfile.write(out / "wavs" / f"{key}.wav", np.clip(lesson.wave, -1, 1), RATE, subtype="PCM_16")
            ends = (np.cumsum(lesson.steps) * STEP * HOP / RATE).round(5).tolist()
            about = {"id": key, "text": text, "wav": f"wavs/{key}.wav", "speaker": speaker, "split": split}
            index.write(json.dumps({**about, "symbols": list(chunk.symbols), "ends": ends}) + "\n")
            index.flush()
            known.add(key)
            seconds += ends[-1]
            if len(known) % 500 == 0:
                print(f"{len(known)} utterances, {seconds / 60:.0f} min, {time.monotonic() - began:.0f} s", flush=True)
    licences = "hibari-tts and Kokoro-82M: Apache-2.0; texts: WordNet-3.0"
    speakers = list(dict.fromkeys([*(row["speaker"] for row in rows), speaker]))
    write_about(out, rate=RATE, speakers=speakers, teacher=TEACHERS, licence=licences)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("corpus-heart"))
    parser.add_argument("--hours", type=float, default=12)
    parser.add_argument("--count", type=int, default=20_000, help="texts of the plan; 20,000 are some 16 hours")
    options = parser.parse_args()
    build(options.out, Teacher(), options.hours, options.count)


if __name__ == "__main__":
    main()
