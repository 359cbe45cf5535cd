"""What a training writes down: log.jsonl always, TensorBoard's events where asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..atomic import atomic
from ..errors import MissingExtra


class Journal:
    """Rows of a training's log. Rows after the step that a resume begins with are dropped: they are made again."""

    def __init__(self, out: Path, step: int, logs: Sequence[str] = ()) -> None:
        self.path = out / "log.jsonl"
        self._board = _board(out, step) if "tensorboard" in logs else None
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
        """One line; its numbers go to TensorBoard too."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()
        if self._board is not None:
            for key, value in values.items():
                if key != "step" and isinstance(value, (int, float)):
                    self._board.add_scalar(key.replace("_", "/", 1), value, values["step"])
            self._board.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def _board(out: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as problem:
        raise MissingExtra("tensorboard", "tensorboard", "logs: [tensorboard]") from problem
    return SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)


class Look:
    """Losses and time since the last look."""

    def __init__(self, step: int) -> None:
        self.first, self.began, self.since = step, time.monotonic(), list[dict[str, float]]()

    def add(self, losses: dict[str, float]) -> None:
        """One step's losses."""
        self.since.append(losses)

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
