"""Unsupervised alignment of symbols and frames, learnt from recordings and symbols alone.

Two small encoders embed symbols and frames in one space; the nearer a symbol, the likelier it is for the frame.
Training maximises the sum over all monotonic paths (forward-sum, arXiv:2108.10447, section 2.2, with its beta-binomial
prior); the best path is the alignment (monotonic alignment search, arXiv:2005.11129, algorithm 1). A gap between words
may have no frame, so a path may skip it: both recursions have that one more branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import InputError
from ...text.alphabet import BLANK, MARKS, SYMBOLS

SKIPPABLE = tuple(SYMBOLS.index(s) for s in (BLANK, *MARKS))
NOWHERE = -1e9  # log of zero probability; −∞ would give NaN


def search(scores: NDArray[np.floating], skip: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Frames of each symbol [S] on the best monotonic path through log-likelihoods [F, S].

    Every symbol gets at least one frame, except those marked in `skip` [S]. Raises InputError for fewer frames than
    symbols that need one.
    """
    frames, symbols = scores.shape
    if frames < int((~skip).sum()):
        raise InputError(f"{frames} frames for {int((~skip).sum())} symbols: the recording is too short for its text")
    # Column 0 is the state before the first symbol, so that it can be skipped.
    best = np.full(symbols + 1, NOWHERE)
    best[0] = 0.0
    back = np.zeros((frames, symbols + 1), np.int8)
    skippable = np.concatenate([[False], skip])
    for f in range(frames):
        one, two = _shifted(best, 1), np.where(_shifted(skippable, 1), _shifted(best, 2), NOWHERE)
        stay = best if f else np.full_like(best, NOWHERE)
        options = np.stack([stay, one, two])
        back[f] = options.argmax(0)
        best = options.max(0)
        best[0] = NOWHERE
        best[1:] += scores[f]
    last = symbols if not skip[-1] or best[symbols] >= best[symbols - 1] else symbols - 1
    durations = np.zeros(symbols + 1, np.int64)
    for f in range(frames - 1, -1, -1):
        durations[last] += 1
        last -= back[f, last]
    return durations[1:]


def _shifted(row: NDArray[Any], by: int) -> NDArray[Any]:
    """[.., N] moved to the right, with nothing in front."""
    empty = np.full((*row.shape[:-1], by), False if row.dtype == bool else NOWHERE, row.dtype)
    return np.concatenate([empty, row[..., :-by]], -1)


def forward(scores: NDArray[np.floating], skip: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log of the sum over all paths through symbols 0 … s in frames 0 … f that end at s: [B, F, S]."""
    alpha = np.full(scores.shape, NOWHERE)
    alpha[:, 0, :1] = scores[:, 0, :1]
    alpha[:, 0, 1:2] = np.where(skip[:, :1], scores[:, 0, 1:2], NOWHERE)
    over = _shifted(skip, 1)
    for f in range(1, scores.shape[1]):
        before = alpha[:, f - 1]
        two = np.where(over, _shifted(before, 2), NOWHERE)
        alpha[:, f] = np.logaddexp(np.logaddexp(before, _shifted(before, 1)), two) + scores[:, f]
    return alpha


class ForwardSum(torch.autograd.Function):
    """−log of the sum over all paths; its gradient is minus the posterior of each (frame, symbol).

    scores [B, F, S], skip [B, S], and the real lengths (frames, symbols) of each row → [B].
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, skip: NDArray[np.bool_], lengths: Sequence[tuple[int, int]]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride] (autograd's own habit)
        values = scores.detach().cpu().double().numpy()
        # The backward pass is the forward pass on reversed rows, each row's own end first.
        reversed_, may = np.full(values.shape, NOWHERE), np.zeros(skip.shape, bool)
        for row, (f, s) in enumerate(lengths):
            reversed_[row, :f, :s], may[row, :s] = values[row, :f, :s][::-1, ::-1], skip[row, :s][::-1]
        ahead, back = forward(values, skip), forward(reversed_, may)
        losses, gradient = [], np.zeros_like(values)
        for row, (f, s) in enumerate(lengths):
            there, again, own = ahead[row, :f, :s], back[row, :f, :s][::-1, ::-1], values[row, :f, :s]
            ends = np.logaddexp(there[-1, -1], there[-1, -2] if s > 1 and skip[row, s - 1] else NOWHERE)
            losses.append(-ends)
            # Both passes count the score at the frame where they meet.
            gradient[row, :f, :s] = -np.exp(there + again - own - ends)
        ctx.save_for_backward(torch.from_numpy(gradient).to(scores.device, scores.dtype))
        return torch.tensor(losses, dtype=scores.dtype, device=scores.device)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (own,) = ctx.saved_tensors
        return gradients[0][:, None, None] * own, None, None


def prior(frames: int, symbols: int) -> NDArray[np.float32]:
    """Log of the beta-binomial prior [F, S]: symbol s is expected where the diagonal is (arXiv:2108.10447, eq. 6).

    The chance of s out of symbols − 1 under α = f, β = frames − f + 1; all are whole, so the gammas are factorials.
    """
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, frames + symbols + 1)))])
    f, s, n = np.arange(1, frames + 1)[:, None], np.arange(symbols)[None], symbols - 1
    choose = factorial[n] - factorial[s] - factorial[n - s]
    b = frames + 1 - f
    top = factorial[s + f - 1] + factorial[n - s + b - 1] - factorial[n + frames]
    bottom = factorial[f - 1] + factorial[b - 1] - factorial[frames]
    return (choose + top - bottom).astype(np.float32)


