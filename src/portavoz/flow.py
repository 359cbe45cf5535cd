"""The nouns that travel from text to sound. Plain values: no framework, no files, nothing hidden.

``text → ids → (tokens) → mel → wave``: a stage takes one of these and makes the next, and says so, so that
joining two stages is a comparison made once (`join`) and never a rescaling "to make it fit".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from .config_reader import NonNegative, Positive, Range
from .errors import SpecError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MelSpec:
    """What the numbers of a mel mean. Two stages fit when their specs are equal.

    Frequencies are in Hz, lengths in samples. `padding` says how frames sit on the wave: "center" is
    librosa's (frame t is centred on sample t * hop; 1 + samples // hop frames), "same" is HiFi-GAN's
    (samples // hop frames, each hop of the wave has exactly one).
    """

    rate: Annotated[int, Range(least=1, most=768_000)] = 22050
    fft: Annotated[int, Range(least=1, most=32768)] = 1024
    hop: Annotated[int, Range(least=1, most=32768)] = 256
    window: Annotated[int, Range(least=1, most=32768)] = 1024
    mels: Annotated[int, Range(least=1, most=1024)] = 64
    low: NonNegative = 0.0
    high: Positive = 8000.0
    scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney", "none"] = "slaney"
    power: Positive = 1.0
    log: Literal["e", "10", "none"] = "e"
    floor: NonNegative = 1e-5
    padding: Literal["center", "same"] = "same"
    mean: float = 0.0
    std: Positive = 1.0

    def difference(self, other: MelSpec) -> str:
        """The fields that differ, as a sentence part: ``mels 64 → 80, log 'e' → '10'``; empty when equal."""
        pairs = [(f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return ", ".join(f"{name} {a!r} → {b!r}" for name, a, b in pairs if a != b)


@dataclass(frozen=True, slots=True)
class Mel:
    """A log-mel spectrogram, float32 `[batch, frames, mels]`, and what its numbers mean."""

    values: NDArray[np.float32]
    spec: MelSpec


@dataclass(frozen=True, slots=True)
class Wave:
    """Mono sound, float32 `[samples]` in −1 … 1, at `rate` Hz; `channels`: how many it was mixed down from."""

    samples: NDArray[np.float32]
    rate: int
    channels: int = 1


class Stage(NamedTuple):
    """What a part of a voice takes and makes, e.g. ``Stage("vocoder", takes=spec, makes=22050)``.

    A MelSpec stands for a mel, a number of Hz for a wave, a text for anything with a version (an alphabet).
    """

    name: str
    takes: MelSpec | int | str
    makes: MelSpec | int | str


def join(*stages: Stage) -> None:
    """Check that each stage takes what the one before it makes. Raises SpecError naming both and the field."""
    for first, then in zip(stages, stages[1:]):
        if first.makes == then.takes:
            continue
        if isinstance(first.makes, MelSpec) and isinstance(then.takes, MelSpec):
            detail = first.makes.difference(then.takes)
        else:
            detail = f"{first.makes!r} → {then.takes!r}"
        raise SpecError(f"{first.name} does not fit {then.name}: {detail}; use stages that were trained together")


@dataclass(slots=True)
class Noise:
    """Named random draws: the same on every back end, in every batch, for every length.

    A draw is made with NumPy from (seed, name, call number) for *one* utterance, time first, so that a batch
    row equals its solo run and a longer draw begins with the shorter one.
    """

    seed: int = 0
    calls: dict[str, int] = field(default_factory=dict)

    def generator(self, name: str) -> np.random.Generator:
        """The generator of this call of `name`; each call moves the call number on."""
        import numpy as np

        call = self.calls.get(name, 0)
        self.calls[name] = call + 1
        digest = hashlib.sha256(f"{self.seed}/{name}/{call}".encode()).digest()
        return np.random.Generator(np.random.Philox(np.frombuffer(digest, np.uint64)[:2]))

    def draw(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Standard normal float32 numbers of `shape`, time on the first axis."""
        import numpy as np

        return self.generator(name).standard_normal(shape).astype(np.float32)

    def keep(self, name: str, shape: tuple[int, ...], probability: float) -> NDArray[np.float32]:
        """A dropout mask: 1 / probability where a value is kept (with `probability`), else 0."""
        import numpy as np

        return ((self.generator(name).random(shape) < probability) / probability).astype(np.float32)
