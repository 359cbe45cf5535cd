"""Chatterbox as a pipeline: text → ids → tokens → mu → mel → wave, on our blocks or in the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import InputError
from ...flow import Mel, Noise
from ..pipeline import Conditioning, Pipeline, Request, Stage, Values
from .checkpoint import Checkpoint
from .config import CODES, CONFIGS, ChatterboxConfig
from .loop import Chatterbox, Utterance
from .prompt import Conditionals
from .stages import Stages
from .text import punctuated
from .voice import ChatterboxVoice

PROBE_TOKENS = 24
MOST = 250  # tokens: ten seconds


def voice(model: Stages, checkpoint: Checkpoint, request: Request, name: str) -> Pipeline:
    """A checkpoint's, on whatever runs its stages."""
    loop = Chatterbox(model, checkpoint.config)
    said_by = ChatterboxVoice(loop, checkpoint.tokenizer(), checkpoint.voice()).speaker(request.speaker)

    def ids() -> Any:
        return checkpoint.tokenizer().ids(punctuated(request.text, checkpoint.config.variant))

    return pipeline(loop, ids, said_by, seed=request.seed, most=MOST, name=name)


def probe(model: Stages, request: Request, name: str) -> Pipeline:
    """Twelve symbols that mean nothing, by a made voice, and so many tokens: random weights would never stop."""
    c = CONFIGS["tiny"]
    ids = np.random.default_rng(request.seed).integers(1, 255, (1, 12))
    ids[0, [0, -1]] = c.tokens.start_text, c.tokens.stop_text
    said_by = made_voice(c, int(request.speaker or 0))
    return pipeline(Chatterbox(model, c), lambda: ids, said_by, seed=request.seed, most=PROBE_TOKENS, name=name)


def other_speaker(checkpoint: Checkpoint | None, request: Request) -> Request | None:
    """The same request by another made voice; of a checkpoint there is only the one that came with it."""
    if checkpoint is None:
        return replace(request, speaker=(request.speaker or 0) + 1)
    return None


def made_voice(c: ChatterboxConfig, seed: int) -> Conditionals:
    """A voice of random numbers."""
    draw = np.random.default_rng([seed, 2])
    speaker = np.abs(draw.standard_normal((1, 1, c.tokens.speaker)))
    return Conditionals(
        speaker=(speaker / np.linalg.norm(speaker)).astype(np.float32),
        t3_prompt=draw.integers(0, CODES, (1, 9)),
        flow_prompt=draw.integers(0, CODES, (1, 9)),
        mel=draw.standard_normal((1, 18, c.spec.mels)).astype(np.float32),
        x_vector=draw.standard_normal((1, 1, c.xvector.size)).astype(np.float32),
    )


def pipeline(
    loop: Chatterbox, ids: Callable[[], Any], said_by: Conditionals, *, seed: int, most: int, name: str
) -> Pipeline:
    """A model on whatever runs its stages; `ids` gives one piece of text with its start and stop."""
    how, shown = loop.generation(most=most), said_by.mel.shape[1]

    def text(values: Values) -> Values:
        return {"ids": ids()}

    def speak(values: Values) -> Values:
        tokens = list(loop.tokens(values["ids"], said_by, how, Noise(seed), Utterance()))
        if not tokens:
            raise InputError("the model generated no tokens to compare")
        return {"tokens": np.array([tokens])}

    def encode(values: Values) -> Values:
        both = np.concatenate([said_by.flow_prompt, values["tokens"]], 1)
        return {"mu": loop.stages.mu(both), "speaker": loop.stages.project(said_by.x_vector)}

    def flow(values: Values) -> Values:
        mu = values["mu"]
        start = loop.start(Noise(seed), mu.shape[1])[None]
        prompt = np.zeros_like(mu)
        prompt[:, :shown] = said_by.mel
        return {"mel": loop.flow(start, mu, values["speaker"], prompt, how)[:, shown:]}

    def vocode(values: Values) -> Values:
        return {"wave": loop.wave(Mel(values["mel"], loop.c.spec), Noise(seed))}

    def decisions(made: Values, right: Values) -> tuple[Values, int]:
        # Other tokens would make another length of everything behind them: they are counted, not used.
        ours, theirs = made["tokens"][0], right["tokens"][0]
        same = min(len(ours), len(theirs))
        return right, int((ours[:same] != theirs[:same]).sum()) + abs(len(ours) - len(theirs))

    stages = (
        Stage("text", "ids", text),
        Stage("tokens", "tokens", speak, decisions),
        Stage("encode", "mu", encode),
        Stage("flow", "mel", flow),
        Stage("vocode", "wave", vocode),
    )
    told = Conditioning("mu", lambda name: name == "mu")
    return Pipeline(name, stages, loop.rate, loop.c.spec, conditioning=told)
