"""What a client gets besides sound: events, word times, counts, and warnings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..speech import Word

TOKENS_A_SECOND = 10  # of sound, in `usage`
MOST_WARNED = 2000  # bytes of JSON: warnings also stand in a header


def event(value: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return f"data: {json.dumps(value)}\n\n".encode()


def warned(warnings: Sequence[str]) -> list[str]:
    """Warnings, each once, short enough for a header."""
    kept, size = list[str](), 0
    for warning in dict.fromkeys(warnings):
        size += len(json.dumps(warning))
        if size > MOST_WARNED:
            return [*kept, "and more"]
        kept.append(warning)
    return kept


def word_times(word: Word) -> dict[str, Any]:
    """A word and its time in seconds from the start."""
    return {"word": word.text, "start": round(word.start, 4), "end": round(word.end, 4)}


def usage_of(characters: int, seconds: float) -> dict[str, int]:
    """OpenAI's counts: a token is a character of the text, and a tenth of a second of sound."""
    made = math.ceil(seconds * TOKENS_A_SECOND)
    return {"input_tokens": characters, "output_tokens": made, "total_tokens": characters + made}
