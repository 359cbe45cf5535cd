"""The Kokoro family: phonemes and a style → durations, F0 → wave in one pass (StyleTTS 2); models as ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import BackendError
from ...flow import Stage
from ...weights.cursor import Weights
from ..spec import FamilySpec, Lengths, Target
from .checkpoint import KokoroFolder, recognises
from .config import KokoroConfig, parse
from .voice import Session, synthesizer

HERE = __name__.rpartition(".")[0]
SHOWN = (
    {
        "name": "speak",
        "inputs": ["tokens: 1 tokens", "style: 1", "speed: 1"],
        "outputs": ["audio: samples", "durations: tokens"],
    },
)


def eager(w: Mapping[str, Weights], c: KokoroConfig) -> Any:
    """Raises BackendError: the graph of the file is all there is."""
    raise BackendError("the Kokoro family runs as the graph of its folder; choose runtime='onnx'")


def exercise(model: Any, c: KokoroConfig, lengths: Lengths) -> None:
    """Raises BackendError, as `eager` does."""
    eager({}, c)


def joints(c: KokoroConfig) -> tuple[Stage, ...]:
    """What text and graph hand on."""
    phonemes = f"{c.symbols} phonemes of misaki"
    return (Stage("the text front end", "text", phonemes), Stage("the graph", phonemes, c.rate))


FAMILY = FamilySpec(
    name="kokoro",
    title="Kokoro",
    configs={"v1": KokoroConfig()},
    parse=parse,
    parts=(),
    stages=lambda c: (),
    shown=SHOWN,
    runtimes={"onnx": ("as the file is",)},
    open=KokoroFolder.open,
    eager=eager,
    runner=lambda sessions, host, c: Session(sessions),
    synthesizer=synthesizer,
    exercise=exercise,
    lengths={"tokens": 100},
    joints=joints,
    recognises=recognises,
    speaks=("Kokoro",),
    hub_files=("onnx/model.onnx", "voices/*.bin"),
    rewrite=Target(f"{HERE}.rewrite:rewrite"),
    needs="a Kokoro model with voices-v1.0.bin or a folder voices/ beside it",
)
