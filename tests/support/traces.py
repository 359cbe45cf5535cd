"""Whether a step could be replayed as a trace of the card: what the first one did, in the same buffers.

with recording.capture("step"): …          # the operations of the first step, whose buffers are the trace's
with recording.replay("step"): …           # AssertionError where the second would allocate or do anything else
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from portavoz.ops.ttnn.operations import Executor
from portavoz.ops.ttnn.recording import Entry, Recording, Shape


class TracedRecording(Recording):
    """A recording that keeps what blocks of a program did."""

    def __init__(self, inner: Executor) -> None:
        super().__init__(inner)
        self.traces: dict[str, tuple[list[Entry], list[Shape]]] = {}

    @contextmanager
    def capture(self, name: str) -> Iterator[None]:
        """The operations of the block become the trace `name`."""
        self.clear()
        yield
        self.traces[name] = (self.entries, self.uploads)
        self.clear()

    @contextmanager
    def replay(self, name: str) -> Iterator[None]:
        """The block must do what was captured, in the same shapes, so that it needs no new buffer.

        Raises AssertionError naming the first operation that differs.
        """
        self.clear()
        held = len(self.parameters)
        yield
        entries, uploads = self.traces[name]
        if len(self.parameters) != held:
            raise AssertionError(
                f"trace {name!r}: {len(self.parameters) - held} parameters were moved to the card behind its capture: "
                "a trace cannot allocate; build the whole model before"
            )
        for n, (now, then) in enumerate(zip(self.entries, entries)):
            if now != then:
                raise AssertionError(
                    f"trace {name!r}: operation {n + 1} is {now}, captured was {then}: a trace cannot allocate; keep "
                    "the shapes (a longer bucket, captured before), and numbers that change as inputs"
                )
        if len(self.entries) != len(entries) or self.uploads != uploads:
            raise AssertionError(
                f"trace {name!r}: {len(self.entries)} operations and {len(self.uploads)} inputs, captured were "
                f"{len(entries)} and {len(uploads)}: every step of a trace does the same"
            )
