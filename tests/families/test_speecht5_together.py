"""Sentences said together: each as it is said alone, heard in any order, while the loop goes on for all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from portavoz import ops
from portavoz.errors import WeightError
from portavoz.families.speecht5.config import TINY as C
from portavoz.families.speecht5.loop import SpeechT5, StoppingCriteria
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.families.speecht5.stages import Eager, eager

STOP = StoppingCriteria(threshold=9, maxlenratio=10)
ROWS = [np.arange(n) % 30 + 4 for n in (21, 4, 33, 12)]
SPEAKER = np.random.default_rng(0).standard_normal(C.speaker_embedding_dim).astype(np.float32)


def opened(back: str = "torch") -> Eager:
    return eager(*Reference.fresh(C, 2).tensors(), C, ops.open(back))


class Watching:
    """Stages that note the rows of each step."""

    def __init__(self, stages: Eager) -> None:
        self.stages, self.rows = stages, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stages, name)

    def step(self, frame: np.ndarray, state: Any, masks: np.ndarray) -> Any:
        self.rows.append(len(frame))
        return self.stages.step(frame, state, masks)


@pytest.fixture(scope="module")
def stages() -> Eager:
    return opened()


def near(ours: np.ndarray, wanted: np.ndarray) -> bool:
    return ours.shape == wanted.shape and np.linalg.norm(ours - wanted) <= 1e-4 * np.linalg.norm(wanted)


def alone(model: SpeechT5, row: int, **more: Any) -> np.ndarray:
    return np.concatenate(list(model.synthesize(ROWS[row], SPEAKER, stop=STOP, **more).waves))


@pytest.mark.parametrize(
    ("back", "workers"),
    [("torch", 0), ("torch", 3), pytest.param("torch", 1, marks=pytest.mark.slow)]
    + [pytest.param("numpy", workers, marks=pytest.mark.slow) for workers in (0, 1, 3)],
)
def test_each_is_what_it_is_alone_in_whatever_order_they_are_heard(back: str, workers: int) -> None:
    model = SpeechT5(opened(back), C, workers=workers)
    said = model.synthesize_batch(ROWS, SPEAKER, seed=5, stop=STOP)
    for row in (2, 0, 3, 1):
        wave = np.concatenate(list(said[row].waves))
        assert len(wave) == len(ROWS[row]) * 10 // C.reduction_factor * C.reduction_factor * C.hop
        assert near(wave, alone(model, row, seed=5))


def test_who_stops_by_himself_leaves_and_the_others_go_on(stages: Eager) -> None:
    """With the model's own decisions; and a row that is cut off says so, in its own warnings."""
    stop = StoppingCriteria(threshold=1.2, maxlenratio=10)
    watching = Watching(stages)
    said = SpeechT5(watching, C).synthesize_batch(ROWS, SPEAKER, stop=stop)
    waves = [np.concatenate(list(utterance.waves)) for utterance in said]
    for row, wave, utterance in zip(ROWS, waves, said):
        single = SpeechT5(stages, C).synthesize(row, SPEAKER, stop=stop)
        assert near(wave, np.concatenate(list(single.waves)))
        assert utterance.warnings == single.warnings
    assert watching.rows == sorted(watching.rows, reverse=True)
    assert (watching.rows[0], watching.rows[-1]) == (4, 1)


def test_one_row_is_bit_for_bit_itself(stages: Eager) -> None:
    model = SpeechT5(stages, C)
    (said,) = model.synthesize_batch(ROWS[:1], SPEAKER, stop=STOP)
    assert np.array_equal(np.concatenate(list(said.waves)), alone(model, 0))


def test_nothing_is_done_before_it_is_asked_for_and_a_row_is_heard_while_others_go_on(stages: Eager) -> None:
    watching = Watching(stages)
    said = SpeechT5(watching, C).synthesize_batch(ROWS, SPEAKER, stop=STOP)
    assert not watching.rows
    next(said[1].waves)
    assert len(watching.rows) == len(ROWS[1]) * 5


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_is_heard_once_and_ends_all_of_them(workers: int) -> None:
    class Broken(Watching):
        def vocode_window(self, mel: np.ndarray, before: int, after: int) -> np.ndarray:
            return np.full((1, (mel.shape[1] - before - after) * C.hop), np.nan, np.float32)

    said = SpeechT5(Broken(opened()), C, workers=workers).synthesize_batch(ROWS, SPEAKER, stop=STOP)
    with pytest.raises(WeightError, match="the wave has NaN"):
        list(said[1].waves)
    assert list(said[0].waves) == []
