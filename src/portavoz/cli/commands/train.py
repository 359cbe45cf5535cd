"""Train a model as a configuration file says; needs the extra 'train'.

A run in the folder is resumed: repeat the command after a crash, Ctrl-C or SIGTERM (both write a checkpoint first).
Besides checkpoints the folder gets log.jsonl and, at the end, the averaged weights; with 'part: voice', a voice folder.
KEY=VALUE overrides a setting of the file.

Examples:
  portavoz train recipes/smoke.yaml --out runs/smoke
  portavoz train recipes/small.yaml corpus=data/LJSpeech-1.1 --out runs/small
  portavoz train recipes/tune.yaml corpus=my-recordings --out runs/mine
  portavoz train mine.yaml steps=500 model.hidden=64 losses.ssim=0.5 --out runs/mine --json
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ...errors import MissingExtra
from ..options import json_option, note, print_json

if TYPE_CHECKING:
    from ...train.loop.trainer import Trainer

INTERMIXED = True  # settings may stand behind the options too


def options(parser: argparse.ArgumentParser) -> None:
    """What `train` takes."""
    parser.add_argument("config", metavar="CONFIG", help="a YAML file; see docs/guide/training.md")
    parser.add_argument(
        "changes", metavar="KEY=VALUE", nargs="*", help="override settings of the file, such as model.hidden=64"
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="folder of checkpoints, log and result")
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Train to the end, or to a signal. Raises PortavozError."""
    for package, module in (("torch", "torch"), ("pyyaml", "yaml"), ("psutil", "psutil")):
        if find_spec(module) is None:
            raise MissingExtra(package, "train", "portavoz train")
    from ...train.config import TrainConfig

    config = TrainConfig.read(args.config, args.changes)  # before PyTorch is imported
    from ...train.voice.train_voice import train

    began = time.perf_counter()
    with TrainingProgress(config.steps, "left of this part" if config.part == "voice" else "left") as watch:
        path = train(config, args.out, say=watch.say, report=watch, tick=watch.tick)
    took = time.perf_counter() - began
    if os.environ.get("RANK", "0") != "0":
        return 0  # one of several processes, of which the first reports
    if args.json:
        about = {"output": None if path is None else str(path), "steps": watch.step, "resumed": watch.first}
        print_json({**about, "seconds": round(took, 1), **watch.last})
    elif path is not None:
        note(f"{path}: {watch.step - watch.first} steps in {took:.0f} s")
    return 0


class TrainingProgress:
    """Called with each row of the log: a bar where standard error is a terminal, else a line each.

    `left` are the words behind the minutes.
    """

    def __init__(self, steps: int, left: str) -> None:
        self.steps, self.left, self.first, self.step, self.last = steps, left, 0, 0, dict[str, Any]()
        self._bar: Any = None
        self._of: Trainer | None = None
        self._stack = ExitStack()

    def __enter__(self) -> TrainingProgress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = [BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")]
            self._bar = self._stack.enter_context(Progress(*columns, console=Console(stderr=True)))
            self._task = self._bar.add_task("…", total=self.steps)
        return self

    def say(self, line: str) -> None:
        """Something that happened beside the steps."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False)
        else:
            note(line)

    def __call__(self, trainer: Trainer, row: dict[str, Any]) -> None:
        self.tick(trainer, row)
        self.last = row
        if self._bar is None:
            note(f"step {row['step']} of {self.steps}: {self._line(row)}")

    def tick(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """How far it is, between two rows of the log too: there the held-out loss is that of the last row."""
        if trainer is not self._of:
            self._of, self.first, self.last = trainer, trainer.resumed, {}
        self.step = row["step"]
        if self._bar is None:
            return
        self._bar.update(self._task, completed=self.step)
        if "steps_per_second" in row:
            self._bar.update(self._task, description=self._line({**self.last, **row}))

    def _line(self, row: dict[str, Any]) -> str:
        losses = [f"{key} {row[key]:.4f}" for key in ("train_loss", "held_loss") if key in row]
        speed, left = f"{row['steps_per_second']:.2f} steps/s", f"{row['seconds_left'] / 60:.1f} minutes {self.left}"
        return ", ".join([*losses, speed, left, f"{row['memory_process']:.0f} MiB"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
