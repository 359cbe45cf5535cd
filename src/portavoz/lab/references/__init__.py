"""Reference implementations behind the names of our stages. The only place that may import their packages."""

from __future__ import annotations

import importlib
from typing import Any

from ...errors import InputError, MissingExtra

# What a reference is called on the command line → the packages that it needs.
REFERENCES = {"transformers": ("torch", "transformers")}


def package(name: str) -> Any:
    """A reference package, imported now. Raises MissingExtra when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise MissingExtra(name, "reference", f"comparing with {name}") from problem


def reference(name: str) -> Any:
    """The module of a reference by its name. Raises InputError for an unknown one, MissingExtra for an absent one."""
    if name not in REFERENCES:
        raise InputError(f"there is no reference {name!r}: choose one of {', '.join(REFERENCES)}")
    for needed in REFERENCES[name]:
        package(needed)
    return importlib.import_module(f".{name}", __name__)
