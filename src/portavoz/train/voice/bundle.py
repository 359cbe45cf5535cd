"""Trained parts → a voice folder: weights in float16, exported graphs, voice.json with a checksum of each file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import families
from ...atomic import write_json
from ...errors import WeightError
from ...families.compact.config import CompactConfig
from ...families.compact.loop import STAGES
from ...folder import FORMAT
from ...graph.compile import export_stages
from ...weights import file
from ..tasks.pretrained import trained

FILES = ("model.safetensors", *(f"{stage}.onnx" for stage in STAGES))


def bundle(
    parts: Sequence[str | Path],
    out: str | Path,
    *,
    name: str,
    speakers: Sequence[str],
    card: Mapping[str, Any],
    half: bool = True,
) -> Path:
    """Write a voice folder from the files of an acoustic model and a vocoder (or one file that holds both).

    Weights are rounded to float16 once (unless `half` is false) and the graphs exported from the rounded ones, so every
    runtime computes with the same numbers. Raises SpecError or WeightError when the parts do not fit together.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    tensors, config = joined(parts)
    kind = np.float16 if half else np.float32
    metadata = {"family": "compact", "layout": "torch", "config": json.dumps(config.to_dict()), "name": name}
    file.write(folder / "model.safetensors", {k: a.astype(kind) for k, a in tensors.items()}, metadata)
    family = families.get("compact")
    assert family.bare is not None
    export_stages(family, family.bare(folder / "model.safetensors", config), folder, half=half)
    about = {
        "format": FORMAT,
        "name": name,
        "family": "compact",
        "language": "en",
        "rate": config.mel.rate,
        "alphabet": config.alphabet,
        "speakers": list(speakers),
        "config": config.to_dict(),
        "card": dict(card),
    }
    return seal(folder, about)


def joined(parts: Sequence[str | Path]) -> tuple[dict[str, NDArray[Any]], CompactConfig]:
    """The tensors of all parts, and the configuration of the acoustic model.

    Raises WeightError where there is none, or where the parts have different mels or vocoders.
    """
    tensors: dict[str, NDArray[Any]] = {}
    acoustic: CompactConfig | None = None
    shared = set()
    for path in parts:
        arrays, config = trained(path)
        tensors.update(arrays)
        shared.add(repr([config.mel, config.vocoder, config.istft, config.hifigan]))
        if any(name.startswith("acoustic.") for name in arrays):
            acoustic = config
    where = ", ".join(map(str, parts))
    if acoustic is None:
        raise WeightError(f"{where}: no acoustic model among them; name it too")
    if len(shared) > 1:
        raise WeightError(f"{where}: trained for different mels or vocoders; train both under one configuration")
    return tensors, acoustic


def seal(folder: Path, about: Mapping[str, Any]) -> Path:
    """Write voice.json: `about`, with size and checksum of the weights and the graphs that lie in the folder."""
    contents = {name: (folder / name).read_bytes() for name in FILES}
    files = {name: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for name, c in contents.items()}
    card = {"card": about["card"]} if "card" in about else {}
    rest = {key: value for key, value in about.items() if key != "card"}
    write_json(folder / "voice.json", {**rest, "files": files, **card}, indent=2)
    return folder
