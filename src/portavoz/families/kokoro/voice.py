"""What `Voice` speaks through: one run of the graph for a piece of text, in a style or a mixture of styles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, WeightError
from ...flow import Noise
from ...text.chunks import TextChunk
from ..durations import adjusted, by_symbol, ends
from ..own_graph import Session
from ..spec import Engine
from ..surgery import draw
from ..synthesis import SynthesisOptions, SynthesisStream
from .checkpoint import KokoroFolder
from .eager import Eager
from .phonemes import LANGUAGES, split, tokens
from .styles import Style, Styles, style

OPTIONS = {"language": "the language of the text: en-us, en-gb, es, fr-fr, hi, it, pt-br (default: the speaker's)"}
NOISE = 1 << 18  # numbers; more would begin again


def synthesizer(folder: KokoroFolder, engine: Engine) -> KokoroVoice:
    """The voice of a folder."""
    return KokoroVoice(engine.one, folder)


class KokoroVoice:
    """A Kokoro model with its speakers."""

    options: Mapping[str, str] = OPTIONS

    def __init__(self, session: Session | Eager, folder: KokoroFolder) -> None:
        self.session, self.c, self.name = session, folder.config, folder.path.stem
        self.rate, self.speakers = self.c.rate, tuple(folder.styles)
        self.styles: Styles = folder.styles
        self.timed = "given" in session.takes  # some exports do not tell their durations

    def speaker(self, wanted: Any) -> Style:
        """A style by name, number or mixture. Raises InputError."""
        return style(wanted, self.styles)

    def split_text(self, text: str | Iterable[str], manner: SynthesisOptions) -> Iterator[TextChunk]:
        """Phonemes in pieces of at most 510 tokens. Raises InputError for a language that nothing here reads."""
        if manner.adjust is not None and not self.timed:
            raise InputError("durations: this export of the model has no durations; leave it out")
        return split(text, self._language(manner), manner.lexicon)

    def _language(self, manner: SynthesisOptions) -> str:
        wanted = manner.options.get("language", manner.speaker.language)
        if wanted not in LANGUAGES.values():
            raise InputError(f"language is {wanted!r}: choose one of {', '.join(LANGUAGES.values())}")
        return str(wanted)

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        """One piece, said; the same piece sounds the same wherever it stands."""
        ids, owner = tokens(chunk, self._language(manner))
        sound, durations = self._run(ids, manner, np.full(1, -1, np.int64))
        if durations is None:
            return SynthesisStream((), iter([sound]))
        if manner.adjust is not None:
            sound, durations = self._run(ids, manner, adjusted(manner.adjust, chunk.symbols, durations, owner))
            assert durations is not None  # the same graph
        return SynthesisStream(
            ends(by_symbol(durations, owner, len(chunk.symbols)), len(sound), self.rate), iter([sound])
        )

    def _run(
        self, ids: list[int], manner: SynthesisOptions, given: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        names = [name for name in self.session.takes if name.startswith("noise.")]
        sound, durations = self.session.run(
            tokens=np.array([ids], np.int64),
            style=manner.speaker.row(len(ids) - 2),
            speed=np.array([manner.speed], np.float32),
            given=given,
            **draw(Noise(manner.seed), names, NOISE),
        )
        if not np.isfinite(sound).all():
            raise WeightError(f"the model {self.name} made no sound but invalid numbers; fetch it again")
        return sound, durations
