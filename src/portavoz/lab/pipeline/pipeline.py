"""A program as a row of stages with plain arrays between them: what `swap` crosses and `precision` rounds.

compact     text → ids → memory → durations → mel → wave
speecht5    text → ids → memory → frames → mel → wave

A border is named after what has been made there; its values are everything that the stages behind it need, so that
whatever made them, the rest of any side can go on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...families.compact.loop import Compact
from ...flow import Mel, MelSpec
from ...text.alphabet import ALPHABET

Values = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a side: takes the values of the border before it, makes those of `border`."""

    name: str
    border: str
    run: Callable[[Values], Values]


@dataclass(frozen=True, slots=True)
class Staged:
    """One side. The last border's values are what is heard; `rate` in Hz and `spec` say what "wave" and "mel" mean.

    `runs`: it can go on from another's values; a recorded side can not.
    """

    name: str
    stages: tuple[Stage, ...]
    rate: int = 0
    spec: MelSpec | None = None
    runs: bool = True

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


def compact(model: Compact, symbols: Callable[[], Sequence[str]], *, speaker: int = 0, name: str = "compact") -> Staged:
    """A compact model on whatever runs its stages; `symbols` gives one piece of text as symbols."""

    def text(values: Values) -> Values:
        return {"ids": np.array([ALPHABET.encode(symbols())], np.int64)}

    def encode(values: Values) -> Values:
        memory, logs = model.encode(ALPHABET.decode(values["ids"][0].tolist()), speaker)
        return {"ids": values["ids"], "memory": memory, "log_durations": logs}

    def durations(values: Values) -> Values:
        lasting = model.durations(ALPHABET.decode(values["ids"][0].tolist()), values["log_durations"])
        return {"memory": values["memory"], "durations": lasting}

    def decode(values: Values) -> Values:
        return {"mel": model.mel(values["memory"], values["durations"]).values}

    def vocode(values: Values) -> Values:
        return {"wave": np.concatenate(list(model.waves(Mel(values["mel"], model.c.mel))))}

    stages = (
        Stage("text", "ids", text),
        Stage("encode", "memory", encode),
        Stage("durations", "durations", durations),
        Stage("decode", "mel", decode),
        Stage("vocode", "wave", vocode),
    )
    return Staged(name, stages, model.rate, model.c.mel)
