"""A swap in words, in a table, as JSON, and as sound."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic import new_folder
from ...audio.files import write
from ...audio.limit import soft_limit
from ...errors import InputError
from ...flow import Wave
from .swap import RECORDED, Crossing, OutputDifference, Swap


def sentence(swap: Swap) -> str:
    """What is wrong, and on which side of which border."""
    return _all(swap) if swap.every else _one(swap)


def to_dict(swap: Swap) -> dict[str, Any]:
    """Plain values, for JSON."""
    faults = [{"stage": c.stage, "before": c.border, "behind": swap.behind(c)} for c in swap.faulty]
    return {
        "reference": swap.reference.name,
        "port": swap.port.name,
        "limit": swap.limit,
        "sentence": sentence(swap),
        "faults": faults if swap.every else [],
        "whole_port": swap.whole.to_dict(),
        "crossings": [c.to_dict() for c in swap.crossings],
    }


def _all(swap: Swap) -> str:
    if not swap.faulty:
        if not swap.port.runs:
            return f"No value of {swap.port.name} moves the reference's result by more than {swap.limit:g}."
        return (
            f"No stage of {swap.port.name} differs by more than {swap.limit:g} from {swap.reference.name} on the same "
            f"values; the port's own result {_said(swap.whole)}."
        )
    first, *rest = swap.faulty
    if not swap.port.runs:
        return (
            f"The fault is in {swap.port.name}, {_between(swap, first)}: computed by the reference from the port's "
            f"{first.border}, the result {_said(first.port_first)}; from the port's earlier values it does not. The "
            f"port's later values are only recorded."
        )
    also = f" Also wrong: {', '.join(c.stage for c in rest)}." if rest else ""
    return (
        f"The fault is in the stage {first.stage} of {swap.port.name}, {_between(swap, first)}: with the reference up "
        f"to {first.border} and the port after it, the result {_said(first.reference_first)}; with this stage alone "
        f"from the port, it {_said(first.stage_alone)}.{also}"
    )


def _one(swap: Swap) -> str:
    (c,) = swap.crossings
    if not swap.port.runs:
        where = "is not before" if c.port_first.l2 <= swap.limit else "is before"
        return (
            f"The fault {where} {c.border}: with the port up to it and the reference after it, the result "
            f"{_said(c.port_first)}."
        )
    wrong = {"before": c.port_first.l2 > swap.limit, "after": c.reference_first.l2 > swap.limit}
    ends = (
        f"with the reference up to it and the port after it, the result {_said(c.reference_first)}; the other way "
        f"round, it {_said(c.port_first)}"
    )
    if not any(wrong.values()):
        return f"Neither side of {c.border} has a fault above {swap.limit:g}: {ends}."
    if all(wrong.values()):
        return f"{swap.port.name} has faults on both sides of {c.border}: {ends}."
    which = "before" if wrong["before"] else "after"
    return f"The fault is in {swap.port.name}, {which} {c.border}: {ends}."


def _between(swap: Swap, c: Crossing) -> str:
    before = swap.behind(c)
    return f"after {before} and before {c.border}" if before else f"before {c.border}"


def _said(apart: OutputDifference) -> str:
    """A predicate: how far a result is from the reference's."""
    if apart.broke:
        return f"cannot be computed ({apart.broke})"
    if not math.isfinite(apart.l2):
        a, b = apart.lengths
        length = f" ({a} samples for {b})" if a != b else ""
        return f"differs from the reference's in length or in whole numbers{length}"
    if not apart.l2:
        return "equals the reference's"
    return f"differs from the reference's by {apart.l2:.1e} ({apart.snr:.0f} dB)"


def lines(swap: Swap) -> list[str]:
    """The sentence, and the table: for each border relative L2, SNR in dB and mel distance in dB of both ways."""
    head = ("reference, then port", "port, then reference", "the port's stage alone")
    wide = max(12, *(len(c.border) + 1 for c in swap.crossings))
    out = [sentence(swap), "", f"{'':<{wide}}" + "".join(f"{name:<28}" for name in head)]
    out.append(f"{'border':<{wide}}" + f"{'rel. L2':>8} {'SNR':>6} {'mel':>7}     " * 3)
    for c in swap.crossings:
        cells = "".join(f"{_cell(apart)}     " for apart in (c.reference_first, c.port_first, c.stage_alone))
        out.append(f"{c.border:<{wide}}{cells}{c.stage}".rstrip())
    return out


def _cell(a: OutputDifference) -> str:
    if a.broke:
        return f"{'–' if a.broke == RECORDED else 'broke':>8} {'':>6} {'':>7}"
    mel = "" if a.mel is None else f"{a.mel:.2f}"
    if not math.isfinite(a.l2):
        return f"{'other':>8} {'':>6} {mel:>7}"
    snr = "∞" if a.l2 == 0 else f"{a.snr:.0f}"
    return f"{a.l2:>8.1e} {snr:>6} {mel:>7}"


def write_waves(swap: Swap, folder: str | Path) -> list[Path]:
    """Every sound of the table as a WAV in `folder`. Raises InputError where there is no sound or no rate."""
    if not swap.reference.rate:
        raise InputError(f"{swap.reference.name}: a program does not say its rate; give one with --rate")
    place = new_folder(folder)
    named = dict(swap.waves)
    for c in swap.crossings:
        named |= {f"{c.border}-{name}": wave for name, wave in c.waves.items()}
    out: list[Path] = []
    for name, wave in named.items():
        out.append(place / f"{name}.wav")
        write(out[-1], Wave(soft_limit(np.nan_to_num(wave).astype(np.float32)), swap.reference.rate))
    return out
