"""Strict configuration: JSON files, and plain values read into dataclasses.

Unknown keys are errors that name the nearest known one; so are values of another type, and numbers out of range: a
field's annotation may hold a `Range`, and a sentence for the documentation: ``Annotated[Count, "Optimiser steps."]``.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import InputError, SpecError
from .input_files import SETTINGS, parse_json, read_text

T = TypeVar("T")
# One value of a kind, and many.
WORDS: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"), float: ("a number", "numbers"), bool: ("true or false", "truth values"),
    str: ("a text", "texts"), Mapping: ("a mapping", "mappings"),
}  # fmt: skip


class Range(NamedTuple):
    """The numbers from `least` to `most`, or above `above` and below `below`."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a finite number is in the range."""
        return (
            (isinstance(value, int) or math.isfinite(value))
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """ "from 1 up", "from 0 to 1", "above 0", "from 0 up and below 1"."""
        parts = [] if self.above is None else [f"above {self.above:g}"]
        if self.least is not None:
            parts.append(f"from {self.least} to {self.most}" if self.most is not None else f"from {self.least} up")
        elif self.most is not None:
            parts.append(f"up to {self.most}")
        return " and ".join([*parts, *([] if self.below is None else [f"below {self.below:g}"])])


MOST = 1 << 16  # of a whole number whose annotation has no upper end: wider than any layer
LONGEST = 4096  # entries of a list
NUMBERS = 5 << 28  # that a model, or one step of it, may hold: 5 GiB as float32
ALLOW_LARGE = "PORTAVOZ_ALLOW_LARGE"  # in the environment: no limit to NUMBERS (`--allow-large`)
Count = Annotated[int, Range(least=1)]
Size = Annotated[int, Range(least=0)]
Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(least=0)]
Share = Annotated[float, Range(least=0, most=1)]


def check_size(numbers: int, what: str) -> None:
    """Raises SpecError when a configuration asks for more than NUMBERS, before any of them is there.

    `numbers` is an estimate: weights, tables, and what one step holds beside them.
    """
    if numbers > NUMBERS and not os.environ.get(ALLOW_LARGE):
        raise SpecError(
            f"{what} asks for about {4 * numbers / 2**30:.1f} GiB, wanted at most {4 * NUMBERS / 2**30:.0f}; "
            "make it smaller, or pass --allow-large"
        )


def read_object(path: str | os.PathLike[str], remedy: str) -> dict[str, Any]:
    """The JSON object in a file. Raises InputError saying what is wrong with it, and the remedy."""
    try:
        found = parse_json(read_text(path, SETTINGS, remedy=remedy))
    except ValueError as problem:
        raise InputError(f"{path}: cannot be read as JSON ({problem}); {remedy}") from problem
    if not isinstance(found, dict):
        raise InputError(f"{path}: type {type(found).__name__}, wanted an object; {remedy}")
    return found


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads plain values (of JSON or YAML) into dataclasses; lists become tuples.

    `what` names the configuration in errors ("the training configuration"). Keys in `others` are ignored; an unknown
    key is then an error only when it nearly is a known one (for files of other programs). `least` bounds whole numbers
    whose annotation has no `Range`, `most` those whose annotation has no upper end. All methods raise SpecError naming
    the key and what was wanted.
    """

    what: str
    others: Collection[str] | None = None
    least: int | None = None
    most: int = MOST

    def read(self, kind: type[T], values: Any, *, where: str = "", base: T | None = None) -> T:
        """An instance of `kind`; what `values` lacks is that of `base`, or the default.

        `where` is the path of nested values ("mel.").
        """
        ready = self.fields(kind, values, where=where, base=base)
        if base is not None:
            return dataclasses.replace(base, **ready)  # pyright: ignore[reportArgumentType] (kind is a dataclass)
        missing = [f for f in dataclasses.fields(kind) if f.name not in ready and _required(f)]  # pyright: ignore[reportArgumentType]
        if missing:
            raise SpecError(f"{self.what}: {where}{missing[0].name} is missing")
        return kind(**ready)

    def fields(self, kind: type[Any], values: Any, *, where: str = "", base: Any = None) -> dict[str, Any]:
        """The checked values of the fields of `kind` that `values` has."""
        hints = get_type_hints(kind, include_extras=True)
        if not isinstance(values, Mapping):
            place = where.rstrip(".") or "content"
            raise SpecError(f"{self.what}'s {place} is {_short(values)}: wanted {', '.join(hints)}")
        ready: dict[str, Any] = {}
        for key, value in values.items():
            if key in hints:
                ready[key] = self._field(value, hints[key], f"{where}{key}", getattr(base, key, None))
            elif self.others is None or (key not in self.others and _close(key, hints, 0.9)):
                raise SpecError(f"{self.what} has no {where}{str(key)[:200]}{near(key, hints, where)}")
        return ready

    def check(self, config: Any) -> None:
        """Check an instance, such as one that `dataclasses.replace` has made."""
        for name, hint in get_type_hints(type(config), include_extras=True).items():
            self._field(getattr(config, name), hint, name, None)

    def _field(self, value: Any, hint: Any, where: str, base: Any) -> Any:
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return value if isinstance(value, hint) else self.read(hint, value, where=f"{where}.", base=base)
        hint = hint if self.least is None else _bounded(hint, self.least)
        try:
            fitted = _fit(value, hint)
        except TypeError as problem:
            raise SpecError(f"{self.what}'s {where} is {_short(value)}: wanted {wanted(hint)}") from problem
        if problem := _beyond(fitted, hint, self.most):
            raise SpecError(f"{self.what}'s {where} is {_short(value)}: wanted {problem}")
        return fitted


def _short(value: Any) -> str:
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # a number of more digits than Python writes
        return "beyond all bounds"
    return shown if len(shown) <= 200 else f"{shown[:200]}…"


def _beyond(value: Any, hint: Any, most: int) -> str:
    """What is wanted of a value that no bound of its annotation stops: whole numbers, lists and fractions end too."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(value, tuple):
        if len(value) > LONGEST:
            return f"a list of at most {LONGEST}"
        return next((problem for one in value if (problem := _beyond(one, None, most))), "")
    if isinstance(value, Mapping):
        return _beyond(tuple(value.values()), None, most)
    bounds = [one for one in get_args(hint)[1:] if isinstance(one, Range)] if get_origin(hint) is Annotated else []
    bounded = any(one.most is not None or one.below is not None for one in bounds)
    if isinstance(value, int) and not bounded and abs(value) > most:
        return f"at most {most}"
    return ""


