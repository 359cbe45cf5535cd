"""A bar on standard error for texts that take a while; nothing where standard error is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .source import Source

LONG = 400  # characters that are spoken in less time than a bar takes to be noticed


@contextmanager
def shown(source: Source, *, quiet: bool = False) -> Iterator[Callable[[float], None]]:
    """A function to call with the seconds of sound so far."""
    if quiet or not sys.stderr.isatty() or (source.size is not None and source.size < LONG):
        yield lambda seconds: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = [BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("…", total=source.size)

        def update(seconds: float) -> None:
            at = min(source.read, source.size) if source.size else source.read
            bar.update(task, completed=at, description=f"{seconds:.0f} s spoken")

        yield update
