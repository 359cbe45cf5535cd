"""The settings of a training: the fields of a YAML file, and `key=value` changes of the command line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from .. import families
from ..config_reader import Count, NonNegative, Positive, Range, Reader, Share, Size, check_size, near
from ..errors import InputError, SpecError
from ..input_files import YAML, parse_yaml, read_text
from ..ops import names

# Each part's losses and their weights; a training's `losses` changes some of them, and 0 switches one off.
LOSSES: dict[str, dict[str, float]] = {
    "acoustic": {"mel": 1.0, "mel_l2": 0.0, "ssim": 0.0, "duration": 1.0, "pitch": 0.1, "energy": 0.1, "features": 0.0},
    "vocoder": {"stft": 1.0, "mel": 0.5, "adversarial": 0.0, "features": 0.0},
    "source_filter": {
        **{"harmonics": 1.0, "phase": 1.0, "noise": 0.5, "rest": 0.7, "rest_phase": 0.7, "raw": 1.0},
        **{"duration": 1.0, "f0": 1.0, "loudness": 0.5},
        **{"stft": 1.0, "mel": 0.5},  # of recordings, in the place of the spectra's
    },
}
WHOLE = ("voice", "joint")  # parts that end with a voice folder
CORPORA = "a folder of recordings, a text that a teacher speaks, or toy"
WHAT = "the training configuration"
MOST_STEPS = 10**9
Wide = Annotated[int, Range(least=1, most=65536)]
Frames = Annotated[int, Range(least=1, most=100_000)]
Channels = Annotated[int, Range(least=1, most=1024)]
Few = Annotated[int, Range(least=0, most=1000)]
READER = Reader(WHAT, most=MOST_STEPS)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training. The table of settings in docs/guide/training.md is generated from these fields."""

    corpus: Annotated[
        str,
        "A folder of recordings or a corpus folder, `toy` for generated sounds, or a text file (`.txt`) that `teacher` "
        "speaks.",
    ]
    part: Annotated[
        Literal["acoustic", "vocoder", "voice", "joint", "source_filter"],
        "One part, or a whole voice: `voice` trains one part after the other, `joint` both at once; `source_filter` is "
        "both halves of such a voice, on a corpus with a teacher's spectra, or on recordings from a start.",
    ] = "acoustic"
    family: Annotated[str, "The family of the model."] = field(default_factory=lambda: trainable()[0])
    model: Annotated[
        str | Mapping[str, Any],
        "A named configuration, `start` (that of the weights in `start`), or a mapping of the configuration's fields.",
    ] = "production"
    steps: Annotated[Count, "Optimiser steps."] = 8000
    batch: Annotated[Wide, "Utterances in a batch."] = 16
    frames: Annotated[Frames, "Vocoder, source–filter: frames of each training segment."] = 40
    rate: Annotated[Positive, "Peak learning rate."] = 1e-3
    warmup: Annotated[Size, "Steps of linear warm-up."] = 200
    cooldown: Annotated[Share, "Share of the steps over which the rate falls linearly to 1 %."] = 0.4
    weight_decay: Annotated[NonNegative, "AdamW's weight decay, on matrices only."] = 0.01
    clip: Annotated[Positive, "Maximum gradient norm."] = 1.0
    average: Annotated[float, Range(least=0, below=1), "Decay of the moving average of the weights."] = 0.999
    every: Annotated[Count, "Steps between two validations; each writes a checkpoint."] = 500
    seed: Annotated[int, Range(least=0, most=2**32 - 1), "Seed of initialisation, batches and dropout."] = 1
    start: Annotated[str, "Weights to fine-tune: a bundled voice, a voice folder, or a safetensors file."] = ""
    predicted_by: Annotated[
        str, "Vocoder: an acoustic model or voice whose mels replace the recorded ones; `voice` sets it itself."
    ] = ""
    threads: Annotated[int, Range(least=0, most=1024), "CPU threads; 0 is one for each core."] = 0
    device: Annotated[str, "The torch device: `cpu`, `cuda`, `mps`."] = "cpu"
    backend: Annotated[str, "The model's back end, one that trains; losses and optimiser stay on torch."] = "torch"
    losses: Annotated[
        Mapping[str, Any], "Weight of each loss, 0 switches it off; of a whole voice a mapping for each part."
    ] = field(default_factory=dict)
    discriminators_from: Annotated[Share, "Vocoder: share of the steps after which the discriminators take part."] = 0.0
    discriminator_channels: Annotated[Channels, "Vocoder: channels of the discriminators' first layers."] = 16
    accumulate: Annotated[
        int, Range(least=1, most=65536), "Pieces in which a batch is computed; the gradient is that of the whole batch."
    ] = 1
    most_frames: Annotated[
        Size, "Acoustic model: most frames in one piece, padding included, which bounds memory; 0 is no limit."
    ] = 0
    precision: Annotated[Literal["float32", "bfloat16"], "Precision of the forward pass (autocast)."] = "float32"
    recompute: Annotated[bool, "Recompute activations in the backward pass instead of keeping them."] = False
    keep: Annotated[Count, "Checkpoints kept."] = 2
    patience: Annotated[Size, "Validations without a better loss after which training stops; 0 is never."] = 0
    samples: Annotated[Few, "Held-out utterances written as sound and picture at each validation."] = 0
    memory: Annotated[NonNegative, "MiB of this process above which batches get smaller pieces; 0 is no limit."] = 0.0
    heat: Annotated[NonNegative, "Temperature in °C at which training pauses; 0 is no limit."] = 0.0
    logs: Annotated[Sequence[Literal["tensorboard", "wandb"]], "Experiment trackers beside `log.jsonl`."] = ()
    align_steps: Annotated[Size, "Steps of the aligner where labels are missing; 0 is by the size of the corpus."] = 0
    align_pictures: Annotated[Few, "How many of the most doubtful alignments are drawn."] = 0
    grow: Annotated[str, "Weights of a smaller model to begin with; the larger one starts with the same output."] = ""
    teacher: Annotated[str, "A voice whose mels and durations are learnt instead of recorded ones."] = ""
    speakers: Annotated[
        Literal["own", "add"], "Fine-tuning: the corpus' speakers replace the voice's (`own`) or join them (`add`)."
    ] = "own"
    only: Annotated[Sequence[str], "Path prefixes of the weights to train; empty is all."] = ()

    def __post_init__(self) -> None:
        READER.check(self)
        if self.part == "vocoder":
            # A frame is some 256 samples; each is held a dozen times on the way to a loss.
            check_size(-(-self.batch // self.accumulate) * self.frames * 4096, f"{WHAT} (batch · frames / accumulate)")
        if self.family not in trainable():
            raise SpecError(f"family {self.family!r} cannot be trained: choose {' or '.join(trainable())}")
        whole = self.part in WHOLE
        for part, chosen in self.losses.items() if whole else ((self.part, self.losses),):
            if part not in LOSSES or not isinstance(chosen, Mapping):
                raise SpecError(f"losses of a whole voice are {{acoustic: …, vocoder: …}}, not {part!r}")
            for key, weight in chosen.items():
                if key not in LOSSES[part]:
                    raise SpecError(f"{WHAT} has no losses.{key}{near(key, LOSSES[part], 'losses.')}")
                if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
                    raise SpecError(f"{WHAT}'s losses.{key} is {weight!r}: wanted a number from 0 up")
        if self.backend not in names():
            raise SpecError(f"{WHAT} has backend {self.backend!r}: choose one of {', '.join(names())}")
        if self.backend != "torch" and (self.precision != "float32" or self.recompute):
            raise SpecError(
                f"backend {self.backend!r} trains in float32 and recomputes activations anyway: leave precision and "
                "recompute out"
            )
        if self.part == "joint" and self.backend != "torch":
            raise SpecError(f"backend {self.backend!r} trains the parts one after the other: set part to voice")
        if "features" in self.acoustic_losses() and not self.teacher:
            raise SpecError("losses: features compares the model with a teacher's; name a teacher, or leave it out")
        if self.start and self.grow:
            raise SpecError("start and grow are both set: fine-tuning keeps the model's size, growing changes it")

    def weights(self) -> dict[str, float]:
        """The weight of each loss of this part that is not 0."""
        return {k: float(v) for k, v in {**LOSSES[self.part], **self.losses}.items() if v}

    def acoustic_losses(self) -> Mapping[str, Any]:
        """The acoustic losses that the configuration switches on; none where only a vocoder is trained."""
        chosen = self.losses.get("acoustic", {}) if self.part in WHOLE else self.losses
        return {k: v for k, v in chosen.items() if v and self.part != "vocoder"}

    def identity(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, path: str | Path, changes: Iterable[str] = ()) -> TrainConfig:
        """From a YAML file, with `key=value` (or `key.key=value`) changes; values are YAML too.

        Raises InputError when it is missing or not YAML, SpecError for an unknown key or a value that cannot be.
        """
        try:
            values = _parse(read_text(path, YAML, remedy="give a training configuration"))
        except ValueError as problem:
            line = getattr(problem, "line", None)
            where = f"{path} line {line}" if line else str(path)
            raise InputError(f"{where}: not YAML ({problem}); fix the file") from problem
        if not isinstance(values, dict | None):
            raise InputError(f"{path}: holds {values!r:.40}, wanted settings; write lines such as corpus: recordings")
        values = values or {}
        for change in changes:
            key, equals, text = change.partition("=")
            if not equals or not key:
                raise InputError(f"{change!r}: a change is written key=value, such as steps=500 or model.hidden=64")
            try:
                put(values, key, _parse(text))
            except ValueError as problem:
                raise InputError(f"{change[:200]!r}: the value is not YAML; quote it") from problem
        return cls.from_dict(values, str(path))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], what: str = WHAT) -> TrainConfig:
        """From plain values; raises SpecError, see `config_reader.Reader`."""
        if "corpus" not in values:
            raise SpecError(f"{what}: 'corpus' is missing; name {CORPORA}")
        return Reader(what, most=MOST_STEPS).read(cls, values)


def _parse(text: str) -> Any:
    """The value of a YAML text. Numbers are those of YAML 1.2: in 1.1, which PyYAML reads, 2e-3 is a text."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    number = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    return parse_yaml(text, Loader)


def trainable() -> list[str]:
    """The families that have training tasks."""
    return [family.name for family in families.all() if family.train_tasks]


def put(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path; a name on the way (such as model: small) becomes a mapping of its fields."""
    *way, last = path.split(".")
    for name in way:
        inner = values.get(name)
        if name == "model" and isinstance(inner, str):
            family = families.get(str(values.get("family", trainable()[0])))
            inner = family.values(family.configuration(inner))
        values[name] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[name]
    values[last] = value