class Aligner(nn.Module):
    """ids [B, S], mels [B, F, mels] → log-likelihood of each symbol at each frame [B, F, S] (before the prior)."""

    def __init__(self, mels: int, channels: int = 64) -> None:
        super().__init__()
        self.symbols = nn.Embedding(len(SYMBOLS), channels)
        # Kernel 1: with its neighbours in view, a small corpus is memorised.
        self.text = nn.Conv1d(channels, channels, 1)
        self.sound = nn.Sequential(nn.Conv1d(mels, channels, 3, padding=1), nn.ReLU(), nn.Conv1d(channels, channels, 1))
        self.sharpness = nn.Parameter(torch.tensor(3.0))

    def forward(self, ids: Tensor, mels: Tensor, symbols: Tensor) -> Tensor:
        """`symbols` [B, S] is False on padding."""
        text = self.text(self.symbols(ids).transpose(1, 2)).transpose(1, 2)
        sound = self.sound(mels.transpose(1, 2)).transpose(1, 2)
        distance = (sound**2).sum(-1)[:, :, None] + (text**2).sum(-1)[:, None] - 2 * sound @ text.transpose(1, 2)
        near = -torch.exp(self.sharpness) * distance / text.shape[-1]
        return F.log_softmax(near.masked_fill(~symbols[:, None], NOWHERE), -1)


@dataclass(frozen=True, slots=True)
class Spoken:
    """Training data of the aligner: symbol numbers [S] and a mel [F, mels], normalised by band on access.

    `raw` may be a memory-mapped file: a day of speech is not copied into memory.
    """

    ids: NDArray[np.int64]
    raw: NDArray[np.float32]
    mean: NDArray[np.float64] | float = 0.0
    scale: NDArray[np.float64] | float = 1.0

    @property
    def mel(self) -> NDArray[np.float32]:
        """In deviations from each band's mean."""
        return ((self.raw - self.mean) / self.scale).astype(np.float32)

    @property
    def frames(self) -> int:
        """F."""
        return len(self.raw)

    @property
    def skip(self) -> NDArray[np.bool_]:
        """Symbols that may have no frame: gaps, except the last one."""
        return np.isin(self.ids, SKIPPABLE) & (np.arange(len(self.ids)) < len(self.ids) - 1)


@dataclass(frozen=True, slots=True)
class Aligned:
    """Frames of each symbol [S], and the mean log-likelihood along the path."""

    durations: NDArray[np.int64]
    score: float


def learn(
    corpus: Sequence[Spoken],
    *,
    steps: int,
    batch: int = 8,
    seed: int = 1,
    report: Callable[[int, float], None] | None = None,
) -> Aligner:
    """Train an aligner on a corpus. Deterministic in `seed` on one machine's processor."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Aligner(corpus[0].raw.shape[1])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    order = np.random.default_rng(seed)
    for step in range(steps):
        rows = [corpus[i] for i in order.choice(len(corpus), min(batch, len(corpus)), replace=False)]
        loss = _loss(model, rows)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if report:
            report(step + 1, float(loss.detach()))
    return model


def _loss(model: Aligner, rows: Sequence[Spoken]) -> Tensor:
    lengths = [(r.frames, len(r.ids)) for r in rows]
    scores = _scores(model, rows)
    widest = max(s for _, s in lengths)
    skip = np.stack([np.pad(r.skip, (0, widest - len(r.skip))) for r in rows])
    sums = ForwardSum.apply(scores, skip, lengths)
    return (sums / torch.tensor([f for f, _ in lengths])).mean()


def _scores(model: Aligner, rows: Sequence[Spoken]) -> Tensor:
    """Log-likelihoods with the prior [B, F, S]."""
    widest, longest = max(len(r.ids) for r in rows), max(r.frames for r in rows)
    ids = torch.from_numpy(np.stack([np.pad(r.ids, (0, widest - len(r.ids))) for r in rows]))
    mels = torch.from_numpy(np.stack([np.pad(r.mel, ((0, longest - r.frames), (0, 0))) for r in rows]))
    real = torch.arange(widest)[None] < torch.tensor([len(r.ids) for r in rows])[:, None]
    priors = np.full((len(rows), longest, widest), NOWHERE, np.float32)
    for row, r in zip(priors, rows):
        row[: r.frames, : len(r.ids)] = prior(r.frames, len(r.ids))
    return model(ids, mels, real) + torch.from_numpy(priors)


def align(model: Aligner, spoken: Spoken) -> Aligned:
    """The best path through one recording. Raises InputError when it is too short for its symbols."""
    with torch.no_grad():
        scores = _scores(model, [spoken])[0].numpy()
    durations = search(scores, spoken.skip)
    index = np.repeat(np.arange(len(durations)), durations)
    return Aligned(durations, float(scores[np.arange(len(scores)), index].mean()))
