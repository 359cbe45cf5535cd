"""A whole voice in one go: the acoustic half, the vocoder on its mels, and a folder that `portavoz say` speaks with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from ... import folder
from ...errors import SpecError
from ...weights import file
from .. import run_directory
from ..config import WHOLE, TrainConfig
from ..loop.initialization import weights_file
from ..loop.trainer import Row, Trainer
from .bundle import bundle, trained

Say = Callable[[str], None]


def _nothing(trainer: Trainer, row: Row) -> None:
    """Nobody wants to know."""


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    say: Say = lambda line: None,
    report: Callable[[Trainer, Row], None] = _nothing,
    tick: Callable[[Trainer, Row], None] = _nothing,
) -> Path | None:
    """Train what `config.part` says in `out`, going on where it stopped.

    Gives the half's file, or the voice folder of "voice" and "joint"; None when a signal stopped it. `report` gets each
    row of the log, `tick` what `Trainer.run` gives between them. Raises PortavozError, among it JobError where another
    training is at work in `out`.
    """
    out = run_directory.made(Path(out))
    # Several processes of one training share its folder: the first one holds it.
    with run_directory.held(out) if os.environ.get("RANK", "0") == "0" else nullcontext():
        return _train(config, out, say, report, tick)


def _train(
    config: TrainConfig,
    out: Path,
    say: Say,
    report: Callable[[Trainer, Row], None],
    tick: Callable[[Trainer, Row], None],
) -> Path | None:
    if config.part not in WHOLE:
        trainer = Trainer(config, out, say=say)
        return trainer.run(lambda row: report(trainer, row), lambda row: tick(trainer, row))
    said = config
    halves: dict[str, Path] = {}
    trainer: Trainer | None = None
    joint = config.part == "joint"
    for part in ("joint",) if joint else ("acoustic", "vocoder"):
        half = config if joint else _half(config, part, halves)
        say("both halves" if joint else f"the {part} half")
        if not joint and _left_alone(config, part):
            halves[part] = _kept(config, part, trainer, out)
            continue
        derived = [key for key in ("corpus", "predicted_by") if getattr(half, key) != getattr(said, key)]
        trainer = Trainer(half, out / part, say=say, derived=derived)
        # The second half trains on the corpus that the first one made ready.
        config = replace(config, corpus=str(trainer.corpus.folder))
        made = trainer.run(
            lambda row, trainer=trainer: report(trainer, row), lambda row, trainer=trainer: tick(trainer, row)
        )
        if made is None:
            return None
        halves[part] = made
    if trainer is None:
        raise SpecError(f"only is {list(config.only)}: no half is trained; name paths of acoustic or vocoder")
    if not trainer.together.first:
        return out / "voice"
    say("the voice folder")
    return bundle(
        [*halves.values()],
        out / "voice",
        name=out.resolve().name,
        speakers=trainer.corpus.speakers,
        card=_card(config, trainer, halves),
    )


def _left_alone(config: TrainConfig, part: str) -> bool:
    return bool(config.only) and not any(path.startswith(part) or part.startswith(path) for path in config.only)


def _kept(config: TrainConfig, part: str, trainer: Trainer | None, out: Path) -> Path:
    """A half that is not trained: that of the voice one started from, under the new configuration."""
    if trainer is None or not config.start:
        raise SpecError(f"only is {list(config.only)}: the {part} half would stay untrained; start from a voice")
    tensors, _ = trained(weights_file(config.start))
    path = out / f"{part}.safetensors"
    metadata = {"family": "compact", "layout": "torch", "config": json.dumps(trainer.model.to_dict())}
    file.write(path, {k: a for k, a in tensors.items() if k.startswith(part)}, metadata)
    return path


def _half(config: TrainConfig, part: str, halves: dict[str, Path]) -> TrainConfig:
    values: dict[str, Any] = {"part": part, "losses": config.losses.get(part, {})}
    if part == "vocoder" and not config.predicted_by:
        values["predicted_by"] = str(halves["acoustic"])
    return replace(config, **values)


def _card(config: TrainConfig, trainer: Trainer, halves: dict[str, Path]) -> dict[str, Any]:
    about = trainer.corpus.about
    train = trainer.corpus.split("train")
    hours = sum(u.length for u in train) * trainer.model.mel.hop / trainer.model.mel.rate / 3600
    card: dict[str, Any] = {
        "corpus": {k: about[k] for k in ("teacher", "licence", "layout") if k in about},
        "recordings": len(train), "hours": round(hours, 3), "steps": config.steps,
        "parameters": sum(int(a.size) for path in halves.values() for a in trained(path)[0].values()),
    }  # fmt: skip
    for key, name in (("tuned_from", config.start), ("taught_by", config.teacher)):
        if name and not name.endswith(".safetensors"):
            card[key] = folder.describe(folder.find(name)).get("card", {})
    return card
