"""The Piper family: phonemes → durations → wave in one pass (VITS); voices as Piper's own ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import BackendError
from ...flow import Stage
from ...weights.cursor import Weights
from ..spec import FamilySpec, Lengths, Target
from .checkpoint import PiperFile, recognises
from .config import PiperConfig, parse
from .voice import Session, synthesizer

HERE = __name__.rpartition(".")[0]
SHOWN = (
    {
        "name": "speak",
        "inputs": ["input: batch phonemes", "input_lengths: batch", "scales: 3", "sid: batch", "noise"],
        "outputs": ["output: batch samples", "durations: phonemes"],
    },
)


def eager(w: Mapping[str, Weights], c: PiperConfig) -> Any:
    """Raises BackendError: the graph of the file is all there is."""
    raise BackendError("the Piper family runs as the graphs that its voices are; choose runtime='onnx'")


def exercise(model: Any, c: PiperConfig, lengths: Lengths) -> None:
    """Raises BackendError, as `eager` does."""
    eager({}, c)


def joints(c: PiperConfig) -> tuple[Stage, ...]:
    """What text and graph hand on."""
    phonemes = f"{c.symbols} phonemes of {c.kind}"
    return (Stage("the text front end", "text", phonemes), Stage("the graph", phonemes, c.rate))


FAMILY = FamilySpec(
    name="piper",
    title="Piper",
    configs={"medium": PiperConfig()},
    parse=parse,
    parts=(),
    stages=lambda c: (),
    shown=SHOWN,
    runtimes={"onnx": ("as the file is",)},
    open=PiperFile.open,
    eager=eager,
    runner=lambda sessions, host, c: Session(sessions),
    synthesizer=synthesizer,
    exercise=exercise,
    lengths={"phonemes": 100},
    joints=joints,
    recognises=recognises,
    speaks=("Piper",),
    rewrite=Target(f"{HERE}.rewrite:rewrite"),
    needs="NAME.onnx with NAME.onnx.json beside it",
)
