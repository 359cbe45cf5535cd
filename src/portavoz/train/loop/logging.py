"""Training logs: log.jsonl always, TensorBoard and Weights & Biases on request."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from ...atomic import atomic
from ...errors import needed
from ..run_directory import room

TICK = 1.0  # seconds between two reports of progress


class Tracker(Protocol):
    """An experiment tracker beside log.jsonl."""

    def write(self, numbers: Mapping[str, float], step: int) -> None:
        """The numbers of one step, by names such as train/loss."""
        ...

    def close(self) -> None:
        """The training has ended, or stops for now."""
        ...


class TrainingLog:
    """The rows of a training's log. A resume drops the rows after its first step: they are written again.

    Raises MissingExtra for a log whose package is not installed, JobError where the disk is full.
    """

    def __init__(
        self, out: Path, step: int, logs: Sequence[str] = (), *, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.path = out / "log.jsonl"
        self._trackers: list[Tracker] = []
        if "tensorboard" in logs:
            self._trackers.append(_TensorBoard(out, step))
        if "wandb" in logs:
            self._trackers.append(_WandB(out, settings or {}))
        kept = []
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                # A line may have been cut by a kill.
                with suppress(ValueError, TypeError):
                    if json.loads(line).get("step", 0) <= step:
                        kept.append(line)
        with atomic(self.path, "w") as out_file:
            out_file.writelines(f"{line}\n" for line in kept)

    def __enter__(self) -> TrainingLog:
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def row(self, values: Mapping[str, Any]) -> None:
        """Write one row; its numbers go to the trackers too."""
        line = json.dumps(values) + "\n"
        numbers = {k.replace("_", "/", 1): v for k, v in values.items() if k != "step" and isinstance(v, (int, float))}
        with room(self.path.parent, "a line of log.jsonl and its copies", lambda: len(line)):
            self._file.write(line)
            self._file.flush()
            for tracker in self._trackers:
                tracker.write(numbers, values["step"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing writes again what a full disk has refused, and fails again.
        with suppress(OSError):
            self._file.close()
        for tracker in self._trackers:
            tracker.close()


class _TensorBoard:
    def __init__(self, out: Path, step: int) -> None:
        with needed("tensorboard", "tensorboard", "logs: [tensorboard]"):
            from torch.utils.tensorboard import SummaryWriter
        self.writer: Any = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def write(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class _WandB:
    """One run of Weights & Biases for one folder, however often it is resumed. WANDB_MODE=offline sends nothing."""

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        with needed("wandb", "wandb", "logs: [wandb]"):
            import wandb
        kept = out / "wandb-run.txt"
        if not kept.is_file():
            with atomic(kept, "w") as file:
                file.write(secrets.token_hex(8))
        self.run: Any = wandb.init(
            project="portavoz", name=out.resolve().name, id=kept.read_text().strip(), resume="allow", dir=str(out),
            config=dict(settings),
        )  # fmt: skip

    def write(self, numbers: Mapping[str, float], step: int) -> None:
        self.run.log(dict(numbers), step=step)

    def close(self) -> None:
        self.run.finish()


class Progress:
    """Losses and time since the last row of the log."""

    def __init__(self, step: int) -> None:
        self.first, self.began, self.since = step, time.monotonic(), list[dict[str, float]]()
        self._last_tick = self.began

    def add(self, losses: dict[str, float]) -> None:
        """One step's losses."""
        self.since.append(losses)

    def due(self) -> bool:
        """Whether TICK seconds have passed since the last row, or since this was last true."""
        now = time.monotonic()
        if now - self._last_tick < TICK:
            return False
        self._last_tick = now
        return True

    def row(self, step: int, steps: int) -> dict[str, Any]:
        """Mean losses, speed, and the seconds left at this speed."""
        took = time.monotonic() - self.began
        speed = (step - self.first) / max(took, 1e-9)
        names = dict.fromkeys(k for losses in self.since for k in losses)
        means = {f"train_{k}": round(float(np.mean([s[k] for s in self.since if k in s])), 5) for k in names}
        return {
            "step": step, "seconds": round(took, 1), **means,
            "steps_per_second": round(speed, 3), "seconds_left": round((steps - step) / max(speed, 1e-9), 1),
        }  # fmt: skip
