"""Train a model as a configuration file says; needs the extra 'train'.

What is in the folder already is continued, so the same command again resumes a training that was cut off. Beside
its checkpoints the folder gets log.jsonl and, at the end, the file of averaged weights.

Examples:
  portavoz train recipes/voice/acoustic.yaml --out runs/acoustic
  portavoz train mine.yaml --out runs/mine --json
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from ..errors import MissingExtra
from .options import json_option, note, print_json


def options(parser: argparse.ArgumentParser) -> None:
    """What `train` takes."""
    parser.add_argument("config", metavar="CONFIG", help="a YAML file; see docs/guide/training.md")
    parser.add_argument("--out", metavar="DIR", required=True, help="the folder of checkpoints, log and result")
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Train to the end. Raises PortavozError."""
    for package, module in (("torch", "torch"), ("pyyaml", "yaml")):
        if find_spec(module) is None:
            raise MissingExtra(package, "train", "portavoz train")
    from ..train.loop import TrainConfig, Trainer

    trainer = Trainer(TrainConfig.read(args.config), args.out)
    first, began = trainer.step, time.perf_counter()
    with Watch(trainer.config.steps, first) as watch:
        path = trainer.run(watch)
    took = time.perf_counter() - began
    if args.json:
        print_json(
            {"output": str(path), "steps": trainer.step, "resumed": first, "seconds": round(took, 1), **watch.last}
        )
    else:
        note(f"{path}: {trainer.step - first} steps in {took:.0f} s")
    return 0


class Watch:
    """Called with each row of the log: a bar where standard error is a terminal, else a line each."""

    def __init__(self, steps: int, first: int) -> None:
        self.steps, self.first, self.last = steps, first, dict[str, Any]()
        self._bar: Any = None
        self._stack = ExitStack()

    def __enter__(self) -> Watch:
        self.began = time.perf_counter()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}")]
            self._bar = self._stack.enter_context(Progress(*columns, console=Console(stderr=True)))
            self._task = self._bar.add_task("…", total=self.steps, completed=self.first)
        return self

    def __call__(self, row: dict[str, Any]) -> None:
        self.last = row
        speed = (row["step"] - self.first) / max(1e-9, time.perf_counter() - self.began)
        losses = ", ".join(f"{key} {row[key]:.4f}" for key in ("train_loss", "held_loss") if key in row)
        line = f"{losses}, {speed:.2f} steps/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=row["step"], description=line)
        else:
            left = (self.steps - row["step"]) / speed if speed else 0.0
            note(f"step {row['step']} of {self.steps}: {line}, {left / 60:.1f} minutes left")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
