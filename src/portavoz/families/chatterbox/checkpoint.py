"""A Chatterbox checkpoint on disk: as it is published, or as a port left it.

t3_cfg.safetensors  s3gen.safetensors  ve.safetensors  tokenizer.json  conds.safetensors  config.json

Files are known by what is in them, not by what they are called (see names.py), in PyTorch's or MLX's layout, in any
precision. ``config.json`` is there only where sizes are not the published ones; ``conds.pt`` is a pickle, and stays
closed until ``portavoz weights convert`` has made safetensors of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, WeightError
from ...folder import name_of
from ...input_files import is_file
from ...ops.base import Ops
from ...weights import file, store
from ...weights.cursor import ShapeOnlyWeights, Weights
from ..spec import Lookup, Tensors
from . import names
from .config import ENGLISH, VARIANTS, ChatterboxConfig, parse
from .file_set import CONFIG, SHOWN, VOICE, missing, own_config, picked
from .prompt import Conditionals
from .stages import Eager
from .text import Tokenizer, tokenizer_file

NOWHERE = Lookup()
DEFAULT = "default"  # the speaker that came with the checkpoint
PICKLED_VOICE = "conds.pt"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder, its files, and the configuration that they show; no weight is read yet. `note` is for the listener."""

    folder: Path
    weights: tuple[Path, ...]
    config: ChatterboxConfig
    note: str = ""

    @classmethod
    def open(cls, folder: Path, lookup: Lookup = NOWHERE) -> Checkpoint:
        """Raises InputError for a file of the set that is missing, WeightError for files of two variants."""
        if lookup.vocoder is not None:
            raise InputError(f"vocoder {str(lookup.vocoder)!r}: Chatterbox has its own; leave it out")
        parts, note = picked(folder)
        gone = [part for part in names.PARTS if part not in parts]
        if gone:
            raise InputError(missing(folder, gone))
        for part, paths in parts.items():
            if len(paths) > 1:
                listed = " and ".join(path.name for path in paths)
                raise WeightError(f"{folder}: {SHOWN[part]} is in {listed}; keep one of them")
        files = tuple(dict.fromkeys(path for paths in parts.values() for path in paths))
        return cls(folder, files, _config(folder, files), note)

    def tensors(self) -> dict[str, Tensors]:
        """Each root's tensors by our names, in PyTorch's layout, folded. Raises WeightError."""
        read: dict[str, Mapping[str, Any]] = {}
        for path in self.weights:
            tensors, metadata = file.read(path)
            layout = file.layout(metadata) or "torch"
            read[str(path)] = tensors if layout == "torch" else self._turned(tensors, layout, path)
        return {root: names.folded(t, self.config) for root, t in names.gathered(read).items()}

    def _turned(self, tensors: Mapping[str, Any], layout: str, path: Path) -> dict[str, Any]:
        """Tensors of another layout in PyTorch's, by the roles that the models give them."""
        from ...weights.layout import relayout

        roles, ours = self.roles(), names.renamed(tensors)
        out: dict[str, Any] = {}
        for name, value in tensors.items():
            root, path_of = ours[name]
            role = roles.get((root, _kernel(path_of)), "")
            out[name] = np.ascontiguousarray(relayout(value, role, layout, "torch")) if value.ndim > 2 else value
        return out

    def roles(self) -> dict[tuple[str, str], str]:
        """(root, path) → what kind of layer takes it: of a model without numbers."""
        roots: dict[str, Weights] = {root: ShapeOnlyWeights(None, Ops()) for root in names.ROOTS}
        Eager(roots, self.config)
        return {(root, path): role for root, w in roots.items() for path, role in w.record.roles.items()}

    def eager(self, ops: Ops) -> Eager:
        """The stages on an eager back end. Raises WeightError naming the tensor that does not fit."""
        tensors = self.tensors()
        for root, found_here in tensors.items():
            for path, array in found_here.items():
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise WeightError(f"{self.folder}: {root}'s {path} holds NaN or infinity; fetch it again")
        roots = {root: Weights(tensors[root], ops, place=f"{self.folder} ({root})") for root in names.ROOTS}
        stages = Eager(roots, self.config)
        for w in roots.values():
            w.finish()
        return stages

    def about(self) -> dict[str, Any]:
        """What is known without reading a weight."""
        named = name_of(self.folder)
        known = [DEFAULT] if is_file(self.folder / VOICE) else []
        return {
            "name": named, "family": "chatterbox", "rate": self.config.spec.rate, "speakers": known,
            "config": self.config.to_dict(), **({"note": self.note} if self.note else {}),
        }  # fmt: skip

    def files(self) -> list[Path]:
        """Every file with weights in it."""
        return list(self.weights)

    def graphs(self) -> dict[str, Path]:
        """No compiled stage comes with a checkpoint."""
        return {}

    def replaced(self, weights: Path) -> Checkpoint:
        """The same with another file in the place of those whose parts it holds. Raises WeightError for a half part."""
        given = set(names.prefixes(store.read(weights)))
        if not given:
            raise WeightError(f"{weights}: no part of Chatterbox is in it; give one of its files")
        kept = [path for path in self.weights if not set(names.prefixes(file.names(path))) & given]
        return replace(self, weights=(weights, *kept))

    def tokenizer(self) -> Tokenizer:
        """The folder's tokenizer. Raises InputError when there is none, or it is another variant's."""
        variant = self.config.variant
        return Tokenizer(tokenizer_file(self.folder, variant), self.config.tokens, variant)

    def voice(self) -> Conditionals | None:
        """The voice that came with the folder, None where there is none. Raises WeightError for a damaged one."""
        path = self.folder / VOICE
        return Conditionals.load(path, self.config) if is_file(path) else None

    @property
    def pickled_voice(self) -> Path | None:
        """The voice that came with it, where it is a pickle still."""
        pickled = self.folder / PICKLED_VOICE
        return pickled if is_file(pickled) and not is_file(self.folder / VOICE) else None


def _kernel(path: str) -> str:
    """The kernel that a direction of weight norm is a part of."""
    return path.replace("parametrizations.weight.original1", "weight").replace("weight_v", "weight")


def _config(folder: Path, files: tuple[Path, ...]) -> ChatterboxConfig:
    shapes: dict[str, dict[str, Any]] = {root: {} for root in names.ROOTS}
    for path in files:
        for name, (root, ours) in names.renamed(stored := store.read(path)).items():
            shapes[root][ours] = stored[name]
    given = own_config(folder)
    config = parse({key: value for key, value in given.items() if key != "family"}) if given else ENGLISH
    try:
        variant = names.recognised(shapes, config)
    except WeightError as problem:
        raise WeightError(f"{folder}: {problem}") from problem
    if given:
        if variant != config.variant:
            raise WeightError(
                f"{folder}: {CONFIG} says {config.variant}, and t3 is {variant}'s: take both from one checkpoint"
            )
        return config
    config = VARIANTS[variant]
    rows = int(shapes["t3"]["text_emb.weight"].shape[0])
    return replace(config, tokens=replace(config.tokens, text_vocab=rows))
