"""A family's stages as ONNX files in a folder, to be given away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..atomic import atomic
from ..families.spec import Checkpoint, FamilySpec
from .compile import Origin
from .whole_numbers import rewritten


def export_stages(
    family: FamilySpec,
    checkpoint: Checkpoint,
    folder: str | Path,
    *,
    half: bool = True,
    whole: Mapping[str, Sequence[str]] | None = None,
) -> list[Path]:
    """Write each stage as an ONNX file into a folder. Raises MissingExtra without the extra `onnx`.

    Stages in `whole` compute their large products in eight bits, except those with weights whose paths begin with one
    of its texts.
    """
    origin = Origin.of(family, checkpoint, transient=True)
    paths = []
    for name in origin.specs:
        graph = origin.exported(name, half=half and name not in (whole or {}))
        if whole and name in whole:
            graph = rewritten(graph, keep=whole[name], half=half)
        paths.append(Path(folder) / f"{name}.onnx")
        with atomic(paths[-1], "wb") as out:
            out.write(graph)
    return paths
