"""The aligner's sums and searches against counting every way, and against the papers' own."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from portavoz.errors import InputError
from portavoz.train.data.align import ForwardSum, prior, search


def ways(frames, symbols, skip):
    """Every monotonic way: which symbol each frame belongs to."""
    for way in itertools.combinations_with_replacement(range(symbols), frames):
        said = set(way)
        missing = [s for s in range(symbols) if s not in said]
        if all(skip[s] for s in missing) and not any(b == a + 1 for a, b in zip(missing, missing[1:])):
            yield way


@pytest.mark.parametrize("skip", [[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0], [0, 1, 0, 1]])
def test_sum_and_search_are_those_over_every_way(skip):
    draw, skip = np.random.default_rng(sum(skip)), np.array(skip, bool)
    scores = draw.standard_normal((6, 4))
    totals = {way: sum(scores[f, s] for f, s in enumerate(way)) for way in ways(6, 4, skip)}
    tensor = torch.tensor(scores[None], dtype=torch.float64, requires_grad=True)
    loss = ForwardSum.apply(tensor, skip[None], [(6, 4)])
    assert float(loss[0].detach()) == pytest.approx(-math.log(sum(map(math.exp, totals.values()))), abs=1e-9)
    best = max(totals, key=totals.get)
    assert search(scores, skip).tolist() == [best.count(s) for s in range(4)]


def test_the_gradient_is_that_of_the_sum():
    torch.manual_seed(0)
    scores = torch.randn(2, 7, 5, dtype=torch.float64, requires_grad=True)
    skip = np.array([[0, 1, 0, 1, 0], [0, 0, 1, 0, 0]], bool)
    assert torch.autograd.gradcheck(lambda x: ForwardSum.apply(x, skip, [(7, 5), (5, 4)]), (scores,))


def test_without_gaps_the_sum_is_ctc_without_blanks():
    torch.manual_seed(1)
    scores = torch.log_softmax(torch.randn(1, 20, 6, dtype=torch.float64), -1)
    ours = ForwardSum.apply(scores, np.zeros((1, 6), bool), [(20, 6)])
    # The paper's own way: CTC over the symbols' places, its blank as good as impossible.
    padded = torch.cat([torch.full((1, 20, 1), -1e9, dtype=torch.float64), scores], -1).transpose(0, 1)
    lengths = torch.tensor([20]), torch.tensor([6])
    theirs = torch.nn.functional.ctc_loss(padded, torch.arange(1, 7)[None], *lengths, reduction="none")
    assert float(ours) == pytest.approx(float(theirs), abs=1e-8)


def test_the_prior_is_the_beta_binomial():
    from scipy.stats import betabinom

    ours = prior(9, 5)
    for f in range(9):
        assert np.allclose(ours[f], betabinom(4, f + 1, 9 - f).logpmf(np.arange(5)), atol=1e-5)


def test_too_few_frames_are_refused():
    with pytest.raises(InputError, match="2 frames for 3 symbols"):
        search(np.zeros((2, 4)), np.array([False, True, False, False]))
