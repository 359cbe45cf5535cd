"""A compact voice: its folder, and what `Voice` speaks through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...folder import describe, verify
from ...ops.base import Ops
from ...text.chunks import TextChunk, split_text
from ...weights import file
from ...weights.cursor import Weights
from ...weights.quantized import unpacked
from ..spec import Engine, Lookup, Tensors
from ..synthesis import SynthesisOptions, SynthesisStream
from .config import CompactConfig
from .loop import STAGES, Compact
from .runtime import eager_stages
from .source_loop import loop

PIECE = 180  # symbols of a chunk: about 12 seconds
FRAMES = 4096  # of a hundredth of a second: what the model has to hold at once
WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class CompactFolder:
    """A folder with voice.json, model.safetensors, and a compiled graph for each stage."""

    folder: Path
    description: dict[str, Any]
    config: CompactConfig
    weights: Path | None = None  # a file of weights in the place of the folder's own

    @classmethod
    def open(cls, folder: Path, lookup: Lookup) -> CompactFolder:
        """Read voice.json. Raises InputError for speakers that do not fit, SpecError for another configuration."""
        if lookup.vocoder is not None:
            raise InputError(f"vocoder {str(lookup.vocoder)!r}: the compact family has its own; leave it out")
        about = describe(folder)
        config = CompactConfig.from_dict(about["config"])
        if len(about["speakers"]) != config.speakers:
            raise InputError(
                f"{folder}: {len(about['speakers'])} speakers have names, the model has {config.speakers}; "
                "install it again"
            )
        return cls(folder, about, config)

    @classmethod
    def bare(cls, weights: Path, config: CompactConfig) -> CompactFolder:
        """A file of weights alone; its speakers go by their numbers."""
        about = {"name": weights.stem, "family": "compact", "rate": config.mel.rate, "config": config.to_dict()}
        return cls(weights.parent, {**about, "speakers": [str(n) for n in range(config.speakers)]}, config, weights)

    def about(self) -> dict[str, Any]:
        """voice.json."""
        return self.description

    def tensors(self) -> dict[str, Tensors]:
        """The weights by name. Raises WeightError for a damaged file."""
        return {"model": unpacked(file.read(self.files()[0])[0])}

    def eager(self, ops: Ops) -> Any:
        """The stages on an eager back end. Raises WeightError when the weights do not fit."""
        w = Weights.load(self.files()[0], ops)
        model = eager_stages(w, self.config)
        w.finish()
        return model

    def replaced(self, weights: Path) -> CompactFolder:
        """The same voice with another file of weights."""
        return replace(self, weights=weights)

    def files(self) -> list[Path]:
        """The file of weights, compared with its checksum."""
        if self.weights is not None:
            return [self.weights]
        verify(self.folder, self.description, [WEIGHTS])
        return [self.folder / WEIGHTS]

    def graphs(self) -> dict[str, Path]:
        """The compiled stages, compared with their checksums."""
        verify(self.folder, self.description, [f"{name}.onnx" for name in STAGES])
        return {name: self.folder / f"{name}.onnx" for name in STAGES}


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
        if wanted in self.speakers:
            return self.speakers.index(str(wanted))
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
