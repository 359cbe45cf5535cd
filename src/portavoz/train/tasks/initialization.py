"""What a training begins with: corpus, model shape, weights (fresh, fine-tuned or grown), and the task."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import SpecError
from ...families.compact.config import CompactConfig, named
from ...input_files import is_file
from ...ops.torch import TorchOps
from ...weights.cursor import Weights
from ..config import LOSSES, TrainConfig
from ..data import toy
from ..data.corpus import Corpus
from ..data.pitch import of_symbols, statistics
from ..data.prepare import prepare
from . import grow as growth
from . import source_filter
from .base import Setup, Task
from .compact import VALUES, VocoderTask
from .distil import speak
from .joint import JointTask, acoustic
from .predict import predicted_mels
from .pretrained import known_speakers, trained, weights_file
from .recompute import recompute

SPEAKERS = "acoustic.encoder.speaker.weight"
Arrays = dict[str, NDArray[Any]]
Say = Callable[[str], None]


def begin(
    config: TrainConfig, out: Path, ops: TorchOps, *, first_alone: AbstractContextManager[Any], say: Say
) -> Setup:
    """Open or make the corpus, inside `first_alone`, and build model and task. Raises PortavozError."""
    if config.part == "source_filter":
        source_filter.check(config, shape(config, 1))
        with first_alone:
            folder = corpus_folder(config, out, say)
            c, names = shaped(config, folder)
            curved = source_filter.open_corpus(folder, c, names)
        w, made = source_filter.begin(config, c, curved, ops)
        return Setup(curved, c, w, made, trainable(config, w), defaults(config))
    with first_alone:
        corpus, c = open_corpus(config, out, say)
    w = weights(config, c, corpus, ops)
    made = task(config, c, corpus, w)
    grow(config, c, w)
    return Setup(corpus, c, w, made, trainable(config, w), defaults(config))


def speakers(config: TrainConfig, own: Sequence[str]) -> list[str]:
    """The speaker table: the corpus' own speakers, behind those of the voice where they are added to it."""
    known = known_speakers(config.start) if config.speakers == "add" else []
    return [*known, *(name for name in own if name not in known)]


def shape(config: TrainConfig, count: int) -> CompactConfig:
    """The model's configuration, with room for `count` speakers. Raises SpecError when `start` is missing."""
    if config.model == "start":
        if not config.start:
            raise SpecError("model is 'start', but no weights to start from are named; set start, or choose a model")
        values: Mapping[str, Any] = trained(weights_file(config.start))[1].to_dict()
    else:
        values = named(config.model).to_dict()
    return CompactConfig.from_dict({**values, "speakers": max(1, count)})


def weights(config: TrainConfig, c: CompactConfig, corpus: Corpus, ops: TorchOps) -> Weights:
    """The cursor from which the model takes its tensors. Raises PortavozError for weights that do not fit."""
    if config.start:
        tensors = trained(weights_file(config.start))[0]
        if SPEAKERS in tensors:
            tensors = {**tensors, SPEAKERS: table(tensors[SPEAKERS], known_speakers(config.start), corpus.speakers)}
        w = Weights(tensors, ops, train=True)
        if config.part != "joint":
            other = "vocoder" if config.part == "acoustic" else "acoustic"
            w.ignore(other, why="the other part has a training of its own")
        return w
    return Weights.fresh(ops, config.seed, constants=constants(corpus, c, config.part))


def constants(corpus: Corpus, c: CompactConfig, part: str) -> Arrays:
    """The statistics of a corpus by the paths of the part's constants."""
    if part == "joint":
        return {**constants(corpus, c, "acoustic"), **constants(corpus, c, "vocoder")}
    mean, scale = corpus.statistics()
    prefix = "acoustic.decoder" if part == "acoustic" else "vocoder"
    out: Arrays = {f"{prefix}.mean": mean, f"{prefix}.scale": scale}
    if part == "acoustic" and (c.pitch or c.energy):
        facts = statistics(of_symbols(corpus))
        for name, column in VALUES.items():
            for key, value in zip(("mean", "scale"), facts[column]):
                out[f"acoustic.{name}.{key}"] = np.array([value], np.float32)
    return out


