"""A voice for tests of the server: tones that follow from text, speaker, speed and seed alone, as slow as is asked.

It is a real `Voice` over a model that computes nothing: `fake()` in this process, `python -m fake_voice serve …` as a
server of its own (the environment's FAKE_… variables shape it).
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from portavoz.errors import InputError
from portavoz.families.synthesis import SynthesisOptions, SynthesisStream
from portavoz.flow import Wave
from portavoz.text.chunks import TextChunk
from portavoz.text.normalize import Spoken
from portavoz.voice import Voice

RATE = 24_000


class FakeModel:
    """A tone for each text. `steps` counts the pieces that were computed, `open` the streams that are not ended."""

    timed = True
    options = {"loud": "how loud, 0 to 1"}  # noqa: RUF012 (as the protocol has it)

    def __init__(self, *, speakers: tuple[str, ...] = ("ann", "bob"), character: float = 0.06, piece: float = 0.2,
                 delay: float = 0.0) -> None:  # fmt: skip
        self.speakers, self.character, self.piece, self.delay = speakers, character, piece, delay
        self.rate = RATE
        self.steps = self.open = 0
        self.lock = threading.Lock()
        self.gate: threading.Event | None = None  # when set: the second piece of a stream waits for it

    def speaker(self, wanted: Any) -> Any:
        if wanted is None or wanted in self.speakers or isinstance(wanted, float):
            return wanted if wanted is not None else self.speakers[0]
        raise InputError(f"speaker {wanted!r}: there is {', '.join(self.speakers)}")

    def split_text(self, text: str | Iterable[str], manner: SynthesisOptions) -> Iterator[TextChunk]:
        for piece in [text] if isinstance(text, str) else text:
            if piece.strip():
                yield self._chunk(piece)

    def _chunk(self, text: str) -> TextChunk:
        words, symbols, owner, at = [], ["^"], [-1], 0
        for number, word in enumerate(text.split()):
            at = text.index(word, at)
            words.append(Spoken(word, at, at + len(word), (word,), ""))
            symbols += list(word)
            owner += [number] * len(word)
        unread = tuple(word for word in text.split() if word.startswith("☃"))
        return TextChunk(tuple(symbols), tuple(owner), tuple(words), (), unread, 0.0)

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        each = self.character / manner.speed
        ends = tuple(each * (i + 1) for i in range(len(chunk.symbols)))
        return SynthesisStream(ends, self._waves("".join(chunk.symbols), manner, round(ends[-1] * RATE)))

    def _waves(self, text: str, manner: SynthesisOptions, length: int) -> Iterator[np.ndarray]:
        key = f"{text}|{manner.speaker}|{manner.speed}|{manner.seed}|{dict(manner.options)}"
        pitch = 100 + int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32 * 400
        size = round(self.piece * RATE)
        with self.lock:
            self.open += 1
        try:
            for start in range(0, length, size):
                if start and self.gate is not None and not self.gate.wait(30):
                    raise InputError("the gate stayed shut")
                if start and "explode" in text:
                    raise InputError("the model exploded")
                if "crash" in text:
                    raise ZeroDivisionError("a defect")
                if self.delay:
                    time.sleep(self.delay)
                with self.lock:
                    self.steps += 1
                at = np.arange(start, min(start + size, length)) / RATE
                yield (0.3 * np.sin(2 * np.pi * pitch * at)).astype(np.float32)
        finally:
            with self.lock:
                self.open -= 1


class FakeBatcher(FakeModel):
    """One that says up to `batch` sentences together; `sizes` has how many, and a text with "refuse" cannot be said."""

    batch = 4

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.sizes: list[int] = []
        self.begin = threading.Event()  # a batch waits for it
        self.begin.set()

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        return self.synthesize_batch([chunk], [manner])[0]

    def synthesize_batch(
        self, chunks: Sequence[TextChunk], manners: Sequence[SynthesisOptions]
    ) -> list[SynthesisStream]:
        self.sizes.append(len(chunks))
        assert self.begin.wait(30)
        if any("refuse" in "".join(chunk.symbols) for chunk in chunks):
            raise InputError("the model refuses")
        return [super(FakeBatcher, self).synthesize(*one) for one in zip(chunks, manners)]


class FakeCloner(FakeModel):
    """One that speaks at the pitch of a recording, or what this takes for it."""

    def clone(self, wave: Wave) -> float:
        if np.abs(wave.samples).max() < 1e-4:
            raise InputError("the recording is silent")
        return float(np.abs(wave.samples).mean())


def fake(model: FakeModel | None = None, name: str = "fake") -> Voice:
    """A voice over a fake model."""
    about = {"name": name, "family": "fake", "language": "en"}
    return Voice(model or FakeModel(), about, folder=Path("fake"), runtime="fake")


def main() -> int:
    """`portavoz serve` with the fake voice: the command line's own options."""
    from portavoz.cli.commands.serve import options
    from portavoz.cli.main import Parser
    from portavoz.cli.options import note
    from portavoz.serve.app import create_app
    from portavoz.serve.run import run
    from portavoz.serve.settings import read

    parser = Parser(prog="fake")
    options(parser)
    given = {name: value for name, value in vars(parser.parse_args(sys.argv[1:])).items() if value is not None}
    settings = read({"voices": ("fake",), **given})
    model = FakeModel(
        character=float(os.environ.get("FAKE_CHARACTER", "0.06")),
        piece=float(os.environ.get("FAKE_PIECE", "0.2")),
        delay=float(os.environ.get("FAKE_DELAY", "0")),
    )
    return run(settings, create_app(settings, opener=lambda source: fake(model, source)), ready=note)


if __name__ == "__main__":
    sys.exit(main())
