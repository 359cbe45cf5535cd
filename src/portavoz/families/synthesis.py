"""The interface between a voice and the model of any family."""

# A caller may pass anything, whatever the annotations say: the checks that refuse it stay.
# pyright: strict, reportUnnecessaryIsInstance=false

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, InputError
from ..flow import Mel, MelSpec, Wave
from ..text.chunks import TextChunk

if TYPE_CHECKING:
    from ..text.lexicon import Lexicon

MOST_THREADS = 256
PROMPT_SECONDS = 60.0  # of a recording, from which a voice is made
MOST_ROWS = 256  # said together: each has memory of its own
Floats = NDArray[np.float32]
Adjust = Callable[[Sequence[str], NDArray[np.int64]], NDArray[np.int64]]


def listed(names: Sequence[str]) -> str:
    """ "a", "a or b", "a, b or c"."""
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def shortened(value: object) -> str:
    """A value as an error shows it: its repr, cut after 60 characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


def whole_number(name: str, value: object, least: int | None = None, most: int | None = None) -> int:
    """`value` as an int; NumPy's integers are taken too. Raises InputError for any other type, and out of range."""
    number = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None
    if number is None or (least is not None and number < least) or (most is not None and number > most):
        between = "" if least is None else f" from {least} to {most}"
        raise InputError(f"{name} is {shortened(value)}: give a whole number{between}")
    return number


