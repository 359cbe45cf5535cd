"""Sound made beside the loop is the sound made within it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from portavoz import ops
from portavoz.errors import WeightError
from portavoz.families.speecht5.config import TINY as C
from portavoz.families.speecht5.loop import SpeechT5, StoppingCriteria
from portavoz.families.speecht5.pipelining import ordered_map, workers
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.families.speecht5.stages import eager

STOP = StoppingCriteria(threshold=9, maxlenratio=10)


@pytest.fixture(scope="module")
def stages():
    return eager(*Reference.fresh(C, 2).tensors(), C, ops.open("torch"))


def said(model: SpeechT5, n: int) -> list[np.ndarray]:
    ids = np.arange(n) % 30 + 4
    return list(model.synthesize(ids, np.ones(C.speaker_embedding_dim, np.float32), stop=STOP).waves)


@pytest.mark.parametrize("n", [2, 20, 60])
def test_the_same_sound_in_the_same_pieces(stages, n: int) -> None:
    here, beside = (said(SpeechT5(stages, C, workers=count), n) for count in (0, 1))
    assert len(here) == len(beside)
    assert all(np.array_equal(a, b) for a, b in zip(here, beside))


def test_the_same_rows(stages) -> None:
    ids, speaker = [np.arange(n) % 30 + 4 for n in (5, 17, 9)], np.ones(C.speaker_embedding_dim, np.float32)
    here, beside = (SpeechT5(stages, C, workers=count).generate(ids, speaker, stop=STOP) for count in (0, 2))
    for a, b in zip(here, beside):
        assert np.array_equal(a.wave, b.wave)
        assert np.array_equal(a.before, b.before)


def test_the_next_is_fetched_while_the_last_is_worked_on() -> None:
    """The work on the first thing waits for the second to be fetched: without a worker this could not end."""
    fetched = threading.Event()

    def things():
        yield 1
        fetched.set()
        yield 2

    def work(thing: int) -> list[int]:
        assert fetched.wait(timeout=20)
        return [thing]

    with workers(1) as worker:
        assert list(ordered_map(worker, work, things())) == [1, 2]


def test_a_lane_is_in_order_and_lanes_are_beside_each_other() -> None:
    """Two lanes wait for each other to have begun: one thread could not do it; within a lane nothing overtakes."""
    begun, done = [threading.Event(), threading.Event()], []

    def work(thing: tuple[int, int]) -> list[tuple[int, int]]:
        lane, number = thing
        begun[lane].set()
        assert begun[1 - lane].wait(timeout=20)
        if number == 0:
            time.sleep(0.05)  # the next of this lane is handed over meanwhile
        done.append(thing)
        return [thing]

    things = [(lane, number) for number in range(4) for lane in (0, 1)]
    with workers(2) as worker:
        assert list(ordered_map(worker, work, things, lane=lambda thing: thing[0])) == things
    for lane in (0, 1):
        assert [thing for thing in done if thing[0] == lane] == [(lane, number) for number in range(4)]


def test_nothing_is_fetched_ahead_of_who_listens(stages) -> None:
    asked = []

    def things():
        for i in range(9):
            asked.append(i)
            yield i

    with workers(0) as worker:
        made = ordered_map(worker, lambda i: [i], things())
        assert next(made) == 0
        assert asked == [0]


@pytest.mark.parametrize("count", [0, 1])
def test_a_fault_beside_the_loop_is_heard(count: int) -> None:
    class Broken:
        def __getattr__(self, name: str):
            return getattr(good, name)

        def vocode_window(self, mel: np.ndarray, before: int, after: int) -> np.ndarray:
            return np.full((1, (mel.shape[1] - before - after) * C.hop), np.nan, np.float32)

    good = eager(*Reference.fresh(C, 2).tensors(), C, ops.open("torch"))
    with pytest.raises(WeightError, match="wave"):
        said(SpeechT5(Broken(), C, workers=count), 20)
