"""Which runtime, precision and threads suit a SpeechT5 on this machine: measured here, with its own weights.

Every stage is tried on everything that can run it, the fastest whose signal over error (against eager float32, in dB,
the decoder running freely) is above a floor is chosen, and the choice is kept beside the compiled stages. Numbers
of a machine say nothing about another one, so a choice counts only where it was made, with the same versions.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic
from ..errors import BackendError, InputError, MissingExtra
from ..families.speecht5.loop import SpeechT5
from ..families.speecht5.validation import StoppingCriteria
from ..families.speecht5.vocoder import STRIDE
from . import processor
from .cache import Cache
from .lean import PACKAGES, STAGES, Choice, Origin, version_of
from .speecht5 import RUNTIMES, Compiled, assembled, load, plan

Floats = NDArray[np.float32]
FORMAT = 2
SENTENCE = (200, 400)  # steps and frames of a sentence, for which the number of rows is chosen
# A stage's second thread waits for a core on a busy machine, and can be 30 times slower then: it has to be worth that.
WORTH = 1.25
WEIGHTS = ("encode", "step")  # the stages that are weights more than arithmetic, so that eight bits pay


@dataclass(frozen=True, slots=True)
class Settings:
    """How it is measured: the least of `rounds` of so many steps after a text of so many symbols."""

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
    """What was chosen: for each number of rows each stage's choice; `workers` beside the loop (0 or 1).

    `batch`: the number of rows with which a text of many sentences takes the least.
    """

    choices: Mapping[int, Mapping[str, Choice]]
    workers: int
    batch: int
    tried: Sequence[Tried]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. What could not run has neither seconds nor SNR."""
        nothing = {"seconds": None, "snr": None}
        rows = [dataclasses.asdict(row) | (nothing if row.why else {}) for row in self.tried]
        choices = {str(n): {s: dataclasses.asdict(c) for s, c in each.items()} for n, each in self.choices.items()}
        return {"choices": choices, "workers": self.workers, "batch": self.batch, "tried": rows}


def tune(origin: Origin, settings: Settings, cache: Cache | None = None, tell: Callable[[str], object] = str) -> Tuned:
    """Measure, choose, and keep the choice. `tell` hears what is being tried. Raises PortavozError."""
    cache = cache or Cache()
    bench = _Bench(origin, settings, cache)
    tried: list[Tried] = []
    for stage in STAGES:
        for choice in candidates(stage, settings.threads):
            tell(f"{stage} on {choice.runtime}, {choice.precision}, {choice.threads} threads")
            tried += bench.trial(stage, choice)
    marked = [row for batch in settings.batches for row in _marked(tried, batch, settings.floor)]
    choices = {
        batch: {row.stage: row.choice for row in marked if row.chosen and row.batch == batch}
        for batch in settings.batches
    }
    first = choices[settings.batches[0]]
    tell("sound beside the loop")
    tuned = Tuned(choices, bench.workers(first), rows_at_once([row for row in marked if row.chosen]), marked)
    _keep(tuned, origin, settings, cache)
    return tuned


def candidates(stage: str, threads: Sequence[int]) -> Iterator[Choice]:
    """Everything that could run a stage. Eager stages have the threads that PyTorch has."""
    for runtime, precisions in RUNTIMES.items():
        for precision in precisions:
            if precision == "int8" and stage not in WEIGHTS:
                continue
            for n in (1,) if runtime == "eager" else threads:
                yield Choice(runtime, precision, n)


def stored(origin: Origin, cache: Cache | None = None) -> Tuned | None:
    """What was chosen for these weights on this machine, with these versions; None where nothing was."""
    try:
        kept = json.loads(_place(origin, cache or Cache()).read_text(encoding="utf-8"))
        if kept["here"] != _here():
            return None
        choices = {
            int(n): {stage: Choice(**each[stage]) for stage in STAGES} for n, each in kept["tuned"]["choices"].items()
        }
        batch = int(kept["tuned"]["batch"])
        return Tuned(choices, int(kept["tuned"]["workers"]), batch, ()) if batch in choices else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(tuned: Tuned, origin: Origin, settings: Settings, cache: Cache) -> None:
    kept = {"here": _here(), "settings": dataclasses.asdict(settings), "tuned": tuned.to_dict()}
    with atomic(_place(origin, cache), "w") as out:
        json.dump(kept, out, indent=1)


def _place(origin: Origin, cache: Cache) -> Path:
    return cache.root / f"tuned-{origin.digest[:32]}.json"


def _here() -> dict[str, Any]:
    flags = hashlib.sha256(" ".join(sorted(processor.flags())).encode()).hexdigest()[:16]
    versions = {name: version_of(name) for packages in PACKAGES.values() for name in packages}
    return {"format": FORMAT, "processor": flags, "cores": processor.cores(), "versions": versions}


def _marked(tried: Sequence[Tried], batch: int, floor: float) -> list[Tried]:
    """The rows of one batch, the fastest above the floor of each stage marked; eager float32 is always above.

    More threads than one count as slower than they are, by `WORTH`.
    """
    rows = [row for row in tried if row.batch == batch]
    good = [row for row in rows if not row.why and row.snr >= floor]

    def cost(row: Tried) -> float:
        return row.seconds * (1 if row.choice.threads == 1 else WORTH)

    best = {stage: min((row for row in good if row.stage == stage), key=cost) for stage in STAGES}
    return [dataclasses.replace(row, chosen=row is best[row.stage]) for row in rows]


