"""A compact voice: its folder, and what `Voice` speaks through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ...errors import InputError
from ...text.chunks import TextChunk, split_text
from ...weights.cursor import Weights
from ..spec import Engine, Lookup
from ..synthesis import SynthesisOptions, SynthesisStream
from ..voice_folder import VoiceFolder
from .config import CompactConfig
from .loop import STAGES, Compact
from .runtime import eager_stages
from .source_loop import loop

PIECE = 180  # symbols of a chunk: about 12 seconds
FRAMES = 4096  # of a hundredth of a second: what the model has to hold at once


@dataclass(frozen=True)
class CompactFolder(VoiceFolder):
    """A folder with voice.json, model.safetensors, and a compiled graph for each stage."""

    stages: ClassVar[tuple[str, ...]] = STAGES

    @classmethod
    def open(cls, folder: Path, lookup: Lookup) -> CompactFolder:
        """Read voice.json. Raises InputError for speakers that do not fit, SpecError for another configuration."""
        found = cls.read(folder, lookup, lambda values, _: CompactConfig.from_dict(values))
        names = found.description["speakers"]
        if len(names) != found.config.speakers:
            raise InputError(
                f"{folder}: {len(names)} speakers have names, the model has {found.config.speakers}; install it again"
            )
        return found

    @classmethod
    def bare(cls, weights: Path, config: CompactConfig) -> CompactFolder:
        """A file of weights alone; its speakers go by their numbers."""
        about = {"name": weights.stem, "family": "compact", "rate": config.mel.rate, "config": config.to_dict()}
        return cls(weights.parent, {**about, "speakers": [str(n) for n in range(config.speakers)]}, config, weights)

    def build(self, w: Weights) -> Any:
        """The stages on an eager back end."""
        return eager_stages(w, self.config)


def synthesizer(folder: CompactFolder, engine: Engine) -> CompactVoice:
    """The voice in a folder."""
    return CompactVoice(loop(engine.one, folder.config), folder.about()["name"], tuple(folder.about()["speakers"]))


class CompactVoice:
    """A compact model with its speakers' names."""

    timed = True

    def __init__(self, model: Compact, name: str, speakers: tuple[str, ...]) -> None:
        self.model, self.name, self.speakers = model, name, speakers
        self.rate, self.pitched = model.rate, model.pitched

    def timed_model(self) -> Compact | None:
        """The model, whose halves can be run by themselves; None where no mel stands between them."""
        return None if self.model.c.vocoder == "source_filter" else self.model

    def speaker(self, wanted: Any) -> int:
        """The number of a speaker, given by name or number (None: the first). Raises InputError."""
        if wanted is None:
            return 0
        if isinstance(wanted, int) and 0 <= wanted < len(self.speakers):
            return wanted
        if isinstance(wanted, str) and wanted in self.speakers:
            return self.speakers.index(wanted)
        raise InputError(
            f"speaker {wanted!r}: the voice {self.name} has {', '.join(self.speakers)}; choose one of them"
        )

    def split_text(self, text: str | Iterable[str], manner: SynthesisOptions) -> Iterator[TextChunk]:
        """Phonemes by the dictionary, in pieces that speed and pauses keep within the model's frames."""
        most, secondary = limit(manner.speed, manner.pauses), self.model.c.secondary
        return split_text(text, lexicon=manner.lexicon, limit=most, secondary=secondary)

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        """One piece, said."""
        said = self.model.synthesize(
            chunk.symbols, speaker=manner.speaker, speed=manner.speed, pauses=manner.pauses,
            pitch=manner.pitch, seed=manner.seed, adjust=manner.adjust,
        )  # fmt: skip
        return SynthesisStream(said.ends, said.waves)


def limit(speed: float, pauses: float) -> int:
    """Symbols said at once: slow speech has more frames a symbol, and smaller pieces keep each within FRAMES."""
    # In the worst text every other symbol is a mark: 14 frames of sound and 12 of silence in two symbols.
    pair = (14 + min(12 * pauses, FRAMES / 16 * speed)) / speed
    return max(16, min(PIECE, int(2 * FRAMES / pair)))
