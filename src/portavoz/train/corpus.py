"""A folder of recordings with labels, as training sees it: mels, durations, waves, in memory-mapped arrays.

    corpus.json    {"rate": 22050, "alphabet": 1, "speakers": ["slt"], …}
    index.jsonl    {"id", "text", "wav", "speaker", "split": "train" | "held_out", "symbols": […], "ends": […]}
    features/KEY/  mels.npy, waves.npy, … made once from the two, KEY a hash of what they were made from

`ends` are seconds: the end of each symbol; the last is the length of the wave.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.files import read
from ..audio.mel import mel_spectrogram
from ..errors import InputError
from ..flow import MelSpec
from ..text.alphabet import ALPHABET


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording: frame and symbol ranges into the corpus' joined arrays."""

    id: str
    text: str
    speaker: int
    split: str
    symbols: slice
    frames: slice


class Corpus:
    """All utterances of a folder for one mel specification.

    mels [frames, mels] float32, waves [frames · hop] int16, ids and durations [symbols] int64: each utterance's
    part lies at its slices. Raises InputError naming the file and the line for anything that does not hold
    together.
    """

    def __init__(self, folder: str | Path, spec: MelSpec) -> None:
        self.folder, self.spec = Path(folder), spec
        try:
            self.about: dict[str, Any] = json.loads((self.folder / "corpus.json").read_text())
            index = (self.folder / "index.jsonl").read_text()
        except OSError as problem:
            raise InputError(
                f"{problem.filename}: not there; {self.folder} is no corpus folder (see the training guide)"
            ) from problem
        self.lines = [json.loads(line) for line in index.splitlines() if line.strip()]
        self._check()
        key = hashlib.sha256((index + json.dumps(asdict(spec), sort_keys=True)).encode()).hexdigest()[:16]
        self.cache = self.folder / "features" / key
        if not (self.cache / "done").exists():
            self._build()
        self.mels, self.waves, self.ids, self.durations = (
            np.load(self.cache / f"{n}.npy", mmap_mode="r") for n in ARRAYS
        )
        self.utterances = list(self._slices())

    def split(self, name: str) -> list[Utterance]:
        """The utterances of one split, "train" or "held_out"."""
        return [u for u in self.utterances if u.split == name]

    def statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each mel band over the training split."""
        train = np.concatenate([self.mels[u.frames] for u in self.split("train")])
        return train.mean(0), np.maximum(train.std(0), 1e-3)

    def wave(self, u: Utterance) -> NDArray[np.float32]:
        """The samples of one utterance, float32."""
        hop = self.spec.hop
        return self.waves[u.frames.start * hop : u.frames.stop * hop].astype(np.float32) / 32768

    def _check(self) -> None:
        if self.about.get("rate") != self.spec.rate:
            raise InputError(
                f"{self.folder}: recorded at {self.about.get('rate')} Hz, the model wants {self.spec.rate}; resample it"
            )
        if self.about.get("alphabet") != ALPHABET.version:
            raise InputError(
                f"{self.folder}: alphabet {self.about.get('alphabet')}, wanted {ALPHABET.version}; label it anew"
            )
        for number, line in enumerate(self.lines, 1):
            if len(line["symbols"]) != len(line["ends"]):
                raise InputError(
                    f"{self.folder}/index.jsonl line {number}: {len(line['symbols'])} symbols, {len(line['ends'])} ends"
                )
        if not any(line["split"] == "train" for line in self.lines):
            raise InputError(f"{self.folder}/index.jsonl: no utterance has split 'train'; there is nothing to train on")

    def _features(self, line: dict[str, Any]) -> dict[str, NDArray[Any]]:
        spec = self.spec
        samples = read(self.folder / line["wav"], rate=spec.rate).samples
        ends = np.round(np.asarray(line["ends"]) * spec.rate / spec.hop).astype(np.int64)
        durations = np.diff(ends, prepend=0)
        if (durations < 0).any():
            raise InputError(
                f"{self.folder}/index.jsonl {line['id']}: the ends of the symbols go backwards; mend the labels"
            )
        frames = int(ends[-1])
        samples = np.pad(samples, (0, max(0, frames * spec.hop - len(samples))))[: frames * spec.hop]
        return {
            "mels": mel_spectrogram(samples, spec),
            "waves": np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16),
            "ids": np.array(ALPHABET.encode(line["symbols"]), np.int64),
            "durations": durations,
        }

    def _build(self) -> None:
        """Make the arrays beside and move them into place, so that two processes or a kill leave nothing half-made."""
        from rich.console import Console
        from rich.progress import track

        beside = self.cache.with_name(f"{self.cache.name}.{os.getpid()}")
        beside.mkdir(parents=True, exist_ok=True)
        # Standard output is for reports.
        lines = track(self.lines, f"features of {self.folder.name}", console=Console(stderr=True))
        rows = [self._features(line) for line in lines]
        for name in ARRAYS:
            np.save(beside / f"{name}.npy", np.concatenate([row[name] for row in rows]))
        sizes = [{"symbols": len(row["ids"]), "frames": len(row["mels"])} for row in rows]
        (beside / "sizes.json").write_text(json.dumps(sizes))
        (beside / "done").write_text("")
        try:
            beside.rename(self.cache)
        except OSError:
            shutil.rmtree(beside)  # another process was faster; its arrays are the same

    def _slices(self) -> Iterator[Utterance]:
        speakers = {name: i for i, name in enumerate(self.about["speakers"])}
        symbol = frame = 0
        for line, size in zip(self.lines, json.loads((self.cache / "sizes.json").read_text())):
            s, f = size["symbols"], size["frames"]
            yield Utterance(
                line["id"],
                line["text"],
                speakers[line["speaker"]],
                line["split"],
                slice(symbol, symbol + s),
                slice(frame, frame + f),
            )
            symbol, frame = symbol + s, frame + f


ARRAYS = ("mels", "waves", "ids", "durations")
