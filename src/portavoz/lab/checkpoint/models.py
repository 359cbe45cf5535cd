"""What a checkpoint should hold: its parts (model, vocoder), and what each family's blocks take from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.hifigan import HifiGan
from ...config_reader import read_object
from ...errors import InputError, SpecError
from ...families.compact import config as compact
from ...families.compact.loop import Eager as Compact
from ...families.speecht5 import config as speecht5
from ...families.speecht5.checkpoint import vocoder_of
from ...families.speecht5.decoder import Acoustic
from ...folder import describe
from ...ops.base import Ops
from ...weights import store
from ...weights.cursor import Weights
from ...weights.layer import Record
from ...weights.store import Store

FAMILIES = ("compact", "speecht5")
PARTS = ("model", "vocoder")
GIVE = "give the checkpoint's configuration"
Build = Callable[[Weights], object]


class ShapeOnlyWeights(Weights):
    """Fresh weights that take no memory: what a model wants is asked, not what it would start from."""

    def _first(self, path: str, shape: tuple[int, ...], init: float | None) -> NDArray[Any]:
        return np.broadcast_to(np.float32(0 if init is None else init), shape)


@dataclass
class Part:
    """One file of a checkpoint: where it is, whose it is, its tensors, and what a model of it takes.

    `folds`: whether this part's loader fuses weight norm, so that an unfused kernel is no fault.
    """

    path: Path
    family: str
    part: str
    config: Any
    build: Build
    folds: bool = False
    store: Store = field(default_factory=lambda: Store({}, {}))

    @cached_property
    def wanted(self) -> Record:
        """Paths, shapes (PyTorch's order), roles, first values and reasons to ignore, as the blocks ask for them."""
        cursor = ShapeOnlyWeights.fresh(Ops())
        self.build(cursor)
        return cursor.record

    @property
    def roles(self) -> dict[str, str]:
        """Path → role of every tensor that is taken."""
        return self.wanted.roles


def opened(
    path: str | Path,
    *,
    family: str | None = None,
    part: str | None = None,
    config: str | None = None,
    beside: str | Path | None = None,
) -> list[Part]:
    """The parts of a safetensors file, a folder with shards, or a checkpoint's folder (a SpeechT5's: with its vocoder).

    What is not said is read from the metadata, from voice.json or config.json in the folder, and from the names of
    the tensors, or else in the same way from `beside` (a reference). `config`: the name of a configuration ("tiny"),
    or a JSON file. Raises InputError when family or configuration cannot be known, WeightError for a file that cannot
    be read.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; give a safetensors file, or a checkpoint's folder")
    place, held = path, store.read(path)
    folder = path if path.is_dir() else path.parent
    about = _about(path, held)
    if beside is not None and not about:
        place = Path(beside)
        readable = place.is_dir() or place.suffix in (".safetensors", ".json")
        about = _about(place, store.read(place) if readable else Store({}, {}))
    family = family or _family(path, held, about)
    if family == "compact":
        return [_compact(path, held, config, about)]
    which = part or ("vocoder" if _vocodes(held) else "model")
    chosen = _speecht5(path, place if place.is_dir() else place.parent, which, config, about)
    out = [_part(path, which, chosen, held)]
    vocoder = vocoder_of(folder) if path.is_dir() and which == "model" and part is None else None
    if vocoder is not None and vocoder.parent == folder:
        out.append(_part(vocoder, "vocoder", chosen, store.read(vocoder)))
    return out


def _family(path: Path, held: Store, about: Mapping[str, Any]) -> str:
    said = str(held.metadata.get("family") or about.get("family") or about.get("model_type") or "")
    for known in FAMILIES:
        if said.startswith(known):
            return known
    raise InputError(f"{path}: nothing says which family's weights these are; say --family {' or '.join(FAMILIES)}")


def _about(path: Path, held: Store) -> dict[str, Any]:
    """What is said about the weights: in voice.json, in config.json or in their metadata; {} for nothing."""
    folder = path if path.is_dir() else path.parent
    if (folder / "voice.json").is_file():
        return dict(describe(folder))
    if (folder / "config.json").is_file():
        return read_object(folder / "config.json", GIVE)
    inside = _inside(path, held)
    return {} if inside is None else {"family": held.metadata.get("family", ""), "config": inside}


def _vocodes(held: Store) -> bool:
    """Whether the names are a vocoder's: its first convolution is there, and no encoder."""
    names = [name.split(".") for name in held]
    return any("conv_pre" in steps for steps in names) and not any("encoder" in steps for steps in names)


# Configurations


def _compact(path: Path, held: Store, config: str | None, about: Mapping[str, Any]) -> Part:
    values: Any = _given(config, compact.CONFIGS) or about.get("config")
    if values is None:
        raise InputError(
            f"{path}: no configuration in its metadata and no voice.json beside it; say --config NAME or FILE "
            f"(names: {', '.join(compact.CONFIGS)})"
        )
    chosen = compact.named(values)
    build: Build = lambda w: Compact(w, chosen)  # noqa: E731
    return Part(path, "compact", "model", chosen, build, store=held)


def _given(config: str | None, names: Mapping[str, Any]) -> Any:
    if config is None or config in names:
        return config
    if not Path(config).is_file():
        raise InputError(f"--config {config}: no such file and no such name; names are {', '.join(names)}")
    return read_object(config, GIVE)


def _inside(path: Path, held: Store) -> Any:
    if "config" not in held.metadata:
        return None
    try:
        return json.loads(held.metadata["config"])
    except ValueError as problem:
        raise InputError(f"{path}: the configuration in its metadata is no JSON ({problem}); say --config") from None


def _speecht5(
    path: Path, folder: Path, which: str, config: str | None, about: Mapping[str, Any]
) -> speecht5.SpeechT5Config:
    values: Any = _given(config, speecht5.CONFIGS) or dict(about) or None
    if values is None:
        raise InputError(
            f"{path}: no config.json beside it; say --config NAME or FILE (names: {', '.join(speecht5.CONFIGS)})"
        )
    if isinstance(values, str):
        return speecht5.named(values)
    if values.get("model_type") == speecht5.VOCODER_MODEL or (which == "vocoder" and "model_in_dim" in values):
        mels = values.get("model_in_dim", 80)
        return speecht5.SpeechT5Config.from_dict({"model_type": speecht5.MODEL, "num_mel_bins": mels}, values)
    beside = vocoder_of(folder)
    vocoder = read_object(beside / "config.json", GIVE) if beside is not None else None
    try:
        return speecht5.SpeechT5Config.from_dict(values, vocoder)
    except SpecError:
        if vocoder is not None or which == "vocoder":
            raise
        # Without its vocoder a model may have another number of bands than the published vocoder takes.
        mels = values.get("num_mel_bins", 80)
        return speecht5.SpeechT5Config.from_dict(values, {"model_type": speecht5.VOCODER_MODEL, "model_in_dim": mels})


def _part(path: Path, which: str, config: speecht5.SpeechT5Config, held: Store) -> Part:
    build: Build = lambda w: Acoustic(w, config)  # noqa: E731
    if which == "vocoder":
        build = lambda w: HifiGan(w, config.vocoder)  # noqa: E731
    return Part(path, "speecht5", which, config, build, folds=True, store=held)
