"""Sentences of a closed grammar, five slots of ten words, for a recogniser that knows nothing else."""

from __future__ import annotations

import random

MATRIX: tuple[tuple[str, ...], ...] = (
    ("peter", "kathy", "lucy", "alan", "rachel", "william", "steven", "thomas", "doris", "nina"),
    ("wants", "sees", "gives", "sold", "kept", "found", "made", "buys", "lost", "painted"),
    ("two", "three", "four", "five", "seven", "eight", "nine", "twelve", "fifteen", "sixty"),
    ("small", "old", "dark", "thin", "green", "cheap", "pretty", "heavy", "white", "broken"),
    ("desks", "chairs", "tables", "toys", "spoons", "windows", "flowers", "houses", "rings", "boxes"),
)


def matrix_sentences(count: int) -> list[str]:
    """The first `count` different sentences, always the same, without marks: ``peter wants two small desks``."""
    rng = random.Random("20261121/matrix")
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(rng.choice(slot) for slot in MATRIX)] = None
    return list(found)
