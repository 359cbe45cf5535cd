"""Whose step is next, and how many are under way."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from portavoz.audio.encoders import encoder
from portavoz.serve.speaking import Speaking
from portavoz.serve.turns import MOST, Turns
from portavoz.speech import Speech

RATE = 24_000


def test_the_earliest_due_is_next_and_equals_keep_their_order() -> None:
    async def play() -> list[str]:
        turns, order = Turns(), list[str]()
        turns.release(1.0)  # long steps: none waits for a thread
        turns.under_way = 1

        async def one(name: str, due: float) -> None:
            await turns.acquire(due)
            order.append(name)
            turns.release(1.0)

        tasks = [asyncio.create_task(one(*each)) for each in (("c", 3.0), ("a", 1.0), ("d", 3.0), ("b", 2.0))]
        await asyncio.sleep(0)
        assert order == []
        turns.release(1.0)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(play()) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("took", "limit"), [(1e-5, 2 + 2 * MOST), (0.002, 2 + 2 * 2), (0.05, 2)])
def test_short_steps_may_wait_for_a_thread_and_long_ones_not(took: float, limit: int) -> None:
    turns = Turns(2, 2)
    for _ in range(300):
        turns.under_way = 1
        turns.release(took)
    assert turns.limit == limit


def test_no_turn_is_lost_or_doubled_whoever_gives_up() -> None:
    async def play(seed: int) -> None:
        draw, turns = random.Random(seed), Turns(2, 1)
        turns.release(1.0)
        turns.under_way, inside, most = 0, 0, 0
        for _ in range(300):
            turns.under_way += 1
            turns.release(1.0)

        async def one() -> None:
            nonlocal inside, most
            await turns.acquire(draw.random())
            inside += 1
            most = max(most, inside)
            try:
                await asyncio.sleep(draw.random() * 0.002)
            finally:
                inside -= 1
                turns.release(1.0)

        tasks = [asyncio.create_task(one()) for _ in range(40)]
        for task in draw.sample(tasks, 20):
            await asyncio.sleep(draw.random() * 0.0005)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (turns.under_way, inside) == (0, 0)
        assert most == 2

    for seed in range(10):
        asyncio.run(play(seed))


def test_whoever_comes_later_is_not_behind_those_who_are_far_ahead() -> None:
    """Streams that have ten seconds of sound more than they play do not keep back the first sound of another."""
    begun, order, permits = list[str](), list[str](), threading.Semaphore(0)

    def pieces(name: str) -> Iterator[Speech]:
        for _ in range(3):
            begun.append(name)
            assert permits.acquire(timeout=60)
            order.append(name)
            yield Speech(np.zeros(10 * RATE, np.float32), RATE)

    async def play() -> None:
        turns = Turns(1, 1)
        turns.under_way = 1
        turns.release(100.0)  # long steps: one at once
        with ThreadPoolExecutor(1) as pool:

            async def all_of(name: str) -> None:
                sound = Speaking(pool, lambda: pieces(name), lambda: encoder("pcm", RATE), turns)
                while not (await sound.next()).last:
                    pass
                await sound.close()

            early = [asyncio.create_task(all_of(name)) for name in ("first", "second")]
            permits.release(3)
            while len(begun) < 4 or turns.waiting < 1:
                await asyncio.sleep(0.001)
            late = asyncio.create_task(all_of("late"))  # while the fourth step is under way
            while turns.waiting < 2:
                await asyncio.sleep(0.001)
            permits.release(6)
            await asyncio.gather(*early, late)

    asyncio.run(play())
    assert "late" not in order[:4]
    assert order[4] == "late", order


def test_an_error_gives_its_turn_back() -> None:
    async def play() -> int:
        turns = Turns()

        def broken() -> Iterator[Speech]:
            raise ZeroDivisionError

        with ThreadPoolExecutor(1) as pool:
            sound = Speaking(pool, broken, lambda: encoder("pcm", RATE), turns)
            with pytest.raises(ZeroDivisionError):
                await sound.next()
            await sound.close()
        return turns.under_way

    assert asyncio.run(play()) == 0
