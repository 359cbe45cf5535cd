"""What other packages add to this one (entry points), and programs that the caller names: 'package.module:function'."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from .errors import InputError, PortavozError, ProgramError


def installed(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group by name; the metadata of every installed package is read once for each import path.

    Reading it takes 10 ms with two hundred packages, and families and back ends are looked up often. A package that is
    installed while this process runs is found by the next process.
    """
    return _found(group, tuple(sys.path))


@functools.lru_cache(maxsize=16)
def _found(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    return MappingProxyType({point.name: point for point in entry_points(group=group)})


def named(path: str) -> Any:
    """The object that 'package.module:attribute' names; the current folder is searched first.

    Raises InputError for a name that cannot be imported, ProgramError for a module that raises another error.
    """
    module, _, attribute = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        with program_errors(path):
            return getattr(importlib.import_module(module), attribute)
    except ProgramError as problem:
        if isinstance(problem.__cause__, ImportError | AttributeError | ValueError):
            cause = problem.__cause__
            raise InputError(f"{path}: cannot be imported ({cause}); give 'package.module:function'") from cause
        raise


@contextmanager
def program_errors(name: str) -> Iterator[None]:
    """Raises ProgramError for an error in the block, which runs nothing but the program `name` of the caller."""
    try:
        yield
    except PortavozError:
        raise
    except (Exception, SystemExit) as error:
        raise ProgramError(f"{name}: raised {type(error).__name__}: {str(error)[:300]}; correct the program") from error
