"""The Piper family: phonemes → durations → wave in one pass (VITS); voices are Piper's own ONNX files."""

from __future__ import annotations

import numpy as np

from ..own_graph import Session, interfaces
from ..spec import CheckpointPart, FamilySpec, FaultCatalogue, Lengths, Target
from .checkpoint import PiperFile, recognises
from .config import MEDIUM, PiperConfig, parse
from .eager import Eager
from .rewrite import LENGTHS, PRIOR
from .vits import Vits
from .voice import synthesizer

HERE = __name__.rpartition(".")[0]
SHOWN = (
    {
        "name": "speak",
        "inputs": ["input: batch phonemes", "input_lengths: batch", "scales: 3", "sid: batch", "noise"],
        "outputs": ["output: batch samples", "durations: phonemes"],
    },
)


def exercise(model: Eager, c: PiperConfig, lengths: Lengths) -> None:
    """One utterance of so many phonemes and frames."""
    phonemes, frames = lengths["phonemes"], lengths["frames"]
    each = np.full(phonemes, frames // phonemes, np.float32)
    model.run(
        **{
            "input": np.arange(phonemes)[None] % c.sizes.symbols,
            "input_lengths": np.array([phonemes]),
            "scales": np.array(c.scales, np.float32),
            "sid": np.zeros(1, np.int64),
            "given": each,
            LENGTHS: np.zeros(2, np.float32),
            PRIOR: np.zeros(2, np.float32),
        }
    )


FAMILY = FamilySpec(
    name="piper",
    title="Piper",
    configs={"medium": MEDIUM},
    parse=parse,
    parts=(CheckpointPart("model", lambda w, c: Vits(w, c.sizes), key="enc_p"),),
    stages=lambda c: (),
    shown=SHOWN,
    runtimes={"onnx": ("as the file is",), "eager": ("float32",)},
    open=PiperFile.open,
    eager=lambda w, c: Eager(w["model"], c.sizes),
    runner=lambda sessions, host, c: Session(sessions),
    synthesizer=synthesizer,
    exercise=exercise,
    lengths={"phonemes": 100, "frames": 300},
    interfaces=lambda c: interfaces(f"{c.symbols} phonemes of {c.kind}", c.rate),
    recognises=recognises,
    speaks=("Piper",),
    rewrite=Target(f"{HERE}.rewrite:rewrite"),
    probe=Target(f"{HERE}.probe:SPEC"),
    faults={"piper": FaultCatalogue(faults=Target(f"{HERE}.faults:FAULTS"))},
    twin=Target(f"{HERE}.twin:twin"),
    page=Target(f"{HERE}.page:PAGE"),
    needs="NAME.onnx with NAME.onnx.json beside it",
)
