"""What a voice asks of a model that speaks, whatever its family."""

# A caller may pass anything, whatever the annotations say: the checks that refuse it stay.
# pyright: strict, reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Options:
    """How to run it, and where its vocoder is when that lives in a folder of its own: see `portavoz.load`."""

    runtime: str | None = None
    backend: str | None = None
    precision: str | None = None
    device: str | None = None
    threads: int = 1
    vocoder: str | Path | None = None
    schedule: str | Path | None = None
    mesh: str | None = None

    def __post_init__(self) -> None:
        # Thousands of threads are not a wish but a slip, and would take the whole machine with them.
        whole = isinstance(self.threads, int) and not isinstance(self.threads, bool)
        if not whole or not 1 <= self.threads <= MOST_THREADS:
            raise InputError(f"threads is {self.threads!r}: give a whole number from 1 to {MOST_THREADS}")

    @property
    def of_backend(self) -> dict[str, Any]:
        """What the back end is opened with: device, schedule and mesh, as far as they were given."""
        given = {"device": self.device, "schedule": self.schedule, "mesh": self.mesh}
        return {name: value for name, value in given.items() if value}

    def choose(self, family: str, runtimes: Sequence[str], precisions: Sequence[str], *, first: str) -> tuple[str, str]:
        """The runtime, `first` unless asked for, and the precision, the first one unless so. Raises BackendError."""
        runtime = self.runtime or ("eager" if self.backend or self.device else first)
        if runtime not in runtimes:
            raise BackendError(
                f"runtime {runtime!r}: the {family} family runs on {' or '.join(runtimes)}; choose one of them"
            )
        precision = self.precision or precisions[0]
        if precision not in precisions:
            only = f"{precisions[0]} only; leave it out" if len(precisions) == 1 else f"one of {', '.join(precisions)}"
            raise BackendError(f"precision {precision!r}: on the runtime {runtime} the {family} family runs in {only}")
        if runtime != "eager" and (self.backend or self.device):
            raise BackendError(
                f"runtime {runtime!r} takes no backend or device ({self.backend or self.device!r}); "
                "use runtime='eager' with them"
            )
        return runtime, precision


@dataclass(frozen=True, slots=True)
class SynthesisOptions:
    """How to say it: see `Voice.speak`. `speaker` is what the family made of it, `options` are the family's own.

    whole: nobody listens before a sentence is complete, so that it may be made as a whole where that is less work.
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


def check_options(given: Mapping[str, Any], known: Mapping[str, str], name: str) -> dict[str, Any]:
    """A family's own settings that were given. Raises InputError for one that the voice `name` does not have."""
    for option in given:
        if option not in known:
            there = f"has {', '.join(known)}" if known else "has none"
            raise InputError(f"there is no option {option!r}: the voice {name} {there}")
    return dict(given)


class SynthesisStream(NamedTuple):
    """One piece of text on its way: when its symbols end (seconds; empty when unknown), and its sound in pieces.

    `warnings` are sentences for the listener, complete when `waves` is. `watermarked`: the sound carries an inaudible
    mark that says it is made.
    """

    ends: tuple[float, ...]
    waves: Iterator[NDArray[np.float32]]
    warnings: Sequence[str] = ()
    watermarked: bool = False


@runtime_checkable
class Synthesizer(Protocol):
    """A model that speaks chunks of text. `timed`: it knows when each symbol sounds."""

    timed: bool

    @property
    def rate(self) -> int: ...
    @property
    def speakers(self) -> tuple[str, ...]: ...
    def speaker(self, wanted: Any) -> Any:
        """What the family knows a speaker by. Raises InputError for one that it does not have."""
        ...

    def split_text(self, text: str | Iterable[str], manner: SynthesisOptions) -> Iterator[TextChunk]:
        """The text in pieces that the model says at once. Raises InputError at once for a manner that it has not."""
        ...

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream: ...


@runtime_checkable
class BatchSynthesizer(Synthesizer, Protocol):
    """A model that says several pieces in less time together than one after the other.

    `batch`: how many at once, where nobody says how many.
    """

    batch: int

    def synthesize_batch(
        self, chunks: Sequence[TextChunk], manners: Sequence[SynthesisOptions]
    ) -> list[SynthesisStream]:
        """Each piece as `synthesize` speaks it in its own manner, to rounding; their sound may be read in any order,
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
    """A model with settings of its own. `options`: name → what it does."""

    options: Mapping[str, str]


@runtime_checkable
class TimedModel(Protocol):
    """Symbols → memory → durations → mel → wave, each step by itself; what runs the stages may be exchanged."""

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
    """A model that plans how long each symbol lasts, so that its halves can be heard by themselves."""

    def timed_model(self) -> TimedModel | None:
        """None where no mel stands between its halves."""
        ...


class Opened(NamedTuple):
    """A model ready to speak, what is known about it, and the runtime it is on."""

    model: Synthesizer
    about: dict[str, Any]
    runtime: str
