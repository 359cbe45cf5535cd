"""Synthesis in a separate process, so that time and peak memory are the voice's alone.

`synthesize` runs it as a module: it reads a request as JSON from standard input, writes N.npy for each text and
result.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, JobError, PortavozError
from ..flow import Wave
from ..input_files import is_file, is_folder
from ..inspect.memory import peak_memory

WARM_UP = "Ready."  # the first sentence also pays for loading


@dataclass(frozen=True, slots=True)
class Subject:
    """A voice under test: its name or folder, one of its speakers (None: the first), and options of `portavoz.load`."""

    voice: str | None = None
    speaker: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A short name: the voice's, or its folder's, with the speaker."""
        return self.named(1)

    def named(self, parts: int) -> str:
        """Its name with so many parts of its folder's path."""
        path = Path(self.voice or "bundled voice")
        if parts > 1 and is_folder(path):
            path = path.resolve()
        voice = "/".join(part.strip("/\\") for part in path.parts[-parts:])
        return f"{voice} ({self.speaker})" if self.speaker else voice


def names(subjects: Sequence[Subject]) -> list[str]:
    """A display name for each: its name, with as much of its path as distinguishes it from others."""
    found = [subject.name for subject in subjects]
    for name in {name for name in found if found.count(name) > 1}:
        same = [i for i, one in enumerate(found) if one == name]
        deepest = max(len(Path(subjects[i].voice or "").resolve().parts) for i in same)
        for parts in range(2, deepest + 1):
            longer = [subjects[i].named(parts) for i in same]
            if len(set(longer)) == len(same):
                for i, longer_name in zip(same, longer):
                    found[i] = longer_name
                break
    return found


def subjects(voices: Sequence[str | None], speakers: Sequence[str], options: dict[str, Any]) -> list[Subject]:
    """The voices with their speakers: none, one for all, or one for each. Raises InputError for another number."""
    if len(speakers) not in (0, 1, len(voices)):
        raise InputError(f"speakers {', '.join(speakers)}: for {len(voices)} voices; give one for all or one for each")
    each = list(speakers) * (len(voices) if len(speakers) == 1 else 1) or [None] * len(voices)
    return [Subject(voice, speaker, options) for voice, speaker in zip(voices, each)]


@dataclass(frozen=True, slots=True)
class Synthesis:
    """The waves of a voice, one for each text, the seconds each took, and peak memory (MB, None: unknown)."""

    waves: list[Wave]
    seconds: list[float]
    megabytes: float | None


def synthesize(subject: Subject, texts: Sequence[str]) -> Synthesis:
    """Synthesize all texts, one after the other. Raises InputError when the voice refuses, JobError when it crashes."""
    with tempfile.TemporaryDirectory() as folder:
        request = {
            "voice": subject.voice, "speaker": subject.speaker, "options": subject.options,
            "texts": list(texts), "folder": folder,
        }  # fmt: skip
        command = [sys.executable, "-m", "portavoz.evaluate.speaking"]
        done = subprocess.run(command, input=json.dumps(request).encode(), capture_output=True)
        answer = Path(folder) / "result.json"
        if done.returncode or not is_file(answer):
            last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
            raise JobError(
                f"voice {subject.voice!r}: its process ended with exit code {done.returncode} ({last[:200]}); "
                "try 'portavoz doctor'"
            )
        result = json.loads(answer.read_text(encoding="utf-8"))
        if "error" in result:
            raise InputError(result["error"])
        waves = [Wave(np.load(Path(folder) / f"{i}.npy"), result["rate"]) for i in range(len(texts))]
    return Synthesis(waves, result["seconds"], result["megabytes"])


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    import portavoz

    voice = portavoz.load(request["voice"], **request["options"])
    voice.speak(WARM_UP, speaker=request["speaker"])
    seconds = []
    for i, text in enumerate(request["texts"]):
        began = time.perf_counter()
        samples = voice.speak(text, speaker=request["speaker"]).samples
        seconds.append(time.perf_counter() - began)
        np.save(Path(request["folder"]) / f"{i}.npy", samples)
    return {"rate": voice.rate, "seconds": seconds, "megabytes": peak_memory()}


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    try:
        answer = _answer(request)
    except PortavozError as problem:
        answer = {"error": str(problem)}
    Path(request["folder"], "result.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
