"""Does a voice listen to what it is told? Each condition changed by itself, and what changes behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..metrics import distance
from ..pipeline.pipeline import Staged, Values

# What rounding alone may move: the lab's sixteen times half a unit in float32's last place, sixteen layers deep.
DEAF = 16 * 16 * 2.0**-24
ROOMS = {"text": "encoder", "memory": "decoder", "speaker": "conditioning", "mel": "vocoder"}


@dataclass(frozen=True, slots=True)
class Response:
    """How far an effect moves (relative L2) when its cause is changed."""

    cause: str
    effect: str
    l2: float

    @property
    def dead(self) -> bool:
        """Nothing moves but by rounding."""
        return self.l2 < DEAF

    @property
    def room(self) -> str:
        """Who should have listened."""
        return ROOMS[self.cause]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        l2 = self.l2 if math.isfinite(self.l2) else None
        return {"cause": self.cause, "effect": self.effect, "l2": l2, "dead": self.dead, "room": self.room}

    def text(self) -> str:
        """In words."""
        moved = f"moves the {self.effect} by {self.l2:.2g}" if self.l2 else f"does not move the {self.effect}"
        return f"another {self.cause} {moved}{': nobody listens to it' if self.dead else ''}"


def responses(voice: Staged, other: Staged | None) -> Iterator[Response]:
    """What a voice listens to; `other` is the same voice with another speaker, where it has one."""
    values = dict(zip(voice.borders, voice.after(None, {})))
    run = {stage.name: stage.run for stage in voice.stages}
    last = "frames" if "frames" in values else "mel"
    given = _given(values)
    changed = run["encode"](_other_text(values["ids"]))
    yield Response("text", "memory", _moved(changed, values["memory"]))
    # Not in another order: attention does not know one.
    opposite = {name: -a if name in _memory(given) else a for name, a in given.items()}
    yield Response("memory", last, _moved(run["decode"](opposite), values[last], last))
    if other is not None:
        theirs = {stage.name: stage.run for stage in other.stages}
        memory = {**given, **{k: v for k, v in theirs["encode"](values["ids"]).items() if k in given}}
        yield Response("speaker", last, _moved(theirs["decode"](memory), values[last], last))
    mel = {"mel": np.ascontiguousarray(values["mel"]["mel"][:, ::-1])}
    yield Response("mel", "wave", _moved(run["vocode"](mel), values["wave"]))


def _given(values: dict[str, Values]) -> Values:
    """What the decoder is given."""
    return values["durations"] if "durations" in values else values["memory"]


def _memory(given: Values) -> list[str]:
    return [name for name in given if name == "memory" or name.partition(".")[0] in ("keys", "values")]


def _other_text(values: Values) -> Values:
    """The same text with one symbol in its middle replaced by another one of it."""
    ids = values["ids"].copy()
    middle = ids.shape[1] // 2
    others = [n for n in dict.fromkeys(ids[0].tolist()) if n != ids[0, middle]]
    ids[0, middle] = others[len(others) // 2]
    return {**values, "ids": ids}


def _moved(made: Values, right: Values, name: str = "") -> float:
    """The largest relative L2 over the values, or that of one; where lengths differ, over what both have."""
    out = 0.0
    for key, a in right.items():
        if (name and key != name) or a.dtype.kind != "f":
            continue
        b = made[key]
        n = min(a.shape[1], b.shape[1]) if a.ndim > 1 else min(len(a), len(b))
        pair = (b[:, :n], a[:, :n]) if a.ndim > 1 else (b[:n], a[:n])
        out = max(out, distance(*pair).l2)
    return out
