"""See what this machine has, and whether every stage of speaking works.

Python, processor features, devices, extras, players, the voice's checksums; then one sentence goes from text to
phonemes, durations, mel and wave, each step with its time and the memory the process has needed by then. The exit
code is 1 when a step fails.

Examples:
  portavoz doctor
  portavoz doctor --voice my-voice --runtime eager
  portavoz doctor --json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, PortavozError
from . import machine
from .options import json_option, open_voice, print_json, voice_options
from .play import players

if TYPE_CHECKING:
    from ..families.compact.speak import Compact

SENTENCE = "The doctor says that every stage works."


def options(parser: argparse.ArgumentParser) -> None:
    """What `doctor` takes."""
    voice_options(parser)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Examine, and report."""
    here = {
        **machine.system(),
        "features": machine.features(),
        "devices": machine.devices(),
        "extras": machine.extras(),
        "players": list(players()),
    }
    steps = examine(args)
    healthy = all(step["ok"] for step in steps)
    if args.json:
        print_json({**here, "stages": steps, "healthy": healthy})
    else:
        _print(here, steps)
    return 0 if healthy else 1


def examine(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One sentence, step by step, until a step fails; each with seconds, MB, and what it made."""
    patient = Patient(args)
    steps = (patient.voice, patient.text, patient.phonemes, patient.durations, patient.mel, patient.wave)
    rows: list[dict[str, Any]] = []
    for step in steps:
        rows.append(_examined(step))
        if not rows[-1]["ok"]:
            break
    return rows


def _examined(step: Callable[[], str]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        ok, said = True, step()
    except PortavozError as problem:
        ok, said = False, str(problem)
    took, peak = time.perf_counter() - began, machine.memory()
    megabytes = round(peak, 1) if peak == peak else None
    return {"name": step.__name__, "ok": ok, "seconds": round(took, 4), "megabytes": megabytes, "says": said}


class Patient:
    """A voice and one sentence on its way; each method is a step, and tells what it made."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args

    def voice(self) -> str:
        """Open the voice, all of its files compared with their checksums."""
        from ..folder import describe, find, verify
        from ..opening.compact import Speaking

        folder = find(self.args.voice)
        verify(folder, describe(folder))
        self.opened = open_voice(self.args)
        if not isinstance(self.opened.model, Speaking):
            raise BackendError(
                f"{folder}: its family has no stages that could be looked at one by one; use another voice"
            )
        self.model: Compact = self.opened.model.model
        return f"{self.opened.name} on {self.opened.runtime}, checksums right"

    def text(self) -> str:
        """Words of the sentence."""
        from ..text import normalize

        return normalize(SENTENCE)

    def phonemes(self) -> str:
        """Symbols of the words."""
        from ..text.reading import read

        self.symbols = next(iter(read(SENTENCE))).symbols
        return " ".join(self.symbols[1:])

    def durations(self) -> str:
        """Frames of the symbols."""
        self.memory, predicted = self.model.encode(self.symbols)
        self.frames = self.model.durations(self.symbols, predicted)
        return f"{self.frames.sum()} frames for {len(self.frames)} symbols"

    def mel(self) -> str:
        """The mel of the frames."""
        self.spectrum = self.model.mel(self.memory, self.frames)
        low, high = self.spectrum.values.min(), self.spectrum.values.max()
        self._finite(self.spectrum.values, "mel")
        return f"{self.spectrum.values.shape[1]} frames of {self.spectrum.spec.mels} bands, {low:.1f} … {high:.1f}"

    def wave(self) -> str:
        """The sound of the mel."""
        import numpy as np

        samples = np.concatenate(list(self.model.waves(self.spectrum)))
        self._finite(samples, "wave")
        loud = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
        if loud < 1e-4:
            raise BackendError(
                f"wave: silence (level {loud:.1e}), wanted speech; try another runtime, or install the voice again"
            )
        return f"{len(samples) / self.model.rate:.2f} s at {self.model.rate} Hz, level {20 * np.log10(loud):.0f} dB"

    @staticmethod
    def _finite(values: Any, name: str) -> None:
        import numpy as np

        if not np.isfinite(values).all():
            raise BackendError(f"{name}: NaN or infinity in it, wanted finite numbers; try another runtime")


def _print(here: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    print(f"Python     {here['python']} on {here['system']}")
    print(f"processor  {here['processor']}, {here['cores']} cores")
    known = here["features"]
    has = (
        "cannot be asked here"
        if known is None
        else " ".join(name for name, there in known.items() if there) or "none known"
    )
    print(f"features   {has}")
    print(f"devices    {', '.join(here['devices']) or 'the processor only'}")
    print(f"players    {', '.join(here['players']) or 'none found'}")
    for name, extra in here["extras"].items():
        print(f"extra {name:<7} {'✓ installed' if extra['installed'] else '– ' + extra['install']} ({extra['adds']})")
    for step in steps:
        memory = "" if step["megabytes"] is None else f"{step['megabytes']:7.0f} MB"
        print(
            f"{'✓' if step['ok'] else '✗'} {step['name']:<10} {step['seconds'] * 1000:8.1f} ms {memory}  {step['says']}"
        )
