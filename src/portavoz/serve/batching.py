"""Dynamic batching: sentences of several requests that wait at the same time are computed as one batch.

A decoder that reads all of its weights for every step does so once for all rows. At most `loops` batches are computed
at once; what comes meanwhile waits for the next, so nobody waits for a batch to fill. A row is computed as fast as the
model can, not as fast as its client reads: a client that stalls keeps its row's sound in memory, and nobody else back.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from ..families.synthesis import BatchSynthesizer, SynthesisOptions, SynthesisStream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..text.chunks import TextChunk


class _Row:
    """A sentence of one request: its sound comes through `pieces`, None at its end or an error in its place."""

    def __init__(self, chunk: TextChunk, manner: SynthesisOptions) -> None:
        self.chunk, self.manner = chunk, manner
        self.ends: Future[tuple[float, ...]] = Future()
        self.pieces: queue.SimpleQueue[NDArray[np.float32] | Exception | None] = queue.SimpleQueue()
        self.warnings: list[str] = []
        self.left = False

    def waves(self) -> Iterator[NDArray[np.float32]]:
        """The pieces as they are made; a reader that stops needs no more of them."""
        try:
            while (piece := self.pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.left = True

    def fail(self, error: Exception) -> None:
        """Pass the error to the request that waits for the row."""
        if not self.ends.done():
            self.ends.set_exception(error)
        self.pieces.put(error)


class Batching:
    """Replaces a model's `synthesize` for many requests at once. `close` it with the model."""

    def __init__(self, model: BatchSynthesizer, loops: int) -> None:
        self._model = model
        self._free = loops
        self._waiting: deque[_Row] = deque()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(loops, thread_name_prefix="portavoz-batch")

    def __call__(self, chunk: TextChunk, manner: SynthesisOptions) -> SynthesisStream:
        """One sentence, once its batch has begun. Raises what the model raises."""
        row = _Row(chunk, manner)
        with self._lock:
            self._waiting.append(row)
            begin = self._free > 0
            self._free -= begin
        if begin:
            self._pool.submit(self._run)
        return SynthesisStream(row.ends.result(), row.waves(), row.warnings)

    def close(self) -> None:
        """Let the threads end after their current batch."""
        self._pool.shutdown(wait=False)

    def _run(self) -> None:
        """Batch after batch, until nothing waits."""
        while rows := self._take():
            self._compute(rows)

    def _take(self) -> list[_Row]:
        with self._lock:
            rows = [self._waiting.popleft() for _ in range(min(self._model.batch, len(self._waiting)))]
            self._free += not rows
        return rows

    def _compute(self, rows: list[_Row]) -> None:
        """All of the rows' sound. Errors are raised again in the request that waits for the row."""
        try:
            going = list(zip(rows, self._begin(rows)))
        except Exception as error:  # noqa: BLE001 (see above)
            if len(rows) == 1:
                return rows[0].fail(error)
            # One of them cannot be said: the others are not to hear of it.
            for row in rows:
                self._compute([row])
            return
        try:
            for row, stream in going:
                row.ends.set_result(stream.ends)
            while going:
                going = [(row, stream) for row, stream in going if not row.left and self._step(row, stream)]
        except Exception as error:  # noqa: BLE001 (see above)
            for row in rows:
                row.fail(error)

    def _begin(self, rows: list[_Row]) -> list[SynthesisStream]:
        if len(rows) == 1:
            return [self._model.synthesize(rows[0].chunk, rows[0].manner)]
        return self._model.synthesize_batch([row.chunk for row in rows], [row.manner for row in rows])

    def _step(self, row: _Row, stream: SynthesisStream) -> bool:
        """One more piece of a row; False at its end."""
        piece = next(stream.waves, None)
        if piece is None:
            row.warnings.extend(stream.warnings)
        row.pieces.put(piece)
        return piece is not None
