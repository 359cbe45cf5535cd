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

from ...config_reader import read_object
from ...errors import InputError, WeightError
from ...folder import name_of
from ...input_files import is_file
from ...ops.base import Ops
from ...weights import file, store
from ...weights.cursor import ShapeOnlyWeights, Weights
from ..spec import Lookup, Tensors
from . import names
from .config import ENGLISH, VARIANTS, ChatterboxConfig, parse
from .prompt import Conditionals
from .stages import Eager
from .text import Tokenizer, tokenizer_file

NOWHERE = Lookup()
DEFAULT = "default"  # the speaker that came with the checkpoint
CONFIG, VOICE, PICKLED_VOICE = "config.json", "conds.safetensors", "conds.pt"
PICKLES = ("t3_cfg.pt", "s3gen.pt", "ve.pt")
WANTED = {
    "t3": "t3_cfg.safetensors (T3)",
    "voice": "ve.safetensors (the voice encoder)",
    "tokenizer": "s3gen.safetensors (its tokenizer)",
    "speaker_encoder": "s3gen.safetensors (its speaker encoder)",
    "flow": "s3gen.safetensors (its flow)",
    "mel2wav": "s3gen.safetensors (its vocoder)",
}


def found(folder: Path) -> dict[str, list[Path]]:
    """Which of the folder's safetensors files hold which part. Raises WeightError for a damaged file."""
    out: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name == VOICE:
            continue
        for part in names.prefixes(file.names(path)):
            out.setdefault(part, []).append(path)
    return out


def part_files(folder: Path) -> dict[str, Path]:
    """The file of each root that one file holds whole."""
    out, parts = dict[str, Path](), found(folder)
    for root in names.ROOTS:
        files = {path for part, paths in parts.items() if names.PARTS[part][1] == root for path in paths}
        if len(files) == 1:
            out[root] = files.pop()
    return out


def is_chatterbox(folder: Path) -> bool:
    """Whether a folder looks like a checkpoint of this family; nothing is refused here."""
    if is_file(folder / "voice.json"):
        return False
    if is_file(folder / CONFIG):
        return _says_so(folder)
    if any(is_file(folder / name) for name in ("s3gen.safetensors", "s3gen_meanflow.safetensors", *PICKLES)):
        return True
    try:
        return {"t3", "flow"} <= found(folder).keys()
    except WeightError:
        return False


def _says_so(folder: Path) -> bool:
    try:
        return read_object(folder / CONFIG, "fetch it again").get("family") == "chatterbox"
    except InputError:
        return False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder, its files, and the configuration that they show; no weight is read yet."""

    folder: Path
    weights: tuple[Path, ...]
    config: ChatterboxConfig

    @classmethod
    def open(cls, folder: Path, lookup: Lookup = NOWHERE) -> Checkpoint:
        """Raises InputError for a file of the set that is missing, WeightError for files of two variants."""
        if lookup.vocoder is not None:
            raise InputError(f"vocoder {str(lookup.vocoder)!r}: Chatterbox has its own; leave it out")
        parts = found(folder)
        missing = [WANTED[part] for part in names.PARTS if part not in parts]
        if missing:
            raise InputError(f"{folder}: {', '.join(dict.fromkeys(missing))} missing{_pickled(folder)}")
        for part, paths in parts.items():
            if len(paths) > 1:
                listed = ", ".join(path.name for path in paths)
                raise WeightError(f"{folder}: {WANTED[part]} is in {listed}; keep one of them")
        files = tuple(dict.fromkeys(path for paths in parts.values() for path in paths))
        return cls(folder, files, _config(folder, files))

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
            "config": self.config.to_dict(),
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
    def pickled_voice(self) -> bool:
        """Whether the voice that came with it is a pickle still."""
        return is_file(self.folder / PICKLED_VOICE) and not is_file(self.folder / VOICE)


def _kernel(path: str) -> str:
    """The kernel that a direction of weight norm is a part of."""
    return path.replace("parametrizations.weight.original1", "weight").replace("weight_v", "weight")


def _pickled(folder: Path) -> str:
    there = [name for name in PICKLES if is_file(folder / name)]
    if not there:
        return "; fetch the whole checkpoint"
    path = folder / there[0]
    return (
        f"; {path.name} is a pickle, which can run code: make safetensors of it with portavoz weights convert "
        f"{path} {path.with_suffix('.safetensors')} --trust-pickle"
    )


def _config(folder: Path, files: tuple[Path, ...]) -> ChatterboxConfig:
    shapes: dict[str, dict[str, Any]] = {root: {} for root in names.ROOTS}
    for path in files:
        for name, (root, ours) in names.renamed(stored := store.read(path)).items():
            shapes[root][ours] = stored[name]
    if is_file(folder / CONFIG):
        config = parse({k: v for k, v in read_object(folder / CONFIG, "fetch it again").items() if k != "family"})
        names.recognised(shapes, config)
        return config
    variant = names.recognised(shapes, ENGLISH)
    config = VARIANTS[variant]
    rows = int(shapes["t3"]["text_emb.weight"].shape[0])
    return replace(config, tokens=replace(config.tokens, text_vocab=rows))
