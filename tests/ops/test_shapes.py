"""Shapes in signatures are checked while tests run."""

from __future__ import annotations

from typing import Any

import jaxtyping
import numpy as np
import pytest

from portavoz.blocks.hifigan import ResBlock
from portavoz.ops.base import Ops
from portavoz.weights.cursor import Weights

F = np.float32
WRONG = {
    "two axes for three": lambda o: o.split_heads(np.zeros((2, 4), F), 2),
    "floats for numbers of rows": lambda o: o.gather(np.zeros((1, 2, 3), F), np.zeros((1, 2), F)),
    "two lengths of one axis": lambda o: o.rope(np.zeros((1, 5, 4), F), np.zeros((4, 2), F), np.zeros((4, 2), F), 1),
    "numbers for a mask": lambda o: o.masked(np.zeros((1, 2), F), np.zeros((1, 2), F)),
    "memory of another batch": lambda o: o.attention(*(np.zeros((b, 2, 4), F) for b in (1, 2, 2)), heads=1, scale=1.0),
}


@pytest.mark.parametrize("fault", sorted(WRONG))
def test_a_word_refuses_another_shape(fault: str) -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        WRONG[fault](Ops())


def test_a_block_refuses_another_shape() -> None:
    block: Any = ResBlock(Weights.fresh(Ops()), 4, 3, (1,), 0.1)
    assert block(np.zeros((1, 5, 4), F)).shape == (1, 5, 4)
    with pytest.raises(jaxtyping.TypeCheckError):
        block(np.zeros((5, 4), F))
    with pytest.raises(jaxtyping.TypeCheckError):
        block(np.zeros((1, 5, 4), np.int64))
