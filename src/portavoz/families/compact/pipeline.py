"""A compact model as a pipeline: text → ids → memory → durations → mel → wave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...errors import InputError
from ...flow import Mel
from ...text.alphabet import ALPHABET
from ...text.chunks import split_text
from ..pipeline import Conditioning, Pipeline, Request, Stage, Values
from .loop import Compact
from .probe import PROBE
from .source_loop import SourceFilterLoop, loop
from .voice import CompactFolder, CompactVoice


def voice(model: Any, folder: CompactFolder, request: Request, name: str) -> Pipeline:
    """A voice's, on whatever runs its stages."""
    about = folder.about()
    speaks = loop(model, folder.config)
    number = CompactVoice(speaks, about["name"], tuple(about["speakers"])).speaker(request.speaker)
    said = partial(symbols, request.text, secondary=folder.config.secondary)
    return pipeline(speaks, said, speaker=number, name=name)


def probe(model: Any, request: Request, name: str) -> Pipeline:
    """The probe's."""
    return pipeline(Compact(model, PROBE), partial(symbols, request.text), speaker=request.speaker or 0, name=name)


def other_speaker(folder: CompactFolder | None, request: Request) -> Request | None:
    """The same request by another speaker of the voice; None where it has only one."""
    if folder is None:
        return replace(request, speaker=((request.speaker or 0) + 1) % PROBE.speakers)
    speakers: list[str] = folder.about()["speakers"]
    mine = speakers[0] if request.speaker is None else request.speaker
    others = [n for n, name in enumerate(speakers) if mine not in (n, name)]
    return replace(request, speaker=others[0]) if others else None


def symbols(text: str, *, secondary: bool = False) -> tuple[str, ...]:
    """The first chunk's. Raises InputError for a text without a word."""
    for chunk in split_text(text, secondary=secondary):
        if chunk.symbols:
            return chunk.symbols
    raise InputError(f"there is nothing to say in {text[:40]!r}: give a text with at least one word")


def pipeline(
    model: Compact, symbols: Callable[[], Sequence[str]], *, speaker: int = 0, name: str = "compact"
) -> Pipeline:
    """A model on whatever runs its stages; `symbols` gives one chunk of text."""

    def text(values: Values) -> Values:
        return {"ids": np.array([ALPHABET.encode(symbols())], np.int64)}

    def encode(values: Values) -> Values:
        memory, logs = model.encode(ALPHABET.decode(values["ids"][0].tolist()), speaker)
        return {"ids": values["ids"], "memory": memory, "log_durations": logs}

    def frames(values: Values) -> Values:
        lasting = model.durations(ALPHABET.decode(values["ids"][0].tolist()), values["log_durations"])
        return {"memory": values["memory"], "durations": lasting}

    def decode(values: Values) -> Values:
        if isinstance(model, SourceFilterLoop):
            return {"controls": model.controls(values["memory"], values["durations"])}
        return {"mel": model.mel(values["memory"], values["durations"]).values}

    def vocode(values: Values) -> Values:
        if isinstance(model, SourceFilterLoop):
            return {"wave": np.concatenate(list(model.spoken(values["controls"])))}
        return {"wave": np.concatenate(list(model.waves(Mel(values["mel"], model.c.mel))))}

    def decisions(made: Values, right: Values) -> tuple[Values, int]:
        # Other durations would make another length of everything behind them: they are counted, not used.
        differ = int((frames(made)["durations"] != frames(right)["durations"]).sum())
        return {**made, "log_durations": right["log_durations"]}, differ

    stages = (
        Stage("text", "ids", text),
        Stage("encode", "memory", encode, decisions),
        Stage("durations", "durations", frames),
        Stage("decode", "controls" if isinstance(model, SourceFilterLoop) else "mel", decode),
        Stage("vocode", "wave", vocode),
    )
    conditioning = Conditioning("durations", lambda name: name == "memory")
    return Pipeline(name, stages, model.rate, model.c.mel, conditioning=conditioning)