def trainable(config: TrainConfig, w: Weights) -> dict[str, Tensor]:
    """The tensors to train; the others need no gradient. Raises SpecError when there are none."""
    only, every = tuple(config.only), w.tensors()
    found = {k: t for k, t in every.items() if not only or k.startswith(only)}
    if not found:
        raise SpecError(f"only is {list(only)}: no weight's path begins so; there are {', '.join([*every][:3])}, …")
    for k, t in every.items():
        t.requires_grad_(k in found)
    return found


def defaults(config: TrainConfig) -> dict[str, Any]:
    """The values of settings that a checkpoint does not have."""
    plain = TrainConfig(corpus="", model=CompactConfig().to_dict()).identity()
    return json.loads(json.dumps({**plain, "losses": LOSSES.get(config.part, LOSSES)}))


def grow(config: TrainConfig, c: CompactConfig, w: Weights) -> None:
    """Copy a smaller model's weights into fresh ones. Raises SpecError where it cannot grow into this model."""
    if not config.grow:
        return
    path = weights_file(config.grow)
    arrays, small = trained(path)
    growth.check(small, c)
    mine = {k: a for k, a in arrays.items() if config.part in ("joint", k.partition(".")[0])}
    for k, a in growth.grow(mine, w.record.shapes, config.seed).items():
        with torch.no_grad():
            w.record.taken[k].copy_(torch.from_numpy(np.ascontiguousarray(a)))


def table(rows: NDArray[Any], known: Sequence[str], wanted: Sequence[str]) -> NDArray[np.float32]:
    """The speaker table [wanted, hidden] from another one: known speakers keep their rows, others start as the mean."""
    rows = rows.astype(np.float32)
    mean = rows.mean(0)
    return np.stack([rows[known.index(name)] if name in known else mean for name in wanted] or [mean])


def task(config: TrainConfig, c: CompactConfig, corpus: Corpus, w: Weights) -> Task:
    """The task of `config.part`. Raises WeightError for weights that the model does not have."""
    made: Task
    if config.part == "acoustic":
        made = acoustic(w, c, corpus, config)
    elif config.part == "joint":
        made = JointTask(w, c, corpus, config)
    else:
        mels = predicted_mels(config.predicted_by, c, corpus) if config.predicted_by else None
        made = VocoderTask(w, c, corpus, config, mels=mels)
    if config.start:
        w.finish()
    if config.recompute:
        for model in made.models:
            recompute(model)
    return made


def _spoken(config: TrainConfig, out: Path, c: CompactConfig, say: Say) -> Path:
    if not config.teacher:
        raise SpecError(f"corpus {config.corpus}: a text has no sound; name the voice that speaks it with teacher")
    return speak(
        config.corpus, config.teacher, out, c.mel, secondary=c.secondary, pictures=config.align_pictures, say=say
    )


def open_corpus(config: TrainConfig, out: Path, say: Say) -> tuple[Corpus, CompactConfig]:
    """The corpus that a configuration names, made where it is not one yet, and the model that fits its speakers."""
    folder = corpus_folder(config, out, say)
    c, names = shaped(config, folder)
    return Corpus(folder, c.mel, names), c


def corpus_folder(config: TrainConfig, out: Path, say: Say) -> Path:
    """The folder of the corpus that a configuration names, made where it is not one yet."""
    c = shape(config, 1)
    if config.corpus == "toy":
        folder = out / "toy"
        if not is_file(folder / "corpus.json"):
            toy.make(folder)
        return folder
    if config.corpus.endswith(".txt"):
        return _spoken(config, out / "corpus", c, say)
    if is_file(Path(config.corpus) / "corpus.json"):
        return Path(config.corpus)
    return prepare(
        config.corpus, out / "corpus", c.mel, steps=config.align_steps, pictures=config.align_pictures, say=say
    )


def shaped(config: TrainConfig, folder: Path) -> tuple[CompactConfig, list[str]]:
    """The model that fits the speakers of a corpus folder, and the names in its table."""
    names = speakers(config, Corpus.names(folder))
    return shape(config, len(names)), names