def rows_at_once(chosen: Sequence[Tried]) -> int:
    """The number of rows with which a sentence takes the least, by what was measured for its stages."""
    steps, frames = SENTENCE
    times = {"encode": 1.0, "step": steps, "postnet": frames / STRIDE, "vocode": frames / STRIDE}
    each = dict.fromkeys(sorted({row.batch for row in chosen}), 0.0)
    for row in chosen:
        each[row.batch] += row.seconds * times[row.stage] / row.batch
    return min(each, key=lambda batch: each[batch])


class _Bench:
    """One text, one speaker, and what eager float32 makes of them."""

    def __init__(self, origin: Origin, settings: Settings, cache: Cache) -> None:
        c = origin.config
        self.origin, self.s, self.cache, self.c = origin, settings, cache, c
        if settings.steps > c.max_speech_positions or settings.steps < 1:
            raise InputError(f"{settings.steps} steps: the model has 1 to {c.max_speech_positions}")
        draw = np.random.default_rng(0)
        self.ids = draw.integers(0, c.vocab_size, (1, min(settings.symbols, c.max_text_positions)))
        self.ids[self.ids == c.pad_token_id] = c.eos_token_id
        self.speaker = draw.standard_normal((1, c.speaker_embedding_dim)).astype(np.float32)
        self.plain = assembled(origin, plan("eager", "float32"), cache)
        self.masks = SpeechT5(self.plain, c).masks(0, settings.steps)
        self.mel, _ = self._said(self.plain, 1)
        frames = STRIDE + 2 * c.vocoder.reach()
        self.window = np.resize(self.mel, (1, frames, c.num_mel_bins)).astype(np.float32)

    def trial(self, stage: str, choice: Choice) -> list[Tried]:
        """A row for each batch."""
        try:
            plan(choice.runtime, choice.precision)  # it says what this processor does not have
            stages = {**self.plain.stages, stage: load(self.origin, stage, choice, self.cache)}
            choices = {**self.plain.choices, stage: choice}
            return self._tried(stage, choice, Compiled(stages, self.plain.around, self.c, choices))
        except (MissingExtra, BackendError) as problem:
            return [Tried(stage, choice, batch, np.inf, -np.inf, str(problem)) for batch in self.s.batches]

    def _tried(self, stage: str, choice: Choice, stages: Compiled) -> list[Tried]:
        quality = self._quality(stage, stages)
        if stage in WEIGHTS:
            seconds = {batch: self._seconds(stage, stages, batch) for batch in self.s.batches}
        else:
            # Rows are post-netted and vocoded one by one, whatever the batch.
            once = self._seconds(stage, stages, 1)
            seconds = {batch: batch * once for batch in self.s.batches}
        return [Tried(stage, choice, batch, took, quality) for batch, took in seconds.items()]

    def _quality(self, stage: str, stages: Compiled) -> float:
        if stage in WEIGHTS:
            return snr(self._said(stages, 1)[0], self.mel)
        return snr(getattr(stages, stage)(self.window), getattr(self.plain, stage)(self.window))

    def _seconds(self, stage: str, stages: Compiled, batch: int) -> float:
        if stage == "step":
            return min(self._said(stages, batch)[1] for _ in range(self.s.rounds))
        ids, speaker = np.repeat(self.ids, batch, 0), np.repeat(self.speaker, batch, 0)
        call: Callable[[], Any] = (
            (lambda: stages.encode(ids, ids >= 0, speaker, self.s.steps))
            if stage == "encode"
            else (lambda: getattr(stages, stage)(self.window))
        )
        call()
        return min(_timed(call) for _ in range(self.s.rounds))

    def _said(self, stages: Compiled, batch: int) -> tuple[Floats, float]:
        """A free run: frames [1, steps · r, mels] of the first row, and the median seconds of a step."""
        ids = np.repeat(self.ids, batch, 0)
        state = stages.encode(ids, ids >= 0, np.repeat(self.speaker, batch, 0), self.s.steps)
        frame, heard, times = np.zeros((batch, 1, self.c.num_mel_bins), np.float32), [], []
        for step in range(self.s.steps):
            kept = np.repeat(self.masks[:, None, step], batch, 1)
            start = time.perf_counter()
            frames, _, state = stages.step(frame, state, kept)
            times.append(time.perf_counter() - start)
            heard.append(frames[:1])
            frame = frames[:, -1:]
        return np.concatenate(heard, 1), float(np.median(times))

    def workers(self, choices: Mapping[str, Choice]) -> int:
        """Whether a thread beside the loop is faster than none."""
        if processor.cores() < 2:
            return 0
        stages = assembled(self.origin, choices, self.cache)
        ratio = self.s.steps * self.c.reduction_factor / self.ids.shape[1]
        stop, took = StoppingCriteria(threshold=self.c.reduction_factor + 1.0, maxlenratio=ratio), {}
        for _ in range(self.s.rounds):
            for n in (0, 1):
                model = SpeechT5(stages, self.c, workers=n)
                said = model.synthesize(self.ids[0], self.speaker[0], masks=self.masks, stop=stop)
                took[n] = min(_timed(lambda said=said: list(said.waves)), took.get(n, np.inf))
        return min(took, key=lambda n: took[n])


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def snr(ours: Floats, wanted: Floats) -> float:
    """Signal over error, in dB; 300 for no error at all."""
    error = float(np.mean((np.asarray(ours, np.float64) - wanted) ** 2))
    power = float(np.mean(np.asarray(wanted, np.float64) ** 2))
    return min(300.0, 10 * float(np.log10(max(power, 1e-30) / max(error, 1e-60))))
