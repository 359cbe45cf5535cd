"""SpeechT5 on MLX beside the reference and beside torch: every component, and the loop."""

from __future__ import annotations

from functools import cache
from typing import Any

import components as lab
import numpy as np
import pytest

from portavoz import ops
from portavoz.families.speecht5.config import TINY
from portavoz.families.speecht5.loop import SpeechT5, StoppingCriteria
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.lab.metrics import distance

CONVOLUTIONS = pytest.mark.parametrize("convolutions", ["native", "matmul"])


@cache
def reference() -> Reference:
    return Reference.fresh(TINY, 0)


@CONVOLUTIONS
def test_every_component_of_speecht5_equals_the_reference(convolutions: str) -> None:
    own = lab.ours(reference(), lab.Outputs(ops.open("mlx", convolutions=convolutions)))
    lines = lab.components(reference(), own, lab.rows(TINY, (5, 30, 12), 0), seed=0, steps=4)
    assert [f"{line.name} {line.distance.l2:.1e}" for line in lines if not line.passed] == []
    assert {"encoder layer 0", "decoder layer 0, cross-attention", "post-net", "vocoder"} <= {x.name for x in lines}


def said(back: str, stop: StoppingCriteria) -> tuple[list[Any], SpeechT5]:
    model = lab.ours(reference(), ops.open(back))
    texts = lab.rows(TINY, (4, 17, 9), 3)
    voices = np.stack([lab.speaker(TINY, n) for n in range(3)])
    masks = [model.masks(n, 80) for n in range(3)]
    return model.generate(texts, voices, masks=masks, stop=stop), model


def test_the_loop_of_speecht5_gives_torchs_frames_and_ends_where_it_ends() -> None:
    """Rows leave the batch one after the other: the state is cut while MLX holds it."""
    stop = StoppingCriteria(0.64 * TINY.reduction_factor, 2.0, 9.0)
    theirs, ours = said("torch", stop)[0], said("mlx", stop)[0]
    assert len({len(row.stops) for row in theirs}) == 3
    for a, b in zip(ours, theirs):
        assert len(a.stops) == len(b.stops)
        assert distance(a.stops, b.stops).l2 < 1e-5
        assert distance(a.before, b.before).l2 < 1e-5
        assert distance(a.mel.values, b.mel.values).l2 < 1e-5
        assert distance(a.wave, b.wave).l2 < 1e-4
