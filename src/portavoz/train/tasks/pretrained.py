"""Weights that a training starts from or learns from: a file, a voice folder, or a bundled voice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ... import folder
from ...errors import InputError, WeightError
from ...families.compact.config import CompactConfig
from ...weights import file
from ...weights.quantized import unpacked


def weights_file(name: str) -> Path:
    """The safetensors file that a name means: a file, a voice folder, or a bundled voice. Raises InputError."""
    path = Path(name)
    if path.suffix != ".safetensors":
        return folder.find(name) / "model.safetensors"
    if not path.is_file():
        raise InputError(f"{name}: no such file; give a training's result, a voice folder or a voice's name")
    return path


def trained(path: str | Path) -> tuple[dict[str, NDArray[Any]], CompactConfig]:
    """The tensors and the configuration of a training's result (acoustic.safetensors), or of a voice's weights.

    Raises WeightError for a file without a configuration.
    """
    tensors, metadata = file.read(path)
    if "config" not in metadata:
        raise WeightError(f"{path}: its metadata has no configuration; give the result of a training")
    return unpacked(tensors), CompactConfig.from_dict(json.loads(metadata["config"]))


def known_speakers(name: str) -> list[str]:
    """The speakers of a voice, in their order; none for a bare safetensors file."""
    if not name or name.endswith(".safetensors"):
        return []
    return list(folder.describe(folder.find(name))["speakers"])
