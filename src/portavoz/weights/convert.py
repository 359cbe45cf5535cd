"""Other weights into one safetensors file: shards merged, and pickles opened in a process that may do nothing else.

A pickled checkpoint in several files is converted file by file, and then merged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray

from ..atomic import atomic
from ..errors import InputError, WeightError
from ..input_files import SETTINGS, WEIGHTS, check, is_file, is_folder, parse_json, read_text, sha256
from . import file, shards, store

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
SPEED = 2_000_000  # bytes a second that the slowest machine copies


def convert(
    source: str | Path, target: str | Path, *, trust_pickle: bool = False, metadata: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Write `source` (a pickled checkpoint, a safetensors file, an index of either, a folder) to one safetensors file.

    Keys, shapes and numbers stay as they are, and so do kinds of numbers (but a pickle's bfloat16 becomes float32).
    The metadata says where they came from: `converted_from`, its `sha256`, `layout`, and `family` where a config.json
    beside the source tells it; `metadata` adds to that. A pickle is only opened with `trust_pickle`,
    by `unpickle.py` in a process of its own. Gives `tensors`, `bytes`, `metadata` and `output`.
    Raises WeightError for a file that is refused, InputError when the target cannot be written.
    """
    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise InputError(f"{target}: weights are written as .safetensors; change the ending")
    pickled = is_pickle(source)
    first = source if pickled else shards.found(source)
    check(first, WEIGHTS, remedy="give a checkpoint", error=WeightError)
    if pickled and not trust_pickle:
        raise WeightError(
            f"{source}: a pickle is a program that runs when it is opened; with --trust-pickle it is read in a process "
            "of its own that knows only tensors and has no network, no other files and little memory and time; "
            "prefer a safetensors file where there is one"
        )
    about = file.plain_all({**_provenance(first), **(metadata or {})})
    if pickled and source.suffix == ".json":
        _pickles(source, target, about)
    elif pickled:
        _pickle(source, target, about)
    else:
        held = store.read(source)
        store.write(target, held, {**held.metadata, **about, "layout": held.layout or "torch"})
    return summary(target)


def alone(source: Path) -> NDArray[Any]:
    """The one tensor of a small file that torch.save wrote.

    It is read as `convert` reads a checkpoint, by a process that knows tensors and nothing else; since that is all it
    can be, nobody has to trust it first. Raises WeightError for anything else.
    """
    with tempfile.TemporaryDirectory(prefix="portavoz-") as folder:
        target = Path(folder) / "alone.safetensors"
        _pickle(source, target, {})
        held = list(file.read(target)[0].values())
    if len(held) != 1:
        raise WeightError(f"{source}: holds {len(held)} tensors, wanted 1; give another file")
    return held[0]


def is_pickle(source: str | Path) -> bool:
    """Whether a checkpoint's file is a pickle by its ending, or the index of several."""
    source = Path(source)
    ends = Path(source.name.removesuffix(".index.json")).suffix
    return ends in PICKLED and not is_folder(source)


def _provenance(source: Path) -> dict[str, str]:
    about = {"converted_from": source.name, "sha256": sha256(source, error=WeightError)}
    return {"format": "pt", "layout": "torch", **family(source.parent), **about}


def family(folder: Path) -> dict[str, str]:
    """{"family": …} as a config.json in `folder` says it by its `model_type`, or {}."""
    try:
        about: Any = parse_json(read_text(folder / "config.json", SETTINGS))
    except (InputError, ValueError):
        return {}
    kind: Any = cast("dict[str, Any]", about).get("model_type") if isinstance(about, dict) else None
    return {"family": kind} if isinstance(kind, str) else {}


def summary(target: Path) -> dict[str, Any]:
    """`tensors`, `bytes`, `metadata` and `output` of a file that was written."""
    from safetensors import safe_open

    with cast(Any, safe_open)(str(target), framework="np") as opened:
        count, about = len(opened.keys()), dict(opened.metadata() or {})
    return {"tensors": count, "bytes": target.stat().st_size, "metadata": about, "output": str(target)}


def _pickles(source: Path, target: Path, metadata: Mapping[str, str]) -> None:
    """The shards of an index, one after the other beside an index of their new names, then merged."""
    places = shards.index(source, PICKLED)
    if not is_folder(target.parent):
        raise InputError(f"{target}: the folder {target.parent} is not there; make it, or choose another path")
    renamed = {name: f"{number}.safetensors" for number, name in enumerate(dict.fromkeys(places.values()))}
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".portavoz-") as folder:
        for name, new in renamed.items():
            if not is_file(source.parent / name):
                raise WeightError(
                    f"{source.parent / name}: {source.name} lists this shard, it is not there; fetch it again"
                )
            _pickle(source.parent / name, Path(folder) / new, {"format": "pt", "layout": "torch"})
        index = {"weight_map": {key: renamed[place] for key, place in places.items()}}
        (Path(folder) / shards.INDEX).write_text(json.dumps(index), encoding="utf-8")
        held = store.read(folder)
        store.write(target, held, {**held.metadata, **metadata})


def _pickle(source: Path, target: Path, metadata: Mapping[str, str]) -> None:
    size = source.stat().st_size
    limits = {
        "seconds": 20 + size // SPEED,
        "memory": (1 << 30) + 3 * size,
        "output": 4 * size + (1 << 24),
    }
    asked = json.dumps({"metadata": dict(metadata), "limits": limits})
    with source.open("rb") as opened, atomic(target) as out:
        command = [sys.executable, "-I", "-B", str(Path(__file__).with_name("unpickle.py")), asked]
        try:
            done = subprocess.run(
                command,
                stdin=opened,
                stdout=out,
                stderr=subprocess.PIPE,
                env=_bare(),
                timeout=2 * limits["seconds"],
            )
        except subprocess.TimeoutExpired:
            raise WeightError(f"{source}: reading it took too long and was stopped; fetch it again") from None
        if done.returncode:
            raise WeightError(f"{source}: {_reason(done)}; fetch it from a place you trust")


def _bare() -> dict[str, str]:
    """The child's environment: nothing of ours, but what Windows needs to start a process at all."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    """Why the child gave up, as the end of a sentence."""
    if done.returncode < 0:
        return f"reading it needed more time or memory than a checkpoint of its size does (signal {-done.returncode})"
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [""]
    for line in lines:  # the interpreter itself may have a word to say around it
        try:
            return f"not converted, because {json.loads(line)['refused']}"
        except (ValueError, KeyError, TypeError):
            continue
    return f"not converted, because reading it failed ({lines[-1][:120]})"
