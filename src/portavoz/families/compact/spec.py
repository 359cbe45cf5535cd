"""The compact family: text → durations → mel → wave in one pass; the voice that comes with the package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...flow import Stage
from ...weights.cursor import Weights
from ..spec import CheckpointPart, FamilySpec, FaultCatalogue, Lengths, Target
from . import runtime
from .acoustic import layout
from .config import CONFIGS, CompactConfig
from .source_loop import loop
from .voice import CompactFolder, synthesizer

HERE = __name__.rpartition(".")[0]
SHOWN = (
    {
        "name": "encode",
        "inputs": ["ids: batch symbols", "speaker: batch"],
        "outputs": ["memory: batch symbols", "log_durations: batch symbols"],
    },
    {
        "name": "decode",
        "inputs": ["memory: batch symbols", "index: batch frames", "place: batch frames"],
        "outputs": ["mel: batch frames"],
    },
    {"name": "vocode", "inputs": ["mel: batch frames"], "outputs": ["sound: batch frames"]},
)


def eager(w: Mapping[str, Weights], c: CompactConfig) -> Any:
    """The blocks on the one file of weights."""
    return runtime.eager_stages(w["model"], c)


def exercise(model: Any, c: CompactConfig, lengths: Lengths) -> None:
    """One utterance of so many symbols and frames."""
    ids = np.arange(lengths["symbols"])[None] % c.symbols
    memory, _ = model.encode(ids, np.zeros(1, np.int64))
    durations = np.full((1, lengths["symbols"]), lengths["frames"] // lengths["symbols"])
    if c.vocoder == "source_filter":
        for _ in loop(model, c).sound(memory, durations[0], 0.0, 0):
            pass
        return
    index, place = layout(durations)
    model.vocode(model.decode(memory, index, place))


def interfaces(c: CompactConfig) -> tuple[Stage, ...]:
    """What text, acoustic model and vocoder hand on."""
    alphabet = f"alphabet {c.alphabet}"
    curves = f"F0 and loudness every {c.mel.hop} samples at {c.mel.rate} Hz"
    between = curves if c.vocoder == "source_filter" else c.mel
    return (
        Stage("the text front end", "text", alphabet),
        Stage("the acoustic model", alphabet, between),
        Stage("the vocoder", between, c.mel.rate),
    )


def runner(sessions: Mapping[str, Any], host: Any, c: CompactConfig) -> Any:
    """The stages on sessions; nothing is needed beside them."""
    return (runtime.SourceFilterSessions if c.vocoder == "source_filter" else runtime.Sessions)(sessions)


FAMILY = FamilySpec(
    name="compact",
    title="the compact family",
    configs=CONFIGS,
    parse=lambda values, folder: CompactConfig.from_dict(values),
    parts=(CheckpointPart("model", runtime.eager_stages),),
    stages=runtime.stages,
    shown=SHOWN,
    runtimes={"onnx": ("float32",), "eager": ("float32",)},
    open=CompactFolder.open,
    eager=eager,
    runner=runner,
    synthesizer=synthesizer,
    exercise=exercise,
    lengths={"symbols": 64, "frames": 384},  # about four and a half seconds of speech
    interfaces=interfaces,
    bare=CompactFolder.bare,
    probe=Target(f"{HERE}.probe:SPEC"),
    faults={"compact": FaultCatalogue(faults=Target(f"{HERE}.faults:FAULTS"))},
    pipeline=Target(f"{HERE}.pipeline"),
    health=Target(f"{HERE}.health:steps"),
    page=Target(f"{HERE}.page:PAGE"),
    train_tasks={"begin": "portavoz.train.tasks.initialization:begin"},
)
