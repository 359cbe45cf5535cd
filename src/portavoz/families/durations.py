"""Frames of what a graph reads ↔ frames of a chunk's symbols, where a symbol may be several numbers or none."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .synthesis import Adjust


def by_symbol(frames: NDArray[Any], owner: Sequence[int], symbols: int) -> NDArray[np.int64]:
    """frames [numbers], the symbol of each → the frames of each symbol [symbols]."""
    return np.bincount(owner, np.asarray(frames, np.float64), symbols).astype(np.int64)


def ends(frames: NDArray[np.int64], samples: int, rate: int) -> tuple[float, ...]:
    """When each symbol ends, in seconds, in a sound of so many samples."""
    return tuple((np.cumsum(frames) * (samples / max(int(frames.sum()), 1) / rate)).tolist())


def asked(adjust: Adjust, symbols: Sequence[str], frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """The frames [symbols] that a caller's function returns for the predicted ones.

    Raises InputError for a function that does not take two arguments, and for an answer that is not one whole number
    from 0 up for each symbol.
    """
    try:
        inspect.signature(adjust).bind(symbols, frames)
    except TypeError as problem:
        raise InputError(f"durations: {problem}; give a function of the symbols and their frames") from problem
    except ValueError:  # a built-in function, which has no signature
        pass
    wanted = np.asarray(adjust(symbols, frames.copy()))
    if wanted.shape != frames.shape or wanted.dtype.kind not in "iu" or (wanted < 0).any():
        found = f"{wanted.dtype} {wanted.shape}"
        raise InputError(f"durations: the function returned {found}, wanted {len(frames)} whole numbers from 0 up")
    return wanted.astype(np.int64)


def adjusted(adjust: Adjust, symbols: Sequence[str], frames: NDArray[Any], owner: Sequence[int]) -> NDArray[np.int64]:
    """The frames [numbers] that a caller wants: a symbol's are shared out among its numbers as they were.

    Raises InputError as `asked` does, and for zeros throughout.
    """
    each = by_symbol(frames, owner, len(symbols))
    wanted = asked(adjust, symbols, each)
    if not wanted.any():
        raise InputError("durations: zeros throughout; give at least one symbol a frame")
    out = np.zeros(len(frames), np.int64)
    for symbol, total in enumerate(wanted.tolist()):
        at = np.flatnonzero(np.asarray(owner) == symbol)
        if len(at):
            parts = np.round(np.cumsum(frames[at]) * (total / max(int(each[symbol]), 1))).astype(np.int64)
            parts[-1] = total
            out[at] = np.diff(parts, prepend=0)
    return out
