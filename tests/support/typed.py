"""The type check that pytest puts on every function of portavoz: beartype, where an int is welcome as a float."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check each call of `function`; the check is made at the first.

    To make them all at import takes each process seconds, and in most tests none is called.
    """

    @functools.cache
    def made() -> Callable[..., Any]:
        return _check(function)

    def call(*args: Any, **kwargs: Any) -> Any:
        return made()(*args, **kwargs)

    return call
