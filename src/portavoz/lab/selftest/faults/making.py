"""How faults are made in a model that has been built: fields, words of one block, parts that are called otherwise."""

from __future__ import annotations

from typing import Any

from . import Instead, Over


def rx(path: str) -> str:
    """A path as a regular expression."""
    return path.replace(".", r"\.")


def leaf(path: str) -> str:
    """The unit itself, by its numbers or by what it declares."""
    return rf"(leaf|facts|weights):{rx(path)}$"


def edge(path: str) -> str:
    """What arrives at a unit."""
    return rf"(edge|shape):{rx(path)}$"


def words_in(get: Any, **words: Any) -> Any:
    """Replace words in one block; each is given the inner ops first."""

    def edit(acoustic: Any, vocoder: Any) -> None:
        block = get(acoustic, vocoder)
        inner = block.ops
        block.ops = Over(inner, **{k: (lambda *a, f=f, **n: f(inner, *a, **n)) for k, f in words.items()})

    return edit


def part(get: Any, name: str, call: Any) -> Any:
    def edit(acoustic: Any, vocoder: Any) -> None:
        owner = get(acoustic, vocoder)
        setattr(owner, name, Instead(getattr(owner, name), call))

    return edit
