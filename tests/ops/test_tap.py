"""Named values: free without an observer, replaceable with one, and seen from a back end's own thread."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from portavoz.ops.tap import observing, tap
from portavoz.ops.worker import Worker


class Doubling:
    """Records what is named, and hands on twice the value."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def named_value(self, name: str, value: Any) -> Any:
        self.seen.append((name, value))
        return 2 * value


def test_without_an_observer_a_value_is_handed_on_as_it_is() -> None:
    value = object()
    assert tap("mel", value) is value


def test_the_innermost_observer_decides_and_leaves_with_its_block() -> None:
    outer, inner = Doubling(), Doubling()
    with observing(outer):
        assert tap("a", 1) == 2
        with observing(inner):
            assert tap("b", 2) == 4
        assert tap("c", 3) == 6
    assert tap("d", 4) == 4
    assert (outer.seen, inner.seen) == ([("a", 1), ("c", 3)], [("b", 2)])


def test_an_error_ends_the_observation() -> None:
    observer = Doubling()
    with suppress(ZeroDivisionError), observing(observer):
        tap("a", 1 / 0)
    assert tap("b", 1) == 1
    assert observer.seen == []


def test_values_named_on_a_workers_thread_reach_the_callers_observer() -> None:
    worker, observer = Worker("test"), Doubling()
    with observing(observer):
        assert worker.call(lambda: tap("frame", 5)) == 10
    assert worker.call(lambda: tap("frame", 5)) == 5
    worker.end()
    assert observer.seen == [("frame", 5)]
