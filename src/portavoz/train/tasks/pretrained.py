"""Weights that a training starts from or learns from: a file, a voice folder, or a bundled voice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ... import folder
from ...errors import InputError, WeightError
from ...families.compact.config import CompactConfig
from ...families.compact.spec import interfaces
from ...flow import join
from ...input_files import is_file, parse_json
from ...weights import file
from ...weights.quantized import unpacked

FAMILY = "compact"  # of every voice that is trained here


def weights_file(name: str) -> Path:
    """The safetensors file that a name means: a file, a voice folder, or a bundled voice. Raises InputError."""
    path = Path(name)
    if path.suffix != ".safetensors":
        return folder.find(name) / "model.safetensors"
    if not is_file(path):
        raise InputError(f"{name}: no such file; give a training's result, a voice folder or a voice's name")
    return path


def trained(path: str | Path) -> tuple[dict[str, NDArray[Any]], CompactConfig]:
    """The tensors and the configuration of a training's result (acoustic.safetensors), or of a voice's weights.

    Raises WeightError for a file without a configuration.
    """
    tensors, metadata = file.read(path)
    if "config" not in metadata:
        raise WeightError(f"{path}: its metadata has no configuration; give the result of a training")
    return unpacked(tensors), CompactConfig.from_dict(_configuration(path, metadata["config"]))


def _configuration(path: str | Path, text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as problem:
        raise WeightError(
            f"{path}: the configuration in its metadata is not JSON ({problem}); train it again"
        ) from None


def joined(parts: Sequence[str | Path]) -> tuple[dict[str, NDArray[Any]], CompactConfig]:
    """The tensors of all parts, and the configuration of the acoustic model.

    Raises WeightError where there is none, or where the parts have different vocoders, SpecError for different mels.
    """
    tensors: dict[str, NDArray[Any]] = {}
    acoustic: CompactConfig | None = None
    configs: list[CompactConfig] = []
    vocoders = set()
    for path in parts:
        arrays, config = trained(path)
        tensors.update(arrays)
        configs.append(config)
        vocoders.add(repr([config.vocoder, config.istft, config.hifigan]))
        if any(name.startswith("acoustic.") for name in arrays):
            acoustic = config
    where = ", ".join(map(str, parts))
    if acoustic is None:
        raise WeightError(f"{where}: no acoustic model among them; name it too")
    for config in configs:
        join(*interfaces(acoustic)[:2], interfaces(config)[2])
    if len(vocoders) > 1:
        raise WeightError(f"{where}: trained for different vocoders; train both under one configuration")
    return tensors, acoustic


def known_speakers(name: str) -> list[str]:
    """The speakers of a voice, in their order; none for a bare safetensors file."""
    if not name or name.endswith(".safetensors"):
        return []
    return list(folder.describe(folder.find(name))["speakers"])
