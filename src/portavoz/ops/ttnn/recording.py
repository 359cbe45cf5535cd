"""What a program does on the card: every operation, its shapes and bytes; whether a step could be replayed as a trace.

recording = Recording(Golden())
back = TtnnOps(executor=recording, schedule="bfloat16")
with recording.capture("step"): …          # the operations of the first step, whose buffers are the trace's
with recording.replay("step"): …           # BackendError where the second would allocate or do anything else
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...errors import BackendError
from .operations import OPERATIONS, Executor
from .schedule import BYTES, Rule

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """One operation: what it took (numbers as their value), what it gave, and the path of its parameter."""

    operation: str
    takes: tuple[Any, ...]
    gives: Shape
    rule: Rule
    owner: str
    options: tuple[tuple[str, Any], ...]

    @property
    def products(self) -> int:
        """Multiply–adds of the matrix unit."""
        if OPERATIONS[self.operation].unit != "matrix":
            return 0
        x, w = self.takes[0], self.takes[1]
        if self.operation == "sdpa_decode":  # keys and values of all steps there is room for
            return 2 * math.prod(w)
        if self.operation in ("linear", "matmul"):
            return math.prod(self.gives) * x[-1]
        if self.operation == "conv_transpose1d":
            return math.prod(x[:-1]) * math.prod(w)
        return math.prod(self.gives[:-1]) * math.prod(w)

    def __str__(self) -> str:
        owner = f" of {self.owner}" if self.owner else ""
        return f"{self.operation}{owner} on {', '.join(str(list(t)) for t in self.takes if isinstance(t, tuple))}"


class Wrapper:
    """An executor around an executor: it passes everything on."""

    def __init__(self, inner: Executor) -> None:
        self.inner, self.name, self.about, self.owner = inner, inner.name, inner.about, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def upload(self, array: Any, rule: Rule, *, parameter: bool = False, kernel: bool = False) -> Any:
        self.inner.owner = self.owner
        return self.inner.upload(array, rule, parameter=parameter, kernel=kernel)

    def download(self, handle: Any) -> Any:
        return self.inner.download(handle)

    def shape(self, handle: Any) -> Shape:
        return self.inner.shape(handle)

    def kind(self, handle: Any) -> Any:
        return self.inner.kind(handle)

    def run(self, operation: str, tensors: Sequence[Any], rule: Rule, **options: Any) -> Any:
        self.inner.owner = self.owner
        return self.inner.run(operation, tensors, rule, **options)


class Recording(Wrapper):
    """Keeps every operation and every upload of an activation. Parameters are counted in bytes as they are stored."""

    def __init__(self, inner: Executor) -> None:
        super().__init__(inner)
        self.entries: list[Entry] = []
        self.uploads: list[Shape] = []
        self.parameters: dict[int, float] = {}  # id of a handle → bytes
        self._kept: list[Any] = []  # so that no id is used twice
        self.traces: dict[str, tuple[list[Entry], list[Shape]]] = {}

    def clear(self) -> None:
        """Forget what has run; parameters and traces stay."""
        self.entries, self.uploads = [], []

    def upload(self, array: Any, rule: Rule, *, parameter: bool = False, kernel: bool = False) -> Any:
        handle = super().upload(array, rule, parameter=parameter, kernel=kernel)
        if parameter:
            self.parameters[id(handle)] = math.prod(self.shape(handle)) * BYTES[rule.dtype]
            self._kept.append(handle)
        else:
            self.uploads.append(self.shape(handle))
        return handle

    def run(self, operation: str, tensors: Sequence[Any], rule: Rule, **options: Any) -> Any:
        out = super().run(operation, tensors, rule, **options)
        takes = tuple(x if isinstance(x, (int, float)) else self.shape(x) for x in tensors)
        self.entries.append(Entry(operation, takes, self.shape(out), rule, self.owner, tuple(sorted(options.items()))))
        return out

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

        Raises BackendError naming the first operation that differs.
        """
        self.clear()
        held = len(self.parameters)
        yield
        entries, uploads = self.traces[name]
        if len(self.parameters) != held:
            raise BackendError(
                f"trace {name!r}: {len(self.parameters) - held} parameters were moved to the card behind its capture: "
                "a trace cannot allocate; build the whole model before"
            )
        for n, (now, then) in enumerate(zip(self.entries, entries)):
            if now != then:
                raise BackendError(
                    f"trace {name!r}: operation {n + 1} is {now}, captured was {then}: a trace cannot allocate; keep "
                    "the shapes (a longer bucket, captured before), and numbers that change as inputs"
                )
        if len(self.entries) != len(entries) or self.uploads != uploads:
            raise BackendError(
                f"trace {name!r}: {len(self.entries)} operations and {len(self.uploads)} inputs, captured were "
                f"{len(entries)} and {len(uploads)}: every step of a trace does the same"
            )
