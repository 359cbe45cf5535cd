"""Lengths that are known when a graph runs: polynomials of the axes that vary, with whole numbers as coefficients.

    F = Size.axis("F")
    (F - 1) * 4 + 8 - 2 * 2      4*F
    (2 * F + 1) // 2             F + (1)//2 → F

Two lengths are equal where they are equal for every run. A length that varies equals no number, as with other
exporters: the graph is right for lengths that are not special.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

from ..errors import BackendError


@dataclass(frozen=True, slots=True, order=True)
class Atom:
    """A factor of a term: the axis `name`; or `of` divided by `by` ("//", rounded down), or its rest ("%")."""

    name: str
    op: str = field(default="", compare=False)
    of: Any = field(default=None, compare=False)
    by: int = field(default=1, compare=False)


Term: TypeAlias = tuple[Atom, ...]
Length: TypeAlias = "int | Size"


class Size:
    """A varying length. Sums, products, `//` and `%` are lengths again, or ints if nothing varies."""

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[Term, int]) -> None:
        self.terms = dict(terms)

    @classmethod
    def axis(cls, name: str) -> Size:
        """The length of the axis with this name."""
        return cls({(Atom(name),): 1})

    def __repr__(self) -> str:
        parts = ["*".join([str(n)] * (n != 1 or not term) + [a.name for a in term]) for term, n in self._ordered()]
        return " + ".join(parts)

    def _ordered(self) -> list[tuple[Term, int]]:
        return sorted(self.terms.items(), key=lambda item: (-len(item[0]), item[0]))

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self.terms == other.terms

    def __add__(self, other: Length) -> Length:
        terms = dict(self.terms)
        for term, n in _terms(other).items():
            terms[term] = terms.get(term, 0) + n
        return _length(terms)

    __radd__ = __add__

    def __neg__(self) -> Length:
        return self * -1

    def __sub__(self, other: Length) -> Length:
        return self + -other

    def __rsub__(self, other: Length) -> Length:
        return -self + other

    def __mul__(self, other: Length) -> Length:
        if not isinstance(other, (int, Size)):
            return NotImplemented
        terms: dict[Term, int] = {}
        for a, n in self.terms.items():
            for b, m in _terms(other).items():
                term = tuple(sorted(a + b))
                terms[term] = terms.get(term, 0) + n * m
        return _length(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other: Length) -> Length:
        exact = divided(self, other)
        if exact is not None:
            return exact
        whole, rest = self._split(other, "//")
        return whole + _atom("//", rest, int(other))

    def __mod__(self, other: Length) -> Length:
        if divided(self, other) is not None:
            return 0
        return _atom("%", self._split(other, "%")[1], int(other))

    def _split(self, by: Length, op: str) -> tuple[Length, Length]:
        """What `by` divides, divided, and the rest."""
        if not isinstance(by, int):
            raise BackendError(f"a graph cannot be written: {self} {op} {by} is not a whole number for every length")
        there = {term: n // by for term, n in self.terms.items()}
        rest = {term: n % by for term, n in self.terms.items()}
        return _length(there), _length(rest)

    def _varies(self, *_: Any) -> NoReturn:
        raise BackendError(
            f"a graph cannot be written: the length {self} varies, and is compared, or used as a number, while the "
            "stage is built; write the stage so that it does not depend on it"
        )

    __lt__ = __le__ = __gt__ = __ge__ = __index__ = __int__ = __float__ = _varies


def divided(a: Length, b: Length) -> Length | None:
    """a / b if that is an integer for every length; None otherwise, and if `b` is a sum."""
    terms = _terms(b)
    if len(terms) != 1:
        return None
    ((factors, by),) = terms.items()
    out: dict[Term, int] = {}
    for term, n in _terms(a).items():
        left = list(term)
        if n % by or not all(factor in left for factor in factors):
            return None
        for factor in factors:
            if factor not in left:  # a square divided by more than it has
                return None
            left.remove(factor)
        out[tuple(left)] = n // by
    return _length(out)


def product(lengths: Iterable[Length]) -> Length:
    """All lengths multiplied."""
    out: Length = 1
    for length in lengths:
        out = length * out
    return out


def _terms(length: Length) -> dict[Term, int]:
    return length.terms if isinstance(length, Size) else {(): int(length)}


def _length(terms: Mapping[Term, int]) -> Length:
    kept = {term: n for term, n in terms.items() if n}
    return Size(kept) if any(kept) else kept.get((), 0)


def _atom(op: str, of: Length, by: int) -> Length:
    if isinstance(of, int):
        return of // by if op == "//" else of % by
    return Size({(Atom(f"(({of}) {op} {by})", op, of, by),): 1})
