"""A voice: stages joined and checked. `speak` gives a whole Speech, `stream` the same sound in pieces, early.

A voice is data, a folder with `voice.json`: family, configuration, weights, compiled stages, speakers, a card.
Many threads may use one Voice at once.
"""

# A caller may pass anything, whatever the annotations say: the checks that refuse it stay.
# pyright: strict, reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .audio.limit import soft_limit
from .errors import BackendError, InputError
from .folder import describe, find, verify
from .speech import Phoneme, Speech, Word
from .text.reading import Reading, read

if TYPE_CHECKING:
    from .text.lexicon import Lexicon

RUNTIMES = ("onnx", "eager")
PIECE = 180  # symbols said at once: about 12 seconds
FRAMES = 4096  # of a hundredth of a second: what a family has to hold at once


@runtime_checkable
class Utterance(Protocol):
    """What a family makes of one piece of text; `ends` is empty when it does not know when symbols end."""

    @property
    def ends(self) -> tuple[float, ...]: ...
    @property
    def waves(self) -> Iterator[NDArray[np.float32]]: ...


@runtime_checkable
class Family(Protocol):
    """A model that says pieces of text."""

    @property
    def rate(self) -> int: ...
    def utter(self, symbols: Sequence[str], *, speaker: int, speed: float, pauses: float, adjust: Any) -> Utterance: ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How to say it: see `Voice.speak`."""

    speaker: int
    speed: float
    pauses: float
    adjust: Callable[[Sequence[str], NDArray[np.int64]], NDArray[np.int64]] | None


class Voice:
    """Text in, speech out. Made by `load`."""

    def __init__(self, model: Family, about: dict[str, Any], *, folder: Path, runtime: str) -> None:
        self.model, self.about, self.folder, self.runtime = model, about, folder, runtime
        self.name: str = about["name"]
        self.speakers: tuple[str, ...] = tuple(about["speakers"])

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.model.rate

    def speak(
        self,
        text: str | Iterable[str],
        *,
        speed: float = 1.0,
        seed: int = 0,
        speaker: str | int | None = None,
        pauses: float = 1.0,
        lexicon: Lexicon | None = None,
        durations: Callable[[Sequence[str], NDArray[np.int64]], NDArray[np.int64]] | None = None,
    ) -> Speech:
        """The whole text as one Speech.

        speed: 2.0 is twice as fast. pauses: a factor on silences; none inside a sentence gets longer than three
        seconds. speaker: a name or number of `speakers`. seed: the same number means the same sound; a family that
        draws nothing at random sounds the same for all. lexicon: the user's own pronunciations. durations: called
        with the symbols and frames of each piece, gives back the frames to use. Raises InputError when there is
        nothing to say or a value cannot be.
        """
        pieces = list(
            self.stream(
                text, speed=speed, seed=seed, speaker=speaker, pauses=pauses, lexicon=lexicon, durations=durations
            )
        )
        words = tuple(word for piece in pieces for word in piece.words)
        warnings = tuple(dict.fromkeys(w for piece in pieces for w in piece.warnings))
        return Speech(np.concatenate([piece.samples for piece in pieces]), self.rate, words, warnings)

    def stream(
        self,
        text: str | Iterable[str],
        *,
        speed: float = 1.0,
        seed: int = 0,
        speaker: str | int | None = None,
        pauses: float = 1.0,
        lexicon: Lexicon | None = None,
        durations: Callable[[Sequence[str], NDArray[np.int64]], NDArray[np.int64]] | None = None,
    ) -> Iterator[Speech]:
        """The same sound as `speak`, piece after piece as it is made.

        The words of a sentence come with its first piece; their times count from the start of the stream.

        `text` may be an iterable of strings (the lines of a file): it is read as it is spoken, in bounded memory.
        """
        if not np.isfinite(speed) or not 0.1 <= speed <= 10:
            raise InputError(f"speed is {speed!r}: give a number from 0.1 to 10, such as 0.8 or 1.25")
        if not np.isfinite(pauses) or not 0 <= pauses <= 100:
            raise InputError(f"pauses is {pauses!r}: give a number from 0 to 100, such as 0.5 or 2")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InputError(f"seed is {seed!r}: give a whole number")
        if not isinstance(text, Iterable) or isinstance(text, bytes | bytearray | memoryview):
            raise InputError(f"text is a {type(text).__name__}: give a str, or an iterable of them")
        manner = Manner(self._speaker(speaker), float(speed), float(pauses), durations)
        given = text if isinstance(text, str) else _strings(text)
        readings = read(given, lexicon=lexicon, limit=_limit(speed, pauses))
        return self._stream(readings, manner, text if isinstance(text, str) else "")

    def _speaker(self, speaker: str | int | None) -> int:
        if speaker is None:
            return 0
        if isinstance(speaker, int) and 0 <= speaker < len(self.speakers):
            return speaker
        if speaker in self.speakers:
            return self.speakers.index(str(speaker))
        raise InputError(
            f"speaker {speaker!r}: the voice {self.name} has {', '.join(self.speakers)}; choose one of them"
        )

    def _stream(self, readings: Iterator[Reading], manner: Manner, text: str) -> Iterator[Speech]:
        given, pause = 0, 0.0
        unsaid: list[str] = []
        for reading in readings:
            if not reading.symbols:
                unsaid.extend(_warnings(reading))
                continue
            silence = np.zeros(round(pause * manner.pauses / manner.speed * self.rate), np.float32)
            start = (given + len(silence)) / self.rate
            said = self.model.utter(
                reading.symbols, speaker=manner.speaker, speed=manner.speed, pauses=manner.pauses, adjust=manner.adjust
            )
            words, warnings = tuple(_words(reading, said.ends, start)), (*unsaid, *_warnings(reading))
            unsaid = []
            for wave in said.waves:
                samples = np.concatenate([silence, soft_limit(wave)])
                silence, given = silence[:0], given + len(samples)
                yield Speech(samples, self.rate, words, warnings)
                words, warnings = (), ()
            pause = reading.pause
        if given and unsaid:
            yield Speech(np.zeros(0, np.float32), self.rate, (), tuple(unsaid))
        if not given:
            shown = f" in {text[:40]!r}" if text else ""
            raise InputError(f"there is nothing to say{shown}: give a text with at least one letter or number")

    def describe(self) -> dict[str, Any]:
        """The voice's own description: voice.json with the folder and the runtime in use."""
        return {**self.about, "folder": str(self.folder), "runtime": self.runtime}


