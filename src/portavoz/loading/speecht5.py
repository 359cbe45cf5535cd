"""The SpeechT5 family: letters and an x-vector in, from a checkpoint folder as the reference writes it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..families.speecht5.checkpoint import BESIDE_IT, Checkpoint, vocoder_of
from ..families.speecht5.loop import SpeechT5
from ..families.speecht5.speaker import speaker
from ..families.speecht5.stages import Stages
from ..families.speecht5.text import limit, read
from ..families.speecht5.tokenizer import Tokenizer
from ..families.synthesis import Opened, Options, SynthesisOptions, SynthesisStream
from ..folder import is_checkpoint
from ..graph import processor
from ..graph.cache import Cache, digest
from ..graph.speecht5 import RUNTIMES, Choice, Origin, assembled, compiled, plan
from ..graph.tuning import stored
from ..text.chunks import TextChunk
from . import locate

# Sentences said together where nothing was measured: wherever we did, eight took much less than eight times one.
BATCH = 8


class Engine(NamedTuple):
    """What says one piece, what says `batch` pieces together, and what both are, for `describe`."""

    model: SpeechT5
    many: SpeechT5
    batch: int
    about: dict[str, Any]


class SpeechT5Voice:
    """A SpeechT5 with its tokenizer and the speakers that came with it."""

    timed = False

    def __init__(self, engine: Engine, tokenizer: Tokenizer, known: Mapping[str, NDArray[np.float32]]) -> None:
        self.model, self.many, self.batch, _ = engine
        self.tokenizer, self.known = tokenizer, dict(known)

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.model.rate

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the x-vectors that came with the checkpoint."""
        return tuple(self.known)

    def speaker(self, wanted: Any) -> NDArray[np.float32]:
        """The x-vector of a name, a number, a file, a mixture, or an array. Raises InputError."""
        if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < len(self.known):
            wanted = self.speakers[wanted]
        return speaker(wanted, self.model.c.speaker_embedding_dim, self.known)

    def split_text(self, text: str | Iterable[str], manner: SynthesisOptions) -> Iterator[TextChunk]:
        """Letters, in pieces within the model's positions. Raises InputError for what SpeechT5 cannot be told."""
        if manner.speed != 1.0:
            raise InputError(f"speed is {manner.speed:g}: SpeechT5 speaks as fast as it has learned; leave it out")
        if manner.lexicon is not None:
            raise InputError("a lexicon of phonemes: SpeechT5 reads letters; spell the word as it sounds instead")
        if manner.adjust is not None:
            raise InputError("durations: SpeechT5 does not plan how long a sound lasts; leave them out")
        return read(text, self.tokenizer, limit=limit(self.model.c))

    def synthesize(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        """One piece, said; the same piece sounds the same wherever it stands."""
        said = self.model.synthesize(self._ids(chunk), manner.speaker, seed=manner.seed)
        return SynthesisStream(said.ends, said.waves, said.warnings)

    def synthesize_batch(self, chunks: Sequence[TextChunk], manner: SynthesisOptions) -> list[SynthesisStream]:
        """Several pieces said at once, each as it sounds alone, to rounding."""
        ids = [self._ids(chunk) for chunk in chunks]
        rows = self.many.synthesize_batch(ids, manner.speaker, seed=manner.seed)
        return [SynthesisStream(said.ends, said.waves, said.warnings) for said in rows]

    def _ids(self, chunk: TextChunk) -> list[int]:
        return self.tokenizer.ids("".join(chunk.symbols))


def opened(folder: Path, about: dict[str, Any], options: Options) -> Opened:
    """The voice in a checkpoint folder. Raises PortavozError."""
    # On a back end or a device of the caller's choice the blocks run as they are written, in float32.
    precisions = ("float32",) if options.backend or options.device else RUNTIMES.get(options.runtime or "eager", ("",))
    runtime, precision = options.choose("speecht5", tuple(RUNTIMES), precisions, first="eager")
    checkpoint = Checkpoint.open(folder, _vocoder(folder, options))
    tokenizer, known = checkpoint.tokenizer(), checkpoint.speakers()
    said = options.runtime or options.precision or options.backend or options.device
    engine = (None if said else _tuned(checkpoint, options)) or _asked(checkpoint, runtime, precision, options)
    shown = {
        "name": about["name"],
        "family": "speecht5",
        "rate": engine.model.rate,
        "speakers": list(known),
        "config": checkpoint.config.to_dict(),
        "vocoder": str(checkpoint.vocoder),
        "engine": engine.about,
    }
    return Opened(SpeechT5Voice(engine, tokenizer, known), shown, engine.about["stages"]["step"]["runtime"])


def checkpoint(voice: str | Path, vocoder: str | Path | None = None) -> Checkpoint:
    """The SpeechT5 checkpoint that a voice's name or path means. Raises InputError for another family's voice."""
    folder = locate.locate(voice)
    if not is_checkpoint(folder):
        raise InputError(f"{folder}: not a SpeechT5 checkpoint, and only these have choices to tune; give one's folder")
    return Checkpoint.open(folder, _vocoder(folder, Options(vocoder=vocoder)))


def _tuned(checkpoint: Checkpoint, options: Options) -> Engine | None:
    """The model as `portavoz tune` has chosen for these weights on this machine. None where nothing was chosen.

    Threads are the measured ones unless the caller says more than one.
    """
    cache = Cache()
    if not any(cache.root.glob("tuned-*.json")):
        return None
    origin = Origin(checkpoint.config, digest(checkpoint.files()), checkpoint.checked)
    tuned = stored(origin, cache)
    if tuned is None:
        return None
    one, many = (tuned.choices[n] for n in (min(tuned.choices), tuned.batch))
    if options.threads > 1:
        one, many = ({stage: replace(c, threads=options.threads) for stage, c in each.items()} for each in (one, many))
    alone = assembled(origin, one, cache)
    both = (alone, assembled(origin, many, cache, like=alone))
    model, synthesize_batch = (SpeechT5(stages, checkpoint.config, workers=tuned.workers) for stages in both)
    return Engine(model, synthesize_batch, tuned.batch, _about(one, tuned.batch, tuned.workers, tuned=True))


def _asked(checkpoint: Checkpoint, runtime: str, precision: str, options: Options) -> Engine:
    """The model on what the caller asked for, or on what is there without asking.

    A compiled runtime has as many threads as it was given, so sound is made on a core beside them where there is one;
    PyTorch has a thread for every core already.
    """
    beside = int(runtime != "eager" and processor.cores() > options.threads)
    model = SpeechT5(_stages(checkpoint, runtime, precision, options), checkpoint.config, workers=beside)
    return Engine(model, model, BATCH, _about(plan(runtime, precision, options.threads), BATCH, beside, tuned=False))


def _about(choices: Mapping[str, Choice], batch: int, workers: int, *, tuned: bool) -> dict[str, Any]:
    stages = {stage: asdict(choice) for stage, choice in choices.items()}
    return {"tuned": tuned, "stages": stages, "batch": batch, "sound_beside_the_loop": bool(workers)}


def _vocoder(folder: Path, options: Options) -> Path | None:
    """Where the vocoder is, when it was said, or when the folder is a checkpoint in the hub's cache without one."""
    if options.vocoder is not None:
        return locate.folder(options.vocoder)
    owner = locate.owner(folder)
    return locate.hub(f"{owner}/{BESIDE_IT}") if owner and vocoder_of(folder) is None else None


def _stages(checkpoint: Checkpoint, runtime: str, precision: str, options: Options) -> Stages:
    """The stages: as the blocks are written, or lean (fused, the same numbers to rounding), called or compiled."""
    from .. import ops

    backend = options.backend or ops.preferred()
    if runtime == "eager" and (options.backend or options.device or backend != "torch"):
        device = {"device": options.device} if options.device else {}
        return checkpoint.eager(ops.open(backend, **device))
    if runtime == "eager":
        # Nothing is worth keeping for the next time, so nothing is written where it would stay.
        with tempfile.TemporaryDirectory(prefix="portavoz-") as folder:
            origin = Origin(checkpoint.config, "", checkpoint.checked)
            return compiled(origin, runtime=runtime, precision=precision, threads=options.threads, cache=Cache(folder))
    origin = Origin(checkpoint.config, digest(checkpoint.files()), checkpoint.checked)
    return compiled(origin, runtime=runtime, precision=precision, threads=options.threads)
