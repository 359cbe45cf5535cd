"""The Chatterbox family: text and a recording → speech tokens → mel → wave, in the recording's voice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...flow import Mel, Noise, Stage
from ...ops.wrapper import repeated
from ...weights.cursor import Weights
from ..spec import CheckpointPart, FamilySpec, FaultCatalogue, Lengths, Reference, Target
from . import runtime
from .checkpoint import Checkpoint
from .config import CODES, CONFIGS, ChatterboxConfig, parse
from .file_set import is_chatterbox, part_files
from .loop import Chatterbox
from .names import turned
from .prompt import Conditionals
from .sessions import Sessions
from .speaker import VoiceEncoder
from .stages import Eager, s3gen
from .tokens import T3
from .voice import refuse, synthesizer

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
    voice = Conditionals(
        speaker=np.full((1, 1, c.tokens.speaker), c.tokens.speaker**-0.5, np.float32),
        t3_prompt=np.arange(lengths["prompt"])[None] % CODES,
        flow_prompt=np.arange(lengths["prompt"])[None] % CODES,
        mel=np.zeros((1, 2 * lengths["prompt"], c.spec.mels), np.float32),
        x_vector=np.full((1, 1, c.xvector.size), 0.1, np.float32),
    )
    steps, rows = lengths["tokens"], 2 if c.tokens.guided else 1
    ids = 1 + np.arange(lengths["symbols"])[None] % 200
    state = model.prefill(model.condition(voice.speaker, voice.t3_prompt, 0.5), ids, rows).state
    # Each step attends to one more than the one before it: the middle one costs what they cost on the average.
    past = tuple(cache._replace(length=cache.length + (steps - 1) // 2) for cache in state.past)
    with repeated(steps):
        model.step(1, state._replace(past=past))
    mu = model.mu(np.resize(np.array([1]), lengths["prompt"] + steps)[None])
    speaker, twice = model.project(voice.x_vector), 1 if c.flow.meanflow else 2
    x, speakers = np.zeros((twice, *mu.shape[1:]), np.float32), np.repeat(speaker, twice, 0)
    with repeated(c.flow.steps):
        model.velocity(x, x, speakers, x, (0.4, 0.5))
    loop.wave(Mel(mu[:, voice.mel.shape[1] :], c.spec), Noise(0))


def interfaces(c: ChatterboxConfig) -> tuple[Stage, ...]:
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
        CheckpointPart("t3", lambda w, c: T3(w, c.tokens), "t3", key="speech_head", turned=turned),
        CheckpointPart("s3gen", s3gen, folds=True, key="flow"),
        CheckpointPart("voice", lambda w, c: VoiceEncoder(w, c.voice), "ve", key="lstm"),
    ),
    stages=runtime.stages,
    shown=SHOWN,
    runtimes=runtime.RUNTIMES,
    prepare=runtime.prepare,
    hosted=True,
    precisions=runtime.precisions,
    runs_on=runtime.RUNS_ON,
    open=Checkpoint.open,
    eager=eager,
    runner=Sessions,
    synthesizer=synthesizer,
    exercise=exercise,
    refuse=refuse,
    lengths={"symbols": 40, "prompt": 25, "tokens": 25},  # a second of speech behind a second of a prompt
    interfaces=interfaces,
    recognises=is_chatterbox,
    part_files=part_files,
    speaks=("Chatterbox",),
    hub_files=("conds.pt", "merges.txt"),  # the other pickles have safetensors beside them
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
