"""The training loop: one task, its optimisers, averaged weights, checkpoints, and a log of every look at the losses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import JobError
from ...weights import file
from .. import run_directory
from ..config import TrainConfig
from ..tasks.compact import AcousticTask, Task, VocoderTask
from ..tasks.joint import Drawn, JointTask, acoustic
from ..voice.predict import predicted_mels
from . import checkpoint, guards, initialization, samples
from .distributed import ProcessGroup
from .logging import Journal, Look
from .optimizer import Averaged, Optimised
from .precision import TrainOps, autocast, recompute

__all__ = ["TrainConfig", "Trainer"]
Row = dict[str, Any]
Say = Callable[[str], None]


def _nothing(line: Any) -> None:
    """Says nothing: what one process of several has said already."""


class Trainer:
    """Everything that a training holds: the task, its weights, their moving average, the optimisers.

    `derived` names settings that nobody wrote: paths in the folder of the whole training, which may be moved.
    """

    def __init__(
        self, config: TrainConfig, out: str | Path, *, say: Say = _nothing, derived: Collection[str] = ()
    ) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self.ops = TrainOps(config.device)
        self.together = ProcessGroup(self.ops.device)
        self.config, self.out, self.say = config, Path(out), say if self.together.first else _nothing
        run_directory.made(self.out)
        with self.together.one_after_the_other():
            self.corpus, self.model = initialization.open_corpus(config, self.out, self.say)
        self.weights = initialization.weights(config, self.model, self.corpus, self.ops)
        self.task: Task = self._task()
        initialization.grow(config, self.model, self.weights)
        self.tensors: dict[str, Tensor] = initialization.chosen(config, self.weights)
        self.own = Optimised(self.tensors, rate=config.rate, decay=config.weight_decay, betas=(0.9, 0.98))
        rivals = dict(self.task.rivals.named_parameters()) if self.task.rivals else {}
        self.rivals = Optimised(rivals, rate=config.rate, decay=config.weight_decay, betas=(0.8, 0.99))
        self.averaged_weights = Averaged(self.tensors, config.average)
        self.step, self.pieces = 0, config.accumulate
        self.best, self.stale = math.inf, 0
        self.heat = guards.Heat(config.heat)
        self._resume(derived)
        self.resumed = self.step

    @property
    def average(self) -> dict[str, Tensor]:
        """The moving average of the weights, by path."""
        return self.averaged_weights.values

    def _task(self) -> AcousticTask | VocoderTask | JointTask:
        c = self.config
        if c.part == "acoustic":
            task: AcousticTask | VocoderTask | JointTask = acoustic(self.weights, self.model, self.corpus, c)
        elif c.part == "joint":
            task = JointTask(self.weights, self.model, self.corpus, c)
        else:
            mels = predicted_mels(c.predicted_by, self.model, self.corpus) if c.predicted_by else None
            task = VocoderTask(self.weights, self.model, self.corpus, c, mels=mels)
        if c.start:
            self.weights.finish()
        for model in task.models if isinstance(task, JointTask) else (task.model,):
            if c.recompute:
                recompute(model)
        return task

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
            self.own.clear()
            self.rivals.clear()
            self._smaller(len(rows))
        self._check(found, rows)
        self.own.step(self.rate(self.step))
        if self.rivals.step(self.rate(self.step)) and self.task.rivals:
            self.task.rivals.moved()
        self.step += 1
        self.averaged_weights.update(self.step)
        return found

    def _smaller(self, rows: int) -> None:
        guards.clear(self.ops.device)
        self.pieces = min(2 * self.pieces, rows)
        self.say(f"step {self.step}: out of memory, going on with batches in {self.pieces} pieces")

    def _gradients(self, rows: Sequence[Any]) -> dict[str, float]:
        """The gradients of a whole batch, gathered piece by piece; gives its losses."""
        self.own.clear()
        self.rivals.clear()
        total: dict[str, float] = {}
        for piece in self._split(self.together.own(rows)):
            with autocast(self.ops.device, self.config.precision):
                losses = self.task.losses(piece, rows, step=self.step)
            rivals = losses.get("rivals")
            losses["loss"].backward()
            if rivals is not None:
                rivals.backward()
            for key, value in losses.items():
                total[key] = total.get(key, 0.0) + float(value.detach())
        rivals = [*self.rivals.tensors.values()] if "rivals" in total else []
        return self.together.add([*self.tensors.values(), *rivals], total)

    def _split(self, rows: Sequence[Any]) -> list[Sequence[Any]]:
        """A batch in pieces: as many as were asked for, or as memory and `most_frames` make necessary."""
        count, most = min(self.pieces, len(rows)), self.config.most_frames
        while True:
            edges = [len(rows) * i // count for i in range(count + 1)]
            pieces = [rows[a:b] for a, b in zip(edges, edges[1:])]
            if not most or count == len(rows) or max(self.task.cost(p) for p in pieces) <= most:
                return pieces
            count += 1

    def _check(self, losses: dict[str, float], rows: Sequence[Any]) -> None:
        norm = self.own.clip(self.config.clip)
        wrong = next((k for k, v in losses.items() if not math.isfinite(v)), None)
        if wrong is None and math.isfinite(norm):
            return
        self.own.clear()
        named = ", ".join(dict.fromkeys(row.id for row in rows))
        what = f"the loss {wrong!r} is {losses[wrong]}" if wrong else f"the gradient's norm is {norm}"
        raise JobError(
            f"step {self.step}: {what} on the batch {named}; the last checkpoint is kept: look at these recordings, or "
            f"start from {self.out}/best.safetensors in another folder with a rate below {self.config.rate}"
        )

    def averaged(self) -> dict[str, float]:
        """Held-out losses of the averaged weights."""
        with self.averaged_weights.shown(), autocast(self.ops.device, self.config.precision):
            return self.task.validate()

    def save(self) -> Path:
        """A checkpoint of this step, atomically. Raises JobError when the disk is too full to try."""
        path = checkpoint.at(self.out, self.step)
        if not self.together.first:
            return path
        arrays = {k: self.ops.numpy(v) for k, v in self.weights.record.taken.items()}
        groups = {"weights": arrays, "average": {k: self.ops.numpy(v) for k, v in self.average.items()}}
        groups.update(self.own.groups("moment"))
        if self.task.rivals:
            groups["rivals"] = {k: self.ops.numpy(v) for k, v in self.task.rivals.state_dict().items()}
            groups.update(self.rivals.groups("rival_moment"))
        guards.room(self.out, sum(a.nbytes for named in groups.values() for a in named.values()) / guards.MIB)
        state = {"best": self.best if math.isfinite(self.best) else None, "stale": self.stale, "pieces": self.pieces}
        state.update(own=self.own.steps, rivals=self.rivals.steps)
        checkpoint.save(self.out, self.step, groups, self._identity(), state=state, keep=self.config.keep)
        return path

    def _identity(self) -> dict[str, Any]:
        return json.loads(json.dumps({**self.config.identity(), "model": self.model.to_dict()}))

    def _resume(self, derived: Collection[str]) -> None:
        last = checkpoint.newest(self.out, self._identity(), initialization.defaults(self.config), derived=derived)
        if last is None:
            return
        with torch.no_grad():
            for k, t in self.tensors.items():
                t.copy_(torch.from_numpy(last.groups["weights"][k].copy()))
                self.average[k].copy_(torch.from_numpy(last.groups["average"][k].copy()))
        self.own.restore(last.groups, "moment", last.state.get("own", last.step))
        if self.task.rivals and "rivals" in last.groups:
            self.task.rivals.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in last.groups["rivals"].items()})
            self.rivals.restore(last.groups, "rival_moment", last.state.get("rivals", 0))
        self.step = last.step
        best = last.state.get("best")
        self.best, self.stale = math.inf if best is None else best, last.state.get("stale", 0)
        self.pieces = max(self.pieces, last.state.get("pieces", 1))

    def result(self) -> dict[str, Any]:
        """Averaged weights and constants by path: what a voice ships."""
        arrays = self.weights.arrays()
        return self.task.finish({**arrays, **{k: self.ops.numpy(v) for k, v in self.average.items()}})

    def run(self, report: Callable[[Row], None] = _nothing, tick: Callable[[Row], None] = _nothing) -> Path | None:
        """Train to `steps`, or until `patience` is over; `report` gets a row every `every` steps.

        `tick` gets the first step, the last one where a signal stopped it, and a row every second at most in between.
        Returns the file of averaged weights, or None when a signal asked it to stop: then a checkpoint of the last
        step is written, and the same training goes on from there.
        """
        c, last = self.config, Look(self.step)
        journal = nullcontext()
        if self.together.first:
            journal = Journal(self.out, self.step, c.logs, settings=self._identity())
        if self.step < c.steps and (warning := samples.unjudged(self.task, self.corpus)):
            self.say(warning)
        tick = tick if self.together.first else _nothing
        tick({"step": self.step})
        with guards.Signals() as asked, journal:
            while self.step < c.steps and not self._patient_no_more():
                last.add(self.train_step())
                self._careful(lambda: bool(asked.stop))
                if self.together.agree(bool(asked.stop)):
                    self.save()
                    tick({"step": self.step})
                    reason = asked.stop or "another process"
                    self.say(f"{reason}: step {self.step} is saved; the same command goes on from there")
                    return None
                if self.step % c.every and self.step != c.steps:
                    if last.due():
                        tick({**last.row(self.step, c.steps), **self._memory()})
                    continue
                row = {**last.row(self.step, c.steps), **self._look(), **self._memory()}
                guards.clear(self.ops.device)
                self.save()
                if isinstance(journal, Journal):
                    journal.row(row)
                    report(row)
                last = Look(self.step)
        early = self._patient_no_more() and self.step < c.steps
        path = self._best() if early else self._write(f"{c.part}.safetensors")
        self.together.wait()
        return path

    def _memory(self) -> Row:
        return {f"memory_{k}": v for k, v in guards.memory(self.ops.device).items()}

    def _look(self) -> Row:
        """Held-out losses, whether they are the best so far, and samples."""
        held = self.averaged()
        if held and held["loss"] < self.best:
            self.best, self.stale = held["loss"], 0
            self._write("best.safetensors")
        elif held:
            self.stale += 1
        if self.config.samples and self.together.first and isinstance(self.task, Drawn):
            with self.averaged_weights.shown():
                samples.draw(self.task, self.corpus, self.out, step=self.step, count=self.config.samples)
        return {f"held_{k}": round(v, 5) for k, v in held.items()}

    def _patient_no_more(self) -> bool:
        return 0 < self.config.patience <= self.stale

    def _careful(self, stop: Callable[[], bool]) -> None:
        """The guards that look now and then."""
        if done := self.heat(stop):
            self.say(f"step {self.step}: {done}")
        limit = self.config.memory
        if limit and self.step % 20 == 0 and guards.resident() > limit:
            guards.clear(self.ops.device)
            rows = self.config.batch
            if guards.resident() > limit and self.pieces < rows:
                self._smaller(rows)

    def _best(self) -> Path:
        path = self.out / f"{self.config.part}.safetensors"
        if self.together.first:
            file.write(path, *file.read(self.out / "best.safetensors"))
        return path

    def _write(self, name: str) -> Path:
        if not self.together.first:
            return self.out / name
        metadata = {"family": "compact", "layout": "torch", "config": json.dumps(self.model.to_dict())}
        metadata.update(step=str(self.step), speakers=json.dumps(self.corpus.speakers))
        file.write(self.out / name, self.result(), metadata)
        return self.out / name
