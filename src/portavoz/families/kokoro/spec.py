"""The Kokoro family: phonemes and a style → durations, F0 → wave in one pass (StyleTTS 2); models as ONNX files
or published weights."""

from __future__ import annotations

import numpy as np

from ..own_graph import Session, interfaces
from ..spec import CheckpointPart, FamilySpec, FaultCatalogue, Lengths, Target
from .checkpoint import KokoroFolder, recognises
from .config import KokoroConfig, parse
from .eager import NORMAL, Eager
from .network import Kokoro
from .voice import synthesizer

HERE = __name__.rpartition(".")[0]
SHOWN = (
    {
        "name": "speak",
        "inputs": ["tokens: 1 tokens", "style: 1", "speed: 1"],
        "outputs": ["audio: samples", "durations: tokens"],
    },
)


def exercise(model: Eager, c: KokoroConfig, lengths: Lengths) -> None:
    """One utterance of so many tokens and frames."""
    count, frames = lengths["tokens"], lengths["frames"]
    model.run(
        tokens=np.arange(count)[None] % c.sizes.symbols,
        style=np.zeros((1, 2 * c.sizes.style), np.float32),
        speed=np.ones(1, np.float32),
        given=np.full(count, frames // count, np.int64),
    )


FAMILY = FamilySpec(
    name="kokoro",
    title="Kokoro",
    configs={"v1": KokoroConfig()},
    parse=parse,
    parts=(CheckpointPart("model", lambda w, c: Kokoro(w, c.sizes), folds=True, key="predictor"),),
    stages=lambda c: (),
    shown=SHOWN,
    runtimes={"onnx": ("fastest", "as the file is"), "eager": ("float32",)},
    open=KokoroFolder.open,
    eager=lambda w, c: Eager(w["model"], c.sizes, draws=(f"{NORMAL}.0",)),
    runner=lambda sessions, host, c: Session(sessions),
    synthesizer=synthesizer,
    exercise=exercise,
    lengths={"tokens": 50, "frames": 100},
    interfaces=lambda c: interfaces(f"{c.symbols} phonemes of misaki", c.rate),
    recognises=recognises,
    speaks=("Kokoro",),
    hub_files=("onnx/model.onnx", "voices/*.bin"),
    rewrite=Target(f"{HERE}.rewrite:rewrite"),
    faster_graph=Target(f"{HERE}.faster_graph:FASTER"),
    plans_memory=False,
    twin=Target(f"{HERE}.twin:twin"),
    probe=Target(f"{HERE}.probe:SPEC"),
    faults={"kokoro": FaultCatalogue(faults=Target(f"{HERE}.faults:FAULTS"))},
    page=Target(f"{HERE}.page:PAGE"),
    needs="a Kokoro model with voices-v1.0.bin or a folder voices/ beside it",
)
