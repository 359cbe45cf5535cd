"""Hypotheses that need no more than the two arrays: gains, masks, functions, channels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..forcing.distance import masked_out
from ..numbers import figure, fit, fit_one, mean_of
from ..trace.trace import Trace
from .certainty import Hypothesis
from .edge_hypotheses import unusable
from .layer_hypotheses import ACTIVATIONS
from .order_hypotheses import shifts, turns

Floats = NDArray[np.float64]
FEW = 4  # numbers for each fitted one, below which many fitted ones explain anything


def lengths(key: str, file: Trace) -> list[int]:
    """Lengths of axes near a unit, for names such as 1/√24."""
    info = file.units.get(key)
    sizes = {n for shape in (info.shapes.values() if info else ()) for n in shape}
    for near in file.before(key, 4):
        sizes |= {n for shape in file.units[near].shapes.values() for n in shape}
    heads = [shape[-3] for shape in (info.shapes.values() if info else ()) if len(shape) > 2]
    sizes |= {n // h for n in list(sizes) for h in (*heads, 2, 4, 8) if h and n % h == 0}
    return sorted(n for n in sizes if n > 1)


def gains(port: Floats, ref: Floats, lengths: list[int], op: str) -> Iterator[Hypothesis]:
    """A factor or a constant, by the name of a length where it is one."""
    kept = ~(masked_out(ref, op) | masked_out(port, op))
    if not port.any() and ref.any():
        yield Hypothesis("zeros in its place (a part that is left out)", port, port)
    gain, error = fit_one(ref[kept], port[kept])
    if gain and math.isfinite(gain):
        yield Hypothesis(_gain_text(gain, error, lengths), np.where(kept, gain * np.where(kept, ref, 0), port), port, 1)
    shift, error = mean_of(port[kept] - ref[kept]) if kept.any() else (0.0, 0.0)
    yield Hypothesis(f"a constant of {figure(shift, error)} added", np.where(kept, ref + shift, port), port, 1)
    if kept.sum() > 2:
        both = fit(np.stack([ref[kept], np.ones(int(kept.sum()))], 1), port[kept])
        (gain, shift), errors = both.values, both.errors
        if abs(gain) < 1e-6:
            return  # all of the port's numbers are one, whatever the reference's are
        text = f"a gain of {figure(gain, errors[0], 4)} and a constant of {figure(shift, errors[1], 4)} added"
        yield Hypothesis(text, np.where(kept, gain * np.where(kept, ref, 0) + shift, port), port, 2)


def _gain_text(gain: float, error: float, lengths: list[int]) -> str:
    if abs(gain + 1) < 1e-4:
        return "the opposite sign"
    for n in lengths:
        for name, value in ((f"1/√{n}", n**-0.5), (f"1/{n}", 1 / n)):
            if abs(gain * value - 1) < 1e-4:
                return f"a missing scale {name}"
            if abs(gain / value - 1) < 1e-4:
                return f"a scale {name} too many"
    for a, b in itertools.product(lengths, lengths):
        if abs(gain / math.sqrt(a / b) - 1) < 1e-4:
            return f"a scale 1/√{b} where 1/√{a} was wanted"
    return f"a gain of {figure(gain, error, 6)}"


def masks(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """Scores that are hidden in one side alone."""
    there, expected = masked_out(port, "softmax"), masked_out(ref, "softmax")
    if (there == expected).all():
        return
    both = there | expected
    unseen, over = int((expected & ~there).sum()), int((there & ~expected).sum())
    text = f"a mask that hides {over} places too many and {unseen} too few"
    if not there.any():
        text = "a mask that is ignored"
    elif (there[..., 1:] == expected[..., :-1]).all() or (there[..., :-1] == expected[..., 1:]).all():
        text = "a mask that lies one step off"
    elif (there != expected).mean() > 0.99:
        text = "a mask the wrong way round"
    yield Hypothesis(text, np.where(both, 0, port), np.where(both, 0, ref))


def blocks(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """Channels in two or more parts whose order changed: a concatenation, a split of heads."""
    n = ref.shape[-1]
    for cut in range(1, n):
        yield Hypothesis(
            f"parts of {cut} and {n - cut} channels joined in the other order",
            np.concatenate([ref[..., cut:], ref[..., :cut]], -1), port,
        )  # fmt: skip
    for heads in (h for h in range(2, n) if n % h == 0):
        mixed = ref.reshape(*ref.shape[:-1], heads, n // heads).swapaxes(-1, -2).reshape(ref.shape)
        yield Hypothesis(f"heads split the other way ({heads} × {n // heads})", mixed, port)


def among(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """Some channels side by side differ, the others do not: one part of what was joined."""
    if unusable(port) or unusable(ref) or ref.ndim < 2:
        return
    wrong = np.flatnonzero((np.abs(port - ref) > 1e-5 * (np.abs(ref).max() or 1.0)).reshape(-1, ref.shape[-1]).any(0))
    if not 1 < len(wrong) < ref.shape[-1] or wrong[-1] - wrong[0] + 1 != len(wrong):
        return
    first, last = int(wrong[0]), int(wrong[-1])
    a, b = port[..., first : last + 1], ref[..., first : last + 1]
    for guess in itertools.chain(gains(a, b, [], ""), shifts(a, b), turns(a, b), functions(a, b)):
        yield Hypothesis(f"{guess.text}, in channels {first} to {last}", guess.actual, guess.target)


def channels(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """A constant, a gain or a place of its own for each channel."""
    if ref.ndim < 2 or unusable(port) or unusable(ref) or not ref.size:
        return
    a, b = port.reshape(-1, port.shape[-1]), ref.reshape(-1, ref.shape[-1])
    count = b.shape[1]
    yield Hypothesis("a constant of its own in each channel (a bias)", ref + (a - b).mean(0), port, count)
    size = (b * b).sum(0)
    gain = np.where(size > 0, (a * b).sum(0) / np.where(size > 0, size, 1), 1)
    if np.count_nonzero(np.abs(gain - 1) > 1e-5):
        yield Hypothesis("a gain of its own in each channel", ref * gain, port, count)
    if len(b) > 4 and b.shape[1] <= 1024:
        norms = [np.linalg.norm(m, axis=0) + 1e-30 for m in (a, b)]
        match = ((a / norms[0]).T @ (b / norms[1])).argmax(1)
        if len(set(match.tolist())) == len(match):
            yield Hypothesis("its channels in another order", ref[..., match], port, count)


def for_every_query(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """A part of the scores that all queries share: a bias of the queries that is left out or another one."""
    kept = ~(masked_out(ref, "softmax") | masked_out(port, "softmax"))
    count = kept.sum(-2, keepdims=True)
    step = np.where(kept, np.where(kept, port, 0) - np.where(kept, ref, 0), 0).sum(-2, keepdims=True)
    if ref.shape[-2] >= FEW:
        text = "a term of the scores that is the same for every query (a bias of the queries), left out or wrong"
        yield Hypothesis(text, np.where(kept, ref + step / np.maximum(count, 1), port), port, step.size)


def norms(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """A norm over the channels that is left out: the port's numbers, once normalised, are the reference's."""
    if ref.ndim < 2 or unusable(port) or unusable(ref) or ref.size < FEW * 2 * ref.shape[-1]:
        return
    for name, centre in (("layer norm", port - port.mean(-1, keepdims=True)), ("norm without a mean", port)):
        size = np.sqrt((centre * centre).mean(-1, keepdims=True) + 1e-6)
        flat, wanted = (centre / size).reshape(-1, ref.shape[-1]), ref.reshape(-1, ref.shape[-1])
        mean = flat.mean(0) if name == "layer norm" else np.zeros(flat.shape[1])
        spread = ((flat - mean) ** 2).sum(0)
        gain = ((flat - mean) * wanted).sum(0) / np.where(spread > 0, spread, 1)
        shift = wanted.mean(0) - gain * mean if name == "layer norm" else 0
        made = (flat * gain + shift).reshape(ref.shape)
        yield Hypothesis(f"a missing {name}", made, ref, 2 * ref.shape[-1])


def functions(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """Activations, roots, logarithms, clamps and norms that are too many or left out."""
    if unusable(ref) or unusable(port):
        return
    for name, function in ACTIVATIONS.items():
        with np.errstate(over="ignore", invalid="ignore"):
            yield Hypothesis(f"{name} applied that should not be there", function(ref), port)
            yield Hypothesis(f"a missing {name}", function(port), ref)
    with np.errstate(invalid="ignore", divide="ignore"):
        yield Hypothesis("a square that is left out (a root too many)", np.sqrt(ref), port)
        yield Hypothesis("a square too many", ref * ref, port)
        yield Hypothesis("a logarithm that is left out", np.exp(ref), port)
        yield Hypothesis("a logarithm too many", np.log(ref), port)
        low = float(port.min()) if port.size else 0.0
        yield Hypothesis(f"a clamp at {low:.4g} from below (a floor)", np.maximum(ref, low), port, 1)
        high = float(port.max()) if port.size else 0.0
        yield Hypothesis(f"a clamp at {high:.4g} from above", np.minimum(ref, high), port, 1)
        if ref.size and float(ref.min()) > low:
            text = f"a clamp at {ref.min():.4g} that is left out (a floor)"
            yield Hypothesis(text, np.maximum(port, ref.min()), ref, 1)
    norm = np.linalg.norm(ref, axis=-1, keepdims=True)
    yield Hypothesis("an L2 norm that should not be there", ref / np.maximum(norm, 1e-12), port)
    yield Hypothesis("a missing L2 norm", port / np.maximum(np.linalg.norm(port, axis=-1, keepdims=True), 1e-12), ref)