def check_number(name: str, value: Any, low: float, high: float, wanted: str) -> None:
    """Raises InputError for what is no number from `low` to `high`; NumPy's numbers are taken too."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # pyright: ignore[reportOperatorIssue] (and it is false for NaN)
        raise InputError(f"{name} is {shortened(value)}: give {wanted}")


def check_manner(speed: Any, pauses: Any, pitch: Any) -> None:
    """Raises InputError for a speed, a factor on pauses or a pitch that no voice takes."""
    check_number("speed", speed, 0.1, 10, "a number from 0.1 to 10, such as 0.8 or 1.25")
    check_number("pauses", pauses, 0, 100, "a number from 0 to 100, such as 0.5 or 2")
    check_number("pitch", pitch, -24, 24, "semitones from -24 to 24, such as -2 or 3")


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a voice, and where its vocoder is: see `portavoz.load`."""

    runtime: str | None = None
    backend: str | None = None
    precision: str | None = None
    device: str | None = None
    threads: int = 1
    vocoder: str | Path | None = None
    schedule: str | Path | None = None
    mesh: str | None = None

    def __post_init__(self) -> None:
        # Thousands of threads are a mistake that would stop the whole machine.
        threads = whole_number("threads", self.threads, 1, MOST_THREADS)
        object.__setattr__(self, "threads", threads)
        for name in ("runtime", "backend", "precision", "device", "mesh"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise InputError(f"{name} is {shortened(value)}: give its name, a str")
        for name in ("vocoder", "schedule"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str | os.PathLike):
                raise InputError(f"{name} is {shortened(value)}: give a name or a path")

    @property
    def of_backend(self) -> dict[str, Any]:
        """Options of the back end: device, schedule and mesh, as far as they are given."""
        given = {"device": self.device, "schedule": self.schedule, "mesh": self.mesh}
        return {name: value for name, value in given.items() if value}

    def choose(self, family: str, runtimes: Sequence[str], precisions: Sequence[str], *, first: str) -> tuple[str, str]:
        """The runtime (default: `first`) and the precision (default: the first). Raises BackendError."""
        runtime = self.runtime or ("eager" if self.backend or self.device else first)
        if runtime not in runtimes:
            raise BackendError(
                f"runtime {runtime!r}: the {family} family runs on {listed(runtimes)}; choose one of them"
            )
        precision = self.precision or precisions[0]
        if precision not in precisions:
            only = f"{precisions[0]} only; leave it out" if len(precisions) == 1 else listed(precisions)
            raise BackendError(f"precision {precision!r}: on the runtime {runtime} the {family} family has {only}")
        if runtime != "eager" and (self.backend or self.device):
            raise BackendError(
                f"runtime {runtime!r} takes no backend or device ({self.backend or self.device!r}); "
                "use runtime='eager' with them"
            )
        return runtime, precision


@dataclass(frozen=True, slots=True)
class SynthesisOptions:
    """How to speak, see `Voice.speak`. `speaker` is what `Synthesizer.speaker` returned; `options` are the family's.

    whole: the caller does not stream, so a sentence may be computed as a whole where that is less work.
    """

    speaker: Any = None
    speed: float = 1.0
    pauses: float = 1.0
    seed: int = 0
    lexicon: Lexicon | None = None
    adjust: Adjust | None = None
    pitch: float = 0.0
    options: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
    whole: bool = False

    def only_letters(self, who: str) -> None:
        """Raise InputError for what a model of letters, which predicts no durations, cannot be told."""
        if self.speed != 1.0:
            raise InputError(f"speed is {self.speed:g}: {who} does not support `speed`; leave it out")
        if self.lexicon is not None:
            raise InputError(f"lexicon: {who} reads letters, not phonemes; spell the word as it sounds instead")
        if self.adjust is not None:
            raise InputError(f"durations: {who} does not predict durations; leave them out")


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """What a voice will be asked first, as far as it is known before it is opened.

    text: None where it is read as it is spoken. prompt: the recording whose voice it is. manner: its `speaker` as it
    was named.
    """

    text: str | None = None
    prompt: Wave | None = None
    manner: SynthesisOptions = field(default_factory=SynthesisOptions)


def check_options(given: Mapping[str, Any] | None, known: Mapping[str, str], name: str) -> dict[str, Any]:
    """The given options of a family, as a dict. Raises InputError for one that the voice `name` does not have."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InputError(f"options is {shortened(given)}: give a mapping of names to values")
    for option in given:
        if option not in known:
            there = f"has {', '.join(known)}" if known else "has none"
            raise InputError(f"there is no option {option!r}: the voice {name} {there}")
    return dict(given)


class SynthesisStream(NamedTuple):
    """One piece of text: the ends of its symbols in seconds (empty if unknown), and its sound in pieces.

    `warnings` are sentences for the user, complete when `waves` is exhausted. `watermarked`: the sound carries an
    inaudible watermark.
    """

    ends: tuple[float, ...]
    waves: Iterator[NDArray[np.float32]]
    warnings: Sequence[str] = ()
    watermarked: bool = False


@runtime_checkable
class Synthesizer(Protocol):
    """A model that speaks chunks of text. `timed`: it knows the time of each symbol."""

    timed: bool

    @property
    def rate(self) -> int: ...
    @property
    def speakers(self) -> tuple[str, ...]: ...
    def speaker(self, wanted: Any) -> Any:
        """The family's representation of a speaker. Raises InputError for an unknown one."""
        ...

    def split_text(self, text: str | Iterable[str], manner: SynthesisOptions) -> Iterator[TextChunk]:
        """The text in pieces that the model speaks at once. Raises InputError immediately for unsupported options."""
        ...

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream: ...


@runtime_checkable
class BatchSynthesizer(Synthesizer, Protocol):
    """A model that speaks several pieces together in less time than one after the other.

    `batch`: the default batch size.
    """

    batch: int

    def synthesize_batch(
        self, chunks: Sequence[TextChunk], manners: Sequence[SynthesisOptions]
    ) -> list[SynthesisStream]:
        """Each piece as `synthesize` speaks it with its own options, to rounding. Their sound may be read in any order,
        by one thread.
        """
        ...


@runtime_checkable
class CloningSynthesizer(Synthesizer, Protocol):
    """A model that speaks with the voice of a recording."""

    def clone(self, wave: Wave) -> Any:
        """A speaker for `speak`. Raises InputError for a recording without a voice."""
        ...


@runtime_checkable
class AdjustableSynthesizer(Synthesizer, Protocol):
    """A model with options of its own: name → description."""

    options: Mapping[str, str]


@runtime_checkable
class TimedModel(Protocol):
    """Symbols → memory → durations → mel → wave, each step separately; `stages` may be replaced."""

    stages: Any

    @property
    def rate(self) -> int: ...
    @property
    def spec(self) -> MelSpec: ...
    @property
    def most_symbols(self) -> int: ...
    def encode(self, symbols: Sequence[str], speaker: int = 0) -> tuple[Floats, Floats]: ...
    def durations(self, symbols: Sequence[str], predicted: Floats) -> NDArray[np.int64]: ...
    def mel(self, memory: Floats, durations: NDArray[np.int64]) -> Mel: ...
    def waves(self, mel: Mel) -> Iterator[Floats]: ...


@runtime_checkable
class TimedSynthesizer(Synthesizer, Protocol):
    """A model with explicit durations, whose halves can be run separately."""

    def timed_model(self) -> TimedModel | None:
        """None where there is no mel between its halves."""
        ...


class Opened(NamedTuple):
    """A model ready to speak, what is known about it, and the runtime it is on."""

    model: Synthesizer
    about: dict[str, Any]
    runtime: str
