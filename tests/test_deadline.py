"""A time limit ends speech between sentences and inside a graph, by one sentence; what was opened goes on working."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import open_voices
import pytest
import served

import portavoz
from portavoz.blocks.block import Block
from portavoz.deadline import Deadline, check, current, time_limit
from portavoz.errors import DeadlineError, InputError
from portavoz.graph import openvino
from portavoz.ops.base import Ops
from portavoz.voice import Voice
from portavoz.weights.cursor import Weights

pytestmark = pytest.mark.usefixtures("own_cache")
LIMIT = 0.2  # seconds; the slow graph takes some ten
LATE = 3.0  # by when it has to be over, on a busy machine too


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = open_voices.kokoro(tmp_path_factory.mktemp("slow"))
    open_voices.slowed(folder / "kokoro-v1.0.onnx")
    return folder


@pytest.fixture(scope="module")
def voice(folder: Path) -> Voice:
    voice = portavoz.load(folder)
    assert voice.model.session.takes  # opens the graph
    return voice


@contextlib.contextmanager
def refused() -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(DeadlineError, match=r"not finished after 0\.2 seconds; give more time"):
        yield
    assert time.monotonic() - began < LATE


def test_a_graph_that_takes_too_long_is_stopped_inside(voice: Voice) -> None:
    with refused(), time_limit(LIMIT):
        voice.speak("Hello.")
    assert current() is None


def test_a_graph_that_was_stopped_speaks_again(tmp_path: Path) -> None:
    graph = open_voices.piper(tmp_path)
    before = portavoz.load(graph).speak("Hello.").samples
    slow = portavoz.load(open_voices.slowed(open_voices.piper(tmp_path / "slow"), 40_000))
    deadline = Deadline()
    threading.Timer(0.05, deadline.stop, ["enough"]).start()
    with pytest.raises(DeadlineError, match="enough"), deadline.active():
        slow.speak("Hello. " * 1000)
    with portavoz.time_limit(60):
        np.testing.assert_array_equal(slow.speak("Hello.").samples, before)


def test_between_two_sentences(tmp_path: Path) -> None:
    pieces = portavoz.load(open_voices.piper(tmp_path)).stream("One. Two. Three.")
    with refused(), time_limit(LIMIT):
        assert len(next(pieces).samples)
        time.sleep(2 * LIMIT)
        next(pieces)


def test_openvino_is_stopped_inside_too(tmp_path: Path) -> None:
    g, x, size = open_voices.Builder(), "x", 512
    for _ in range(600):  # some seconds
        x = g("MatMul", x, g.weights[0].name if g.weights else g.weight(size, size))
    path = g.save(tmp_path / "long.onnx", [open_voices.value("x", 1, size, size)], x, "y", 2)
    openvino.convert(path, tmp_path, int8=False)
    session, given = openvino.Session(tmp_path / "model.xml"), np.eye(size, dtype=np.float32)
    bound = session.bind({"x": given}, {"y": np.empty_like(given)})
    with refused(), time_limit(LIMIT):
        bound()
    with refused(), time_limit(LIMIT):
        session.run(x=given)


def test_an_eager_model_is_stopped_between_two_blocks() -> None:
    class Part(Block):
        def __call__(self) -> None:
            time.sleep(0.01)

    part = Part(Weights({}, Ops()))
    with refused(), time_limit(LIMIT):
        for _ in range(1000):
            part()


def test_the_limit_around_another_holds_inside_it(voice: Voice) -> None:
    with refused(), time_limit(LIMIT), time_limit(50):
        voice.speak("Hello.")
    with refused(), time_limit(50), time_limit(LIMIT):
        voice.speak("Hello.")


def test_a_request_over_its_time_frees_its_slot(voice: Voice) -> None:
    with served.in_thread(lambda source: voice, preload=False, request_timeout=LIMIT, slots=1) as server:
        began = time.monotonic()
        for _ in range(2):
            said = {"model": "fake", "voice": "default", "input": "Hello."}
            answer = httpx.post(f"{server.url}/v1/audio/speech", json=said, timeout=60)
            assert answer.status_code == 503 and answer.json()["error"]["code"] == "timeout"
        assert time.monotonic() - began < LATE


def test_errors_of_the_work_itself_stay_what_they_are() -> None:
    deadline = Deadline()
    with pytest.raises(ZeroDivisionError), deadline.active(), deadline.interrupting(lambda: None):
        _ = 1 / 0
    deadline.stop("late")
    deadline.stop("later")
    check()  # this thread's work has none
    with pytest.raises(DeadlineError, match=r"^late$"), deadline.active():
        check()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "5"])
def test_limits_that_are_none(seconds: Any) -> None:
    with pytest.raises(InputError, match=r"time limit is .*: give seconds above 0"), time_limit(seconds):
        pass
