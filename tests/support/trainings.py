"""The settings of a training of six steps, on the small corpus of tests/train/conftest.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from portavoz.train.config import TrainConfig


def config(corpus: Path, **more: Any) -> TrainConfig:
    values = {"corpus": str(corpus), "model": "minimal", "steps": 6, "batch": 4, "every": 3, "warmup": 2, "frames": 8}
    return TrainConfig.from_dict({**values, **more})
