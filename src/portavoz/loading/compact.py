"""The compact family: phonemes in, on ONNX Runtime or on an eager back end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..families.compact.config import CompactConfig
from ..families.compact.loop import STAGES, Compact, eager
from ..families.synthesis import Opened, Options, SynthesisOptions, SynthesisStream
from ..folder import verify
from ..text.chunks import TextChunk, split_text

RUNTIMES = ("onnx", "eager")
PIECE = 180  # symbols said at once: about 12 seconds
FRAMES = 4096  # of a hundredth of a second: what the model has to hold at once


class CompactVoice:
    """A compact model with its speakers' names."""

    timed = True

    def __init__(self, model: Compact, name: str, speakers: tuple[str, ...]) -> None:
        self.model, self.name, self.speakers = model, name, speakers

    @property
    def pitched(self) -> bool:
        """Whether its pitch can be moved."""
        return self.model.c.pitch

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.model.rate

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
        return split_text(text, lexicon=manner.lexicon, limit=limit(manner.speed, manner.pauses))

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        """One piece, said."""
        said = self.model.synthesize(
            chunk.symbols, speaker=manner.speaker, speed=manner.speed, pauses=manner.pauses,
            pitch=manner.pitch, adjust=manner.adjust,
        )  # fmt: skip
        return SynthesisStream(said.ends, said.waves)


def limit(speed: float, pauses: float) -> int:
    """Symbols said at once: slow speech has more frames a symbol, and smaller pieces keep each within FRAMES."""
    # In the worst text every other symbol is a mark: 14 frames of sound and 12 of silence in two symbols.
    pair = (14 + min(12 * pauses, FRAMES / 16 * speed)) / speed
    return max(16, min(PIECE, int(2 * FRAMES / pair)))


def opened(folder: Path, about: dict[str, Any], options: Options) -> Opened:
    """The voice in a folder with voice.json. Raises PortavozError."""
    if options.vocoder is not None:
        raise InputError(f"vocoder {str(options.vocoder)!r}: the compact family has its own; leave it out")
    runtime, _ = options.choose("compact", RUNTIMES, ("float32",), first="onnx")
    model = _model(folder, about, runtime, options)
    return Opened(CompactVoice(model, about["name"], tuple(about["speakers"])), about, runtime)


def _model(folder: Path, about: dict[str, Any], runtime: str, options: Options) -> Compact:
    config = CompactConfig.from_dict(about["config"])
    if len(about["speakers"]) != config.speakers:
        raise InputError(
            f"{folder}: {len(about['speakers'])} speakers have names, the model has {config.speakers}; install it again"
        )
    if runtime == "onnx":
        from ..graph.compact import compiled

        verify(folder, about, [f"{name}.onnx" for name in STAGES])
        return compiled(folder, config, threads=options.threads)
    from .. import ops

    verify(folder, about, ["model.safetensors"])
    device = {"device": options.device} if options.device else {}
    return eager(folder / "model.safetensors", config, ops.open(options.backend or ops.preferred(), **device))
