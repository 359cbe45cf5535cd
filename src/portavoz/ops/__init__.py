"""The one seam to hardware. `open` gives a back end by name and imports its framework only then."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from ..errors import BackendError, MissingExtra
from .base import Ops

# name → (module, class, package that must be installed, extra); a new back end is one line here and one file.
BACKENDS: dict[str, tuple[str, str, str, str]] = {
    "numpy": ("base", "Ops", "numpy", ""),
    "torch": ("torch", "TorchOps", "torch", "torch"),
    "mlx": ("mlx", "MlxOps", "mlx.core", "mlx"),
}


def open(name: str = "numpy", **options: Any) -> Ops:
    """The back end `name`: "numpy" (the oracle), "torch" (`device=`) or "mlx" (`device=`, `dtype=`, see MlxOps).

    Raises BackendError for a name or an option that is not known, MissingExtra when its package is not installed.
    """
    if name not in BACKENDS:
        raise BackendError(f"there is no back end {name!r}: choose one of {', '.join(sorted(BACKENDS))}")
    module, kind, package, extra = BACKENDS[name]
    try:
        importlib.import_module(package)
    except ImportError as problem:
        raise MissingExtra(package.split(".")[0], extra, f"the back end {name!r}") from problem
    back: type[Ops] = getattr(importlib.import_module(f".{module}", __name__), kind)
    known = list(inspect.signature(back).parameters)
    for option in options:
        if option not in known:
            has = f"has {', '.join(known)}" if known else "has none"
            raise BackendError(f"the back end {name!r} knows no option {option!r}: it {has}")
    return back(**options)


def preferred() -> str:
    """The eager back end to take when nobody chose: the first of "torch", "mlx" and "numpy" that is installed."""
    import importlib.util

    return next((name for name in ("torch", "mlx") if importlib.util.find_spec(name)), "numpy")
