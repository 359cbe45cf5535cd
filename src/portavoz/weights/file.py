"""Safetensors in and out, with metadata: family, layout, configuration, provenance. Pickle is never read here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightError


def read(path: str | Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """All tensors and the metadata of a safetensors file.

    Raises WeightError when the file is missing, truncated, or another format (a pickle needs
    ``portavoz weights convert``).
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise WeightError(f"{path}: there is no such file; give a .safetensors file")
    if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"):
        raise WeightError(f"{path}: a pickle can run code when it is read, so it is not opened; convert it to safetensors first")
    try:
        with safe_open(str(path), framework="np") as opened:
            metadata = dict(opened.metadata() or {})
            return {name: opened.get_tensor(name) for name in opened.keys()}, metadata  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as problem:
        raise WeightError(f"{path}: not a readable safetensors file ({problem}); fetch or convert it again") from problem


def write(path: str | Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write beside, fsync, rename: an existing file is never left half-written. Raises InputError on a bad folder."""
    from safetensors.numpy import save

    from ..atomic import atomic

    data = save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, dict(metadata))
    with atomic(Path(path), "wb") as out:
        out.write(data)


def layout(metadata: Mapping[str, str]) -> str:
    """The layout that metadata declares: our `layout`, or the `format` that PyTorch ("pt") and MLX ("mlx") write."""
    if "layout" in metadata:
        return metadata["layout"]
    return {"mlx": "mlx", "pt": "torch", "np": "torch"}.get(metadata.get("format", "pt"), "torch")
