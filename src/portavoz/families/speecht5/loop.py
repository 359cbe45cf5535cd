"""The loop of SpeechT5, written once: it does not know what runs its stages (see stages.py).

One step makes r = `reduction_factor` frames; the last of them, before the post-net, is what the next step hears.
Rows of a batch have lengths, masks and ends of their own, and each comes out as if it had been said alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...blocks.durations import pad_rows
from ...errors import BackendError, InputError
from ...flow import Mel, Noise
from ...ops.tap import tap
from . import validation
from .config import SpeechT5Config
from .pipelining import ordered_map, workers
from .stages import AttentionStages, Eager, Stages, eager
from .streaming import AudioChunk, Sound, Utterance, finite, shared
from .validation import StoppingCriteria
from .vocoder import EARLY, STRIDE, Edges

Floats = NDArray[np.floating[Any]]  # float32; float64 where a noise floor is measured

__all__ = ["AttentionStages", "Eager", "Generated", "SpeechT5", "Stages", "StoppingCriteria", "Utterance", "eager"]


# Frames for a symbol: speech has four or five; below this the model stopped before it said the text.
FEWEST = 0.5


@dataclass(frozen=True, slots=True)
class Generated:
    """One utterance: its mel [1, F, mels], its wave [F · hop], the stop probabilities [steps, r] that ended it.

    `before` [F, mels] is the mel in front of the post-net, `alignment` [layers, heads, steps, S] the cross-attention
    weights where they were asked for. `warnings` are sentences for the listener.
    """

    mel: Mel
    wave: Floats
    stops: Floats
    before: Floats
    alignment: Floats | None = None
    warnings: tuple[str, ...] = ()


class Step(NamedTuple):
    """What one step gave a row: frames [r, mels], stops [r], weights [layers, heads, S] or None; was it the last?"""

    row: int
    frames: Floats
    stops: Floats
    weights: Floats | None
    last: bool
    warnings: tuple[str, ...]


class Decoded(NamedTuple):
    """Step `number` (from 1) of all rows: frames [B, r, mels], stops [B, r], weights [B, layers, heads, S] or None."""

    number: int
    frames: Floats
    stops: Floats
    weights: Floats | None


def decode(
    stages: Stages,
    state: Any,
    masks: Callable[[int, Sequence[int]], Floats],
    steps: int,
    c: SpeechT5Config,
    *,
    rows: int = 0,
    attention: bool = False,
) -> Generator[Decoded, Sequence[int] | None, None]:
    """THE decoding loop: step after step of a batch of `rows`, each hearing the last frame of the step before.

    `state` is what `encode` gave; masks(step, rows) are the pre-net's multipliers [layers, rows, units]. What `send` is
    given are the rows that go on, by their positions in this step; a plain `next` keeps all of them. Frames and stops
    are named values (ops.tap), so an observer may replace them. Raises BackendError when the stages keep no weights.
    """
    if attention and not isinstance(stages, AttentionStages):
        raise BackendError("this runtime keeps no attention weights: use the runtime 'eager' to look at them")
    here, frame = list(range(rows)), np.zeros((rows, 1, c.num_mel_bins), np.float32)
    for number in range(1, steps + 1):
        kept, weights = masks(number - 1, here), None
        if attention and isinstance(stages, AttentionStages):
            frames, stops, state, weights = stages.step_with_attention(frame, state, kept)
        else:
            frames, stops, state = stages.step(frame, state, kept)
        frames, stops = tap("frames", frames), tap("stops", stops)
        stay = yield Decoded(number, frames, stops, weights)
        frame = frames[:, -1:]
        if stay is not None and len(stay) < len(here):
            state, frame = stages.select(state, np.array(stay, np.int64)), frame[list(stay)]
            here = [here[i] for i in stay]


class Row(NamedTuple):
    """What one row of a batch is said from, and in how many steps."""

    ids: NDArray[np.int64]
    speaker: Floats
    masks: Floats
    least: int
    most: int


class SpeechT5:
    """ids → mel → wave on whatever runs the stages. Holds no state: many threads may call it.

    `workers`: threads that make sound of what has been said while the loop goes on (a row has one at most); the sound
    is the same.
    """

    def __init__(self, stages: Stages, c: SpeechT5Config, *, workers: int = 0) -> None:
        self.stages, self.c, self.workers, self.rate = stages, c, workers, c.sampling_rate

    def masks(self, seed: int, steps: int) -> Floats:
        """What the pre-net keeps over the steps of one utterance: multipliers [layers, steps, units]."""
        p, noise, shape = self.c.speech_decoder_prenet_dropout, Noise(seed), (steps, self.c.speech_decoder_prenet_units)
        kept = [noise.keep(f"prenet.{i}", shape, p) > 0 for i in range(self.c.speech_decoder_prenet_layers)]
        return (np.stack(kept) / (1 - p)).astype(np.float32)

    def generate(
        self,
        ids: Sequence[Any],
        speakers: Any,
        *,
        seed: int = 0,
        masks: Sequence[Any] | None = None,
        stop: StoppingCriteria | None = None,
        attention: bool = False,
    ) -> list[Generated]:
        """Say rows of ids (with "▁" and eos) together.

        speakers: one embedding [X] for all, or one for each row [B, X]. masks: for each row what the pre-net keeps,
        [layers, steps, units] (None: drawn from `seed`, the same for every row). attention: keep the cross-attention
        weights. Raises InputError for what cannot be said, WeightError when numbers are not finite, BackendError
        when the stages keep no weights.
        """
        stop = stop or StoppingCriteria()
        steps: list[list[Step]] = [[] for _ in ids]
        done: dict[int, Future[Generated]] = {}
        with workers(self.workers) as worker:
            for step in self.steps(self._rows(ids, speakers, seed, masks, stop), stop, attention=attention):
                steps[step.row].append(step)
                if step.last:
                    done[step.row] = worker.submit(self._finish, steps[step.row])
            return [done[row].result() for row in range(len(steps))]

    def synthesize(
        self, ids: Any, speaker: Any, *, seed: int = 0, masks: Any = None, stop: StoppingCriteria | None = None
    ) -> Utterance:
        """One row of ids, said piece after piece while the loop goes on; see `generate`.

        What is given is checked here; the work is done when the first piece of sound is asked for. The stages behind
        the loop run on windows with fixed ends, so the sound is the same, bit for bit, however it is pulled.
        """
        return self.synthesize_batch([ids], speaker, seed=seed, masks=None if masks is None else [masks], stop=stop)[0]

    def synthesize_batch(
        self,
        ids: Sequence[Any],
        speakers: Any,
        *,
        seed: int | Sequence[int] = 0,
        masks: Sequence[Any] | None = None,
        stop: StoppingCriteria | None = None,
    ) -> list[Utterance]:
        """Rows of ids, said together and heard one by one: each is what `synthesize` makes of it alone, to rounding.

        seed: one for all rows, or one for each.
        """
        stop = stop or StoppingCriteria()
        rows = self._rows(ids, speakers, seed, masks, stop)
        return shared(self._heard(rows, stop), len(rows))

    def _heard(self, rows: list[Row], stop: StoppingCriteria) -> Iterator[AudioChunk]:
        # Several rows are not for who waits for the first sound: windows without many neighbours; but a worker that
        # waits for half an utterance would be idle meanwhile.
        edges = EARLY if len(rows) == 1 else Edges((), STRIDE if self.workers else 4 * STRIDE)
        sounds = [Sound(self.stages, self.c, edges) for _ in rows]

        def work(step: Step) -> list[AudioChunk]:
            pieces = sounds[step.row].push(step.frames, final=step.last)
            return [AudioChunk(step.row, pieces, step.last, step.warnings)]

        # One more for several rows: when the loop is over, its core is free and sound is still to be made.
        count = min(self.workers + 1, len(rows)) if self.workers else 0
        with workers(count) as worker:
            yield from ordered_map(worker, work, self.steps(rows, stop), lane=lambda step: step.row)

    def _finish(self, steps: list[Step]) -> Generated:
        before = np.concatenate([step.frames for step in steps])
        mel = finite(tap("mel", self.stages.postnet(before[None])), "the mel")
        wave = finite(tap("wave", self.stages.vocode(mel)[0]), "the wave")
        weights = [step.weights for step in steps if step.weights is not None]
        return Generated(
            Mel(mel, self.c.mel),
            wave,
            np.stack([step.stops for step in steps]),
            before,
            np.stack(weights, 2) if weights else None,
            steps[-1].warnings,
        )

    def _rows(
        self, ids: Sequence[Any], speakers: Any, seed: int | Sequence[int], masks: Sequence[Any] | None,
        stop: StoppingCriteria,
    ) -> list[Row]:  # fmt: skip
        texts = [validation.text(row, self.c) for row in ids]
        if not texts:
            raise InputError("ids has no rows: give at least one")
        bounds = [stop.bounds(len(row), self.c) for row in texts]
        if masks is None:
            seeds = [seed] * len(texts) if isinstance(seed, int) else seed
            # A longer draw begins with the shorter one, so rows of one seed share it.
            drawn = {one: self.masks(one, max(most for _, most in bounds)) for one in dict.fromkeys(seeds)}
            masks = [drawn[one] for one in seeds]
        if len(masks) != len(texts):
            raise InputError(f"masks for {len(masks)} rows and {len(texts)} rows of ids: give one each")
        speakers = validation.voices(speakers, len(texts), self.c)
        kept = [validation.masks(mask, most, self.c) for mask, (_, most) in zip(masks, bounds)]
        return [Row(*parts) for parts in zip(texts, speakers, kept, *zip(*bounds))]

    def steps(self, rows: list[Row], stop: StoppingCriteria, *, attention: bool = False) -> Iterator[Step]:
        """The loop: every step of every row, in the order of the steps; a row that has ended leaves the batch."""
        ids = pad_rows([row.ids for row in rows], self.c.pad_token_id)
        speakers = np.stack([row.speaker for row in rows])
        most = max(row.most for row in rows)
        state = self.stages.encode(ids, ids != self.c.pad_token_id, speakers, most)

        def masks(step: int, here: Sequence[int]) -> Floats:
            return np.stack([rows[n].masks[:, step] for n in here], 1)

        decoding = decode(self.stages, state, masks, most, self.c, rows=len(rows), attention=attention)
        here, taken = list(range(len(rows))), next(decoding)
        while here:
            finite(taken.stops, "a stop probability")
            finite(taken.frames, "the mel")
            stay: list[int] = []
            for i, n in enumerate(here):
                last, warnings = self._ends(rows[n], taken.number, taken.stops[i], stop)
                seen = None if taken.weights is None else taken.weights[i, :, :, : len(rows[n].ids)]
                yield Step(n, taken.frames[i], taken.stops[i], seen, last, warnings)
                stay += [] if last else [i]
            here = [here[i] for i in stay]
            if here:
                taken = decoding.send(stay)

    def _ends(self, row: Row, step: int, stops: Floats, stop: StoppingCriteria) -> tuple[bool, tuple[str, ...]]:
        fired = bool(stops.sum() >= np.float32(stop.threshold))
        if step < row.least or not (fired or step >= row.most):
            return False, ()
        frames, symbols = step * self.c.reduction_factor, len(row.ids)
        seconds = frames * self.c.hop / self.rate
        if not fired:
            return True, (f"no stop token after {step} steps ({seconds:.1f} s): output truncated",)
        if frames < FEWEST * symbols:
            return True, (f"stop token at step {step} ({seconds:.2f} s) for {symbols} symbols: speech is missing",)
        return True, ()
