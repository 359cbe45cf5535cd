"""The Chatterbox family: text and a recording → speech tokens → mel → wave, in the recording's voice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...flow import Noise, Stage
from ...weights.cursor import Weights
from ..spec import CheckpointPart, FamilySpec, FaultCatalogue, Lengths, Reference, Target
from .checkpoint import Checkpoint, is_chatterbox, part_files
from .config import CODES, CONFIGS, ChatterboxConfig, parse
from .loop import Chatterbox, Utterance
from .prompt import Conditionals
from .speaker import VoiceEncoder
from .stages import Eager, s3gen
from .tokens import T3
from .voice import synthesizer

HERE = __name__.rpartition(".")[0]
SHOWN = (
    {"name": "voice", "inputs": ["mel: pieces"], "outputs": ["speaker: pieces"]},
    {"name": "x_vector", "inputs": ["bank: frames"], "outputs": ["x_vector"]},
    {"name": "codes", "inputs": ["log_mel: frames"], "outputs": ["levels: tokens"]},
    {"name": "condition", "inputs": ["speaker", "prompt: tokens", "emotion"], "outputs": ["voice"]},
    {"name": "prefill", "inputs": ["voice", "ids: symbols"], "outputs": ["logits: rows", "state"]},
    {"name": "step", "inputs": ["token", "state"], "outputs": ["logits: rows", "state"]},
    {"name": "mu", "inputs": ["tokens: tokens"], "outputs": ["mu: frames"]},
    {
        "name": "velocity",
        "inputs": ["x: rows frames", "mu: rows frames", "speaker: rows", "prompt: rows frames", "times"],
        "outputs": ["velocity: rows frames"],
    },
    {"name": "pitch", "inputs": ["mel: frames"], "outputs": ["f0: frames"]},
    {"name": "vocode", "inputs": ["mel: frames", "excitation: samples"], "outputs": ["wave: samples"]},
)


def eager(w: Mapping[str, Weights], c: ChatterboxConfig) -> Eager:
    """The blocks on the three files of weights."""
    return Eager(w, c)


def exercise(model: Eager, c: ChatterboxConfig, lengths: Lengths) -> None:
    """One utterance of so many symbols and tokens, with a voice that is there already."""
    loop = Chatterbox(model, c)
    how = loop.generation(most=lengths["tokens"], temperature=0.0)
    voice = Conditionals(
        speaker=np.full((1, 1, c.tokens.speaker), c.tokens.speaker**-0.5, np.float32),
        t3_prompt=np.arange(lengths["prompt"])[None] % CODES,
        flow_prompt=np.arange(lengths["prompt"])[None] % CODES,
        mel=np.zeros((1, 2 * lengths["prompt"], c.spec.mels), np.float32),
        x_vector=np.full((1, 1, c.xvector.size), 0.1, np.float32),
    )
    ids = 1 + np.arange(lengths["symbols"])[None] % 200
    drawn = list(loop.tokens(ids, voice, how, Noise(0), Utterance()))
    spoken = np.resize(np.array(drawn or [1]), lengths["tokens"])
    start = loop.start(Noise(0), 2 * (lengths["prompt"] + lengths["tokens"]))
    loop.wave(loop.mel(spoken, voice, how, start), Noise(0))


def joints(c: ChatterboxConfig) -> tuple[Stage, ...]:
    """What tokenizer, T3, flow and vocoder hand on."""
    letters, codes = f"{c.tokens.text_vocab} symbols", f"{CODES} codes"
    return (
        Stage("the tokenizer", "text", letters),
        Stage("T3", letters, codes),
        Stage("the flow", codes, c.spec),
        Stage("the vocoder", c.spec, c.spec.rate),
    )


FAMILY = FamilySpec(
    name="chatterbox",
    title="Chatterbox",
    configs=CONFIGS,
    parse=lambda values, folder: parse(values),
    parts=(
        CheckpointPart("t3", lambda w, c: T3(w, c.tokens), "t3", key="speech_head"),
        CheckpointPart("s3gen", s3gen, folds=True, key="flow"),
        CheckpointPart("voice", lambda w, c: VoiceEncoder(w, c.voice), "ve", key="lstm"),
    ),
    stages=lambda c: (),
    shown=SHOWN,
    runtimes={"eager": ("float32",)},
    open=Checkpoint.open,
    eager=eager,
    runner=lambda sessions, host, c: sessions,
    synthesizer=synthesizer,
    exercise=exercise,
    lengths={"symbols": 40, "prompt": 25, "tokens": 25},  # a second of speech behind a second of a prompt
    joints=joints,
    recognises=is_chatterbox,
    part_files=part_files,
    speaks=("Chatterbox",),
    hub_files=("*.pt",),
    probe=Target(f"{HERE}.probe:SPEC"),
    references={
        "chatterbox": Reference(
            packages=("torch", "transformers", "diffusers"),  # the others are imported past their front doors
            probe=Target(f"{HERE}.reference.stages:probe_run"),
            stages=Target(f"{HERE}.reference.stages:stages"),
        )
    },
    faults={"chatterbox": FaultCatalogue(faults=Target(f"{HERE}.faults:FAULTS"), against="chatterbox")},
    pipeline=Target(f"{HERE}.pipeline"),
    health=Target(f"{HERE}.health:steps"),
    page=Target(f"{HERE}.page:PAGE"),
)
