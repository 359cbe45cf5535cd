"""Progress bars on standard error; standard output is for reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def track(items: Sequence[T], what: str) -> Iterable[T]:
    """The items, with a progress bar called `what`."""
    from rich.console import Console
    from rich.progress import track

    return track(items, what, console=Console(stderr=True))
