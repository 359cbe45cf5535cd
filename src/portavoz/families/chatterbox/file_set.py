"""Which files of a folder are a Chatterbox, and which of them speak where a folder has several models.

Files are known by what is in them, not by what they are called (see names.py). No weight is read here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...config_reader import read_object
from ...errors import InputError, WeightError
from ...input_files import is_file
from ...weights import file, store
from . import names
from .config import ENGLISH

CONFIG, VOICE = "config.json", "conds.safetensors"
ORDER = ("english", "turbo", "multilingual")  # the first one that is there speaks
# Root → its published files, and the pickle that some checkpoints have in their place.
WANTED = {
    "t3": ("t3_cfg.safetensors, t3_mtl23ls_v2.safetensors or t3_turbo_v1.safetensors", "t3_cfg.pt"),
    "voice": ("ve.safetensors", "ve.pt"),
    "s3gen": ("s3gen.safetensors, of turbo s3gen_meanflow.safetensors", "s3gen.pt"),
}
SHOWN = {
    "t3": "T3",
    "voice": "the voice encoder",
    "tokenizer": "the S3 tokenizer",
    "speaker_encoder": "the x-vector model",
    "flow": "the flow",
    "mel2wav": "the vocoder",
}
# Published beside each other, newest last: one model in several editions.
EDITIONS = ("t3_23lang.safetensors", "t3_mtl23ls_v2.safetensors", "t3_mtl23ls_v3.safetensors")


def found(folder: Path) -> dict[str, list[Path]]:
    """Which of the folder's safetensors files hold which part. Raises WeightError for a damaged file."""
    out: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name == VOICE:
            continue
        for part in names.prefixes(file.names(path)):
            out.setdefault(part, []).append(path)
    return out


def picked(folder: Path) -> tuple[dict[str, list[Path]], str]:
    """As `found`, of one variant alone where a folder has several, as those on the hub do; and which that is, to be
    said ("" where there was no choice).

    config.json's variant; without one the first that is there of English, turbo, multilingual.
    """
    parts = found(folder)
    if all(len(paths) == 1 for paths in parts.values()):
        return parts, ""
    kinds = {path: names.t3_variant(_ours(path, "t3"), ENGLISH) for path in parts.get("t3", ())}
    there = [variant for variant in ORDER if variant in kinds.values()]
    if not there:
        return parts, ""
    wanted = own_config(folder).get("variant")
    chosen = wanted if wanted in there else there[0]
    models = [path for path, kind in kinds.items() if kind == chosen]
    editions = [path for name in EDITIONS for path in models if path.name == name]
    parts["t3"] = editions[-1:] if len(editions) == len(models) else models
    flows = parts.get("flow", [])
    fitting = [path for path in flows if names.mean_flow(_ours(path, "s3gen")) == (chosen == "turbo")]
    if len(flows) > 1 and fitting:
        gone = {path for path in flows if path not in fitting}
        parts = {part: [path for path in paths if path not in gone] or paths for part, paths in parts.items()}
    if len(there) == 1:
        return parts, ""
    others = " or ".join(f'"{variant}"' for variant in there if variant != chosen)
    return parts, (
        f"{folder} has several models; the {chosen} one speaks: a {CONFIG} with "
        f'{{"family": "chatterbox", "variant": …}} chooses {others}'
    )


def _ours(path: Path, root: str) -> dict[str, Any]:
    """What a file has of a root, by our names; no weight is read."""
    stored = store.read(path)
    return {ours: stored[name] for name, (of, ours) in names.renamed(stored).items() if of == root}


def own_config(folder: Path) -> dict[str, Any]:
    """What config.json says, where it is in our form; {} for none and for another's."""
    if not is_file(folder / CONFIG):
        return {}
    given = read_object(folder / CONFIG, "fetch it again")
    return given if given.get("family") == "chatterbox" else {}


def part_files(folder: Path) -> dict[str, Path]:
    """The file of each root that one file holds whole."""
    out: dict[str, Path] = {}
    parts, _ = picked(folder)
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
    pickles = (pickle for _, pickle in WANTED.values())
    if any(is_file(folder / name) for name in ("s3gen.safetensors", "s3gen_meanflow.safetensors", *pickles)):
        return True
    try:
        return {"t3", "flow"} <= found(folder).keys()
    except WeightError:
        return False


def _says_so(folder: Path) -> bool:
    try:
        given = read_object(folder / CONFIG, "fetch it again")
    except InputError:
        return False
    # Ports call it "chatterbox", "chatterbox_turbo" and the like; their sizes are known by the tensors.
    return given.get("family") == "chatterbox" or str(given.get("model_type")).startswith("chatterbox")


def missing(folder: Path, parts: list[str]) -> str:
    """The sentence about parts that no file has, and how to get them."""
    said, converted = list[str](), list[str]()
    for root, (files, pickle) in WANTED.items():
        gone = [SHOWN[part] for part in parts if names.PARTS[part][1] == root]
        if gone:
            said.append(f"{', '.join(gone)} ({files})")
        if gone and is_file(path := folder / pickle):
            converted.append(f"portavoz weights convert {path} {path.with_suffix('.safetensors')} --trust-pickle")
    known = {path for paths in found(folder).values() for path in paths}
    strange = [path.name for path in sorted(folder.glob("*.safetensors")) if path not in known and path.name != VOICE]
    held = f" ({', '.join(strange)}: no part of Chatterbox is in it)" if strange else ""
    remedy = "fetch the whole checkpoint"
    if converted:
        remedy = f"a pickle, which can run code, is there: make safetensors of it with {' and '.join(converted)}"
    return f"{folder}: {'; '.join(said)} missing{held}; {remedy}"
