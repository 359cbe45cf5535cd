"""Discovery of model families: folders here with a `spec.py`, and entry points `portavoz.families`.

    families.names()          ["compact", …]: nothing is imported
    families.get("compact")   its FamilySpec

No code outside a family's folder names it; what the rest of the package needs is in its `FamilySpec`.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from .. import plugins
from ..errors import InputError, SpecError

if TYPE_CHECKING:
    from .spec import FamilySpec

GROUP = "portavoz.families"


def names() -> list[str]:
    """The names of all families: our own, then those of installed packages."""
    return [*own(), *(name for name in plugins.installed(GROUP) if name not in own())]


@functools.cache
def own() -> tuple[str, ...]:
    """The names of the families inside the package."""
    return tuple(sorted(place.parent.name for place in Path(__file__).parent.glob("*/spec.py")))


def get(name: str) -> FamilySpec:
    """A family by its name. Raises InputError for an unknown name, SpecError for an entry point of another type."""
    from .spec import FamilySpec

    if name in own():
        return importlib.import_module(f".{name}.spec", __name__).FAMILY
    found = plugins.installed(GROUP).get(name)
    if found is None:
        raise InputError(f"there is no family {name!r}: installed are {', '.join(names())}")
    family = found.load()
    if not isinstance(family, FamilySpec) or family.name != name:
        raise SpecError(f"the entry point {found.value} of {GROUP} is not the FamilySpec of {name!r}")
    return family


def all() -> list[FamilySpec]:
    """Every family's FamilySpec."""
    return [get(name) for name in names()]


def recognise(folder: Path) -> FamilySpec | None:
    """The family whose checkpoint a folder holds; None for a folder that no family knows."""
    return next((family for family in all() if family.recognises(folder)), None)