def _strings(chunks: Iterable[object]) -> Iterator[str]:
    """The chunks of a text as they come. Raises InputError for one that is no string."""
    for chunk in chunks:
        if not isinstance(chunk, str):
            raise InputError(f"text has a {type(chunk).__name__} in it: give a str, or an iterable of them")
        yield chunk


def _limit(speed: float, pauses: float) -> int:
    """Symbols said at once: slow speech has more frames a symbol, and smaller pieces keep each within FRAMES."""
    # In the worst text every other symbol is a mark: 14 frames of sound and 12 of silence in two symbols.
    pair = (14 + min(12 * pauses, FRAMES / 16 * speed)) / speed
    return max(16, min(PIECE, int(2 * FRAMES / pair)))


def _words(reading: Reading, ends: tuple[float, ...], offset: float) -> Iterator[Word]:
    """Each word's span from its phonemes' ends."""
    if not ends:
        return
    starts = (0.0, *ends[:-1])
    spans: dict[int, list[Phoneme]] = {}
    for symbol, owner, start, end in zip(reading.symbols, reading.owner, starts, ends):
        if owner >= 0:
            spans.setdefault(owner, []).append(Phoneme(symbol, offset + start, offset + end))
    for owner, phonemes in spans.items():
        written = reading.words[owner]
        yield Word(written.source, phonemes[0].start, phonemes[-1].end, tuple(phonemes), written.mark)


def _warnings(reading: Reading) -> list[str]:
    guessed = [f"{word!r} is in no dictionary: pronounced from its spelling" for word in reading.unknown]
    return guessed + [f"{token!r} could not be read and was left out" for token in reading.unread]


def load(
    voice: str | Path | None = None,
    *,
    runtime: str | None = None,
    backend: str | None = None,
    precision: str | None = None,
    device: str | None = None,
    threads: int = 1,
) -> Voice:
    """Open a voice: the bundled one, a bundled voice's name, or a folder with voice.json.

    runtime: "onnx" (the default) or "eager" on a back end: "torch" or "numpy" (torch where it is installed).
    device: torch's name of one, such as "cuda". precision: "float32". threads: for ONNX Runtime, inside one stage.
    Raises InputError (voice, option), WeightError (damaged files), BackendError, MissingExtra.
    """
    folder = find(voice)
    about = describe(folder)
    if about["family"] != "compact":
        raise InputError(f"{folder}: family {about['family']!r} is not known to this portavoz; install a newer one")
    chosen = runtime or ("eager" if backend or device else "onnx")
    if chosen not in RUNTIMES:
        raise BackendError(
            f"runtime {chosen!r}: the compact family runs on {' or '.join(RUNTIMES)}; choose one of them"
        )
    if precision not in (None, "float32"):
        raise BackendError(f"precision {precision!r}: the compact family runs in float32 only; leave it out")
    if chosen == "onnx" and (backend or device):
        raise BackendError(
            f"runtime 'onnx' takes no backend or device ({backend or device!r}); use runtime='eager' with them"
        )
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError(f"threads is {threads!r}: give a whole number from 1 up")
    return Voice(_compact(folder, about, chosen, backend, device, threads), about, folder=folder, runtime=chosen)


def _compact(
    folder: Path, about: dict[str, Any], runtime: str, backend: str | None, device: str | None, threads: int
) -> Family:
    from .families.compact.config import CompactConfig

    config = CompactConfig.from_dict(about["config"])
    if len(about["speakers"]) != config.speakers:
        raise InputError(
            f"{folder}: {len(about['speakers'])} speakers have names, the model has {config.speakers}; install it again"
        )
    if runtime == "onnx":
        from .families.compact.speak import STAGES
        from .graph.compact import compiled

        verify(folder, about, [f"{name}.onnx" for name in STAGES])
        return compiled(folder, config, threads=threads)
    from . import ops
    from .families.compact.speak import eager

    verify(folder, about, ["model.safetensors"])
    options = {"device": device} if device else {}
    return eager(folder / "model.safetensors", config, ops.open(backend or ops.preferred(), **options))
