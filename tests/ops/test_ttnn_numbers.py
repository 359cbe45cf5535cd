"""The card's numbers against what the library and the published simulator gave for the same matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from portavoz.errors import BackendError
from portavoz.ops.ttnn.handle import owned
from portavoz.ops.ttnn.number import block_float, matmul, rounded, split


def reference_block(t: torch.Tensor, bits: int) -> torch.Tensor:
    """The library's conversion, as it was found bit for bit: one exponent for 16 numbers, half to even, clamped."""
    v = t.reshape(-1, 16).double()
    e = torch.floor(torch.log2(v.abs().amax(1, keepdim=True).clamp_min(2.0**-126)))
    scale = 2.0 ** (e - (bits - 1))
    q = torch.round(v / scale).clamp(-(2**bits - 1), 2**bits - 1)
    return (q * scale).float().reshape(t.shape)


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat8_b", 7), ("bfloat4_b", 3)])
def test_block_floats_are_the_librarys_bits(dtype: str, bits: int) -> None:
    t = torch.randn(64, 96, generator=torch.Generator().manual_seed(0)) * torch.logspace(-20, 20, 64)[:, None]
    assert torch.equal(rounded(t, dtype), reference_block(t, bits))
    assert torch.equal(rounded(rounded(t, dtype), dtype), rounded(t, dtype))
    assert not torch.equal(rounded(t, dtype), t)


def test_a_block_keeps_what_it_can_hold_and_loses_what_is_small() -> None:
    x = torch.zeros(16)
    x[0], x[1], x[2] = 1.0, 0.5, 2.0**-9
    assert block_float(x, 7).tolist()[:3] == [1.0, 0.5, 0.0]
    assert block_float(torch.zeros(16), 7).abs().sum() == 0
    short = torch.tensor([1.0, 0.3, -0.2])
    assert torch.equal(block_float(short, 7), block_float(torch.cat([short, torch.zeros(13)]), 7)[:3])
    assert block_float(torch.tensor(3.0), 7) == 3.0


def test_bfloat16_is_rounded_half_to_even() -> None:
    ulp = 2.0**-7
    x = torch.tensor([1 + ulp / 2, 1 + 1.5 * ulp, 1 + 0.51 * ulp])
    assert rounded(x, "bfloat16").tolist() == [1.0, 1 + 2 * ulp, 1 + ulp]
    assert rounded(torch.arange(3), "bfloat16").dtype == torch.int64


def test_a_significand_is_cut_towards_zero() -> None:
    high, low = split(torch.tensor([1.9999, -1.9999]), 7)
    assert high.tolist() == [1.984375, -1.984375]
    assert torch.equal(high + low, torch.tensor([1.9999, -1.9999]))


# K, fidelity, accumulation → relative L2 and slope that the simulator's bit-exact code gave (bfloat16 in and out).
FIGURES = [
    (768, "hifi4", "float32", 2.9e-3, 1.0001),
    (768, "hifi2", "float32", 5.0e-3, 0.997),
    (768, "lofi", "float32", 2.6e-2, 0.978),
    (768, "hifi2", "bfloat16", 1.9e-2, 1.011),
    (768, "hifi4", "bfloat16", 2.0e-2, 1.012),
    (3072, "hifi4", "float32", 2.9e-3, 1.0),
    (3072, "hifi2", "bfloat16", 5.6e-2, 1.040),
]


@pytest.mark.parametrize(("K", "fidelity", "accumulation", "error", "slope"), FIGURES)
def test_the_matrix_unit_is_off_as_the_simulator_is(
    K: int, fidelity: str, accumulation: str, error: float, slope: float
) -> None:
    g = torch.Generator().manual_seed(0)
    x, w = torch.randn(32, K, generator=g), torch.randn(K, 64, generator=g) / K**0.5
    exact = x.double() @ w.double()
    product = matmul(rounded(x, "bfloat16"), rounded(w, "bfloat16"), fidelity, accumulation)
    y = rounded(product, "bfloat16").double()
    assert float((y - exact).norm() / exact.norm()) == pytest.approx(error, rel=0.06)
    assert float((y * exact).sum() / (exact * exact).sum()) == pytest.approx(slope, abs=1.5e-3)


def test_products_of_many_matrices_are_those_of_each() -> None:
    g = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 3, 5, 40, generator=g), torch.randn(2, 3, 40, 7, generator=g)
    both = matmul(a, b, "hifi2", "bfloat16")
    assert torch.equal(both[1, 2], matmul(a[1, 2], b[1, 2], "hifi2", "bfloat16"))


def test_what_there_is_not_is_one_sentence() -> None:
    with pytest.raises(BackendError, match="ttnn has no dtype 'float8': choose one of float32, bfloat16"):
        rounded(torch.ones(2), "float8")
    with pytest.raises(BackendError, match=r"no fidelity 'hifi9'.*: choose one of lofi, hifi2"):
        matmul(torch.ones(2, 2), torch.ones(2, 2), "hifi9")


def test_a_table_that_may_only_be_read_is_copied_for_the_library() -> None:
    table = np.ones((2, 3), np.float32)
    assert owned(table) is table
    table.setflags(write=False)
    assert owned(table).flags.writeable and np.array_equal(owned(table), table)
