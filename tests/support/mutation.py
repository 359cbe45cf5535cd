"""Seeded mutations of valid inputs: of bytes, and of the values of JSON and YAML."""

from __future__ import annotations

import copy
import random
from typing import Any

INTERESTING = (
    b"\x00",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xed\xa0\x80",
    b"\n",
    b'"',
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, -(10**30), 0.0, -0.0, 1e308, -1e308,
    float("nan"), float("inf"), "", "x", "\x00", "\ud800", "é" * 300, "../" * 90, "1", [], [[]], [0] * 5000, {},
    {"x": 1},    [[[[[[]]]]]], {"a": {"b": {"c": {}}}}, "1e999", "-", "nan",
)  # fmt: skip


def of_bytes(content: bytes, chance: random.Random) -> bytes:
    """The content with one to six changes: bits, spans cut out, doubled, filled, the end, the order."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        span = min(len(data) - at, 1 << chance.randint(0, 8))
        kind = chance.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = chance.randrange(256)
        elif kind == 2:
            del data[at : at + span]
        elif kind == 3:
            data[at:at] = data[at : at + span] * chance.randint(1, 3)
        elif kind == 4:
            chosen = chance.choice(INTERESTING)
            data[at : at + len(chosen)] = chosen
        elif kind == 5:
            data[at:at] = chance.choice(INTERESTING)
        elif kind == 6:
            del data[at:]
        else:
            other = chance.randrange(len(data) + 1)
            data[at : at + span] = data[other : other + span]
    return bytes(data)


def of_text(text: str, chance: random.Random) -> str:
    """The same of a text's bytes; what is no UTF-8 any more is a replacement character, or a lone surrogate."""
    changed = of_bytes(text.encode("utf-8", "surrogatepass"), chance)
    return changed.decode("utf-8", chance.choice(("replace", "surrogateescape")))


def of_value(value: Any, chance: random.Random) -> Any:
    """A plain value with one to three of its parts replaced, removed, renamed or doubled."""
    changed = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        places = list(_places(changed))
        if not places:
            return chance.choice(VALUES)
        holder, key = chance.choice(places)
        kind = chance.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[of_text(str(key), chance)] = holder.pop(key)
        elif kind == 2 and isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
            holder[key] = chance.choice((-holder[key], holder[key] * 10**9, holder[key] + 0.5, str(holder[key])))
        elif kind == 3:
            holder[key] = [holder[key]] * chance.randint(0, 3)
        elif kind == 4 and isinstance(holder[key], str):
            holder[key] = of_text(holder[key], chance)
        else:
            holder[key] = copy.deepcopy(chance.choice(VALUES))
    return changed


def _places(value: Any) -> Any:
    """Every (holder, key) below a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in list(inner):
        yield value, key
        yield from _places(one)
