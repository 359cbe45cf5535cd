"""Neural judges in a process of their own: Whisper tiny.en hears words, DistillMOS estimates naturalness.

Their packages need versions that contradict each other, so they live in an environment that `scripts/judges.sh` makes
(`.venv-judges`; the variable PORTAVOZ_JUDGES names another Python). Figures depend on the packages' versions.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..audio.resample import resample
from ..errors import BackendError, MissingExtra
from ..flow import Wave
from ..input_files import is_file
from . import judge_process
from .judge_process import RATE

VARIABLE = "PORTAVOZ_JUDGES"
PLACE = Path(".venv-judges/bin/python")
ASR = {"whisper": "Whisper tiny.en (faster-whisper, int8)"}
MOS = {"distillmos": "DistillMOS"}


def interpreter() -> Path:
    """The judges' Python. Raises MissingExtra when there is none."""
    named = os.environ.get(VARIABLE)
    for path in [Path(named)] if named else [PLACE, *(p / PLACE for p in Path(__file__).resolve().parents)]:
        if is_file(path):
            return path
    place = f"{named} ({VARIABLE}) is not there" if named else "they have no environment"
    problem = MissingExtra("faster-whisper and distillmos", "judge", "the judges whisper and distillmos")
    problem.args = (
        f"the judges whisper and distillmos: {place}; make it with scripts/judges.sh, or name its Python in {VARIABLE}",
    )
    raise problem


class Judges:
    """One process with the judges asked for ("asr", "mos"); `close` ends it, as does the end of a `with` block.

    Raises MissingExtra where there is no such process, BackendError where it ended too early.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        command = [str(interpreter()), "-u", judge_process.__file__, *wanted]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.close = weakref.finalize(self, _end, self._process)
        self._answer()

    def __enter__(self) -> Judges:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, wave: Wave) -> dict[str, Any]:
        """ "heard" (text) and "mos" (1 to 5) of a wave, as far as they were asked for."""
        samples = resample(np.asarray(wave.samples, np.float32), wave.rate, RATE)
        numbers = np.round(np.clip(samples, -1, 1) * 32767).astype("<i2")
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"samples": base64.b64encode(numbers.tobytes()).decode()}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise BackendError("the judges' process ended; run scripts/judges.sh again, and look at what it prints")
        return json.loads(line)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin and process.stdout
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.wait(60)
    process.stdout.close()
