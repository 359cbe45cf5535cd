"""What `Voice` speaks through: a SpeechT5 with its tokenizer and its speakers. Letters and an x-vector in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...text.chunks import TextChunk
from ..spec import Engine
from ..synthesis import SynthesisOptions, SynthesisRequest, SynthesisStream, check_options
from .checkpoint import Checkpoint
from .loop import SpeechT5
from .speaker import speaker
from .text import limit, read
from .tokenizer import Tokenizer


def synthesizer(checkpoint: Checkpoint, engine: Engine) -> SpeechT5Voice:
    """The voice of a checkpoint."""
    one, many = (SpeechT5(stages, checkpoint.config, workers=engine.workers) for stages in (engine.one, engine.many))
    return SpeechT5Voice(one, many, engine.batch, checkpoint.tokenizer(), checkpoint.speakers())


def refuse(checkpoint: Checkpoint, request: SynthesisRequest) -> None:
    """Raises InputError for settings that SpeechT5 does not have, and without any speaker, before a weight is read."""
    manner = request.manner
    check_options(manner.options, {}, checkpoint.about()["name"])
    manner.only_letters("SpeechT5")
    if request.prompt is None and manner.speaker is None:
        speaker(None, checkpoint.config.speaker_embedding_dim, checkpoint.speakers())


class SpeechT5Voice:
    """A SpeechT5 with its tokenizer and the speakers that came with it."""

    timed = False

    def __init__(
        self, one: SpeechT5, many: SpeechT5, batch: int, tokenizer: Tokenizer, known: Mapping[str, NDArray[np.float32]]
    ) -> None:
        self.model, self.many, self.batch = one, many, batch
        self.tokenizer, self.known = tokenizer, dict(known)
        self.rate, self.speakers = one.rate, tuple(known)

    def speaker(self, wanted: Any) -> NDArray[np.float32]:
        """The x-vector of a name, a number, a file, a mixture, or an array. Raises InputError."""
        if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < len(self.known):
            wanted = self.speakers[wanted]
        return speaker(wanted, self.model.c.speaker_embedding_dim, self.known)

    def split_text(self, text: str | Iterable[str], manner: SynthesisOptions) -> Iterator[TextChunk]:
        """Letters, in pieces within the model's positions. Raises InputError for unsupported options."""
        manner.only_letters("SpeechT5")
        return read(text, self.tokenizer, limit=limit(self.model.c))

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        """One piece, said; the same piece sounds the same wherever it stands."""
        said = self.model.synthesize(self._ids(chunk), manner.speaker, seed=manner.seed)
        return SynthesisStream(said.ends, said.waves, said.warnings)

    def synthesize_batch(
        self, chunks: Sequence[TextChunk], manners: Sequence[SynthesisOptions]
    ) -> list[SynthesisStream]:
        """Several pieces said at once, each as it sounds alone, to rounding."""
        ids = [self._ids(chunk) for chunk in chunks]
        speakers = np.stack([manner.speaker for manner in manners])
        rows = self.many.synthesize_batch(ids, speakers, seed=[manner.seed for manner in manners])
        return [SynthesisStream(said.ends, said.waves, said.warnings) for said in rows]

    def _ids(self, chunk: TextChunk) -> list[int]:
        return self.tokenizer.ids("".join(chunk.symbols))
