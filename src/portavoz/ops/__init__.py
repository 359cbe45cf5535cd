"""The interface to hardware. `open` returns a back end by name, and imports its framework only then.

A back end is one file with a subclass of base.Ops. portavoz' own are listed here; those of other packages are entry
points of the group `portavoz.backends`: a name, and "module:Class". docs/backends.md writes one.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import plugins
from ..errors import BackendError, MissingExtra
from .layouts import AXES

if TYPE_CHECKING:
    from .base import Ops

GROUP = "portavoz.backends"


class Entry(NamedTuple):
    """Where a back end's class is, and what must be installed for it: a package, and the extra that brings it."""

    target: str
    package: str
    extra: str = ""


# Our own, the preferred ones first.
BACKENDS: dict[str, Entry] = {
    "torch": Entry(f"{__name__}.torch:TorchOps", "torch", "torch"),
    "mlx": Entry(f"{__name__}.mlx:MlxOps", "mlx.core", "mlx"),
    "numpy": Entry(f"{__name__}.base:Ops", "numpy"),
    "ttnn": Entry(f"{__name__}.ttnn.backend:TtnnOps", "torch", "ttnn"),  # golden needs torch; a card its own package
}


def names() -> list[str]:
    """The names of all back ends: our own, then those of installed packages."""
    return [*BACKENDS, *(name for name in plugins.installed(GROUP) if name not in BACKENDS)]


def backend(name: str) -> type[Ops]:
    """The class of a back end, whose attributes are its facts; its framework is imported.

    Raises BackendError for an unknown name or a class that is not an Ops, MissingExtra without its package.
    """
    from .base import Ops

    entry = BACKENDS.get(name) or _others().get(name)
    if entry is None:
        raise BackendError(f"there is no back end {name!r}: choose one of {', '.join(sorted(names()))}")
    place, _, attribute = entry.target.partition(":")
    try:
        importlib.import_module(entry.package)
        kind = getattr(importlib.import_module(place), attribute, None)
    except ImportError as problem:
        missing = entry.package if name in BACKENDS else problem.name or entry.package
        raise MissingExtra(missing.split(".")[0], entry.extra, f"the back end {name!r}") from problem
    if not (isinstance(kind, type) and issubclass(kind, Ops) and kind.name == name):
        raise BackendError(
            f"the back end {name!r}: {entry.target} is not a subclass of Ops with this name; correct the entry point"
        )
    return kind


def open(name: str = "numpy", **options: Any) -> Ops:
    """The back end `name`: "numpy" (the oracle), "torch" (`device=`), "mlx" (`device=`, `dtype=`), or another's.

    Raises BackendError for a name or an option that is not known, MissingExtra when its package is not installed.
    """
    kind = backend(name)
    known = list(inspect.signature(kind).parameters)
    for option in options:
        if option not in known:
            has = f"has {', '.join(known)}" if known else "has none"
            raise BackendError(f"the back end {name!r} has no option {option!r}: it {has}")
    return kind(**options)


def installed() -> list[str]:
    """The back ends whose packages this machine has; nothing is imported."""
    return [name for name in names() if _there({**BACKENDS, **_others()}[name].package)]


def preferred() -> str:
    """The default eager back end: the first of our own that is installed."""
    return next((name for name, entry in BACKENDS.items() if _there(entry.package)), "numpy")


def layout_names() -> list[str]:
    """The layouts that weights may have: those of files, and those of other packages' back ends."""
    return list(dict.fromkeys([*AXES, *(kind.layout for kind in _loaded())]))


def _loaded() -> Iterator[type[Ops]]:
    """The classes of other packages; one that cannot be loaded says so when it is asked for by its name."""
    for name in _others():
        with contextlib.suppress(BackendError, MissingExtra):
            yield backend(name)


def _there(package: str) -> bool:
    return importlib.util.find_spec(package.partition(".")[0]) is not None


def _others() -> dict[str, Entry]:
    """Back ends of installed packages; each may also name the extra `NAME` of its own package."""
    return {
        name: Entry(point.value, point.module)
        for name, point in plugins.installed(GROUP).items()
        if name not in BACKENDS
    }
