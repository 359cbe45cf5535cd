"""A SpeechT5 checkpoint on disk, as the reference writes it: opened, and saved back.

config.json  model.safetensors (or shards)  spm_char.model  added_tokens.json  tokenizer_config.json
vocoder/config.json  vocoder/model.safetensors          or hifigan/, or speecht5_hifigan/ beside the folder
speakers.safetensors  speakers/NAME.npy                 x-vectors that go by a name; both may be missing
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import made_folder, write_json
from ...config_reader import read_object
from ...errors import InputError, WeightError
from ...folder import checkpoint
from ...input_files import is_file
from ...ops.base import Ops
from ...weights import file, fold, shards
from ..spec import Lookup
from .config import MODEL as MODEL_TYPE
from .config import VOCODER_MODEL, SpeechT5Config
from .names import IGNORED
from .speaker import checked, vectors_of
from .stages import Eager, Weights, eager
from .tokenizer import BESIDE, MODEL, Tokenizer

Tensors = Mapping[str, NDArray[Any]]
SUBFOLDERS, BESIDE_IT = ("vocoder", "hifigan"), "speecht5_hifigan"
SPEAKERS = "speakers.safetensors"
# What else belongs to a checkpoint of the reference and says nothing about the numbers.
COPIED = (MODEL, *BESIDE, "preprocessor_config.json", "generation_config.json")
COUNTER = "num_batches_tracked"
VOCODER_KEY = "conv_pre"  # only a vocoder's file has such names
NOWHERE = Lookup()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder and its vocoder's, with the configuration that both of them give; no weight is read yet."""

    folder: Path
    vocoder: Path
    config: SpeechT5Config
    weights: Mapping[str, Path] = field(default_factory=dict)  # other files in the place of a part's own

    @classmethod
    def open(cls, folder: Path, lookup: Lookup = NOWHERE) -> Checkpoint:
        """Read both config.json. Raises InputError for a file that is missing, SpecError for another architecture."""
        if lookup.vocoder is not None:
            place = lookup.find(lookup.vocoder)
        else:
            place = vocoder_of(folder) or lookup.sibling(BESIDE_IT)
        if place is None:
            raise InputError(
                f"{folder}: no vocoder in its {' or '.join(SUBFOLDERS)}/ and no {BESIDE_IT}/ beside it; "
                "put the folder of a SpeechT5HifiGan there, or say where it is with vocoder= (--vocoder)"
            )
        found = cls(folder, place, SpeechT5Config.from_dict(described(folder), described(place)))
        if is_file(folder / MODEL):
            found.tokenizer()  # it says so before any weight is read when it is another checkpoint's
        return found

    def about(self) -> dict[str, Any]:
        """Name, family, rate, speakers and configuration."""
        return {
            "name": checkpoint(self.folder)["name"],
            "family": MODEL_TYPE,
            "rate": self.config.sampling_rate,
            "speakers": list(self.speakers()),
            "config": self.config.to_dict(),
            "vocoder": str(self.vocoder),
        }

    def stored(self) -> dict[str, Tensors]:
        """The model's and the vocoder's tensors by name. Raises WeightError for files that cannot be read."""
        places = {"model": self.folder, "vocoder": self.vocoder}
        return {
            part: file.read(self.weights[part])[0] if part in self.weights else _tensors(place)
            for part, place in places.items()
        }

    def tensors(self) -> dict[str, Tensors]:
        """The same, every one of them finite, of the right shape, and taken. Raises WeightError naming the first."""
        found = self.stored()
        self._eager(found, Ops())
        return found

    def eager(self, ops: Ops) -> Eager:
        """The stages on an eager back end. Raises WeightError naming the file and the tensor that does not fit."""
        return self._eager(self.stored(), ops)

    def _eager(self, found: Mapping[str, Tensors], ops: Ops) -> Eager:
        places = (shards.found(self.folder), shards.found(self.vocoder))
        return eager(found["model"], found["vocoder"], self.config, ops, places=places)

    def replaced(self, weights: Path) -> Checkpoint:
        """The same with another file in the place of the model's or of the vocoder's."""
        part = "vocoder" if any(name.startswith(f"{VOCODER_KEY}.") for name in file.read(weights)[0]) else "model"
        return replace(self, weights={part: weights})

    def graphs(self) -> dict[str, Path]:
        """None: they are compiled when they are wanted."""
        return {}

    def files(self) -> list[Path]:
        """Every file with weights in it, the model's first."""
        return [*shards.files(self.folder), *shards.files(self.vocoder)]

    def tokenizer(self) -> Tokenizer:
        """The folder's tokenizer. Raises InputError when it does not fit the model."""
        tokenizer = Tokenizer.open(self.folder)
        if tokenizer.size > self.config.vocab_size:
            raise InputError(
                f"{self.folder}: the tokenizer has {tokenizer.size} symbols, the model knows "
                f"{self.config.vocab_size}; use the files of one checkpoint"
            )
        return tokenizer

    def speakers(self) -> dict[str, NDArray[np.float32]]:
        """The x-vectors that came with the folder, by name; {} where there are none. Raises InputError."""
        found: dict[str, Any] = {}
        if is_file(self.folder / SPEAKERS):
            found.update(vectors_of(self.folder / SPEAKERS))
        for path in sorted((self.folder / "speakers").glob("*.npy")):
            from .speaker import speaker

            found[path.stem] = speaker(path, self.config.speaker_embedding_dim)
        size = self.config.speaker_embedding_dim
        return {name: checked(vector, size, f"{self.folder}: speaker {name}") for name, vector in found.items()}


