"""The card's numbers in PyTorch: bfloat16, block floats of 8 and 4 bits, and the matrix unit's fidelity phases.

bfloat16 is rounded half to even. A block float shares one exponent among 16 numbers of the last axis, with 7 or 3
bits of magnitude: the same bits as the library's own conversion on the host. `matmul` follows the matrix unit of
Wormhole and Blackhole: operands cut to 7 and 5 significant bits a phase, sums in float32, or in a destination register
of bfloat16 that is rounded after each 16 products.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import BackendError
from .schedule import BYTES

BLOCK = 16  # numbers of the last axis that share an exponent
MAGNITUDE = {"bfloat8_b": 7, "bfloat4_b": 3}
PHASES = {"lofi": 1, "hifi2": 2, "hifi3": 3, "hifi4": 4}
ACCUMULATIONS = ("float32", "bfloat16")
TILE = 32


def rounded(x: Tensor, dtype: str) -> Tensor:
    """float32 numbers as `dtype` keeps them, again as float32. Raises BackendError for a dtype that is not known."""
    if dtype == "float32" or not x.is_floating_point():
        return x
    if dtype == "bfloat16":
        return x.to(torch.bfloat16).to(torch.float32)
    if dtype not in MAGNITUDE:
        raise BackendError(f"ttnn has no dtype {dtype!r}: choose one of {', '.join(BYTES)}")
    return block_float(x, MAGNITUDE[dtype])


def block_float(x: Tensor, bits: int) -> Tensor:
    """Blocks of 16 numbers with one exponent and `bits` of magnitude, rounded half to even; a short block has zeros."""
    if x.dim() == 0:
        return block_float(x.reshape(1), bits).reshape(())
    short = -x.shape[-1] % BLOCK
    wide = torch.nn.functional.pad(x, (0, short)) if short else x
    blocks = wide.reshape(-1, BLOCK).double()
    largest = blocks.abs().amax(1, keepdim=True).clamp_min(2.0**-126)
    step = torch.ldexp(torch.ones_like(largest), torch.frexp(largest)[1] - bits)
    most = 2**bits - 1
    out = (torch.round(blocks / step).clamp(-most, most) * step).float().reshape(wide.shape)
    return out[..., : x.shape[-1]] if short else out


def split(x: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The significand's first `bits` bits (the hidden one included), towards zero, and the rest of the number."""
    m, e = torch.frexp(x)
    high = torch.trunc(m * 2.0**bits) / 2.0**bits
    return torch.ldexp(high, e), torch.ldexp(m - high, e)


def matmul(a: Tensor, b: Tensor, fidelity: str = "hifi4", accumulation: str = "float32") -> Tensor:
    """a [..., M, K] @ b [..., K, N] as the matrix unit computes it. Raises BackendError for what it has not.

    A destination in bfloat16 is emulated 16 products at a time: seconds for a thousand rows, so for audits only.
    """
    if fidelity not in PHASES or accumulation not in ACCUMULATIONS:
        raise BackendError(
            f"the matrix unit has no fidelity {fidelity!r} with accumulation {accumulation!r}: choose one of "
            f"{', '.join(PHASES)} and one of {', '.join(ACCUMULATIONS)}"
        )
    (a1, a2), (b1, b2) = split(a, 7), split(b, 5)
    phases = [(a1, b1), (a1, b2), (a2, b1), (a2, b2)][: PHASES[fidelity]]
    if accumulation == "float32":
        return torch.stack([x.double() @ y.double() for x, y in phases]).sum(0).float()
    if a.dim() == b.dim() == 2:
        return _narrow(phases)
    rows = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    wide = [(x.expand(*rows, *x.shape[-2:]).flatten(0, -3), y.expand(*rows, *y.shape[-2:]).flatten(0, -3))
            for x, y in phases]  # fmt: skip
    out = [_narrow([(x[i], y[i]) for x, y in wide]) for i in range(wide[0][0].shape[0])]
    return torch.stack(out).reshape(*rows, a.shape[-2], b.shape[-1])


def _narrow(phases: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Sums in a bfloat16 register: 16 products, aligned to the largest exponent, are added, then rounded to 8 bits."""
    short = -phases[0][0].shape[1] % TILE
    pad = torch.nn.functional.pad
    phases = [(pad(a, (0, short)), pad(b, (0, 0, 0, short))) for a, b in phases]
    d = torch.zeros(phases[0][0].shape[0], phases[0][1].shape[1])
    for k in range(0, phases[0][0].shape[1], TILE):
        for a, b in phases:
            for i in (k, k + BLOCK):
                d = _added(d, a[:, i : i + BLOCK], b[i : i + BLOCK])
    return d


def _added(d: Tensor, a: Tensor, b: Tensor) -> Tensor:
    half = BLOCK // 2
    products = (a.abs().unsqueeze(2) * b.abs().unsqueeze(0)).amax(1)
    e = torch.maximum(torch.maximum(_exponent(products), _exponent(d)), torch.full_like(_exponent(d), -126))
    step = torch.ldexp(torch.ones_like(d), e - 11)
    total = _half_away(d, step) + _half_away(a[:, :half] @ b[:half], step) + _half_away(a[:, half:] @ b[half:], step)
    eight = torch.ldexp(torch.ones_like(d), _exponent(total) - 8)
    return torch.where(total == 0, total, _half_away(total, eight))


def _exponent(x: Tensor) -> Tensor:
    return torch.frexp(x)[1]


def _half_away(x: Tensor, step: Tensor) -> Tensor:
    return torch.sign(x) * torch.floor(x.abs() / step + 0.5) * step
