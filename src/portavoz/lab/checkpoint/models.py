"""What a checkpoint should hold: its parts (model, vocoder), and what each family's blocks take from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ... import families
from ...config_reader import read_object
from ...errors import InputError
from ...families.spec import FamilySpec, Lookup
from ...folder import describe
from ...input_files import is_file, is_folder, is_there, parse_json
from ...ops.base import Ops
from ...weights import store
from ...weights.cursor import ShapeOnlyWeights, Weights
from ...weights.layer import Record
from ...weights.store import Store

GIVE = "give the checkpoint's configuration"
Build = Callable[[Weights], object]


@dataclass
class Part:
    """One file of a checkpoint: where it is, whose it is, its tensors, and what a model of it takes.

    `folds`: whether this part's loader fuses weight norm, so that an unfused kernel is no fault; `turned`: which
    matrices a file of these shapes stores [in, out].
    """

    path: Path
    family: str
    part: str
    config: Any
    build: Build
    folds: bool = False
    turned: Callable[[Mapping[str, tuple[int, ...]]], frozenset[str]] = lambda shapes: frozenset()
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


def open_models(
    path: str | Path,
    *,
    family: str | None = None,
    part: str | None = None,
    config: str | None = None,
    beside: str | Path | None = None,
) -> list[Part]:
    """The parts of a safetensors file, a folder with shards, or a checkpoint's folder (with the parts beside it).

    What is not said is read from the metadata, from voice.json or config.json in the folder, and from the names of
    the tensors, or else in the same way from `beside` (a reference). `config`: the name of a configuration ("tiny"),
    or a JSON file. Raises InputError when family or configuration cannot be known, WeightError for a file that cannot
    be read.
    """
    path = Path(path)
    if not is_there(path):
        raise InputError(f"{path}: there is no such file or folder; give a safetensors file, or a checkpoint's folder")
    known, found = path, _by_files(path, family)
    if found is None and beside is not None:
        known, found = Path(beside), _by_files(Path(beside), family)
    if found is not None:
        return _of_files(path, found, part, config, known)
    place, held = path, store.read(path)
    about = _about(path, held)
    if beside is not None and not about:
        place = Path(beside)
        readable = is_folder(place) or place.suffix in (".safetensors", ".json")
        about = _about(place, store.read(place) if readable else Store({}, {}))
    found = families.get(family or _family(path, held, about))
    which = part or _part(found, held)
    if which not in (known := [one.name for one in found.parts]):
        raise InputError(f"--part {which}: the parts of {found.title} are {', '.join(known)}; choose one of them")
    chosen = _configured(found, path, place if is_folder(place) else place.parent, config, about)
    out = [_made(path, found, which, chosen, held)]
    others = found.part_folders(path) if is_folder(path) and part is None else {}
    for name, folder in others.items():
        if name != which:
            out.append(_made(folder, found, name, chosen, store.read(folder)))
    return out


def _folder(path: Path) -> Path:
    return path if is_folder(path) else path.parent


def _by_files(path: Path, family: str | None) -> FamilySpec | None:
    """The family whose checkpoints are known by their files, where the folder of `path` is one."""
    folder = _folder(path)
    known = [families.get(family)] if family else families.all()
    return next((one for one in known if is_folder(folder) and one.recognises(folder) and one.part_files(folder)), None)


def _of_files(path: Path, family: FamilySpec, part: str | None, config: str | None, known: Path) -> list[Part]:
    """The parts of a checkpoint whose files give the sizes: of `path`, or of the reference's folder `known`."""
    if part is not None:
        family.part(part)
    folder = _folder(known)
    chosen = family.configuration(config) if config else family.open(folder, Lookup()).config
    files = dict(family.part_files(_folder(path))) if is_folder(path) else {part or _part_of(family, path): path}
    return [_made(file, family, name, chosen, store.read(file)) for name, file in files.items() if part in (None, name)]


def _part_of(family: FamilySpec, path: Path) -> str:
    """The part that a file of a folder is, or that its names show."""
    there = [name for name, file in family.part_files(path.parent).items() if file.resolve() == path.resolve()]
    return there[0] if there else _part(family, store.read(path))


def _family(path: Path, held: Store, about: Mapping[str, Any]) -> str:
    said = str(held.metadata.get("family") or about.get("family") or about.get("model_type") or "")
    for known in families.names():
        if said.startswith(known):
            return known
    raise InputError(f"{path}: the family of these weights is unknown; give --family {' or '.join(families.names())}")


def _about(path: Path, held: Store) -> dict[str, Any]:
    """What is said about the weights: in voice.json, in config.json or in their metadata; {} for nothing."""
    folder = path if is_folder(path) else path.parent
    if is_file(folder / "voice.json"):
        return dict(describe(folder))
    if is_file(folder / "config.json"):
        return read_object(folder / "config.json", GIVE)
    inside = _inside(path, held)
    return {} if inside is None else {"family": held.metadata.get("family", ""), "config": inside}


def _part(family: FamilySpec, held: Store) -> str:
    """Which part these names are: the one whose own tensors are there, without those of the first; else the first."""
    first, *others = family.parts
    steps = {step for name in held for step in name.split(".")}
    for part in others:
        if part.key in steps and first.key not in steps:
            return part.name
    return first.name


def _configured(family: FamilySpec, path: Path, folder: Path, config: str | None, about: Mapping[str, Any]) -> Any:
    if config is not None:
        if config not in family.configs and not is_file(config):
            raise InputError(f"--config {config}: no such file and no such name; names are {', '.join(family.configs)}")
        return family.configuration(config)
    values = about.get("config", about)
    if not values:
        raise InputError(
            f"{path}: no configuration in its metadata and no voice.json or config.json beside it; give --config NAME "
            f"or FILE (names: {', '.join(family.configs)})"
        )
    return family.parse(values, folder)


def _inside(path: Path, held: Store) -> Any:
    if "config" not in held.metadata:
        return None
    try:
        return parse_json(held.metadata["config"])
    except ValueError as problem:
        raise InputError(f"{path}: the configuration in its metadata is not JSON ({problem}); give --config") from None


def _made(path: Path, family: FamilySpec, name: str, config: Any, held: Store) -> Part:
    part = family.part(name)
    return Part(
        path, family.name, name, config, lambda w: part.build(w, config), folds=part.folds, turned=part.turned,
        store=held,
    )  # fmt: skip
