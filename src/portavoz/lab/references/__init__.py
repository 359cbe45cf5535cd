"""Reference implementations behind the names of our stages. The only place that may import their packages."""

from __future__ import annotations

import importlib
from typing import Any

from ...errors import MissingExtra


def package(name: str) -> Any:
    """A reference package, imported now. Raises MissingExtra when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise MissingExtra(name, "reference", f"comparing with {name}") from problem
