"""A checkpoint folder: `model.safetensors`, or several files and the index that says which tensor is where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray

from ..errors import WeightError
from ..input_files import SETTINGS, is_file, is_folder, parse_json, read_text
from . import file

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth", "model.ckpt")

Tensors = dict[str, NDArray[Any]]


def read(path: str | Path) -> tuple[Tensors, dict[str, str]]:
    """Tensors and metadata of a folder, of an index file, or of one safetensors file.

    Raises WeightError for a folder without weights, a shard that is missing, and a tensor that no shard, or another
    one than the index says, has.
    """
    path = found(path)
    return _indexed(path) if path.suffix == ".json" else file.read(path)


def found(path: str | Path) -> Path:
    """The file to begin with: `path` itself, or a folder's safetensors file or index. Raises WeightError."""
    path = Path(path)
    if not is_folder(path):
        return path
    for name in (SINGLE, INDEX):
        if is_file(path / name):
            return path / name
    for name in PICKLES:
        if is_file(path / name):
            raise WeightError(
                f"{path / name}: a pickle can run code when it is read, so it stays closed; make a safetensors file "
                f"of it with: portavoz weights convert {path / name} {path / SINGLE} --trust-pickle"
            )
    raise WeightError(f"{path}: neither {SINGLE} nor {INDEX} is there; give a folder with weights")


def files(path: str | Path) -> list[Path]:
    """Every file that `read` would open, the index first. Raises WeightError."""
    path = found(path)
    if path.suffix != ".json":
        return [path]
    return [path, *(path.parent / name for name in dict.fromkeys(index(path).values()))]


def _indexed(path: Path) -> tuple[Tensors, dict[str, str]]:
    places = index(path)
    tensors: Tensors = {}
    metadata: dict[str, str] = {}
    for shard in dict.fromkeys(places.values()):
        if not is_file(path.parent / shard):
            raise WeightError(f"{path.parent / shard}: {path.name} lists this shard, it is not there; fetch it again")
        found, about = file.read(path.parent / shard)
        _check(path, shard, found, places)
        if metadata and file.layout(about) != file.layout(metadata):
            raise WeightError(
                f"{path.parent / shard}: another layout than the shards before it; fetch all of them again"
            )
        tensors.update(found)
        metadata = {**about, **metadata}
    return {key: tensors[key] for key in places}, metadata


def _check(path: Path, shard: str, found: Mapping[str, Any], places: Mapping[str, str]) -> None:
    """That a shard holds what the index says, no more and no less."""
    missing = [key for key, place in places.items() if place == shard and key not in found]
    strange = [key for key in found if places.get(key) != shard]
    if missing:
        raise WeightError(f"{missing[0]}: {path.name} says it is in {shard}, it is not there; fetch both again")
    if strange:
        where = places.get(strange[0], "nowhere")
        raise WeightError(f"{strange[0]}: in {shard}, but {path.name} says it is {where}; fetch both again")


def index(path: Path, endings: tuple[str, ...] = (".safetensors",)) -> dict[str, str]:
    """Tensor names and their files, as an index has them, each with one of these endings. Raises WeightError."""
    try:
        about: Any = parse_json(read_text(path, SETTINGS, remedy="fetch it again", error=WeightError))
    except ValueError as problem:
        raise WeightError(f"{path}: cannot be read as JSON ({problem}); fetch it again") from problem
    places: Any = cast("dict[str, Any]", about).get("weight_map") if isinstance(about, dict) else None
    if not isinstance(places, dict) or not places:
        raise WeightError(f"{path}: no weight_map in it, wanted tensor names and their files; fetch it again")
    for key, shard in cast("dict[str, Any]", places).items():
        # A plain name: an index must not lead out of its folder.
        plain = isinstance(shard, str) and shard == Path(shard.replace("\\", "/")).name and "\0" not in shard
        if not plain or not shard.endswith(endings):
            wanted = "a safetensors file" if endings == (".safetensors",) else f"a file with {' or '.join(endings)}"
            raise WeightError(f"{path}: {key} is said to be in {shard!r}, wanted {wanted} beside the index")
    return cast("dict[str, str]", places)
