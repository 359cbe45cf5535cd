"""A model that speaks as a row of stages with plain arrays between them: what `lab swap` and `lab precision` work on.

A border is named after what has been made there; its values are everything that the stages behind it need, so that
whatever made them, the rest of any pipeline can go on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from numpy.typing import NDArray

from ..flow import MelSpec
from .spec import Checkpoint, Model

Values = dict[str, NDArray[Any]]
SENTENCE = "The lab says one sentence, and hears where it goes wrong."


@dataclass(frozen=True, slots=True)
class Request:
    """What a pipeline is to say: a text (its first chunk), by whom, and the seed of what is drawn."""

    text: str = SENTENCE
    speaker: Any = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a pipeline: takes the values of the border before it, makes those of `border`.

    `decisions`: (the values made, the right ones) → the values to go on with, and how many discrete decisions (frames
    of a symbol, number of steps) in them differ. None where the stage decides nothing.
    """

    name: str
    border: str
    run: Callable[[Values], Values]
    decisions: Callable[[Values, Values], tuple[Values, int]] | None = None


class Conditioning(NamedTuple):
    """Where the decoder is told what to say: at `border`, by the values that `carries` accepts by name."""

    border: str
    carries: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline. The last border's values are what is heard; `rate` in Hz and `spec` say what "wave" and "mel" mean.

    `runs`: it can go on from another's values; a recorded one cannot.
    """

    name: str
    stages: tuple[Stage, ...]
    rate: int = 0
    spec: MelSpec | None = None
    runs: bool = True
    conditioning: Conditioning | None = None

    @property
    def borders(self) -> tuple[str, ...]:
        """The borders in order; the first stage needs none before it."""
        return tuple(stage.border for stage in self.stages)

    def after(self, border: str | None, values: Values) -> list[Values]:
        """The values of every border behind `border` (None: of all), given those of that one."""
        start, out = 0 if border is None else self.borders.index(border) + 1, list[Values]()
        for stage in self.stages[start:]:
            values = stage.run(values)
            out.append(values)
        return out

    def to(self, border: str) -> Values:
        """The values at a border, from the text on."""
        values: Values = {}
        for stage in self.stages[: self.borders.index(border) + 1]:
            values = stage.run(values)
        return values


@runtime_checkable
class PipelineSpec(Protocol):
    """How a family's models become pipelines."""

    def voice(self, model: Model, checkpoint: Checkpoint, request: Request, name: str) -> Pipeline:
        """A checkpoint's, on whatever runs its stages."""
        ...

    def probe(self, model: Model, request: Request, name: str) -> Pipeline:
        """The probe's, on a model of its configuration and weights."""
        ...

    def other_speaker(self, checkpoint: Checkpoint | None, request: Request) -> Request | None:
        """The same request by another speaker of a checkpoint (None: of the probe); None where there is only one."""
        ...
