"""Slots, the queue, clients that leave, deadlines; and that requests side by side do not touch each other."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import fake_voice
import httpx
import pytest
import served

from portavoz.audio.files import to_pcm16
from portavoz.serve.admission import Admission
from portavoz.serve.problems import Problem

SAID = {"model": "fake", "voice": "ann", "input": "Some words that take a while.", "response_format": "pcm"}


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + served.PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def model() -> fake_voice.FakeModel:
    return fake_voice.FakeModel()


@pytest.fixture
def server(model: fake_voice.FakeModel) -> Iterator[served.Served]:
    with served.in_thread(lambda source: fake_voice.fake(model, source), slots=2, queue=2, preload=False) as running:
        yield running


def admission(server: served.Served) -> Admission:
    assert server.app is not None
    return server.app.state.service.admission


def test_slots_pass_to_those_who_wait_in_their_order() -> None:
    async def play() -> list[int]:
        gate, order = Admission(1, 3, patience=5), []

        async def one(number: int) -> None:
            async with gate.slot():
                order.append(number)
                await asyncio.sleep(0)

        async with gate.slot():
            tasks = [asyncio.create_task(one(n)) for n in range(3)]
            await asyncio.sleep(0)
            assert (gate.running, gate.waiting) == (1, 3)
            with pytest.raises(Problem) as caught:
                async with gate.slot():
                    pass
            assert caught.value.status == 429
            tasks[1].cancel()
            await asyncio.wait([tasks[1]])
            assert gate.waiting == 2
        await asyncio.gather(tasks[0], tasks[2])
        assert (gate.running, gate.waiting) == (0, 0)
        return order

    assert asyncio.run(play()) == [0, 2]


def test_nobody_waits_longer_than_the_patience() -> None:
    async def play() -> None:
        gate = Admission(1, 3, patience=0.01)
        async with gate.slot():
            with pytest.raises(Problem) as caught:
                async with gate.slot():
                    pass
        assert (caught.value.status, caught.value.code) == (429, "queue_timeout")
        assert (gate.running, gate.waiting) == (0, 0)

    asyncio.run(play())


def test_slots_are_never_lost_or_doubled_whatever_happens_when() -> None:
    """A random mix of ends, cancellations and timeouts: never more than `slots` run, and at the end all are free."""

    async def play(seed: int) -> None:
        draw, gate = random.Random(seed), Admission(3, 50, patience=0.004)
        inside, most = 0, 0

        async def one() -> None:
            nonlocal inside, most
            async with gate.slot():
                inside += 1
                most = max(most, inside)
                try:
                    await asyncio.sleep(draw.random() * 0.003)
                finally:
                    inside -= 1

        tasks = [asyncio.create_task(one()) for _ in range(50)]
        for task in draw.sample(tasks, 20):
            await asyncio.sleep(draw.random() * 0.0005)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (gate.running, gate.waiting, inside) == (0, 0, 0)
        assert 1 <= most <= 3

    for seed in range(20):
        asyncio.run(play(seed))


def test_beyond_the_queue_the_answer_is_429_with_a_time(server: served.Served, model: fake_voice.FakeModel) -> None:
    model.gate = threading.Event()
    url = f"{server.url}/v1/audio/speech"
    with ThreadPoolExecutor(4) as pool, httpx.Client(timeout=60) as client:
        taken = [pool.submit(client.post, url, json=SAID) for _ in range(4)]
        until(lambda: (admission(server).running, admission(server).waiting) == (2, 2))
        answer = client.post(url, json=SAID)
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert int(answer.headers["retry-after"]) >= 1
        assert int(answer.headers["retry-after-ms"]) >= 1
        assert client.get(f"{server.url}/health").status_code == 200
        model.gate.set()
        assert {future.result().status_code for future in taken} == {200}
    until(lambda: admission(server).running == 0)


@pytest.mark.parametrize("body", [{}, {"stream": False}, {"stream_format": "sse"}], ids=["stream", "whole", "sse"])
def test_a_client_that_leaves_frees_its_slot_within_a_piece(
    server: served.Served, model: fake_voice.FakeModel, body: dict[str, object]
) -> None:
    """The text is an hour of sound; after the client has left, not one more piece of it is computed."""
    model.character, model.delay = 1.0, 0.02
    said = {**SAID, **body, "input": "a " * 2000}
    data = json.dumps(said).encode()
    head = ["POST /v1/audio/speech HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    head.append(f"Content-Length: {len(data)}\r\n\r\n")
    sock = socket.create_connection(("127.0.0.1", server.port))
    sock.sendall("\r\n".join(head).encode() + data)
    until(lambda: model.steps > 3)
    sock.close()
    until(lambda: admission(server).running == 0)
    steps = model.steps
    assert model.open == 0
    time.sleep(0.1)
    assert model.steps == steps


def test_one_who_leaves_the_queue_is_not_served(server: served.Served, model: fake_voice.FakeModel) -> None:
    model.gate = threading.Event()
    url = f"{server.url}/v1/audio/speech"
    with ThreadPoolExecutor(2) as pool, httpx.Client(timeout=60) as client:
        taken = [pool.submit(client.post, url, json=SAID) for _ in range(2)]
        until(lambda: admission(server).running == 2)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json=SAID, timeout=0.3)
        until(lambda: admission(server).waiting == 0)
        model.gate.set()
        assert {future.result().status_code for future in taken} == {200}


def test_a_request_has_a_deadline() -> None:
    model = fake_voice.FakeModel(character=1.0, delay=0.02)
    settings = {"request_timeout": 0.3, "preload": False}
    with served.in_thread(lambda source: fake_voice.fake(model, source), **settings) as server:
        answer = httpx.post(f"{server.url}/v1/audio/speech", json={**SAID, "stream": False, "input": "a " * 2000})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "timeout")
        until(lambda: admission(server).running == 0 and model.open == 0)


def test_requests_side_by_side_are_each_as_when_alone() -> None:
    """300 requests, 24 at a time, of 12 kinds: every body equals that of the same request alone."""
    texts, voices, seeds = ("One.", "Two and three.", "A longer text than those."), ("ann", "bob"), (0, 7)
    kinds = list(itertools.product(texts, voices, seeds))
    alone = {
        kind: to_pcm16(fake_voice.fake().speak(kind[0], speaker=kind[1], seed=kind[2]).samples).tobytes()
        for kind in kinds
    }
    draw = random.Random(1)
    with (
        served.in_thread(lambda source: fake_voice.fake(), slots=8, queue=300) as server,
        ThreadPoolExecutor(24) as pool,
        httpx.Client(timeout=60) as client,
    ):

        def ask(kind: tuple[str, str, int]) -> bool:
            text, voice, seed = kind
            body = {**SAID, "input": text, "voice": voice, "seed": seed}
            return client.post(f"{server.url}/v1/audio/speech", json=body).content == alone[kind]

        assert all(pool.map(ask, [draw.choice(kinds) for _ in range(300)]))


def test_a_client_that_takes_no_bytes_is_let_go() -> None:
    """It keeps its connection open, and never reads: its slot is free after `stall_timeout`."""
    model = fake_voice.FakeModel(character=1.0)
    settings = {"stall_timeout": 0.5, "preload": False}
    with served.in_thread(lambda source: fake_voice.fake(model, source), **settings) as server:
        data = json.dumps({**SAID, "input": "a " * 2000}).encode()
        head = ["POST /v1/audio/speech HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        head.append(f"Content-Length: {len(data)}\r\n\r\n")
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", server.port))
            sock.sendall("\r\n".join(head).encode() + data)
            until(lambda: model.steps > 3)
            until(lambda: admission(server).running == 0 and model.open == 0)
