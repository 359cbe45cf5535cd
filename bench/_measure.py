"""What the benchmarks share: taking turns, minima, whole processes, named ratios, facts of the machine, JSON.

A busy machine only ever makes things slower, so the shortest of several rounds is the figure; what is compared takes
turns within a round, so that a busy moment hits all of it alike. Processor seconds stand beside wall-clock seconds:
where the two differ much for work on one thread, the machine was busy.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

import portavoz
from portavoz.inspect import system_info

# Before NumPy or torch is imported: what is called one thread is one thread.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

PACKAGES = ("portavoz", "numpy", "onnxruntime", "torch", "mlx")
PROGRAMS = {"flite": ("flite", "--version"), "espeak-ng": ("espeak-ng", "--version")}


@dataclass(frozen=True, slots=True)
class Took:
    """The least that some work took: seconds on the clock, seconds of processor time, peak memory in MB (or 0)."""

    seconds: float
    cpu: float
    peak: float = 0.0

    def least(self, other: Took) -> Took:
        """Each figure's smaller one."""
        return Took(min(self.seconds, other.seconds), min(self.cpu, other.cpu), min(self.peak, other.peak))


def timed(work: Callable[[], object], visits: int = 1) -> Took:
    """Run `work` here, `visits` times in a row; the least."""
    took = Took(float("inf"), float("inf"))
    for _ in range(visits):
        cpu, start = time.process_time(), time.perf_counter()
        work()
        took = took.least(Took(time.perf_counter() - start, time.process_time() - cpu))
    return took


def interleaved(cases: Mapping[str, Callable[[], Took]], rounds: int) -> dict[str, Took]:
    """Each case once a round, in turn; the least of each."""
    least: dict[str, Took] = {}
    for _ in range(rounds):
        for name, case in cases.items():
            took = case()
            least[name] = took.least(least[name]) if name in least else took
    return least


class Launcher:
    """Measures whole processes, from their start to their end; used in a `with`."""

    def __enter__(self) -> Launcher:
        # As an installed package is, also where PYTHONDONTWRITEBYTECODE is set.
        compileall.compile_dir(Path(str(portavoz.__file__)).parent, quiet=1)
        script = str(Path(__file__).with_name("_launch.py"))
        with ExitStack() as stack:
            self._child = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-S", "-E", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def __call__(self, command: Sequence[str]) -> Took:
        """What one run of `command` takes. Ends the benchmark when the command fails."""
        assert self._child.stdin and self._child.stdout
        self._child.stdin.write(json.dumps(list(command)) + "\n")
        self._child.stdin.flush()
        seconds, cpu, peak, code = json.loads(self._child.stdout.readline())
        if code:
            raise SystemExit(f"exit code {code:.0f} from: {' '.join(command)}")
        return Took(seconds, cpu, peak)


@dataclass(slots=True)
class Report:
    """Figures by name, ratios of two of them, and why something is absent. Names end in their unit."""

    bench: str
    settings: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def ratio(self, above: str, below: str) -> None:
        """Note above ÷ below under "above / below", where both were measured."""
        if above in self.figures and below in self.figures:
            self.ratios[f"{above} / {below}"] = self.figures[above] / self.figures[below]

    def finish(self, path: Path | None, *, digits: int | None = None) -> None:
        """Print figures with so many digits (None: they are shown already), ratios, what is absent; write the JSON."""
        if digits is not None:
            for name, value in self.figures.items():
                print(f"{name:<40}{value:12.{digits}f}")
        self.show()
        self.write(path)

    def show(self) -> None:
        """Print the ratios, and what is absent."""
        width = max((len(name) for name in self.ratios), default=0)
        for name, value in self.ratios.items():
            print(f"{name:<{width}}  {value:8.3f}")
        for name, reason in self.absent.items():
            print(f"{name}: {reason}")

    def write(self, path: Path | None) -> None:
        """Write everything as JSON where a file was asked for."""
        if path is None:
            return
        record = {
            "bench": self.bench,
            "machine": facts(),
            "settings": self.settings,
            "figures": self.figures,
            "ratios": self.ratios,
            "absent": self.absent,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def table(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[float | None]], form: str = ".4f") -> None:
    """Print named rows of numbers; None is what was not measured."""
    width = max([len(title), *(len(name) for name in rows)])
    print(f"{title:<{width}}" + "".join(f"{column:>{max(10, len(column) + 2)}}" for column in columns))
    for name, row in rows.items():
        cells = ("–" if value is None else format(value, form) for value in row)
        print(
            f"{name:<{width}}" + "".join(f"{cell:>{max(10, len(column) + 2)}}" for cell, column in zip(cells, columns))
        )
    print(flush=True)


def facts() -> dict[str, Any]:
    """The machine and the versions of what was measured; a busy machine shows in `load_1min`."""
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    for name, command in PROGRAMS.items():
        found = _number(command)
        if found:
            versions[name] = found
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {**system_info.system(), "features": system_info.features(), "versions": versions, "load_1min": load}


def _number(command: Sequence[str]) -> str | None:
    """The version number a program says it has."""
    try:
        said = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    found = re.search(r"\d+(?:\.\d+)+", said.stdout + said.stderr)
    return found[0] if found else "unknown"


def parser(doc: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--rounds", type=int, default=rounds, help="the least of this many is taken (default: %(default)s)"
    )
    made.add_argument("--json", metavar="FILE", type=Path, help="write all figures and the machine's facts here")
    return made
