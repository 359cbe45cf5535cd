"""Which runtime, precision and threads suit a voice on this machine: measured here, with its own weights.

Every stage is tried on everything that can run it. The fastest choice whose SNR (against eager float32, in dB, with a
free-running decoder) is above a floor is stored beside the compiled stages. Timings do not transfer, so a choice
applies only to the machine and the versions that it was measured with.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import write_json
from ..errors import BackendError, InputError, MissingExtra
from ..families.spec import Workload
from . import processor
from .cache import Cache
from .compile import PACKAGES, Assembled, Choice, Origin, assemble, plan, version_of

Floats = NDArray[np.float32]
FORMAT = 2
# A stage's second thread waits for a core on a busy machine, and can be 30 times slower then: it has to be worth that.
WORTH = 1.25


@dataclass(frozen=True, slots=True)
class Settings:
    """The measurement: the minimum of `rounds` runs of so many steps after a text of so many symbols."""

    floor: float = 30.0
    rounds: int = 3
    steps: int = 60
    symbols: int = 60
    threads: Sequence[int] = (1,)
    batches: Sequence[int] = (1, 8)


@dataclass(frozen=True, slots=True)
class Tried:
    """One stage on one choice: seconds for `batch` rows (of one step, of a text, of a window of sound), and its SNR.

    `why` says what kept it from running; the seconds are infinite then.
    """

    stage: str
    choice: Choice
    batch: int
    seconds: float
    snr: float
    why: str = ""
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Tuned:
    """The choice of each stage for each batch size; `workers` threads beside the loop (0 or 1).

    `batch`: the batch size with the least time per sentence of a long text.
    """

    choices: Mapping[int, Mapping[str, Choice]]
    workers: int
    batch: int
    tried: Sequence[Tried]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. Choices that could not run have neither seconds nor SNR."""
        nothing = {"seconds": None, "snr": None}
        rows = [dataclasses.asdict(row) | (nothing if row.why else {}) for row in self.tried]
        choices = {str(n): {s: dataclasses.asdict(c) for s, c in each.items()} for n, each in self.choices.items()}
        return {"choices": choices, "workers": self.workers, "batch": self.batch, "tried": rows}


def tune(origin: Origin, settings: Settings, cache: Cache | None = None, tell: Callable[[str], object] = str) -> Tuned:
    """Measure, choose, and store the choice. `tell` is called with each trial. Raises PortavozError."""
    if origin.family.workload is None:
        raise InputError(f"{origin.family.title} has nothing to tune: each stage has one runtime")
    cache = cache or Cache()
    bench = _Bench(origin, settings, cache)
    tried: list[Tried] = []
    for stage in origin.groups:
        for choice in candidates(origin, stage, settings.threads):
            tell(f"{stage} on {choice.runtime}, {choice.precision}, {choice.threads} threads")
            tried += bench.trial(stage, choice)
    marked = [row for batch in settings.batches for row in _marked(tried, batch, settings.floor)]
    choices = {
        batch: {row.stage: row.choice for row in marked if row.chosen and row.batch == batch}
        for batch in settings.batches
    }
    first = choices[settings.batches[0]]
    tell("sound beside the loop")
    tuned = Tuned(
        choices, bench.workers(first), rows_at_once([row for row in marked if row.chosen], bench.work.sentence), marked
    )
    _keep(tuned, origin, settings, cache)
    return tuned


def candidates(origin: Origin, stage: str, threads: Sequence[int]) -> Iterator[Choice]:
    """Everything that could run a stage. Eager stages have the threads that PyTorch has."""
    for runtime, precisions in origin.family.runtimes.items():
        for precision in precisions:
            if precision == "int8" and not origin.groups[stage][0].int8:
                continue
            for n in (1,) if runtime == "eager" else threads:
                yield Choice(runtime, precision, n)


def stored(origin: Origin, cache: Cache | None = None) -> Tuned | None:
    """The choice for these weights, machine and versions; None if there is none."""
    try:
        kept = json.loads(_place(origin, cache or Cache()).read_text(encoding="utf-8"))
        if kept["here"] != _here():
            return None
        choices = {
            int(n): {stage: Choice(**each[stage]) for stage in origin.groups}
            for n, each in kept["tuned"]["choices"].items()
        }
        batch = int(kept["tuned"]["batch"])
        return Tuned(choices, int(kept["tuned"]["workers"]), batch, ()) if batch in choices else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(tuned: Tuned, origin: Origin, settings: Settings, cache: Cache) -> None:
    kept = {"here": _here(), "settings": dataclasses.asdict(settings), "tuned": tuned.to_dict()}
    write_json(_place(origin, cache), kept, indent=1)


