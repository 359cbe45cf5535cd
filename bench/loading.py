"""Is the loader ever what a training waits for? The share of a step in which its batch is made, for both halves.

    python bench/loading.py [--corpus FOLDER] [--model small] [--rounds 4] [--json FILE]

Timed is the training's own code on a real corpus: choosing the rows, reading them from the memory-mapped features,
padding; each round takes batches that no earlier one has touched. Beside it stands the whole step. One thread.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from _measure import Report, parser, timed

# ruff: isort: split
import torch

from portavoz.train.config import TrainConfig
from portavoz.train.loop.trainer import Trainer

STEPS = 8


def main() -> None:
    """Command line."""
    options = parser(__doc__, rounds=4)
    options.add_argument("--model", default="small", help="its shape (default: %(default)s)")
    options.add_argument("--corpus", type=Path, default=Path("corpus"), help="a corpus folder (default: %(default)s)")
    args = options.parse_args()
    torch.set_num_threads(1)
    report = Report("loading", {"rounds": args.rounds, "model": args.model, "steps": STEPS, "batch": 16})
    for part in ("acoustic", "vocoder"):
        with tempfile.TemporaryDirectory() as folder:
            config = TrainConfig(corpus=str(args.corpus), part=part, model=args.model, frames=32, threads=1)
            trainer = Trainer(config, folder)
            task: Any = trainer.task

            def load(first: int, task: Any = task) -> None:
                for step in range(first, first + STEPS):
                    rows = task.rows(step)
                    task.inputs(rows)
                    task.target(rows)

            def train(trainer: Trainer = trainer) -> None:
                for _ in range(STEPS):
                    trainer.train_step()

            train()
            # Steps that training will not reach here.
            loading = [timed(lambda at=at: load(1000 + at * STEPS)).seconds for at in range(args.rounds)]
            whole = [timed(train).seconds for _ in range(args.rounds)]
        report.figures[f"{part}_step_s"] = min(whole) / STEPS
        report.figures[f"{part}_batch_s"] = max(loading) / STEPS
        report.figures[f"{part}_loading_share"] = max(loading) / min(whole)
    report.finish(args.json, digits=5)


if __name__ == "__main__":
    main()
