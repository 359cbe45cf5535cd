"""Every family keeps to the types and shapes that it declares on two back ends, one on three; here they are checked."""

from __future__ import annotations

import itertools

import jaxtyping
import numpy as np
import pytest

from portavoz import families, ops
from portavoz.blocks.feed_forward import FeedForward
from portavoz.lab import probes
from portavoz.lab.trace.recorder import record
from portavoz.weights.cursor import Weights


@pytest.mark.parametrize(
    ("name", "back"), [*itertools.product(families.names(), ("numpy", "torch")), ("compact", "ttnn")]
)
def test_a_probe_runs_with_every_type_checked(name: str, back: str) -> None:
    family = families.get(name)
    trace = record(probes.program(family, probes.configured(family, "tiny"), ops=back))
    assert len(trace.units) > 20


def test_a_wrong_shape_is_seen() -> None:
    back = ops.open("numpy")
    block = FeedForward(Weights.fresh(back), 8, 16)
    with pytest.raises(jaxtyping.TypeCheckError):
        block(np.zeros(8, np.float32))
