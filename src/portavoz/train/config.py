"""What a training is told: the fields of a YAML file and `key=value` words behind it. Unknown keys are errors."""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import InputError, SpecError

# Each part's losses and their weights; a training's `losses` changes some of them, and 0 switches one off.
LOSSES: dict[str, dict[str, float]] = {
    "acoustic": {"mel": 1.0, "mel_l2": 0.0, "ssim": 0.0, "duration": 1.0, "pitch": 0.1, "energy": 0.1, "features": 0.0},
    "vocoder": {"stft": 1.0, "mel": 0.5, "adversarial": 0.0, "features": 0.0},
}
PRECISIONS = ("float32", "bfloat16")
LOGS = ("tensorboard", "wandb")
WHOLE = ("voice", "joint")  # parts that end with a voice folder
BACKENDS = ("torch", "mlx")
CORPORA = "a folder of recordings, a text that a teacher speaks, or toy"
MOST, ABOVE_0, BELOW_1 = sys.float_info.max, math.ulp(0.0), math.nextafter(1.0, 0.0)
# What a number may be: the least, the most, and both in words.
COUNT, SIZE = (1, MOST, "a whole number from 1 up"), (0, MOST, "a number from 0 up")
SHARE = (0, 1, "a number from 0 to 1")
RANGES: dict[str, tuple[float, float, str]] = {
    **dict.fromkeys(("steps", "batch", "frames", "every", "accumulate", "keep", "discriminator_channels"), COUNT),
    **dict.fromkeys(("warmup", "most_frames", "patience", "samples", "align_steps", "align_pictures"), SIZE),
    **dict.fromkeys(("weight_decay", "memory", "heat"), SIZE),
    **dict.fromkeys(("rate", "clip"), (ABOVE_0, MOST, "a number above 0")),
    **dict.fromkeys(("cooldown", "discriminators_from"), SHARE),
    "average": (0, BELOW_1, "a number from 0 up and below 1"),
    "seed": (0, 2**32 - 1, "a whole number from 0 to 4294967295"),
    "threads": (0, 1024, "a whole number from 0 (as many as there are cores) to 1024"),
}


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training.

    corpus        a corpus folder, any folder of recordings (see `layouts`), "toy" for generated sounds, or a text
                  file (.txt) that `teacher` speaks
    teacher       a voice whose mels and durations are learnt instead of recorded ones
    part          "acoustic", "vocoder", or a voice folder of both: "voice" (one after the other), "joint" (in one)
    model         "minimal", "small", "production", "start" (that of `start`), or a mapping of CompactConfig's fields
    start         weights to fine-tune: a bundled voice's name, a voice folder, or a safetensors file
    speakers      of a fine-tuned voice: "own" (the corpus' speakers take over), or "add" (they join the voice's)
    only          beginnings of the paths of the weights that are trained, others stay as they are; () is all
    grow          weights of a smaller model to begin with: the larger one first says exactly what the smaller says
    predicted_by  (vocoder) an acoustic model or voice whose mels replace the recorded ones
    steps, batch, frames      how long, utterances a step, (vocoder) frames of each
    rate, warmup, cooldown    the learning rate; steps of its rise; the share of steps in which it falls
    losses        weight of each loss, see LOSSES; 0 is off (of part "voice": a mapping for each half)
    discriminators_from    (vocoder) the share of steps after which the discriminators take part
    discriminator_channels    (vocoder) channels of the discriminators' first layers
    accumulate    pieces that a batch is computed in; the gradient is that of the whole
    most_frames   (acoustic) frames in one piece at most, padding included: bounds the memory; 0 is no bound
    precision     "float32" or "bfloat16" (autocast); recompute: activations again instead of keeping them
    clip, weight_decay, average    gradient norm, AdamW's decay, the moving average of the weights
    every, keep, patience, samples    steps between two looks; checkpoints kept; looks without a better one before it
                  stops (0: never); held-out utterances drawn and written as sound at each look
    device, backend    torch's device, and what the model itself runs on: "torch", or "mlx" (losses stay on torch)
    memory, heat  MiB of this process, and °C, from which the training makes itself smaller, and waits; 0 is no limit
    logs          "tensorboard" and "wandb" beside log.jsonl
    align_steps, align_pictures    how long an aligner learns where there are no labels (0: by the size of the
                  corpus), and how many of the most doubtful alignments are drawn
    """

    corpus: str
    part: str = "acoustic"
    family: str = "compact"
    model: str | Mapping[str, Any] = "production"
    steps: int = 8000
    batch: int = 16
    frames: int = 40
    rate: float = 1e-3
    warmup: int = 200
    cooldown: float = 0.4
    weight_decay: float = 0.01
    clip: float = 1.0
    average: float = 0.999
    every: int = 500
    seed: int = 1
    start: str = ""
    predicted_by: str = ""
    threads: int = 0
    device: str = "cpu"
    backend: str = "torch"
    losses: Mapping[str, Any] = field(default_factory=dict)
    discriminators_from: float = 0.0
    discriminator_channels: int = 16
    accumulate: int = 1
    most_frames: int = 0
    precision: str = "float32"
    recompute: bool = False
    keep: int = 2
    patience: int = 0
    samples: int = 0
    memory: float = 0.0
    heat: float = 0.0
    logs: Sequence[str] = ()
    align_steps: int = 0
    align_pictures: int = 0
    grow: str = ""
    teacher: str = ""
    speakers: str = "own"
    only: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.family != "compact" or self.part not in (*LOSSES, *WHOLE):
            raise SpecError(
                f"family {self.family!r}, part {self.part!r}: 'compact' can be trained, as acoustic, vocoder, voice "
                "or joint"
            )
        whole = self.part in WHOLE
        for part, chosen in self.losses.items() if whole else ((self.part, self.losses),):
            if part not in LOSSES or not isinstance(chosen, Mapping):
                raise SpecError(f"losses of a whole voice are {{acoustic: …, vocoder: …}}, and {part!r} is there")
            for key, weight in chosen.items():
                if key not in LOSSES[part]:
                    raise SpecError(f"losses: there is no {key!r}{_near(key, LOSSES[part])}")
                _within(f"losses: {key}", weight, SIZE)
        if self.speakers not in ("own", "add"):
            raise SpecError(f"speakers is {self.speakers!r}: choose own or add")
        if self.precision not in PRECISIONS:
            raise SpecError(f"precision is {self.precision!r}: choose one of {', '.join(PRECISIONS)}")
        if self.backend not in BACKENDS:
            raise SpecError(f"backend is {self.backend!r}: choose one of {', '.join(BACKENDS)}")
        if self.backend != "torch" and (self.precision != "float32" or self.recompute):
            raise SpecError(
                f"backend {self.backend!r} trains in float32 and works activations out again anyway: leave precision "
                "and recompute out"
            )
        for name in self.logs:
            if name not in LOGS:
                raise SpecError(f"logs: there is no {name!r}{_near(name, LOGS)}; log.jsonl is always written")
        for key, bounds in RANGES.items():
            _within(key, getattr(self, key), bounds)
        if self.part == "joint" and self.backend != "torch":
            raise SpecError(f"backend {self.backend!r}: trains the parts one after the other; set part to voice")
        if "features" in self.taught() and not self.teacher:
            raise SpecError("losses: features compares the model with a teacher's; name a teacher, or leave it out")
        if self.start and self.grow:
            raise SpecError("start and grow are both set: fine-tuning keeps the model's size, growing changes it")

    def weights(self) -> dict[str, float]:
        """The weight of each loss of this part; those that are switched off are not in it."""
        return {k: float(v) for k, v in {**LOSSES[self.part], **self.losses}.items() if v}

    def taught(self) -> Mapping[str, Any]:
        """The acoustic losses that are switched on by hand; none where only a vocoder is trained."""
        chosen = self.losses.get("acoustic", {}) if self.part in WHOLE else self.losses
        return {k: v for k, v in chosen.items() if v and self.part != "vocoder"}

    def identity(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, path: str | Path, changes: Iterable[str] = ()) -> TrainConfig:
        """From a YAML file, with `key=value` (or `key.key=value`) changes; values are YAML too.

        Raises InputError when it is missing or not YAML, SpecError for an unknown key.
        """
        import yaml

        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as problem:
            raise InputError(f"{path}: cannot be read ({problem.strerror}); give a training configuration") from problem
        except UnicodeDecodeError as problem:
            raise InputError(f"{path}: not UTF-8 (byte {problem.start}); save it as UTF-8") from problem
        except yaml.YAMLError as problem:
            mark = getattr(problem, "problem_mark", None)
            where = f"{path} line {mark.line + 1}" if mark else str(path)
            why = getattr(problem, "problem", None) or str(problem).splitlines()[0]
            raise InputError(f"{where}: not YAML ({why}); mend the file") from problem
        if not isinstance(values, dict | None):
            raise InputError(f"{path}: holds no settings but {values!r:.40}; write lines such as corpus: my-recordings")
        values = values or {}
        for change in changes:
            key, equals, text = change.partition("=")
            if not equals or not key:
                raise InputError(f"{change!r}: a change is written key=value, such as steps=500 or model.hidden=64")
            try:
                put(values, key, yaml.safe_load(text))
            except yaml.YAMLError as problem:
                raise InputError(f"{change!r}: what stands behind = is not YAML; quote it") from problem
        return cls.from_dict(values, str(path))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "training configuration") -> TrainConfig:
        """From plain values; raises SpecError naming an unknown key and the nearest known one."""
        hints, values = {f.name: f for f in fields(cls)}, dict(values)
        for key, value in values.items():
            if key not in hints:
                raise SpecError(f"{where}: there is no setting {key!r}{_near(key, hints)}")
            wanted = _kind(hints[key].type)
            if float in wanted or key == "losses":
                values[key] = value = _number(value)
            if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
                names = " or ".join(kind.__name__.lower() for kind in wanted)
                raise SpecError(f"{where}: {key} is {value!r}, wanted {names}")
        if "corpus" not in values:
            raise SpecError(f"{where}: 'corpus' is missing; name {CORPORA}")
        return cls(**values)


def _kind(annotation: Any) -> tuple[type, ...]:
    simple = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "Sequence[str]": (list, tuple)}
    return simple.get(str(annotation), (str, Mapping) if "str |" in str(annotation) else (Mapping,))


def _number(value: Any) -> Any:
    """YAML 1.1 reads 2e-3 as a text, and 2.0e-3 as a number: here both are numbers."""
    if isinstance(value, Mapping):
        return {key: _number(inner) for key, inner in value.items()}
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _within(key: str, value: Any, bounds: tuple[float, float, str]) -> None:
    least, most, words = bounds
    if not isinstance(value, int | float) or not least <= value <= most:
        raise SpecError(f"{key} is {value}: wanted {words}")


def _near(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(key), list(known), 1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"


def put(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path; a name on the way (such as model: small) becomes a mapping of its fields."""
    *way, last = path.split(".")
    for name in way:
        inner = values.get(name)
        if name == "model" and isinstance(inner, str):
            from ..families.compact.config import named

            inner = named(inner).to_dict()
        values[name] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[name]
    values[last] = value
