"""Safetensors in and out, with metadata: family, layout, configuration, provenance. Pickle is never read here."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import input_files
from ..errors import WeightError
from ..ops.layouts import FORMATS


def read(path: str | Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """All tensors and the metadata of a safetensors file.

    Raises WeightError when the file is missing, truncated, or another format (a pickle needs
    ``portavoz weights convert``).
    """
    with _opened(path) as opened:
        names: list[str] = list(opened.keys())
        wide = {name for name in names if opened.get_slice(name).get_dtype() == "BF16"}
        tensors = {name: opened.get_tensor(name) for name in names if name not in wide}
        return {**tensors, **_widened(Path(path), wide)}, dict(opened.metadata() or {})


@contextmanager
def _opened(path: str | Path) -> Generator[Any, None, None]:
    from safetensors import SafetensorError, safe_open

    path = _named(path)
    try:
        with cast(Any, safe_open)(str(path), framework="np") as opened:
            yield opened
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as problem:
        reason = f"not a readable safetensors file ({problem})"
        raise WeightError(f"{path}: {reason}; fetch or convert it again") from problem


def _named(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"):
        raise WeightError(
            f"{path}: a pickle can run code when it is read, so it stays closed; make a safetensors file of it with "
            "portavoz weights convert"
        )
    input_files.check(path, input_files.WEIGHTS, remedy="give a .safetensors file", error=WeightError)
    return path


def check(path: str | Path) -> None:
    """Raise WeightError unless this is a whole safetensors file; no tensor is read."""
    names(path)


def names(path: str | Path) -> list[str]:
    """The names of a safetensors file's tensors; no tensor is read. Raises WeightError unless the file is whole."""
    with _opened(path) as opened:
        return list(opened.keys())


def _widened(path: Path, names: Set[str]) -> dict[str, NDArray[Any]]:
    """The bfloat16 tensors of a file, which NumPy does not know: a float32 has the same bits and sixteen zeros."""
    if not names:
        return {}
    import safetensors

    out: dict[str, NDArray[Any]] = {}
    for name, stored in cast(Any, safetensors).deserialize(path.read_bytes()):
        if name in names:
            bits: Any = np.frombuffer(stored["data"], np.uint16).astype(np.uint32) << 16
            out[name] = bits.view(np.float32).reshape(stored["shape"])
    return out


def write(path: str | Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write beside, fsync, rename: an existing file is never left half-written. Raises InputError on a bad folder."""
    from safetensors.numpy import save

    from ..atomic import atomic

    data = save({plain(name): np.asarray(array, order="C") for name, array in tensors.items()}, plain_all(metadata))
    with atomic(Path(path), "wb") as out:
        out.write(data)


def plain(text: str) -> str:
    """A text that every reader of the format takes: a lone surrogate, which UTF-8 does not have, is its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain_all(metadata: Mapping[str, str]) -> dict[str, str]:
    """`plain` of names and values."""
    return {plain(key): plain(value) for key, value in metadata.items()}


def layout(metadata: Mapping[str, str]) -> str | None:
    """The layout that metadata declares: our `layout`, or the `format` that PyTorch ("pt") and MLX ("mlx") write.

    None when nothing is declared.
    """
    if "layout" in metadata:
        return metadata["layout"]
    return FORMATS.get(metadata.get("format", ""))
