"""Trained parts → a voice folder: weights in float16, exported graphs, voice.json with a checksum of each file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import families
from ...families.spec import FamilySpec
from ...folder import seal
from ...graph.stage_files import export_stages
from ...weights import file
from ..tasks.pretrained import FAMILY, joined
from .contrast import sharpened

# What computes its large products in eight bits, and whose weights do not: F0 is among the first layer's inputs, and
# eight bits are too few for it.
WHOLE = {"vocode": ("vocoder.filters.embed",)}


def files(family: FamilySpec) -> tuple[str, ...]:
    """What a voice's folder has besides voice.json: its weights, and a graph for each stage."""
    return ("model.safetensors", *(f"{stage['name']}.onnx" for stage in family.shown))


def bundle(
    parts: Sequence[str | Path],
    out: str | Path,
    *,
    name: str,
    speakers: Sequence[str],
    card: Mapping[str, Any],
    half: bool = True,
    contrast: float = 0.0,
) -> Path:
    """Write a voice folder from the files of an acoustic model and a vocoder (or one file that holds both).

    Weights are rounded to float16 once (unless `half` is false) and the graphs exported from the rounded ones, so every
    runtime computes with the same numbers; only the stage in WHOLE of a source–filter voice has eight bits there.
    `contrast` raises that of a source–filter voice's spectra (see `contrast.sharpened`). Raises SpecError or
    WeightError when the parts do not fit together.
    """
    tensors, config = joined(parts)
    if contrast:
        tensors = sharpened(tensors, contrast)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    kind = np.float16 if half else np.float32
    metadata = {"family": FAMILY, "layout": "torch", "config": json.dumps(config.to_dict()), "name": name}
    file.write(folder / "model.safetensors", {k: a.astype(kind) for k, a in tensors.items()}, metadata)
    family = families.get(FAMILY)
    assert family.bare is not None
    whole = WHOLE if half and config.vocoder == "source_filter" else None
    export_stages(family, family.bare(folder / "model.safetensors", config), folder, half=half, whole=whole)
    about = {
        "name": name,
        "family": FAMILY,
        "language": "en",
        "rate": config.mel.rate,
        "alphabet": config.alphabet,
        "speakers": list(speakers),
        "config": config.to_dict(),
        "card": dict(card),
    }
    return seal(folder, about, files(family))
