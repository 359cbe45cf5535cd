"""The training loop: one task, one optimiser, averaged weights, checkpoints, and a log of every look at the losses."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError, JobError, SpecError
from ..families.compact.config import CompactConfig, named
from ..ops.torch import TorchOps
from ..weights import file
from ..weights.cursor import Weights
from . import checkpoint, toy
from .corpus import Corpus
from .tasks import AcousticTask, Task, VocoderTask, constants


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training. Read from YAML by `portavoz train`; unknown keys are errors.

    `corpus` is a corpus folder, or "toy" for a generated one (made in the training's own folder).

    `part` is "acoustic" or "vocoder"; `start` a safetensors file to fine-tune from; `predicted_by` (vocoder only)
    an acoustic checkpoint or voice file whose mels replace the corpus' own.
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

    @classmethod
    def read(cls, path: str | Path) -> TrainConfig:
        """From a YAML file. Raises InputError when it is missing or not YAML, SpecError for an unknown key."""
        import yaml

        try:
            values = yaml.safe_load(Path(path).read_text())
        except OSError as problem:
            raise InputError(f"{path}: cannot be read ({problem.strerror}); give a training configuration") from problem
        except yaml.YAMLError as problem:
            raise InputError(f"{path}: not YAML ({str(problem).splitlines()[0]}); mend the file") from problem
        return cls.from_dict(values if isinstance(values, dict) else {}, str(path))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "training configuration") -> TrainConfig:
        """From plain values; raises SpecError naming an unknown key and the nearest known one."""
        import difflib

        known = [f.name for f in fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                raise SpecError(f"{where}: there is no setting {key!r}; {hint}")
        if "corpus" not in values:
            raise SpecError(f"{where}: 'corpus' is missing; name the folder with index.jsonl")
        return cls(**values)


class Trainer:
    """Everything that a training holds: the task, its weights, their moving average, the optimiser."""

    def __init__(self, config: TrainConfig, out: str | Path) -> None:
        if config.family != "compact" or config.part not in ("acoustic", "vocoder"):
            raise SpecError(
                f"family {config.family!r}, part {config.part!r}: 'compact' with 'acoustic' or 'vocoder' can be trained"
            )
        if config.threads:
            torch.set_num_threads(config.threads)
        self.config, self.out = config, Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.model: CompactConfig = named(config.model)
        self.ops = TorchOps(config.device)
        folder = toy.make(self.out / "toy") if config.corpus == "toy" else config.corpus
        self.corpus = Corpus(folder, self.model.mel)
        self.weights = self._weights()
        self.task = self._task()
        self.tensors = self.weights.tensors()
        decay = [t for t in self.tensors.values() if t.ndim > 1]
        rest = [t for t in self.tensors.values() if t.ndim <= 1]
        groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.98), foreach=True)
        self.average = {k: t.detach().clone() for k, t in self.tensors.items()}
        self.step = 0
        self._resume()

    def _weights(self) -> Weights:
        if self.config.start:
            w = Weights.load(self.config.start, self.ops, train=True)
            other = "vocoder" if self.config.part == "acoustic" else "acoustic"
            w.ignore(other, why="the other half is trained on its own")
            return w
        prefix = "acoustic.decoder" if self.config.part == "acoustic" else "vocoder"
        return Weights.fresh(self.ops, self.config.seed, constants=constants(self.corpus, prefix))

    def _task(self) -> Task:
        c, kw = self.config, {"batch": self.config.batch, "seed": self.config.seed}
        if c.part == "acoustic":
            return AcousticTask(self.weights, self.model, self.corpus, **kw)
        mels = predicted_mels(c.predicted_by, self.model, self.corpus) if c.predicted_by else None
        return VocoderTask(self.weights, self.model, self.corpus, frames=c.frames, mels=mels, **kw)

    def rate(self, step: int) -> float:
        """The learning rate: a linear warm-up, constant, then down to a hundredth over the last `cooldown` share."""
        c = self.config
        left = (c.steps - step) / max(1.0, c.cooldown * c.steps)
        return c.rate * min((step + 1) / max(1, c.warmup), 1.0, max(0.01, left))

    def train_step(self) -> dict[str, float]:
        """One step of the optimiser; returns the losses of its batch."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(self.step)
        losses = self.task.loss(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self.tensors.values()), self.config.clip, foreach=True)
        if not torch.isfinite(norm):
            raise JobError(
                f"step {self.step}: the gradient is not finite; resume with a lower rate than {self.config.rate}"
            )
        self.optimiser.step()
        self.step += 1
        # Early on the average would remember the random start; it opens up with the steps.
        keep = min(self.config.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for k, average in self.average.items():
                average.lerp_(self.tensors[k], 1 - keep)
        return {k: float(v.detach()) for k, v in losses.items()}

    def averaged(self) -> dict[str, float]:
        """Held-out losses of the averaged weights."""
        with torch.no_grad():
            live = {k: t.clone() for k, t in self.tensors.items()}
            for k, t in self.tensors.items():
                t.copy_(self.average[k])
            try:
                return self.task.validate()
            finally:
                for k, t in self.tensors.items():
                    t.copy_(live[k])

    def save(self) -> Path:
        """A checkpoint of this step, atomically."""
        arrays = {k: self.ops.numpy(v) for k, v in self.weights.record.taken.items()}
        groups = {"weights": arrays, "average": {k: self.ops.numpy(v) for k, v in self.average.items()}}
        state = {k: self.optimiser.state.get(t, {}) for k, t in self.tensors.items()}
        for group, key in (("moment1", "exp_avg"), ("moment2", "exp_avg_sq")):
            groups[group] = {k: self.ops.numpy(s[key]) for k, s in state.items() if key in s}
        return checkpoint.save(self.out, self.step, groups, self._identity())

    def _identity(self) -> dict[str, Any]:
        values = asdict(self.config)
        return json.loads(json.dumps({**values, "model": self.model.to_dict()}))

    def _resume(self) -> None:
        last = checkpoint.newest(self.out, self._identity())
        if last is None:
            return
        with torch.no_grad():
            for k, t in self.tensors.items():
                t.copy_(torch.from_numpy(last.groups["weights"][k].copy()))
                self.average[k].copy_(torch.from_numpy(last.groups["average"][k].copy()))
        for k, t in self.tensors.items():
            if k in last.groups.get("moment1", {}):
                moments = {"exp_avg": "moment1", "exp_avg_sq": "moment2"}
                self.optimiser.state[t] = {
                    "step": torch.tensor(float(last.step)),
                    **{name: torch.from_numpy(last.groups[g][k].copy()).to(t.device) for name, g in moments.items()},
                }
        self.step = last.step

    def result(self) -> dict[str, Any]:
        """Averaged weights and constants by path: what a voice ships."""
        arrays = self.weights.arrays()
        return self.task.finish({**arrays, **{k: self.ops.numpy(v) for k, v in self.average.items()}})

    def run(self, report: Callable[[dict[str, Any]], None] = lambda row: None) -> Path:
        """Train to `steps`; `report` gets a row every `every` steps. Returns the file of averaged weights."""
        began, since = time.monotonic(), []
        with (self.out / "log.jsonl").open("a") as log:
            while self.step < self.config.steps:
                since.append(self.train_step())
                if self.step % self.config.every and self.step != self.config.steps:
                    continue
                row: dict[str, Any] = {"step": self.step, "seconds": round(time.monotonic() - began, 1)}
                row.update({f"train_{k}": round(float(np.mean([s[k] for s in since])), 5) for k in since[0]})
                row.update({f"held_{k}": round(v, 5) for k, v in self.averaged().items()})
                since = []
                log.write(json.dumps(row) + "\n")
                log.flush()
                self.save()
                report(row)
        path = self.out / f"{self.config.part}.safetensors"
        metadata = {
            "family": "compact",
            "layout": "torch",
            "config": json.dumps(self.model.to_dict()),
            "step": str(self.step),
        }
        file.write(path, self.result(), metadata)
        return path


def predicted_mels(path: str, c: CompactConfig, corpus: Corpus) -> dict[str, np.ndarray]:
    """Every utterance's mel as an acoustic half makes it with the corpus' durations: what a vocoder hears."""
    from rich.console import Console
    from rich.progress import track

    ops = TorchOps()
    w = Weights.load(path, ops)
    w.ignore("vocoder", why="only the acoustic half is wanted")
    task = AcousticTask(w, c, corpus, batch=1, seed=0)
    w.finish()
    shown = Console(stderr=True)  # standard output is for reports
    return {u.id: task.predicted(u) for u in track(corpus.utterances, "predicted mels", console=shown)}
