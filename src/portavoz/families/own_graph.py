"""What families share whose voices are one graph: which file it is, and what cannot be given beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


class Session:
    """A compiled graph as the eager models run: of the inputs those that it takes, and arrays of one axis back."""

    def __init__(self, sessions: Mapping[str, Any]) -> None:
        self.stage = sessions["speak"]

    @cached_property
    def takes(self) -> list[str]:
        """The names of its inputs. Some exports do not tell their durations, so they do not take any."""
        return [name for name, _ in self.stage.describe()["inputs"]]

    def run(self, **inputs: NDArray[Any]) -> tuple[NDArray[np.float32], Any]:
        """The sound [samples], and durations [symbols] where the graph tells them."""
        sound, *rest = self.stage.run(**{name: a for name, a in inputs.items() if name in self.takes})
        return np.asarray(sound, np.float32).reshape(-1), rest[0].reshape(-1) if rest else None


def spoken(model: Any, given: Mapping[str, Any], edit: Callable[[Any], None] | None) -> Callable[[], Any]:
    """The blocks of a twin, ready to say what they are given; `edit` may change the model before."""
    if edit is not None:
        edit(model.model)
    return lambda: model.run(**given)
