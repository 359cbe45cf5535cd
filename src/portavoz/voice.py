"""A voice: stages joined and checked. `speak` gives a whole Speech, `stream` the same sound in pieces, early.

A voice is data, a folder with `voice.json`: family, configuration, weights, compiled stages, speakers, a card.
Many threads may use one Voice at once.
"""

# A caller may pass anything, whatever the annotations say: the checks that refuse it stay.
# pyright: strict, reportUnnecessaryIsInstance=false

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .audio.files import read
from .audio.limit import soft_limit
from .deadline import check
from .errors import InputError
from .families.synthesis import (
    MOST_ROWS,
    PROMPT_SECONDS,
    AdjustableSynthesizer,
    BatchSynthesizer,
    CloningSynthesizer,
    Options,
    SynthesisOptions,
    SynthesisRequest,
    SynthesisStream,
    Synthesizer,
    check_manner,
    check_options,
    shortened,
    whole_number,
)  # fmt: skip
from .flow import Wave
from .loading import load_family
from .loading.locate import locate
from .passages import Clock, Passage, warnings_of, words_of
from .speech import Speech
from .text.chunks import TextChunk
from .text.lexicon import Lexicon, opened
from .text.markup import Document, Segment, strings
from .text.markup import read as read_markup


class Voice:
    """Text in, speech out. Made by `load`."""

    def __init__(self, model: Synthesizer, about: dict[str, Any], *, folder: Path, runtime: str) -> None:
        self.model, self.about, self.folder, self.runtime = model, about, folder, runtime
        self.name: str = about["name"]
        self.speakers: tuple[str, ...] = tuple(model.speakers)
        # How one sentence is said when no batch is asked for; a server may batch those of several requests.
        self.synthesize: Callable[[TextChunk, SynthesisOptions], SynthesisStream] = model.synthesize

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.model.rate

    @property
    def batch(self) -> int:
        """How many sentences `speak` says together; 1 where the family says one after the other."""
        return self.model.batch if isinstance(self.model, BatchSynthesizer) else 1

    def speak(
        self,
        text: str | Iterable[str],
        *,
        speed: float = 1.0,
        seed: int = 0,
        speaker: Any = None,
        pauses: float = 1.0,
        pitch: float = 0.0,
        lexicon: Lexicon | Mapping[str, str] | str | Path | None = None,
        durations: Callable[[Sequence[str], NDArray[np.int64]], NDArray[np.int64]] | None = None,
        batch: int | None = None,
        options: Mapping[str, Any] | None = None,
        markup: str = "auto",
    ) -> Speech:
        """The whole text as one Speech.

        speed: 2.0 is twice as fast. pauses: a factor on silences; none inside a sentence gets longer than three
        seconds. pitch: semitones up or down, for voices with a pitch input. speaker: a name or
        number of `speakers`; in some families also an embedding, its file, or a mixture
        ("a.npy:0.7+b.npy:0.3"). seed: the same number means the same sound; a family that draws nothing at random
        sounds the same for all. lexicon: the user's own pronunciations, as a `Lexicon`, its file or its entries.
        durations: called with the symbols and frames of each piece, gives back the frames to use. options: settings of
        the voice's family by name, see `options`. markup: "plain", "markdown", "html", "ssml", or "auto": markup is
        read as such where it is certain, with a note. Raises InputError when there is nothing to say, a value cannot
        be, or the voice's family has nothing to do it with, and DeadlineError under `portavoz.time_limit`.
        """
        if batch is not None:
            batch = self._checked_batch(batch)
        batch = None if batch == self.batch else batch
        pieces = list(
            self.stream(
                text, speed=speed, seed=seed, speaker=speaker, pauses=pauses, pitch=pitch, lexicon=lexicon,
                durations=durations, batch=batch, options=options, markup=markup,
            )
        )  # fmt: skip
        words = tuple(word for piece in pieces for word in piece.words)
        warnings = tuple(dict.fromkeys(w for piece in pieces for w in piece.warnings))
        samples = np.concatenate([piece.samples for piece in pieces])
        return Speech(samples, self.rate, words, warnings, all(piece.watermarked for piece in pieces))

    def stream(
        self,
        text: str | Iterable[str],
        *,
        speed: float = 1.0,
        seed: int = 0,
        speaker: Any = None,
        pauses: float = 1.0,
        pitch: float = 0.0,
        lexicon: Lexicon | Mapping[str, str] | str | Path | None = None,
        durations: Callable[[Sequence[str], NDArray[np.int64]], NDArray[np.int64]] | None = None,
        batch: int | None = 1,
        options: Mapping[str, Any] | None = None,
        markup: str = "auto",
    ) -> Iterator[Speech]:
        """The same sound as `speak` with the same `batch`, piece after piece as it is made; None is `speak`'s own.

        The words of a sentence come with its first piece; their times count from the start of the stream. With more
        than one sentence in a `batch` the whole takes less time, and the first piece comes later.

        `text` may be an iterable of strings (the lines of a file): it is read as it is spoken, in bounded memory, but
        for marked-up text, which is read whole first.
        """
        check_manner(speed, pauses, pitch)
        if pitch and not getattr(self.model, "pitched", False):
            raise InputError(f"pitch {pitch:g}: the voice {self.name} has no pitch input; leave it at 0")
        seed = whole_number("seed", seed)
        whole, batch = batch is None, self._checked_batch(self.batch if batch is None else batch)
        if not isinstance(text, Iterable) or isinstance(text, bytes | bytearray | memoryview):
            raise InputError(f"text is of type {type(text).__name__}: give a str, or an iterable of them")
        if durations is not None and not callable(durations):
            raise InputError(f"durations is {shortened(durations)}: give a function of the symbols and their frames")
        manner = SynthesisOptions(
            self._speaker(speaker), float(speed), float(pauses), seed, opened(lexicon), durations, float(pitch),
            check_options(options, self.options, self.name), whole,
        )  # fmt: skip
        document = read_markup(text if isinstance(text, str) else strings(text), markup)
        return self._stream(document, self._manners(document, manner), batch, text if isinstance(text, str) else "")

    def _manners(self, document: Document, manner: SynthesisOptions) -> Iterator[Passage]:
        """Each segment's pieces, and how they are said. The first is cut at once, and refused where it cannot be said.

        Raises InputError for a speaker that the voice does not have, and for a speed out of range.
        """
        segments = iter(document.segments)
        first = [self._passage(segment, manner) for segment in itertools.islice(segments, 1)]
        return itertools.chain(first, (self._passage(segment, manner) for segment in segments))

    def _passage(self, segment: Segment, manner: SynthesisOptions) -> Passage:
        notes: list[str] = []
        pitch = segment.pitch if getattr(self.model, "pitched", False) else 0.0
        if pitch != segment.pitch:
            notes.append(f"pitch {segment.pitch:g} is ignored: the voice {self.name} has no pitch input")
        own = dataclasses.replace(
            manner,
            speed=min(10.0, max(0.1, manner.speed * segment.rate)),
            pitch=min(24.0, max(-24.0, manner.pitch + pitch)),
            speaker=manner.speaker if segment.speaker is None else self._speaker(segment.speaker),
        )
        return Passage(segment, self.model.split_text(segment.text, own), own, notes)

    @property
    def options(self) -> Mapping[str, str]:
        """Settings that this voice's family has besides the usual ones: name → what it does."""
        return self.model.options if isinstance(self.model, AdjustableSynthesizer) else {}

    def clone(self, recording: str | Path | Wave) -> Any:
        """The voice of a recording (a file of any length, or a Wave), to be given as `speaker`.

        Raises InputError for a family that cannot, and for a recording without a voice.
        """
        if not isinstance(self.model, CloningSynthesizer):
            raise InputError(f"the voice {self.name} cannot clone a recording; choose one of its speakers")
        if not isinstance(recording, str | os.PathLike | Wave):
            raise InputError(f"recording is of type {type(recording).__name__}: give a file's path, or a Wave")
        return self.model.clone(recording if isinstance(recording, Wave) else read_prompt(recording))

    def _speaker(self, speaker: Any) -> Any:
        """The model's speaker; a name may be written in other capitals."""
        if isinstance(speaker, bool):
            raise InputError(f"speaker is {speaker}: give a name or a number")
        if isinstance(speaker, Integral):
            speaker = int(speaker)
        elif isinstance(speaker, os.PathLike):
            speaker = os.fspath(cast("os.PathLike[str]", speaker))
        alike = [name for name in self.speakers if isinstance(speaker, str) and name.lower() == speaker.lower()]
        return self.model.speaker(alike[0] if len(alike) == 1 and speaker not in self.speakers else speaker)

    def _checked_batch(self, batch: object) -> int:
        batch = whole_number("batch", batch, 1, MOST_ROWS)
        if batch > 1 and not isinstance(self.model, BatchSynthesizer):
            raise InputError(f"batch is {batch}: the voice {self.name} speaks one sentence at a time; leave it out")
        return batch

    def _said(self, passage: Passage, batch: int) -> Iterator[tuple[TextChunk, SynthesisStream | None]]:
        """Each chunk with its sound, None where it has no symbols; up to `batch` of them are said together."""
        manner = passage.manner
        while group := list(itertools.islice(passage.chunks, batch)):
            check()
            spoken = [chunk for chunk in group if chunk.symbols]
            if len(spoken) > 1 and isinstance(self.model, BatchSynthesizer):
                said = iter(self.model.synthesize_batch(spoken, [manner] * len(spoken)))
            else:
                said = (self.synthesize(chunk, manner) for chunk in spoken)
            for chunk in group:
                yield passage.segment.place(chunk), next(said) if chunk.symbols else None

    def _stream(self, document: Document, passages: Iterator[Passage], batch: int, text: str) -> Iterator[Speech]:
        clock = Clock(self.rate)
        unsaid: list[str] = []
        marked = asked = False
        for passage in passages:
            unsaid.extend(passage.notes)
            for chunk, said in self._said(passage, batch):
                if said is None:
                    unsaid.extend(warnings_of(chunk))
                    continue
                asked, silence = True, clock.silence()
                start = (clock.given + len(silence)) / self.rate
                words, warnings = tuple(words_of(chunk, said.ends, start)), (*unsaid, *warnings_of(chunk))
                for wave in said.waves:
                    samples = np.concatenate([silence, soft_limit(wave)])
                    silence, clock.given = silence[:0], clock.given + len(samples)
                    marked = said.watermarked
                    yield Speech(samples, self.rate, words, warnings, marked)
                    words, warnings = (), ()
                unsaid = list(said.warnings)
                clock.pause = chunk.pause * passage.manner.pauses / passage.manner.speed
            clock.end(passage)
        unsaid.extend(document.notes)
        if not clock.given:
            shown = f" in {text[:40]!r}" if text else ""
            if asked:
                raise InputError(
                    f"the voice {self.name} ended before its first sound{shown}: give another seed, or more text"
                )
            raise InputError(
                f"there is nothing to say{shown}: give a text with at least one word in Latin letters, or a number"
            )
        last = clock.silence() if clock.exact else np.zeros(0, np.float32)
        if unsaid or len(last):
            yield Speech(last, self.rate, (), tuple(unsaid), marked)

    def describe(self) -> dict[str, Any]:
        """The voice's own description: voice.json with the folder and the runtime in use."""
        return {**self.about, "folder": str(self.folder), "runtime": self.runtime}