def _fixed(hint: Any) -> bool:
    """Whether an annotation is of a tuple whose entries have a kind each: ``tuple[int, float]``."""
    return get_origin(hint) is tuple and get_args(hint)[-1:] != (Ellipsis,)


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is f.default_factory is dataclasses.MISSING


def _bounded(hint: Any, least: int) -> Any:
    """The annotation with whole numbers from `least` up."""
    if get_origin(hint) in (tuple, list, Sequence):
        return Sequence[_bounded(get_args(hint)[0], least)]  # pyright: ignore[reportInvalidTypeArguments]
    return Annotated[int, Range(least=least)] if hint is int else hint


def _close(key: Any, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    return difflib.get_close_matches(str(key), list(known), 1, cutoff)


def near(key: Any, known: Iterable[str], where: str = "") -> str:
    """The end of a sentence about an unknown key: the nearest known one, or all of them."""
    found = _close(key, known)
    return f": did you mean {where}{found[0]}?" if found else f": known are {', '.join(known)}"


def _fit(value: Any, hint: Any) -> Any:
    """A value as an annotation has it, lists as tuples. Raises TypeError for another kind of value."""
    origin, inner = get_origin(hint), get_args(hint)
    kinds = (int, float) if hint is float else origin or hint
    if hint is Any:
        return value
    if origin is Annotated:
        fitted = _fit(value, inner[0])
        if all(bounds.holds(fitted) for bounds in inner[1:] if isinstance(bounds, Range)):
            return fitted
        raise TypeError(value)
    if origin in (Union, types.UnionType):
        for one in inner:
            try:
                return _fit(value, one)
            except TypeError:
                continue
    elif origin is Literal:
        if value in inner:
            return value
    elif origin in (tuple, list, Sequence):
        if isinstance(value, (list, tuple)) and (not _fixed(hint) or len(value) == len(inner)):
            return tuple(_fit(one, inner[i] if _fixed(hint) else inner[0]) for i, one in enumerate(value))
    elif origin is Mapping:
        if isinstance(value, Mapping):
            return {_fit(key, inner[0]): _fit(one, inner[1]) for key, one in value.items()}
    elif isinstance(value, kinds) and (hint is bool or not isinstance(value, bool)):
        return value
    raise TypeError(value)


def meaning(hint: Any) -> str:
    """The sentence in a field's annotation; empty without one."""
    return (
        next((one for one in get_args(hint)[1:] if isinstance(one, str)), "") if get_origin(hint) is Annotated else ""
    )


def wanted(hint: Any, many: int = 0) -> str:
    """An annotation in words: "a whole number from 1 up", "a list of texts"."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return " ".join([wanted(inner[0], many), *(str(bounds) for bounds in inner[1:] if isinstance(bounds, Range))])
    if origin is Literal:
        return " or ".join(map(repr, inner)) if many else f"one of {', '.join(map(repr, inner))}"
    if _fixed(hint) and len(set(inner)) > 1:
        return f"{'lists' if many else 'a list'} of {' and '.join(wanted(one) for one in inner)}"
    if origin in (tuple, list, Sequence):
        count = f"{len(inner)} " if _fixed(hint) else ""
        return f"{'lists' if many else 'a list'} of {count}{wanted(inner[0], 1)}"
    if origin in (Union, types.UnionType):
        return " or ".join(wanted(one, many) for one in inner if one is not type(None))
    return WORDS.get(origin or hint, (str(hint), str(hint)))[many]
