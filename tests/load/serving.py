"""Lines of the load test that need a server process: streams, overload, parallel, disconnects, drain."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import served
from client import FRAME, Watch, expected, health, percentiles, ready, running, said, speech

ERRORS = (OSError, asyncio.IncompleteReadError, ValueError)


class Late:
    """Seconds after its time that each frame was there, and the part of them that the client itself was late.

    A client of 256 streams is woken late as well on a busy machine, and its own garbage collection was a fifth of a
    second: what it has not asked for yet, no server can bring in time.
    """

    def __init__(self) -> None:
        self.all, self.own = list[float](), list[float]()

    def add(self, due: float, woke: float, now: float) -> None:
        """A frame that was due, the client's looking for it, and its coming."""
        self.all.append(max(0.0, now - due))
        self.own.append(max(0.0, woke - due))

    def figures(self) -> dict[str, float]:
        waited = [all_ - own for all_, own in zip(self.all, self.own)]
        return {**percentiles(self.all, "late"), **percentiles(waited, "of it waiting for the server"),
                **percentiles(self.own, "the client's own")}  # fmt: skip


async def _stream(port: int, body: dict[str, Any], wanted: bytes, until: float, late: Late) -> tuple[int, int]:
    """Read one stream as fast as it sounds, over and over; (frames, wrong frames)."""
    frames = wrong = 0
    while time.monotonic() < until:
        async with speech(port, body) as answer:
            assert answer.status == 200
            rest, at, began, woke = b"", 0, None, 0.0
            async for chunk in answer.chunks():
                rest += chunk
                while len(rest) >= FRAME:
                    now = time.monotonic()
                    began = began or now
                    due = began + at / FRAME * 0.2
                    late.add(due, max(woke, due), now)
                    frames += 1
                    wrong += rest[:FRAME] != wanted[at : at + FRAME]
                    rest, at = rest[FRAME:], at + FRAME
                    await asyncio.sleep(max(0.0, due + 0.2 - now))
                    woke = time.monotonic()
                if time.monotonic() > until:
                    return frames, wrong
            wrong += rest != wanted[at:]
    return frames, wrong


