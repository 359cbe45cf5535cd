"""Hypotheses from the weights of both sides: how the port's numbers follow from the reference's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CLOSE = 1e-4  # of a ratio, for numbers that float32 rounding has passed
STALE = 0.3  # relative L2 below which other numbers are an earlier or later state of one training


def of_both(port: Mapping[str, NDArray[Any]], ref: Mapping[str, NDArray[Any]]) -> str:
    """What a layer's weights are in the port, seen from the reference's; "" where nothing is recognised."""
    said = []
    for role in ref:
        if role not in port or np.array_equal(port[role], ref[role]):
            continue
        text = _other_role(role, port[role], ref) or compared(port[role], ref[role])
        if text:
            said.append(f"{role}: {text}")
    return "; ".join(said)


def _other_role(role: str, mine: NDArray[Any], ref: Mapping[str, NDArray[Any]]) -> str:
    for other, theirs in ref.items():
        if other != role and theirs.shape == mine.shape and np.allclose(mine, theirs, rtol=1e-6, atol=0):
            return f"the reference's {other}; exchanged"
    return ""


def compared(port: NDArray[Any], ref: NDArray[Any]) -> str:
    """One tensor of both sides, of one shape."""
    a, b = np.asarray(port, np.float64), np.asarray(ref, np.float64)
    if a.shape != b.shape or not a.size:
        return ""
    if a.ndim > 1:
        text = _moved(a, b) or _ratio(a, b)
        if text:
            return text
    elif (power := _power(a, b)) != "":
        return power
    off = float(np.linalg.norm(a - b) / (np.linalg.norm(b) or 1.0))
    if off < 1e-5:
        return ""
    gain = float(a.ravel() @ b.ravel() / ((b * b).sum() or 1.0))
    if abs(gain - 1) > 1e-6 and np.linalg.norm(a - gain * b) < CLOSE * np.linalg.norm(a):
        return f"{gain:.6g} times the reference's"
    if off < STALE:
        return f"other numbers by {100 * off:.2g} % (stale: an earlier or later state of the training?)"
    return "other numbers throughout"


def _power(a: Floats, b: Floats) -> str:
    if (a <= 0).any() or (b <= 0).any() or a.size < 4:
        return ""
    for text, made in (("squared", b**2), ("its root", np.sqrt(b)), ("its inverse", 1 / b), ("its logarithm", None)):
        if made is not None and np.allclose(a, made, rtol=CLOSE, atol=0) and not np.allclose(a, b, rtol=CLOSE, atol=0):
            return f"{text}, a root that is left out or too many" if "root" not in text else text
    return ""


def _moved(a: Floats, b: Floats) -> str:
    moves = [("flipped in the last axis (a kernel the wrong way round)", b[..., ::-1])]
    if b.shape[0] == b.shape[1]:
        moves.append(("transposed", b.swapaxes(0, 1)))
        moves.append(("transposed and flipped", b.swapaxes(0, 1)[..., ::-1]))
    if b.ndim == 2:
        moves.append(("its rows in reverse order", b[::-1]))
    if b.ndim == 4 and b.shape[2] == b.shape[3]:
        moves.append(("transposed in its height and width", b.swapaxes(2, 3)))
    for text, made in moves:
        if made.shape == a.shape and np.allclose(a, made, rtol=CLOSE, atol=1e-7) and not np.allclose(a, b, rtol=CLOSE):
            return text
    order = _permutation(a.reshape(len(a), -1), b.reshape(len(b), -1))
    return "its rows in another order" if order else ""


def _permutation(a: Floats, b: Floats) -> bool:
    if len(a) < 4 or a.shape[1] < 3:
        return False
    left, right = np.lexsort(a.T[:3]), np.lexsort(b.T[:3])
    same = np.allclose(a[left], b[right], rtol=CLOSE, atol=1e-7)
    return same and not np.allclose(a, b, rtol=CLOSE, atol=1e-7)


def _ratio(a: Floats, b: Floats) -> str:
    """Factors of a weight norm: one an output, or one an input and output."""
    kept = np.abs(b) > 1e-3 * np.abs(b).max()
    if kept.mean() < 0.5 or a.size < 4 * sum(a.shape[:2]) or not kept.reshape(*a.shape[:2], -1).any(-1).all():
        return ""
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(kept, a / np.where(kept, b, 1), np.nan)
    taps = r.reshape(*r.shape[:2], -1)
    rows, columns = (np.nanmedian(taps, axis) for axis in ((1, 2), (0, 2)))
    if all(float(np.ptp(v)) < CLOSE * abs(float(np.median(v))) for v in (rows, columns)):
        return ""  # one factor for all
    for text, made in (
        ("a gain of its own for each output (a weight norm's size)", rows[:, None]),
        ("a gain of its own for each input (a weight norm over another axis)", columns[None]),
    ):
        if _fits(taps, made):
            return text
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.abs(np.nanmedian(taps, 2)))
    if not np.isfinite(logs).all():
        return ""
    parts = np.exp(logs.mean(1, keepdims=True) + logs.mean(0, keepdims=True) - logs.mean())
    if _fits(np.abs(taps), parts):
        return "a gain for each output and each input (a weight norm over another axis)"
    return ""


def _fits(taps: Floats, made: Floats) -> bool:
    error = np.abs(taps - made[..., None]) / np.abs(made[..., None])
    return bool(np.nanmax(error) < 5e-3 and np.nanmedian(error) < CLOSE)


def recovered(x: Floats, y: Floats, like: NDArray[Any], facts: Mapping[str, Any]) -> dict[str, Floats] | None:
    """The weight and bias with which a layer makes `y` [.., out] of `x`; None for too few rows."""
    columns = _columns(x, like, facts)
    if columns is None or columns.shape[0] < 1.5 * (columns.shape[1] + 1) or columns.shape[1] > 2048:
        return None
    rows = y.reshape(-1, y.shape[-1])
    if len(rows) != len(columns):
        return None
    whole = np.concatenate([columns, np.ones((len(columns), 1))], 1)
    found, _, rank, _ = np.linalg.lstsq(whole, rows, rcond=1e-9)
    if rank < whole.shape[1]:
        return None
    return {"weight": found[:-1].T.reshape(like.shape), "bias": found[-1]}


def _columns(x: Floats, like: NDArray[Any], facts: Mapping[str, Any]) -> Floats | None:
    if like.ndim == 2:
        return x.reshape(-1, x.shape[-1])
    if like.ndim != 3 or facts.get("groups", 1) != 1 or not isinstance(facts.get("padding", 0), int) or x.ndim != 3:
        return None
    pad, step, stride = facts.get("padding", 0), facts.get("dilation", 1), facts.get("stride", 1)
    x = np.pad(x, ((0, 0), (pad, pad), (0, 0)))
    taps, steps = like.shape[2], x.shape[1] - step * (like.shape[2] - 1)
    if steps < 1 or x.shape[2] != like.shape[1]:
        return None
    parts = [x[:, k * step : k * step + steps : stride] for k in range(taps)]
    return np.stack(parts, -1).reshape(-1, like.shape[1] * taps)