def read_prompt(path: str | os.PathLike[str]) -> Wave:
    """The start of a recording, as much as a voice is made from. Raises InputError."""
    return read(path, first=PROMPT_SECONDS + 1)  # the extra second shows the model that the recording was cut


def load(
    voice: str | Path | None = None,
    *,
    runtime: str | None = None,
    backend: str | None = None,
    precision: str | None = None,
    device: str | None = None,
    threads: int = 1,
    vocoder: str | Path | None = None,
    schedule: str | Path | None = None,
    mesh: str | None = None,
    request: SynthesisRequest | None = None,
) -> Voice:
    """Open a voice: the bundled one, a bundled voice's name, a folder, or a checkpoint's name on the Hugging Face hub.

    A folder has a voice.json, or is a checkpoint that one of the families recognises (see `portavoz show FAMILY`). Its
    vocoder, where that lives elsewhere, is at `vocoder` (a folder or a name). What is in the local cache is used
    before anything is fetched.

    runtime: "onnx", "eager" or "openvino"; the family has a default, and says which of them it has. A stage that is
    not compiled yet is compiled the first time and kept in the user's cache. backend: of the eager runtime, one
    of ops.names() (the first that is installed). device: the back end's name of one, such as "cuda" for torch.
    precision: "float32"; some families have "int8" where they are compiled, and "bfloat16" where the processor
    has it. threads: of a compiled runtime, inside one stage. schedule, mesh ("1x2"): of the back end "ttnn". request:
    what it will be asked first; what the family can refuse of it is refused before a weight is read. Raises InputError
    (voice, option), WeightError (files that do not fit), SpecError, BackendError, MissingExtra.
    """
    options = Options(runtime, backend, precision, device, threads, vocoder, schedule, mesh)
    folder = locate(voice)
    model, about, chosen = load_family(folder, options, request)
    return Voice(model, about, folder=folder, runtime=chosen)
