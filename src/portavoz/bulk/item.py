"""One line of a manifest, checked: what is said, by whom, and what its file is called."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

COLUMNS = ("id", "text", "voice", "speaker", "speed", "seed")
MOST_TEXT = 20_000  # characters: about 20 minutes of speech, which is in memory at once
MOST_ID = 200  # bytes; a file's name may have 255 with its ending
_ID = re.compile(r"\w[\w.-]*", re.UNICODE)
# Names that Windows keeps for devices, whatever their ending.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")


class BadLine(NamedTuple):
    """A line of a manifest that cannot be spoken, and why. `id` is "" where it is not known."""

    line: int
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a manifest. `line` counts from 1; `extra` are columns that only the output manifest knows."""

    line: int
    id: str
    text: str
    voice: str | None
    speaker: str | int | None
    speed: float
    seed: int
    extra: Mapping[str, Any] = field(default_factory=dict)

    def dumps(self) -> str:
        """As one line of JSON."""
        return json.dumps({"line": self.line, **self._values()}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def loads(cls, line: str | bytes) -> Item:
        """What `dumps` wrote."""
        return cls(**json.loads(line))

    @property
    def digest(self) -> int:
        """64 bits of a hash over all but the line's number: the same item has the same."""
        return hash64(json.dumps(self._values(), sort_keys=True))

    def _values(self) -> dict[str, Any]:
        """All but the line's number. Not `asdict`, whose copies would be a fifth of what a job does with an item."""
        return {name: getattr(self, name) for name in (*COLUMNS, "extra")}

    @property
    def key(self) -> str:
        """The id as a case-insensitive file system sees it; no two ids may share it."""
        return unicodedata.normalize("NFC", self.id.casefold())


def hash64(text: str) -> int:
    """64 bits of SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little")


def build(values: Mapping[str, Any], line: int, defaults: Mapping[str, Any], *, keep_extra: bool) -> Item | BadLine:
    """An item from a line's columns; what is empty there is that of `defaults`."""
    given = {name: value for name, value in values.items() if value is not None and value != ""}
    name = given.get("id")
    shown = name[:80] if isinstance(name, str) and not _SURROGATE.search(name) else ""
    try:
        extra = {key: value for key, value in given.items() if key not in COLUMNS}
        if extra and not keep_extra:
            raise ValueError(
                f"unknown column {next(iter(extra))!r}: known are {', '.join(COLUMNS)}; rename it, or give --keep-extra"
            )
        return Item(
            line, _id(name), _text(given.get("text")), _optional_text(given.get("voice", defaults["voice"]), "voice"),
            _speaker(given.get("speaker", defaults["speaker"])), _speed(given.get("speed", defaults["speed"])),
            _seed(given.get("seed", defaults["seed"])), _extra(extra),
        )  # fmt: skip
    except ValueError as problem:
        return BadLine(line, shown, str(problem))


def _id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("no id: give each line one of its own")
    _plain(value, "id")
    value = unicodedata.normalize("NFC", value)
    if not _ID.fullmatch(value) or value.endswith("."):
        raise ValueError(f"id {value[:80]!r}: letters, digits and _ . - only, beginning with a letter, digit or _")
    if len(value.encode()) > MOST_ID:
        raise ValueError(f"id {value[:40]!r}…: {len(value.encode())} bytes, at most {MOST_ID}")
    if value.partition(".")[0].casefold() in _DEVICES:
        raise ValueError(f"id {value!r}: a device's name on Windows; choose another")
    return value


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"text is of type {type(value).__name__}, wanted a string")
    if value is None or not value.strip():
        raise ValueError("the text is empty")
    if len(value) > MOST_TEXT:
        raise ValueError(f"a text of {len(value)} characters, at most {MOST_TEXT}: split it into several lines")
    _plain(value, "text")
    if not any(character.isalnum() for character in value):
        raise ValueError(f"text {value[:40]!r}: nothing to say, there is no letter and no digit in it")
    return value


def _plain(value: str, what: str) -> None:
    """Raises ValueError for text that cannot be written to a file, or that was decoded wrongly."""
    if _SURROGATE.search(value):
        raise ValueError(f"the {what} is not UTF-8: convert the manifest to UTF-8")
    if _CONTROL.search(value):
        raise ValueError(f"the {what} has a control character: remove it")


def _optional_text(value: Any, what: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{what} is {value!r}: wanted a name")
    _plain(value, what)
    return value


def _speaker(value: Any) -> str | int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return _optional_text(value, "speaker")


def _speed(value: Any) -> float:
    try:
        speed = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        speed = math.nan
    if not 0.1 <= speed <= 10:
        raise ValueError(f"speed is {str(value)[:40]!r}: wanted a number from 0.1 to 10")
    return speed


def _seed(value: Any) -> int:
    try:
        seed = int(value, 10) if isinstance(value, str) else value
    except ValueError:
        seed = None
    if isinstance(seed, bool) or not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed is {str(value)[:40]!r}: wanted a whole number of 64 bits")
    return seed


def _extra(values: dict[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        for text in (name, value):
            if isinstance(text, str):
                _plain(text, f"column {name[:40]!r}")
    try:
        # NaN is no JSON, and a value nested deeply cannot be written.
        json.dumps(values, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        raise ValueError(f"extra columns: cannot be kept as JSON ({problem})") from problem
    return values
