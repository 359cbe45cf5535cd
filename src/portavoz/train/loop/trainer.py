"""The training loop: one task, its optimisers, averaged weights, checkpoints, validation and log."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ... import families
from ...atomic import made_folder
from ...errors import JobError, PortavozError
from ...families.spec import Target
from ...interrupts import Interrupted
from ...weights import file
from ..config import TrainConfig
from ..tasks.base import Setup
from . import checkpoint, guards, samples
from .distributed import ProcessGroup
from .logging import Progress, TrainingLog
from .optimizer import NamedAdamW, WeightAverage
from .precision import TrainOps, autocast

__all__ = ["TrainConfig", "Trainer"]
Row = dict[str, Any]
Say = Callable[[str], None]


def _ignore(line: Any) -> None:
    """Report nothing."""


class Trainer:
    """The state of a training: the task, its weights, their moving average, the optimisers.

    `derived` names settings that the training of a whole voice has filled in: paths in its folder, which may be moved.
    """

    def __init__(
        self, config: TrainConfig, out: str | Path, *, say: Say = _ignore, derived: Collection[str] = ()
    ) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self.ops = TrainOps(config.device)
        self.group = ProcessGroup(self.ops.device)
        self.config, self.out, self.say = config, Path(out), say if self.group.first else _ignore
        made_folder(self.out)
        begin: Any = Target(families.get(config.family).train_tasks["begin"])()
        setup: Setup = begin(config, self.out, self.ops, first_alone=self.group.first_alone(), say=self.say)
        self.corpus, self.model, self.weights, self.task, self.tensors, self.defaults = setup
        self.optimizer = NamedAdamW(self.tensors, rate=config.rate, decay=config.weight_decay, betas=(0.9, 0.98))
        self.discriminators = self.task.discriminators
        theirs = dict(self.discriminators.named_parameters()) if self.discriminators else {}
        self.adversary = NamedAdamW(theirs, rate=config.rate, decay=config.weight_decay, betas=(0.8, 0.99))
        self.averaged_weights = WeightAverage(self.tensors, config.average)
        self.step, self.pieces = 0, config.accumulate
        self.best, self.stale = math.inf, 0
        self.heat = guards.Heat(config.heat)
        self._resume(derived)
        self.resumed = self.step

    @property
    def average(self) -> dict[str, Tensor]:
        """The moving average of the weights, by path."""
        return self.averaged_weights.values

    def rate(self, step: int) -> float:
        """The learning rate: a linear warm-up, constant, then down to a hundredth over the last `cooldown` share."""
        c = self.config
        left = (c.steps - step) / max(1.0, c.cooldown * c.steps)
        return c.rate * min((step + 1) / max(1, c.warmup), 1.0, max(0.01, left))

    def train_step(self) -> dict[str, float]:
        """One step of the optimisers; returns the losses of its batch.

        Where memory runs out, the batch is computed in more and smaller pieces, and the step is tried again. Raises
        JobError for a loss or a gradient that is not finite, naming the batch; the weights are as before.
        """
        rows = self.task.rows(self.step)
        while True:
            torch.manual_seed(self.config.seed * 1_000_003 + self.step)
            try:
                found = self._gradients(rows)
                break
            except (RuntimeError, MemoryError) as problem:
                if not guards.out_of_memory(problem):
                    raise
                if self.pieces >= len(rows):
                    raise JobError(
                        f"step {self.step}: one utterance alone does not fit into memory ({problem}); leave out long "
                        "recordings, set recompute: true, or choose a smaller model"
                    ) from problem
            self._clear()
            self._smaller_pieces(len(rows))
        self._check(found, rows)
        self.optimizer.step(self.rate(self.step))
        if self.adversary.step(self.rate(self.step)) and self.discriminators:
            self.discriminators.update_spectral_norm()
        self.step += 1
        self.averaged_weights.update(self.step)
        return found

    def _clear(self) -> None:
        self.optimizer.clear()
        self.adversary.clear()

    def _smaller_pieces(self, rows: int) -> None:
        guards.clear(self.ops.device)
        self.pieces = min(2 * self.pieces, rows)
        self.say(f"step {self.step}: out of memory, continuing with batches in {self.pieces} pieces")

    def _gradients(self, rows: Sequence[Any]) -> dict[str, float]:
        """Accumulate the gradients of a whole batch, piece by piece; gives its losses."""
        self._clear()
        total: dict[str, float] = {}
        for piece in self._split(self.group.shard(rows)):
            with autocast(self.ops.device, self.config.precision):
                losses = self.task.losses(piece, rows, step=self.step)
            theirs = losses.get("discriminators")
            losses["loss"].backward()
            if theirs is not None:
                theirs.backward()
            for key, value in losses.items():
                total[key] = total.get(key, 0.0) + float(value.detach())
        adversary = [*self.adversary.tensors.values()] if "discriminators" in total else []
        return self.group.sum_gradients([*self.tensors.values(), *adversary], total)

    def _split(self, rows: Sequence[Any]) -> list[Sequence[Any]]:
        """A batch in pieces: as many as configured, or as memory and `most_frames` require."""
        count, most = min(self.pieces, len(rows)), self.config.most_frames
        while True:
            edges = [len(rows) * i // count for i in range(count + 1)]
            pieces = [rows[a:b] for a, b in zip(edges, edges[1:])]
            if not most or count == len(rows) or max(self.task.cost(p) for p in pieces) <= most:
                return pieces
            count += 1

    def _check(self, losses: dict[str, float], rows: Sequence[Any]) -> None:
        norm = self.optimizer.clip(self.config.clip)
        wrong = next((k for k, v in losses.items() if not math.isfinite(v)), None)
        if wrong is None and math.isfinite(norm):
            return
        self.optimizer.clear()
        named = ", ".join(dict.fromkeys(row.id for row in rows))
        what = f"the loss {wrong!r} is {losses[wrong]}" if wrong else f"the gradient's norm is {norm}"
        raise JobError(
            f"step {self.step}: {what} on the batch {named}; the last checkpoint is kept: check these recordings, or "
            f"start from {self.out}/best.safetensors in another folder with a rate below {self.config.rate}"
        )

    def averaged(self) -> dict[str, float]:
        """Held-out losses of the averaged weights."""
        with self.averaged_weights.applied(), autocast(self.ops.device, self.config.precision):
            return self.task.validate()

    def save(self) -> Path:
        """Write a checkpoint of this step. Raises JobError when the disk has no room for it."""
        path = checkpoint.path_of(self.out, self.step)
        if not self.group.first:
            return path
        arrays = {k: self.ops.numpy(v) for k, v in self.weights.record.taken.items()}
        groups = {"weights": arrays, "average": {k: self.ops.numpy(v) for k, v in self.average.items()}}
        groups.update(self.optimizer.groups("moment"))
        if self.discriminators:
            groups["discriminators"] = {k: self.ops.numpy(v) for k, v in self.discriminators.state_dict().items()}
            groups.update(self.adversary.groups("discriminator_moment"))
        guards.room(self.out, sum(a.nbytes for named in groups.values() for a in named.values()) / guards.MIB)
        state = {"best": self.best if math.isfinite(self.best) else None, "stale": self.stale, "pieces": self.pieces}
        state.update(optimizer=self.optimizer.steps, adversary=self.adversary.steps)
        checkpoint.save(self.out, self.step, groups, self._identity(), state=state, keep=self.config.keep)
        return path

    def _identity(self) -> dict[str, Any]:
        return json.loads(json.dumps({**self.config.identity(), "model": self.model.to_dict()}))

    def _resume(self, derived: Collection[str]) -> None:
        last = checkpoint.newest(self.out, self._identity(), self.defaults, derived=derived)
        if last is None:
            return
        with torch.no_grad():
            for k, t in self.tensors.items():
                t.copy_(torch.from_numpy(last.groups["weights"][k].copy()))
                self.average[k].copy_(torch.from_numpy(last.groups["average"][k].copy()))
        self.optimizer.restore(last.groups, "moment", last.state.get("optimizer", last.step))
        if self.discriminators and "discriminators" in last.groups:
            theirs = last.groups["discriminators"]
            self.discriminators.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in theirs.items()})
            self.adversary.restore(last.groups, "discriminator_moment", last.state.get("adversary", 0))
        self.step = last.step
        best = last.state.get("best")
        self.best, self.stale = math.inf if best is None else best, last.state.get("stale", 0)
        self.pieces = max(self.pieces, last.state.get("pieces", 1))

    def result(self) -> dict[str, Any]:
        """Averaged weights and constants by path, as a voice ships them."""
        arrays = self.weights.arrays()
        return self.task.finish({**arrays, **{k: self.ops.numpy(v) for k, v in self.average.items()}})

    def run(self, report: Callable[[Row], None] = _ignore, tick: Callable[[Row], None] = _ignore) -> Path | None:
        """Train to `steps`, or until `patience` is exhausted; `report` gets a row every `every` steps.

        `tick` gets the first step, the last one when a signal stops it, and a row every second at most in between.
        Returns the file of averaged weights, or None when a signal stopped it: then a checkpoint of the last step is
        written, and the same training resumes from there.
        """
        c, progress = self.config, Progress(self.step)
        log = TrainingLog(self.out, self.step, c.logs, settings=self._identity()) if self.group.first else None
        if self.step < c.steps and (why := self.task.no_validation()):
            self.say(f"{why}: no held_loss, no best.safetensors, no stop by patience")
        tick = tick if self.group.first else _ignore
        tick({"step": self.step})
        with guards.Signals() as signals, log or nullcontext():
            while self.step < c.steps and not self._out_of_patience():
                progress.add(self.train_step())
                self._check_resources(lambda: bool(signals.stop))
                if self.group.any(bool(signals.stop)):
                    self._save_stopped(signals)
                    tick({"step": self.step})
                    return None
                if self.step % c.every and self.step != c.steps:
                    if progress.due():
                        tick({**progress.row(self.step, c.steps), **self._memory()})
                    continue
                row = {**progress.row(self.step, c.steps), **self._validate(), **self._memory()}
                guards.clear(self.ops.device)
                self.save()
                if log:
                    log.row(row)
                    report(row)
                progress = Progress(self.step)
        early = self._out_of_patience() and self.step < c.steps
        path = self._best() if early else self._write(f"{c.part}.safetensors")
        self.group.wait()
        return path

    def _save_stopped(self, signals: guards.Signals) -> None:
        """Save what a signal has stopped. Raises Interrupted where that cannot be done: the work since is lost."""
        reason = signals.stop or "another process"
        try:
            self.save()
        except PortavozError as problem:
            self.say(f"{reason}: step {self.step} is not saved: {problem}")
            if signals.number:
                raise Interrupted(signals.number) from problem
            raise
        self.say(f"{reason}: step {self.step} is saved; the same command resumes from there")

    def _memory(self) -> Row:
        return {f"memory_{k}": v for k, v in guards.memory(self.ops.device).items()}

    def _validate(self) -> Row:
        """Held-out losses; writes the best weights so far, and samples."""
        held = self.averaged()
        if held and held["loss"] < self.best:
            self.best, self.stale = held["loss"], 0
            self._write("best.safetensors")
        elif held:
            self.stale += 1
        if self.config.samples and self.group.first:
            with self.averaged_weights.applied():
                samples.write_samples(self.task, self.corpus, self.out, step=self.step, count=self.config.samples)
        return {f"held_{k}": round(v, 5) for k, v in held.items()}

    def _out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.stale

    def _check_resources(self, stop: Callable[[], bool]) -> None:
        """Rest when the machine is hot; use smaller pieces when the process is too large."""
        if done := self.heat(stop):
            self.say(f"step {self.step}: {done}")
        limit = self.config.memory
        if limit and self.step % 20 == 0 and guards.resident() > limit:
            guards.clear(self.ops.device)
            rows = self.config.batch
            if guards.resident() > limit and self.pieces < rows:
                self._smaller_pieces(rows)

    def _best(self) -> Path:
        path = self.out / f"{self.config.part}.safetensors"
        if self.group.first:
            file.write(path, *file.read(self.out / "best.safetensors"))
        return path

    def _write(self, name: str) -> Path:
        if not self.group.first:
            return self.out / name
        metadata = {"family": self.config.family, "layout": "torch", "config": json.dumps(self.model.to_dict())}
        metadata.update(step=str(self.step), speakers=json.dumps(self.corpus.speakers))
        file.write(self.out / name, self.result(), metadata)
        return self.out / name
