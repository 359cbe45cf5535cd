"""SpeechT5 as a pipeline: text → ids → memory → frames → mel → wave, on our blocks, compiled, or in the reference.

What crosses behind the encoder is what every decoder reads: each layer's keys and values of the text, [1, S, C]. The
reference and our blocks have the encoder's output besides, compiled stages only these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..pipeline import Conditioning, Pipeline, Request, Stage, Values
from .checkpoint import Checkpoint
from .config import TINY, SpeechT5Config
from .loop import SpeechT5
from .probe import STEPS
from .speaker import speaker as vector
from .stages import Floats, MemoryStages, Pairs, Whole
from .text import limit, read
from .validation import StoppingCriteria


def voice(model: MemoryStages, checkpoint: Checkpoint, request: Request, name: str) -> Pipeline:
    """A checkpoint's, on whatever runs its stages."""
    tokenizer = checkpoint.tokenizer()

    def ids() -> Any:
        for chunk in read(request.text, tokenizer, limit=limit(checkpoint.config)):
            if chunk.symbols:
                return tokenizer.ids("".join(chunk.symbols))
        raise InputError(f"there is nothing to say in {request.text[:40]!r}: give a text with at least one word")

    said_by = speaker_of(checkpoint, request.speaker)
    return pipeline(model, checkpoint.config, ids, speaker=said_by, seed=request.seed, name=name)


def probe(model: MemoryStages, request: Request, name: str) -> Pipeline:
    """Twelve letters that mean nothing, and so many steps: random weights would never stop by themselves."""
    ids = probe_ids(TINY, 12, request.seed)
    ratio = (STEPS + 0.5) * TINY.reduction_factor / len(ids)
    stop = StoppingCriteria(threshold=TINY.reduction_factor + 1.0, maxlenratio=ratio)
    said_by = probe_speaker(TINY, request.speaker or 0)
    return pipeline(model, TINY, lambda: ids, speaker=said_by, seed=request.seed, stop=stop, name=name)


def other_speaker(checkpoint: Checkpoint | None, request: Request) -> Request | None:
    """The same request by another speaker: one that came with the checkpoint, or the opposite of the one asked for."""
    if checkpoint is None:
        return replace(request, speaker=(request.speaker or 0) + 1)
    mine = speaker_of(checkpoint, request.speaker)
    others = (one for one in checkpoint.speakers().values() if not np.array_equal(one, mine))
    return replace(request, speaker=next(others, -mine))


def speaker_of(checkpoint: Checkpoint, wanted: Any) -> Floats:
    """An x-vector by its name, number or file; the first that came with the checkpoint, or a made one, for None."""
    known, size = checkpoint.speakers(), checkpoint.config.speaker_embedding_dim
    if wanted is None:
        wanted = next(iter(known), np.full(size, size**-0.5, np.float32))
    if isinstance(wanted, int) and 0 <= wanted < len(known):
        wanted = list(known)[wanted]
    return vector(wanted, size, known)


def probe_ids(c: SpeechT5Config, length: int, seed: int) -> NDArray[np.int64]:
    """A random text of this length with its eos, never longer than the model holds."""
    draw, special = np.random.default_rng(seed), {c.bos_token_id, c.pad_token_id, c.eos_token_id}
    letters = [n for n in range(c.vocab_size) if n not in special]
    length = min(length, c.max_text_positions)
    return np.array([*draw.choice(letters, length - 1), c.eos_token_id], np.int64)


def probe_speaker(c: SpeechT5Config, seed: int) -> Floats:
    """A random speaker embedding [X]."""
    return np.random.default_rng([seed, 1]).standard_normal(c.speaker_embedding_dim).astype(np.float32)


class WithMemory:
    """Stages that start from the memory of another pipeline, without a vocoder."""

    def __init__(self, inner: MemoryStages, heard: Pairs) -> None:
        self.inner, self.heard, self.step, self.select = inner, heard, inner.step, inner.select

    def encode(self, ids: Whole, mask: NDArray[np.bool_], speaker: Floats, capacity: int) -> Any:
        return self.inner.with_memory(self.inner.encode(ids, mask, speaker, capacity), self.heard)

    def postnet(self, mel: Floats) -> Floats:
        return mel

    def vocode(self, mel: Floats) -> Floats:
        return np.zeros((len(mel), 0), np.float32)


def pipeline(
    stages: MemoryStages,
    c: SpeechT5Config,
    ids: Callable[[], NDArray[np.int64]],
    *,
    speaker: Floats,
    seed: int = 0,
    stop: StoppingCriteria | None = None,
    name: str = "speecht5",
) -> Pipeline:
    """SpeechT5 on whatever runs its stages; `ids` gives one chunk of text, `speaker` [X] says it."""

    def text(values: Values) -> Values:
        return {"ids": np.asarray(ids(), np.int64)[None]}

    def encode(values: Values) -> Values:
        row = values["ids"]
        state = stages.encode(row, np.ones(row.shape, bool), speaker[None], 1)
        pairs = stages.memory(state, row.shape[1])
        heard = {f"{kind}.{i}": x for i, pair in enumerate(pairs) for kind, x in zip(("keys", "values"), pair)}
        return {"ids": row, **heard}

    def decode(values: Values) -> Values:
        layers = range(sum(name.startswith("keys.") for name in values))
        told = WithMemory(stages, [(values[f"keys.{i}"], values[f"values.{i}"]) for i in layers])
        said = SpeechT5(told, c).generate([values["ids"][0]], speaker, seed=seed, stop=stop)[0]
        return {"frames": said.before[None], "stops": said.stops}

    def postnet(values: Values) -> Values:
        return {"mel": stages.postnet(values["frames"])}

    def vocode(values: Values) -> Values:
        return {"wave": stages.vocode(values["mel"])[0]}

    def decisions(made: Values, right: Values) -> tuple[Values, int]:
        n, m = right["frames"].shape[1], made["frames"].shape[1]
        if n == m:
            return made, 0
        # The loop ended at another step: what both have said is compared, and the rest is the right one's.
        frames = np.concatenate([made["frames"][:, :n], right["frames"][:, m:]], 1)
        return {**made, "frames": frames}, abs(n - m)

    row = (
        Stage("text", "ids", text),
        Stage("encode", "memory", encode),
        Stage("decode", "frames", decode, decisions),
        Stage("postnet", "mel", postnet),
        Stage("vocode", "wave", vocode),
    )
    told = Conditioning("memory", lambda name: name.partition(".")[0] in ("keys", "values"))
    return Pipeline(name, row, c.sampling_rate, c.mel, conditioning=told)
