"""Mels and waves of a corpus, computed once and cached in memory-mapped files under a hash of their content.

    features/digests.json      checksum of each sound file, so that it is hashed once
    features/KEY/              mels.f32 [frames, mels], waves.i16 [frames · hop], frames.json
    features/KEY.lock          held by the process that builds it; others wait and then use the result

The folder appears by one rename when it is complete, so a kill leaves at most a `.part` folder, which the next build
removes.
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

from ...atomic import made_folder, write_json
from ...audio.files import read
from ...audio.mel import mel_spectrogram
from ...errors import InputError
from ...flow import MelSpec
from ...input_files import parse_json, sha256
from ..progress import track
from ..run_directory import room


@dataclass(frozen=True, slots=True)
class Cut:
    """A segment of a sound file, in seconds; `stop` None is its end."""

    wav: Path
    start: float = 0.0
    stop: float | None = None


class Features:
    """mels [frames, mels] float32 and waves [frames · hop] int16 of all cuts, one after the other; `frames` of each."""

    def __init__(self, folder: Path, cuts: Sequence[Cut], spec: MelSpec) -> None:
        self.spec = spec
        base = made_folder(folder / "features")
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
    """SHA-256 of each file by its path; a file of the same size and time is not hashed again."""
    known: dict[str, list[Any]] = {}
    with suppress(OSError, ValueError):
        found = parse_json(path.read_text())
        if isinstance(found, dict):
            known = {name: entry for name, entry in found.items() if isinstance(entry, list) and len(entry) == 3}
    new: dict[str, list[Any]] = {}
    for file in dict.fromkeys(files):
        try:
            status = file.stat()
            facts = [status.st_size, status.st_mtime_ns]
            old = known.get(str(file), [])
            new[str(file)] = old if old[:2] == facts else [*facts, sha256(file)]
        except OSError as problem:
            raise InputError(f"{file}: cannot be read ({problem.strerror}), but the corpus lists it") from problem
    if new != known:
        write_json(path, new)
    return {name: entry[2] for name, entry in new.items()}


def whole(place: Path, spec: MelSpec) -> bool:
    """Whether a cache folder is complete: every file has the size that frames.json implies."""
    try:
        total = sum(json.loads((place / "frames.json").read_text()))
        sizes = [(place / name).stat().st_size for name in ("mels.f32", "waves.i16")]
    except (OSError, ValueError, TypeError):
        return False
    return sizes == [total * spec.mels * 4, total * spec.hop * 2]


def build(place: Path, cuts: Sequence[Cut], spec: MelSpec) -> None:
    """Build the arrays beside their destination, one recording in memory at a time, and rename them.

    Raises JobError when the disk is full, and leaves nothing behind.
    """
    for old in place.parent.glob(f"{place.name}.*.part"):
        shutil.rmtree(old, ignore_errors=True)
    beside = place.with_name(f"{place.name}.{os.getpid()}.part")
    try:
        _write(beside, cuts, spec, of=place.parent)
        # A power loss may have left an incomplete folder.
        shutil.rmtree(place, ignore_errors=True)
        beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(beside: Path, cuts: Sequence[Cut], spec: MelSpec, *, of: Path) -> None:
    frames: list[int] = []
    each = spec.mels * 4 + spec.hop * 2  # bytes of a frame

    def size() -> float:
        """Bytes of all cuts, assuming that the remaining ones are as long on average."""
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
    write_json(beside / "frames.json", frames)


def features(cut: Cut, spec: MelSpec) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """The log-mel [frames, mels] and the samples [frames · hop] of a cut; the end is padded with silence."""
    samples = read(cut.wav, rate=spec.rate).samples
    stop = len(samples) / spec.rate if cut.stop is None else cut.stop
    count = max(1, int(np.round((stop - cut.start) * spec.rate / spec.hop)))
    first = round(cut.start * spec.rate)
    samples = samples[first : first + count * spec.hop]
    samples = np.pad(samples, (0, count * spec.hop - len(samples)))
    return mel_spectrogram(samples, spec), np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)