def vocoder_of(folder: Path) -> Path | None:
    """The vocoder's folder that belongs to a model's: within it, else the published one's name beside it."""
    places = [*(folder / name for name in SUBFOLDERS), folder.resolve().parent / BESIDE_IT]
    return next((place for place in places if is_file(place / "config.json")), None)


def described(folder: Path) -> dict[str, Any]:
    """A folder's config.json. Raises InputError."""
    path = folder / "config.json"
    if not is_file(path):
        raise InputError(f"{path}: there is no such file; give a folder that save_pretrained wrote")
    return read_object(path, "fetch it again")


def parse(values: Mapping[str, Any], folder: Path | None) -> SpeechT5Config:
    """The configuration in {"model": …, "vocoder": …}, or in the values of a model's or a vocoder's config.json.

    A model's says nothing about its vocoder, which has one of its own where this family looks for it beside `folder`;
    without one the published vocoder is taken, with the model's number of bands. Raises SpecError.
    """
    if "model" in values:
        return SpeechT5Config.from_dict(values["model"], values.get("vocoder"))
    if values.get("model_type") == VOCODER_MODEL:
        mels = values.get("model_in_dim", 80)
        return SpeechT5Config.from_dict({"model_type": MODEL_TYPE, "num_mel_bins": mels}, values)
    beside = vocoder_of(folder) if folder is not None else None
    if beside is not None:
        return SpeechT5Config.from_dict(values, described(beside))
    mels = values.get("num_mel_bins", 80)
    return SpeechT5Config.from_dict(values, {"model_type": VOCODER_MODEL, "model_in_dim": mels})


def _tensors(folder: Path) -> Tensors:
    tensors, metadata = shards.read(folder)
    if file.layout(metadata) not in (None, "torch"):
        raise WeightError(
            f"{folder}: weights in the layout {file.layout(metadata)!r}; SpeechT5 is read in the reference's, 'torch'"
        )
    return tensors


def save(
    target: str | Path,
    config: SpeechT5Config,
    model: Tensors,
    vocoder: Tensors,
    *,
    source: Path | None = None,
    speakers: Mapping[str, NDArray[np.float32]] | None = None,
) -> None:
    """Write a checkpoint that the reference opens with strict keys, its vocoder in the subfolder `vocoder`.

    model, vocoder: tensors by the reference's names, in any spelling of weight norm, with or without counters.
    source: a folder whose tokenizer (and whose other settings in config.json) belong to it. Raises WeightError when
    the tensors are not this configuration's, InputError when the folder cannot be written.
    """
    target, ready = Path(target), (_ready(model), fold.weight_norm(vocoder))
    _check(ready[0], ready[1], config)
    configs = (config.to_dict(), config.vocoder_dict())
    if source is not None:
        configs = ({**described(source), **configs[0]}, configs[1])
    for place, tensors, about in zip((target, target / "vocoder"), ready, configs):
        made_folder(place)
        metadata = {"format": "pt", "layout": "torch", "family": about["model_type"]}
        file.write(place / shards.SINGLE, tensors, metadata)
        write_json(place / "config.json", about, indent=2)
    if speakers:
        file.write(target / SPEAKERS, {name: np.asarray(v, np.float32) for name, v in speakers.items()}, {})
    for found in (source / name for name in COPIED) if source is not None else ():
        if is_file(found) and found.resolve() != (target / found.name).resolve():
            shutil.copyfile(found, target / found.name)


def _ready(model: Tensors) -> dict[str, NDArray[Any]]:
    """Exactly the reference's keys: what it works out itself is gone, and each batch norm has its counter."""
    out = {name: array for name, array in fold.weight_norm(model).items() if name not in IGNORED}
    for name in list(out):
        if name.endswith(".running_mean"):
            out.setdefault(name.removesuffix("running_mean") + COUNTER, np.zeros((), np.int64))
    return out


def _check(model: Tensors, vocoder: Tensors, config: SpeechT5Config) -> None:
    roots = (Weights(model, Ops()), Weights(vocoder, Ops()))
    Eager(*roots, config)
    for root in roots:
        root.finish()
