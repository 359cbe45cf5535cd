"""What families share whose voices are one graph: which file it is, and what cannot be given beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..flow import Stage
from .spec import Lookup


def chosen(place: Path, found: Sequence[Path], lookup: Lookup, *, who: str, usual: str = "") -> Path:
    """The file of a voice, of those in a folder; `usual` is the name that is taken of several.

    Raises InputError where it is not clear which one, and for a vocoder.
    """
    if lookup.vocoder is not None:
        raise InputError(f"vocoder {str(lookup.vocoder)!r}: {who} has its own; leave it out")
    first = [path for path in found if path.name == usual]
    if len(found) != 1 and len(first) != 1:
        names = ", ".join(path.name for path in found[:8])
        raise InputError(f"{place}: {len(found)} models are in this folder ({names}); give the file of one of them")
    return found[0] if len(found) == 1 else first[0]


def not_replaced(weights: Path, who: str) -> InputError:
    """The error for other weights: those of such a voice are in its graph."""
    return InputError(f"{weights}: {who}'s weights are in its own file; give another voice")


def interfaces(phonemes: str, rate: int) -> tuple[Stage, ...]:
    """What text and graph hand on."""
    return (Stage("the text front end", "text", phonemes), Stage("the graph", phonemes, rate))


def spoken(model: Any, given: Mapping[str, Any], edit: Callable[[Any], None] | None) -> Callable[[], Any]:
    """The blocks of a twin, ready to say what they are given; `edit` may change the model before."""
    if edit is not None:
        edit(model.model)
    return lambda: model.run(**given)
