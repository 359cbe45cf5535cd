"""Does a voice listen to what it is told? Each condition changed by itself, and what changes behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...families.pipeline import Pipeline, Values
from ..metrics import distance

# What rounding alone may move: the lab's sixteen times half a unit in float32's last place, sixteen layers deep.
DEAF = 16 * 16 * 2.0**-24
ROOMS = {"text": "encoder", "memory": "decoder", "speaker": "conditioning", "mel": "vocoder", "controls": "vocoder"}


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


def responses(voice: Pipeline, other: Pipeline | None) -> Iterator[Response]:
    """What a voice listens to; `other` is the same voice with another speaker, where it has one.

    Nothing for a pipeline that does not say where its decoder is told what to say.
    """
    if voice.conditioning is None:
        return
    values = dict(zip(voice.borders, voice.after(None, {})))
    condition, carries = voice.conditioning
    _, encode, *_ = voice.stages
    decode, vocode = voice.stages[voice.borders.index(condition) + 1], voice.stages[-1]
    last, given, text = decode.border, values[condition], values[voice.borders[0]]
    yield Response("text", encode.border, _moved(encode.run(_other_text(text)), values[encode.border]))
    # Not in another order: attention does not know one.
    opposite = {name: -a if carries(name) else a for name, a in given.items()}
    yield Response("memory", last, _moved(decode.run(opposite), values[last], last))
    if other is not None:
        theirs = other.stages[other.borders.index(encode.border)].run(text)
        memory = {**given, **{k: v for k, v in theirs.items() if k in given}}
        moved = other.stages[other.borders.index(last)].run(memory)
        yield Response("speaker", last, _moved(moved, values[last], last))
    between = voice.borders[-2]  # a mel [1, frames, mels], or controls [frames, channels]: said backwards
    turned = {name: a[:, ::-1] if a.ndim > 2 else a[::-1] for name, a in values[between].items()}
    moved = vocode.run({name: np.ascontiguousarray(a) for name, a in turned.items()})
    yield Response(between, "wave", _moved(moved, values[vocode.border]))


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
