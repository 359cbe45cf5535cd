"""Train a whole voice: the acoustic model, the vocoder on its mels, and the voice folder that holds both."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from ... import folder
from ...atomic import made_folder
from ...errors import SpecError
from ...weights import file
from .. import run_directory
from ..config import WHOLE, TrainConfig
from ..loop.trainer import Row, Trainer
from ..tasks import initialization
from ..tasks.joint import part_settings
from ..tasks.pretrained import trained, weights_file
from .bundle import bundle

Say = Callable[[str], None]
# What a training is called while it begins.
PARTS = {
    "acoustic": "acoustic model", "vocoder": "vocoder", "joint": "acoustic model and vocoder",
    "source_filter": "both halves of a source–filter voice",
}  # fmt: skip


def _ignore(trainer: Trainer, row: Row) -> None:
    """The default of `report` and `tick`."""


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    say: Say = lambda line: None,
    report: Callable[[Trainer, Row], None] = _ignore,
    tick: Callable[[Trainer, Row], None] = _ignore,
) -> Path | None:
    """Train `config.part` in the folder `out`, resuming what is there.

    Gives the part's file, or the voice folder of "voice" and "joint"; None when a signal stopped it. `report` gets each
    row of the log, `tick` what `Trainer.run` gives between them. Raises PortavozError, such as JobError when another
    training runs in `out`.
    """
    out = made_folder(Path(out))
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
    original = config
    files: dict[str, Path] = {}
    trainer: Trainer | None = None
    parts = _parts(config)
    for part in parts:
        settings = config if part == "joint" else _settings(config, part, files)
        say(PARTS[part])
        if len(parts) > 1 and _frozen(config, part):
            files[part] = _copied(config, part, trainer, out)
            continue
        derived = [key for key in ("corpus", "predicted_by") if getattr(settings, key) != getattr(original, key)]
        trainer = Trainer(settings, out / part, say=say, derived=derived)
        # The vocoder trains on the corpus that the acoustic model has prepared.
        config = replace(config, corpus=str(trainer.corpus.folder))
        made = trainer.run(
            lambda row, trainer=trainer: report(trainer, row), lambda row, trainer=trainer: tick(trainer, row)
        )
        if made is None:
            return None
        files[part] = made
    if trainer is None:
        raise SpecError(f"only is {list(config.only)}: nothing is trained; name paths of acoustic or vocoder")
    if not trainer.group.first:
        return out / "voice"
    say("voice folder")
    return bundle(
        [*files.values()],
        out / "voice",
        name=out.resolve().name,
        speakers=trainer.corpus.speakers,
        card=_card(config, trainer, files),
    )


def _parts(config: TrainConfig) -> tuple[str, ...]:
    """The trainings that make a whole voice, one after the other: one alone where both halves learn at once."""
    if initialization.shape(config, 1).vocoder == "source_filter":
        return ("source_filter",)
    return ("joint",) if config.part == "joint" else ("acoustic", "vocoder")


def _frozen(config: TrainConfig, part: str) -> bool:
    return bool(config.only) and not any(path.startswith(part) or part.startswith(path) for path in config.only)


def _copied(config: TrainConfig, part: str, trainer: Trainer | None, out: Path) -> Path:
    """The file of a part that is not trained: that of the starting voice, under the new configuration."""
    if trainer is None or not config.start:
        raise SpecError(f"only is {list(config.only)}: the {part} part would stay untrained; start from a voice")
    tensors, _ = trained(weights_file(config.start))
    path = out / f"{part}.safetensors"
    metadata = {"family": config.family, "layout": "torch", "config": json.dumps(trainer.model.to_dict())}
    file.write(path, {k: a for k, a in tensors.items() if k.startswith(part)}, metadata)
    return path


def _settings(config: TrainConfig, part: str, files: dict[str, Path]) -> TrainConfig:
    settings = part_settings(config, part)
    if part == "vocoder" and not config.predicted_by:
        return replace(settings, predicted_by=str(files["acoustic"]))
    return settings


def _card(config: TrainConfig, trainer: Trainer, files: dict[str, Path]) -> dict[str, Any]:
    about = trainer.corpus.about
    train = trainer.corpus.split("train")
    hours = sum(u.length for u in train) * trainer.model.mel.hop / trainer.model.mel.rate / 3600
    card: dict[str, Any] = {
        "corpus": {k: about[k] for k in ("teacher", "licence", "layout") if k in about},
        "recordings": len(train), "hours": round(hours, 3), "steps": config.steps,
        "parameters": sum(int(a.size) for path in files.values() for a in trained(path)[0].values()),
    }  # fmt: skip
    for key, name in (("tuned_from", config.start), ("taught_by", config.teacher)):
        if name and not name.endswith(".safetensors"):
            card[key] = folder.describe(folder.find(name)).get("card", {})
    return card