def _place(origin: Origin, cache: Cache) -> Path:
    return cache.root / f"tuned-{origin.digest[:32]}.json"


def _here() -> dict[str, Any]:
    versions = {name: version_of(name) for packages in PACKAGES.values() for name in packages}
    return {"format": FORMAT, "processor": processor.kind(), "cores": processor.cores(), "versions": versions}


def _marked(tried: Sequence[Tried], batch: int, floor: float) -> list[Tried]:
    """The rows of one batch, the fastest above the floor of each stage marked; eager float32 is always above.

    More threads than one count as slower than they are, by `WORTH`.
    """
    rows = [row for row in tried if row.batch == batch]
    good = [row for row in rows if not row.why and row.snr >= floor]

    def cost(row: Tried) -> float:
        return row.seconds * (1 if row.choice.threads == 1 else WORTH)

    best = {stage: min((row for row in good if row.stage == stage), key=cost) for stage in {r.stage for r in rows}}
    return [dataclasses.replace(row, chosen=row is best[row.stage]) for row in rows]


def rows_at_once(chosen: Sequence[Tried], sentence: Mapping[str, float]) -> int:
    """The batch size with the least time per sentence, from the timings of its stages.

    `sentence`: how often each stage runs per sentence.
    """
    each = dict.fromkeys(sorted({row.batch for row in chosen}), 0.0)
    for row in chosen:
        each[row.batch] += row.seconds * sentence[row.stage] / row.batch
    return min(each, key=lambda batch: each[batch])


class _Bench:
    """The family's workload, and what eager float32 makes of it."""

    def __init__(self, origin: Origin, settings: Settings, cache: Cache) -> None:
        assert origin.family.workload is not None
        self.origin, self.s, self.cache = origin, settings, cache
        self.work: Workload = origin.family.workload()(origin.config, settings.steps, settings.symbols)
        self.plain = assemble(origin, plan(origin.family, "eager", "float32"), cache)
        self.work.prepare(self.plain.runner)
        self.right = {stage: self.work.output(stage, self.plain.runner) for stage in origin.groups}

    def trial(self, stage: str, choice: Choice) -> list[Tried]:
        """A row for each batch."""
        try:
            plan(self.origin.family, choice.runtime, choice.precision)  # it says what this processor does not have
            other = assemble(self.origin, {**self.plain.choices, stage: choice}, self.cache, like=self.plain)
            return self._tried(stage, choice, other)
        except (MissingExtra, BackendError) as problem:
            return [Tried(stage, choice, batch, np.inf, -np.inf, str(problem)) for batch in self.s.batches]

    def _tried(self, stage: str, choice: Choice, other: Assembled) -> list[Tried]:
        quality = snr(self.work.output(stage, other.runner), self.right[stage])
        seconds = {
            batch: self._seconds(stage, other.runner, batch)
            for batch in ((1,) if stage in self.work.by_row else self.s.batches)
        }
        return [
            Tried(stage, choice, n, seconds[n] if n in seconds else n * seconds[1], quality) for n in self.s.batches
        ]

    def _seconds(self, stage: str, runner: Any, batch: int) -> float:
        return min(self.work.seconds(stage, runner, batch) for _ in range(self.s.rounds))

    def workers(self, choices: Mapping[str, Choice]) -> int:
        """Whether a thread beside the loop is faster than none."""
        if processor.cores() < 2:
            return 0
        runner, took = assemble(self.origin, choices, self.cache).runner, dict[int, float]()
        for _ in range(self.s.rounds):
            for n in (0, 1):
                start = time.perf_counter()
                self.work.speak(runner, n)
                took[n] = min(time.perf_counter() - start, took.get(n, np.inf))
        return min(took, key=lambda n: took[n])


def snr(ours: Floats, wanted: Floats) -> float:
    """Signal over error in dB; 300 for no error."""
    error = float(np.mean((np.asarray(ours, np.float64) - wanted) ** 2))
    power = float(np.mean(np.asarray(wanted, np.float64) ** 2))
    return min(300.0, 10 * float(np.log10(max(power, 1e-30) / max(error, 1e-60))))
