"""What a training writes down: log.jsonl always, TensorBoard and Weights & Biases where asked for."""

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
from ...errors import MissingExtra
from ..run_directory import room

TELL = 1.0  # seconds between two words about a training within a look


class Board(Protocol):
    """Where numbers go beside log.jsonl."""

    def show(self, numbers: Mapping[str, float], step: int) -> None:
        """The numbers of one look, by names such as train/loss."""
        ...

    def close(self) -> None:
        """The training ends, or stops for now."""
        ...


class Journal:
    """Rows of a training's log. Rows after the step that a resume begins with are dropped: they are made again.

    Raises MissingExtra for a log whose package is not installed, JobError where the disk is full.
    """

    def __init__(
        self, out: Path, step: int, logs: Sequence[str] = (), *, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.path = out / "log.jsonl"
        self._boards: list[Board] = []
        if "tensorboard" in logs:
            self._boards.append(_TensorBoard(out, step))
        if "wandb" in logs:
            self._boards.append(_WandB(out, settings or {}))
        kept = []
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                # A line may have been cut by a kill.
                with suppress(ValueError, TypeError):
                    if json.loads(line).get("step", 0) <= step:
                        kept.append(line)
        with atomic(self.path, "w") as out_file:
            out_file.writelines(f"{line}\n" for line in kept)

    def __enter__(self) -> Journal:
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def row(self, values: Mapping[str, Any]) -> None:
        """One line; its numbers go to the boards too."""
        line = json.dumps(values) + "\n"
        numbers = {k.replace("_", "/", 1): v for k, v in values.items() if k != "step" and isinstance(v, (int, float))}
        with room(self.path.parent, "a line of log.jsonl and its copies", lambda: len(line)):
            self._file.write(line)
            self._file.flush()
            for board in self._boards:
                board.show(numbers, values["step"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What a full disk did not take is written again here, and refused again.
        with suppress(OSError):
            self._file.close()
        for board in self._boards:
            board.close()


class _TensorBoard:
    def __init__(self, out: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as problem:
            raise MissingExtra("tensorboard", "tensorboard", "logs: [tensorboard]") from problem
        self.writer: Any = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def show(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class _WandB:
    """One run of Weights & Biases for one folder, however often it is resumed. WANDB_MODE=offline sends nothing."""

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError as problem:
            raise MissingExtra("wandb", "wandb", "logs: [wandb]") from problem
        kept = out / "wandb-run.txt"
        if not kept.is_file():
            with atomic(kept, "w") as file:
                file.write(secrets.token_hex(8))
        self.run: Any = wandb.init(
            project="portavoz", name=out.resolve().name, id=kept.read_text().strip(), resume="allow", dir=str(out),
            config=dict(settings),
        )  # fmt: skip

    def show(self, numbers: Mapping[str, float], step: int) -> None:
        self.run.log(dict(numbers), step=step)

    def close(self) -> None:
        self.run.finish()


class Look:
    """Losses and time since the last look."""

    def __init__(self, step: int) -> None:
        self.first, self.began, self.since = step, time.monotonic(), list[dict[str, float]]()
        self._told = self.began

    def add(self, losses: dict[str, float]) -> None:
        """One step's losses."""
        self.since.append(losses)

    def due(self) -> bool:
        """Whether TELL seconds have gone by since the look, or since this was last so."""
        now = time.monotonic()
        if now - self._told < TELL:
            return False
        self._told = now
        return True

    def row(self, step: int, steps: int) -> dict[str, Any]:
        """Means, speed, and the seconds that are left at this speed."""
        took = time.monotonic() - self.began
        speed = (step - self.first) / max(took, 1e-9)
        names = dict.fromkeys(k for losses in self.since for k in losses)
        means = {f"train_{k}": round(float(np.mean([s[k] for s in self.since if k in s])), 5) for k in names}
        return {
            "step": step, "seconds": round(took, 1), **means,
            "steps_per_second": round(speed, 3), "seconds_left": round((steps - step) / max(speed, 1e-9), 1),
        }  # fmt: skip
