"""A whole voice in one go: the acoustic half, the vocoder on its mels, and a folder that `portavoz say` speaks with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import folder
from .bundle import bundle, trained
from .config import LOSSES, TrainConfig
from .loop import Row, Trainer

Say = Callable[[str], None]


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    say: Say = lambda line: None,
    report: Callable[[Trainer, Row], None] = lambda trainer, row: None,
) -> Path | None:
    """Train what `config.part` says in `out`, going on where it stopped.

    Gives the half's file, or the voice folder of part "voice"; None when a signal stopped it. `report` gets each
    row of the log. Raises PortavozError.
    """
    out = Path(out)
    if config.part != "voice":
        trainer = Trainer(config, out, say=say)
        return trainer.run(lambda row: report(trainer, row))
    halves: dict[str, Path] = {}
    for part in ("acoustic", "vocoder"):
        half = _half(config, part, halves)
        say(f"the {part} half")
        trainer = Trainer(half, out / part, say=say)
        # The second half trains on the corpus that the first one made ready.
        config = replace(config, corpus=str(trainer.corpus.folder))
        made = trainer.run(lambda row, trainer=trainer: report(trainer, row))
        if made is None:
            return None
        halves[part] = made
    say("the voice folder")
    return bundle(
        [*halves.values()],
        out / "voice",
        name=out.resolve().name,
        speakers=trainer.corpus.speakers,
        card=_card(config, trainer, halves),
    )


def _half(config: TrainConfig, part: str, halves: dict[str, Path]) -> TrainConfig:
    losses = {k: v for k, v in config.losses.items() if k in LOSSES[part]}
    values: dict[str, Any] = {"part": part, "losses": losses}
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
    if config.start and not config.start.endswith(".safetensors"):
        card["tuned_from"] = folder.describe(folder.find(config.start)).get("card", {})
    return card
