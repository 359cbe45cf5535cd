"""A text that arrives while it is spoken: an iterator that waits for its next part on the computing thread."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator

from ..errors import InputError


class Feed:
    """Parts of a text, put in by the event loop and read by a voice. `most` characters in all.

    Reading waits for at most `patience` seconds for a part, and then raises InputError.
    """

    def __init__(self, most: int, patience: float) -> None:
        self.most, self.patience, self.length = most, patience, 0
        self._parts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._closed = False

    def put(self, text: str) -> None:
        """Add a part. Raises InputError when the text gets too long."""
        if self.length + len(text) > self.most:
            raise InputError(f"the text has more than {self.most} characters; send it in parts")
        self.length += len(text)
        self._parts.put(text)

    def end(self) -> None:
        """The text is complete."""
        self._parts.put(None)

    def close(self) -> None:
        """The text is no longer needed: a reader gets an end."""
        self._closed = True
        self._parts.put(None)

    def __iter__(self) -> Iterator[str]:
        while True:
            began = time.monotonic()
            try:
                part = self._parts.get(timeout=self.patience)
            except queue.Empty:
                waited = time.monotonic() - began
                raise InputError(f"no text came for {waited:.3g} seconds") from None
            if part is None or self._closed:
                return
            yield part