@contextlib.contextmanager
def _measuring() -> Iterator[None]:
    """No garbage collection in this process meanwhile: it would be measured."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def streams(short: bool) -> dict[str, Any]:
    """256 streams at once, read as fast as they sound, for ten minutes."""
    count, seconds, settle = (24, 2.0, 1.0) if short else (256, 600.0, 60.0)
    texts = [f"stream {kind} " + "a" * round((seconds + 30) / 0.2) for kind in range(4)]
    wanted = _long(texts)

    async def play(server: served.Process) -> dict[str, Any]:
        await ready(server.port)
        watch, late, times, stop = Watch(server.process.pid), Late(), list[float](), asyncio.Event()
        until = time.monotonic() + seconds
        poll = asyncio.create_task(health(server.port, times, stop))
        tasks = [
            asyncio.create_task(_stream(server.port, said(texts[n % 4]), wanted[n % 4], until, late))
            for n in range(count)
        ]
        await asyncio.sleep(settle)
        before = watch.resident
        found = await asyncio.gather(*tasks)
        after = watch.resident
        stop.set()
        await poll
        growth = 100 * (after - before) / before
        frames = sum(frames for frames, _ in found)
        return {
            "streams": count,
            "seconds": seconds,
            "frames": frames,
            "of real time %": round(100 * frames / (count * seconds / 0.2), 1),
            "wrong": sum(wrong for _, wrong in found),
            **late.figures(),
            **percentiles(times, "health"),
            "memory growth %": round(growth, 2),
        }

    environment = {"FAKE_CHARACTER": "0.2"}
    options = ("--slots", str(count), "--queue", "0", "--request-timeout", "3600")
    with served.Process(*options, **environment) as server, _measuring():
        found = asyncio.run(play(server))
    assert found["wrong"] == 0
    assert found["frames"] > count
    found["goals"] = {"late p99 < 100 ms": found["late p99 ms"] < 100, "memory < 5 %": found["memory growth %"] < 5}
    return found


def _long(texts: list[str]) -> list[bytes]:
    from fake_voice import FakeModel, fake

    from portavoz.audio.files import to_pcm16

    voice = fake(FakeModel(character=0.2))
    return [to_pcm16(voice.speak(t, speaker="ann", markup="plain").samples).tobytes() for t in texts]


def overload(short: bool) -> dict[str, Any]:
    """1,000 connections offered to 256 slots: 256 are served, the rest are told 429 at once."""
    count, slots, spread = (80, 20, 0.5) if short else (1000, 256, 10.0)
    text = "overload " + "a" * (2 if short else 70)
    wanted = _long([text])[0]

    async def one(port: int, number: int, times: list[float]) -> str:
        await asyncio.sleep(spread * number / count)
        began = time.monotonic()
        async with speech(port, said(text)) as answer:
            if answer.status == 429:
                error = await answer.body()
                times.append(time.monotonic() - began)
                return "refused" if b"rate_limit_error" in error and int(answer.headers["retry-after"]) else "wrong"
            data = b""
            async for chunk in answer.chunks():
                data += chunk
                await asyncio.sleep(len(chunk) / FRAME * 0.2)
            return "served" if data == wanted else "wrong"

    async def play(server: served.Process) -> dict[str, Any]:
        await ready(server.port)
        times, polled, stop = list[float](), list[float](), asyncio.Event()
        poll = asyncio.create_task(health(server.port, polled, stop))
        ends = await asyncio.gather(*(one(server.port, n, times) for n in range(count)))
        stop.set()
        await poll
        counts = {end: ends.count(end) for end in ("served", "refused", "wrong")}
        return {
            "offered": count,
            "slots": slots,
            **counts,
            **percentiles(times, "429"),
            **percentiles(polled, "health"),
        }

    environment = {"FAKE_CHARACTER": "0.2", "FAKE_DELAY": "0.0"}
    with served.Process("--slots", str(slots), "--queue", "0", **environment) as server:
        found = asyncio.run(play(server))
    assert found["wrong"] == 0
    assert found["served"] >= slots
    assert found["served"] + found["refused"] == count
    found["goals"] = {"429 < 100 ms": found["429 max ms"] < 100, "health < 100 ms": found["health max ms"] < 100}
    return found


def parallel(short: bool) -> dict[str, Any]:
    """10,000 requests, 64 at once, of 64 kinds: each body is that of the same request alone."""
    count = 128 if short else 10_000
    texts = [f"Text number {n} of those." for n in range(8)]
    kinds = list(itertools.product(texts, ("ann", "bob"), (1.0, 1.5), (0, 9)))
    wanted = [expected(t, speaker=v, speed=s, seed=n) for t, v, s, n in kinds]

    async def play(server: served.Process) -> dict[str, Any]:
        await ready(server.port)
        draw, left, wrong = random.Random(1), iter(range(count)), 0

        async def worker() -> None:
            nonlocal wrong
            for _ in left:
                at = draw.randrange(len(kinds))
                text, voice, speed, seed = kinds[at]
                stream = draw.random() < 0.5
                async with speech(
                    server.port, said(text, voice=voice, speed=speed, seed=seed, stream=stream)
                ) as answer:
                    wrong += answer.status != 200 or await answer.body() != wanted[at]

        began = time.monotonic()
        await asyncio.gather(*(worker() for _ in range(64)))
        return {"requests": count, "kinds": len(kinds), "wrong": wrong,
                "requests a second": round(count / (time.monotonic() - began), 1)}  # fmt: skip

    with served.Process("--slots", "64", "--queue", "64") as server:
        found = asyncio.run(play(server))
    assert found["wrong"] == 0
    return found


def disconnects(short: bool) -> dict[str, Any]:
    """1,000 clients that leave at a random time: slots, threads, files and temporary folders are as before."""
    count = 30 if short else 1000
    text = "disconnect " + "a" * 200

    async def one(port: int, draw: random.Random) -> str:
        when, body = draw.choice(("before", "middle", "end")), said(text, stream=draw.random() < 0.7)
        try:
            if when == "before":
                await asyncio.wait_for(_impatient(port, body, draw.random() * 0.05), 60)
                return when
            async with speech(port, body) as answer:
                async for _ in answer.chunks():
                    if when == "middle" and draw.random() < 0.2:
                        return when
        except ERRORS:
            return "broken"
        return when

    async def settled(server: served.Process, watch: Watch, base: tuple[int, int]) -> tuple[int, int, int]:
        end = time.monotonic() + 30
        while True:
            found = (await running(server.port), watch.threads, watch.files)
            if (found[0] == 0 and found[1] <= base[0] and found[2] <= base[1] + 1) or time.monotonic() > end:
                return found
            await asyncio.sleep(0.1)

    async def play(server: served.Process, folder: Path) -> dict[str, Any]:
        await ready(server.port)
        draw, watch = random.Random(3), Watch(server.process.pid)
        gate = asyncio.Semaphore(16)

        async def gated() -> str:
            async with gate:
                return await one(server.port, draw)

        await asyncio.gather(*(gated() for _ in range(20)))  # pools have their threads now
        await asyncio.sleep(0.5)
        base = (watch.threads, watch.files)
        ends = await asyncio.gather(*(gated() for _ in range(count)))
        slots, threads, files = await settled(server, watch, base)
        return {
            "clients": count, **{end: ends.count(end) for end in sorted(set(ends))}, "slots taken": slots,
            "threads": f"{base[0]} -> {threads}", "files": f"{base[1]} -> {files}",
            "temporary": len(list(folder.iterdir())), "ok": slots == 0 and threads <= base[0] and files <= base[1] + 1,
        }  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        environment = {"FAKE_DELAY": "0.002", "TMPDIR": folder}
        with served.Process("--slots", "16", "--queue", "16", **environment) as server:
            found = asyncio.run(play(server, Path(folder)))
    assert found["ok"], found
    assert found["temporary"] == 0
    assert "broken" not in found
    return found


async def _impatient(port: int, body: dict[str, Any], patience: float) -> None:
    """Leave before an answer has come, unless it comes within `patience` seconds."""
    asking = speech(port, body)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asking.__aenter__(), patience)
        await asking.__aexit__(None, None, None)


def drain(short: bool) -> dict[str, Any]:
    """SIGTERM at 30 random moments under load: every answer is whole or a refusal, and the code is 0."""
    count, draw = 1 if short else 30, random.Random(5)
    text = "drain " + "a" * 40
    wanted = expected(text)
    ends: list[str] = []
    codes: list[int] = []

    async def client(port: int, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with speech(port, said(text)) as answer:
                    data = await answer.body()
                    refused = answer.status in (429, 503)
                    ends.append("refused" if refused else "whole" if data == wanted else "truncated")
                    if refused:
                        await asyncio.sleep(0.05)
            except asyncio.IncompleteReadError as error:
                # Before the first byte of an answer the connection may close: nothing was promised yet.
                ends.append("truncated" if error.partial else "closed")
                return
            except OSError:
                ends.append("closed")
                return

    async def play(server: served.Process) -> int:
        await ready(server.port)
        stop = asyncio.Event()
        tasks = [asyncio.create_task(client(server.port, stop)) for _ in range(12)]
        await asyncio.sleep(0.2 + draw.random())
        server.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(server.process.wait, 60)
        stop.set()
        await asyncio.gather(*tasks)
        return code

    for _ in range(count):
        with served.Process("--drain-delay", "0.3", FAKE_DELAY="0.02") as server:
            codes.append(asyncio.run(play(server)))
    assert "truncated" not in ends
    assert set(codes) == {0}, codes
    return {"signals": count, **{end: ends.count(end) for end in sorted(set(ends))}, "exit codes": sorted(set(codes))}
