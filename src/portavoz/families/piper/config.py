"""NAME.onnx.json, as Piper writes it: the phonemes' numbers, the speakers, and how the voice is usually run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from ...config_reader import LONGEST, MOST, Count, Range, Reader, Size, read_object
from ...errors import SpecError
from .sizes import VitsConfig

PAD, BEGIN, END = "_", "^", "$"
KINDS = ("espeak", "text")  # who makes the phonemes
GIVE = "give the JSON file that came with the voice"
RATES = (8000, 96000)
MANY = 16  # numbers, or phonemes, that one phoneme may stand for: published voices have one
READER = Reader("a Piper configuration")
Scale = Annotated[float, Range(least=0, most=10)]


@dataclass(frozen=True)
class PiperConfig:
    """A voice's facts.

    ids: phoneme → its numbers. replaced: phoneme → what is written for it (`phoneme_map`). scales: of the prior's
    noise, of lengths, and of the durations' noise. language: espeak's name of it. sizes: of the blocks; a file's own
    are read from its weights when blocks are asked for.
    """

    rate: Annotated[int, Range(*RATES)] = 22050
    symbols: Count = 256
    speakers: Annotated[int, Range(least=1, most=LONGEST)] = 1
    language: str = "en-us"
    kind: str = "espeak"
    scales: tuple[Scale, Scale, Scale] = (0.667, 1.0, 0.8)
    ids: Mapping[str, tuple[Size, ...]] = field(default_factory=dict[str, "tuple[int, ...]"])
    replaced: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])
    names: tuple[str, ...] = ()
    sizes: VitsConfig = field(default_factory=VitsConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `parse` is the inverse."""
        return dataclasses.asdict(self)

    @property
    def english(self) -> bool:
        """Whether the project's own front end reads its text."""
        return self.kind == "espeak" and self.language.lower().partition("-")[0].partition("_")[0] == "en"

    @property
    def british(self) -> bool:
        """Whether it needs British phonemes."""
        return self.language.lower().replace("_", "-").startswith("en-gb")


MEDIUM = PiperConfig()


def parse(values: Mapping[str, Any], folder: Path | None = None) -> PiperConfig:
    """The inverse of `PiperConfig.to_dict`. Raises SpecError."""
    config = READER.read(PiperConfig, values)
    config.sizes.checked()
    return config


def read(path: Path) -> PiperConfig:
    """NAME.onnx.json. Raises InputError for no JSON, SpecError naming the key that is not what Piper writes."""
    known = read_object(path, GIVE)

    def at(*keys: str, default: Any = None) -> Any:
        found: Any = known
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return default if found is None else found

    kind = at("phoneme_type", default="espeak")
    _check(path, "phoneme_type", kind in KINDS, kind, f"one of {', '.join(KINDS)}")
    ids = at("phoneme_id_map")
    wanted = f"lists of at most {MANY} numbers, by at most {LONGEST} phonemes"
    _check(path, "phoneme_id_map", _lists(ids, _id) and all(ids.values()), ids, wanted)
    _check(path, "phoneme_id_map", {PAD, BEGIN, END} <= {*ids}, sorted(ids)[:4], f"{PAD} {BEGIN} {END} in it")
    rate = at("audio", "sample_rate")
    _check(path, "audio.sample_rate", _whole(rate) and RATES[0] <= rate <= RATES[1], rate, "a rate in Hz")
    names = ("noise_scale", "length_scale", "noise_w")
    usual = (0.667, 1.0, 0.8)
    scales = tuple(at("inference", name, default=one) for name, one in zip(names, usual))
    _check(path, "inference", all(_number(x) and 0 <= x <= 10 for x in scales), scales, "numbers from 0 to 10")
    count, speakers = at("num_speakers", default=1), at("speaker_id_map", default={})
    _check(path, "num_speakers", _counts(count, LONGEST), count, f"a whole number from 1 to {LONGEST}")
    fits = isinstance(speakers, dict) and all(_whole(n) and 0 <= n < count for n in speakers.values())
    _check(path, "speaker_id_map", fits, speakers, f"numbers below {count} by name")
    symbols = at("num_symbols", default=1 + max(n for many in ids.values() for n in many))
    _check(path, "num_symbols", _counts(symbols), symbols, f"a whole number from 1 to {MOST}")
    replaced = at("phoneme_map", default={})
    wanted = f"lists of at most {MANY} phonemes, by at most {LONGEST} phonemes"
    _check(path, "phoneme_map", _lists(replaced, lambda one: isinstance(one, str)), replaced, wanted)
    by_number = {n: name for name, n in speakers.items()}
    return PiperConfig(
        rate=rate,
        symbols=symbols,
        speakers=count,
        language=str(at("espeak", "voice", default="en-us" if kind == "espeak" else "")),
        kind=kind,
        scales=(float(scales[0]), float(scales[1]), float(scales[2])),
        ids={one: tuple(many) for one, many in ids.items()},
        replaced={one: tuple(many) for one, many in replaced.items()},
        names=tuple(by_number.get(n, str(n)) for n in range(count)),
    )


def _check(path: Path, key: str, fits: bool, found: Any, wanted: str) -> None:
    if not fits:
        raise SpecError(f"{path}: {key} is {str(found)[:60]!r}, wanted is {wanted}; {GIVE}")


def _lists(value: Any, fits: Callable[[Any], bool]) -> bool:
    """Whether this is short lists, by text, of what fits."""
    return (
        isinstance(value, dict)
        and len(value) <= LONGEST
        and all(isinstance(many, list) and len(many) <= MANY and all(map(fits, many)) for many in value.values())
    )


def _id(value: Any) -> bool:
    return _whole(value) and 0 <= value < MOST


def _counts(value: Any, most: int = MOST) -> bool:
    return _whole(value) and 1 <= value <= most


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
