"""What a Kokoro model reads: its phonemes' numbers (misaki's alphabet), its styles' shape, its rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from ...config_reader import Count, Range, Reader, check_size
from .sizes import KokoroSizes

READER = Reader("a Kokoro configuration")
RATE = 24_000
LONGEST = 510  # tokens between the two zeros
STYLE = 256  # numbers of a style, for each number of tokens
# hexgrad/Kokoro-82M, config.json (Apache-2.0): the phonemes in the order of their numbers.
_PHONEMES = (
    (1, ';:,.!?'), (9, '—…"()“” \u0303ʣʥʦʨᵝ\uab67AI'), (31, "O"), (33, "Q"), (35, "ST"), (39, "W"), (41, "Yᵊ"),
    (43, "abcdef"), (50, "hijklmnopqrstuvwxyzɑɐɒæ"), (75, "βɔɕç"), (80, "ɖðʤə"), (85, "ɚɛɜ"), (90, "ɟ"), (92, "ɡ"),
    (99, "ɥ"), (101, "ɨɪʝ"), (110, "ɯɰŋɳɲɴø"), (118, "ɸθœ"), (123, "ɹ"), (125, "ɾɻ"), (128, "ʁɽʂʃʈʧ"), (135, "ʊʋ"),
    (138, "ʌɣɤ"), (142, "χʎ"), (147, "ʒʔ"), (156, "ˈˌː"), (162, "ʰ"), (164, "ʲ"), (169, "↓"), (171, "→↗↘"), (177, "ᵻ"),
)  # fmt: skip
NUMBERS: Mapping[str, int] = {letter: first + n for first, letters in _PHONEMES for n, letter in enumerate(letters)}


@dataclass(frozen=True)
class KokoroConfig:
    """Rate in Hz, rows of the table of phonemes, the most tokens at once, the numbers of a style.

    sizes: of the blocks; a file's own are read from its weights when blocks are asked for.
    """

    rate: Annotated[int, Range(least=8000, most=96_000)] = RATE
    symbols: Count = 178
    longest: Annotated[int, Range(least=1, most=4096)] = LONGEST
    style: Count = STYLE
    sizes: KokoroSizes = field(default_factory=KokoroSizes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `parse` is the inverse."""
        return dataclasses.asdict(self)


def parse(values: Mapping[str, Any], folder: Path | None = None) -> KokoroConfig:
    """The inverse of `KokoroConfig.to_dict`. Raises SpecError."""
    config = READER.read(KokoroConfig, values)
    check_size((config.longest + 1 + config.symbols) * config.style, READER.what)
    config.sizes.checked()
    return config
