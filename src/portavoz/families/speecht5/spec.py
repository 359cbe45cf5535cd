"""The SpeechT5 family: letters and an x-vector → mel step by step → wave; checkpoints as `transformers` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...blocks.hifigan import HifiGan
from ...flow import Stage
from ...folder import checkpoint, is_checkpoint
from ...weights.cursor import Weights
from ..spec import CheckpointPart, FamilySpec, FaultCatalogue, Lengths, Reference, Target
from . import runtime
from .checkpoint import VOCODER_KEY, Checkpoint, parse, vocoder_of
from .config import ARCHITECTURE, CONFIGS, MODEL, SpeechT5Config
from .decoder import Acoustic
from .loop import decode
from .stages import Eager
from .voice import refuse, synthesizer

HERE = __name__.rpartition(".")[0]
SHOWN = (
    {"name": "encode", "inputs": ["ids: batch symbols", "mask: batch symbols", "speaker: batch"], "outputs": ["state"]},
    {
        "name": "step",
        "inputs": ["frame: batch", "state", "masks: batch"],
        "outputs": ["frames: batch", "stops: batch", "state"],
    },
    {"name": "postnet", "inputs": ["mel: batch frames"], "outputs": ["mel: batch frames"]},
    {"name": "vocode", "inputs": ["mel: batch frames"], "outputs": ["wave: batch samples"]},
)


def recognises(folder: Path) -> bool:
    """Whether a folder's config.json names this family."""
    return is_checkpoint(folder) and checkpoint(folder)["family"] == MODEL


def part_folders(folder: Path) -> dict[str, Path]:
    """The vocoder's folder inside a checkpoint's."""
    vocoder = vocoder_of(folder)
    return {"vocoder": vocoder} if vocoder is not None and vocoder.parent == folder else {}


def eager(w: Mapping[str, Weights], c: SpeechT5Config) -> Eager:
    """The blocks on the model's file and the vocoder's."""
    return Eager(w["model"], w["vocoder"], c)


def exercise(model: Eager, c: SpeechT5Config, lengths: Lengths) -> None:
    """One utterance of so many symbols and steps."""
    steps = lengths["steps"]
    ids = np.arange(lengths["symbols"])[None] % c.vocab_size
    speaker = np.full((1, c.speaker_embedding_dim), 0.1, np.float32)
    state = model.encode(ids, np.ones(ids.shape, bool), speaker, steps)
    ones = np.ones((c.speech_decoder_prenet_layers, 1, c.speech_decoder_prenet_units), np.float32)

    def kept(step: int, rows: Sequence[int]) -> Any:
        return ones

    mel = np.concatenate([step.frames for step in decode(model, state, kept, steps, c, rows=1)], 1)
    model.vocode(model.postnet(mel))


def interfaces(c: SpeechT5Config) -> tuple[Stage, ...]:
    """What tokenizer, acoustic model and vocoder hand on."""
    letters, heard = f"{c.vocab_size} symbols", replace(c.mel, mels=c.vocoder.model_in_dim)
    return (
        Stage("the tokenizer", "text", letters),
        Stage("the acoustic model", letters, c.mel),
        Stage("the vocoder", heard, c.sampling_rate),
    )


FAMILY = FamilySpec(
    name="speecht5",
    title="SpeechT5",
    configs=CONFIGS,
    parse=parse,
    values=lambda c: {"model": c.to_dict(), "vocoder": c.vocoder_dict()},
    parts=(
        CheckpointPart("model", Acoustic, folds=True, key="encoder"),
        CheckpointPart("vocoder", lambda w, c: HifiGan(w, c.vocoder), "vocoder", folds=True, key=VOCODER_KEY),
    ),
    stages=runtime.stages,
    shown=SHOWN,
    runtimes=runtime.RUNTIMES,
    open=Checkpoint.open,
    eager=eager,
    runner=runtime.runner,
    synthesizer=synthesizer,
    refuse=refuse,
    exercise=exercise,
    lengths={"symbols": 60, "steps": 50},  # of two frames each at the published size: 1.6 seconds of speech
    interfaces=interfaces,
    recognises=recognises,
    speaks=(ARCHITECTURE,),
    prepare=runtime.prepare,
    fused=True,
    batch=8,  # sentences at once where nothing was measured: eight took much less than eight times one everywhere
    precisions=runtime.precisions,
    hub_files=("*.model", "*.npy", "vocoder/*", "hifigan/*", "speakers/*"),
    part_folders=part_folders,
    probe=Target(f"{HERE}.probe:SPEC"),
    references={
        "transformers": Reference(
            packages=("torch", "transformers"),
            probe=Target(f"{HERE}.reference.transformers:probe_run"),
            stages=Target(f"{HERE}.reference.transformers:stages"),
        )
    },
    faults={
        "speecht5": FaultCatalogue(faults=Target(f"{HERE}.faults:FAULTS"), against="transformers"),
        "stranger": FaultCatalogue(
            faults=Target(f"{HERE}.reference.handwritten_faults:FAULTS"),
            against="transformers",
            port=Target(f"{HERE}.reference.handwritten_port:ported"),
            output="result#0:out",
        ),
    },
    pipeline=Target(f"{HERE}.pipeline"),
    workload=Target(f"{HERE}.workload:Workload"),
    health=Target(f"{HERE}.health:steps"),
    page=Target(f"{HERE}.page:PAGE"),
)
