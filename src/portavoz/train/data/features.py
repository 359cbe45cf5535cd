"""Mels and waves of many recordings, worked out once, kept in memory-mapped files under a key of their content.

    features/digests.json      what each sound file's bytes hash to, so that they are hashed once
    features/KEY/              mels.f32 [frames, mels], waves.i16 [frames · hop], frames.json
    features/KEY.lock          held by the process that makes it; another one waits, and finds it done

The folder appears by one rename when all of it is on the disk, so a kill leaves at most a `.part` folder, which the
next one removes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ...atomic import atomic
from ...audio.files import read
from ...audio.mel import mel_spectrogram
from ...errors import InputError
from ...flow import MelSpec
from ..progress import track
from ..run_directory import made, room


@dataclass(frozen=True, slots=True)
class Cut:
    """A stretch of a sound file, in seconds; `stop` None is its end."""

    wav: Path
    start: float = 0.0
    stop: float | None = None


class Features:
    """mels [frames, mels] float32 and waves [frames · hop] int16 of all cuts, one after the other; `frames` of each."""

    def __init__(self, folder: Path, cuts: Sequence[Cut], spec: MelSpec) -> None:
        self.spec = spec
        base = made(folder / "features")
        contents = digests(base / "digests.json", [cut.wav for cut in cuts])
        about = [asdict(spec), [[contents[str(cut.wav)], cut.start, cut.stop] for cut in cuts]]
        self.key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        self.place = base / self.key
        if not whole(self.place, spec):
            with FileLock(base / f"{self.key}.lock"):
                if not whole(self.place, spec):
                    build(self.place, cuts, spec)
        self.frames: list[int] = json.loads((self.place / "frames.json").read_text())
        total = sum(self.frames)
        self.mels: NDArray[np.float32] = np.memmap(self.place / "mels.f32", np.float32, "r", shape=(total, spec.mels))
        self.waves: NDArray[np.int16] = np.memmap(self.place / "waves.i16", np.int16, "r", shape=(total * spec.hop,))


def digests(path: Path, files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of each file by its path; what was hashed before, and has the same size and time, is remembered."""
    known: dict[str, list[Any]] = {}
    with suppress(OSError, ValueError):
        known = json.loads(path.read_text())
    new: dict[str, list[Any]] = {}
    for file in dict.fromkeys(files):
        try:
            status = file.stat()
            facts = [status.st_size, status.st_mtime_ns]
            old = known.get(str(file), [])
            new[str(file)] = old if old[:2] == facts else [*facts, _digest(file)]
        except OSError as problem:
            raise InputError(f"{file}: cannot be read ({problem.strerror}); it is in the corpus' list") from problem
    if new != known:
        with atomic(path, "w") as out:
            json.dump(new, out)
    return {name: entry[2] for name, entry in new.items()}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        found = hashlib.sha256()
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def whole(place: Path, spec: MelSpec) -> bool:
    """Whether a cache folder is there with every byte that its list of frames promises."""
    try:
        total = sum(json.loads((place / "frames.json").read_text()))
        sizes = [(place / name).stat().st_size for name in ("mels.f32", "waves.i16")]
    except (OSError, ValueError, TypeError):
        return False
    return sizes == [total * spec.mels * 4, total * spec.hop * 2]


def build(place: Path, cuts: Sequence[Cut], spec: MelSpec) -> None:
    """Make the arrays beside their place, one recording in memory at a time, and move them there.

    Raises JobError when the disk is full; what was written so far is removed.
    """
    for old in place.parent.glob(f"{place.name}.*.part"):
        shutil.rmtree(old, ignore_errors=True)
    beside = place.with_name(f"{place.name}.{os.getpid()}.part")
    try:
        _write(beside, cuts, spec, of=place.parent)
        # Something that is not whole may lie there, after a power cut.
        shutil.rmtree(place, ignore_errors=True)
        beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(beside: Path, cuts: Sequence[Cut], spec: MelSpec, *, of: Path) -> None:
    frames: list[int] = []
    each = spec.mels * 4 + spec.hop * 2  # bytes of a frame

    def size() -> float:
        """Of all cuts, if those that are not read yet are as long as the others."""
        return each * sum(frames) / max(1, len(frames)) * len(cuts)

    with room(of, f"mels and waves of {len(cuts)} recordings", size):
        beside.mkdir()
        with (beside / "mels.f32").open("wb") as mels, (beside / "waves.i16").open("wb") as waves:
            for cut in track(cuts, f"features of {of.parent.name}"):
                mel, samples = features(cut, spec)
                frames.append(len(mel))
                mels.write(mel.tobytes())
                waves.write(samples.tobytes())
            for file in (mels, waves):
                file.flush()
                os.fsync(file.fileno())
    with atomic(beside / "frames.json", "w") as out:
        json.dump(frames, out)


def features(cut: Cut, spec: MelSpec) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """The log-mel [frames, mels] and the samples [frames · hop] of a cut; its end is filled up with silence."""
    samples = read(cut.wav, rate=spec.rate).samples
    stop = len(samples) / spec.rate if cut.stop is None else cut.stop
    count = max(1, int(np.round((stop - cut.start) * spec.rate / spec.hop)))
    first = round(cut.start * spec.rate)
    samples = samples[first : first + count * spec.hop]
    samples = np.pad(samples, (0, count * spec.hop - len(samples)))
    return mel_spectrogram(samples, spec), np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)
