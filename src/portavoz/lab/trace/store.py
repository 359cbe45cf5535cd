"""Arrays of a run by name: in memory up to a limit, the later ones in a temporary file that is read on demand."""

from __future__ import annotations

import tempfile
import weakref
from collections import deque
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

IN_MEMORY = 1 << 26  # bytes; a comparison of a large model would otherwise hold every value of both sides
RECENT = 8  # arrays that a new one may repeat: a unit's output is mostly the next one's input


class ArrayStore(MutableMapping[str, NDArray[Any]]):
    """A mapping that copies what is put into it; equal arrays that come close after each other are kept once."""

    def __init__(self, limit: int = IN_MEMORY) -> None:
        self.limit, self.held = limit, 0
        self.memory: dict[str, NDArray[Any]] = {}
        self.places: dict[str, tuple[int, np.dtype[Any], tuple[int, ...]]] = {}
        self.recent: deque[tuple[str, NDArray[Any]]] = deque(maxlen=RECENT)
        self.file: Any = None  # unbuffered: arrays go there and back without a copy between
        self.end = 0

    def __setitem__(self, name: str, value: NDArray[Any]) -> None:
        self.memory.pop(name, None)
        self.places.pop(name, None)
        for other, array in self.recent:
            if array.dtype == value.dtype and array.shape == value.shape and np.array_equal(array, value):
                if other in self.memory:
                    self.memory[name] = array
                else:
                    self.places[name] = self.places[other]
                return
        array = np.array(value, copy=True)
        self.recent = deque((pair for pair in self.recent if pair[0] != name), maxlen=RECENT)
        self.recent.append((name, array))
        if self.held + array.nbytes > self.limit and array.nbytes:
            self._spill(name, array)
        else:
            self.held += array.nbytes
            self.memory[name] = array

    def _spill(self, name: str, array: NDArray[Any]) -> None:
        if self.file is None:
            self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed with the store)
            weakref.finalize(self, self.file.close)
        self.file.seek(self.end)
        left = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        while left:
            left = left[self.file.write(left) :]
        self.places[name] = (self.end, array.dtype, array.shape)
        self.end += array.nbytes

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name in self.memory:
            return self.memory[name]
        start, kind, shape = self.places[name]
        if self.file is None:
            raise KeyError(name)
        self.file.seek(start)
        array = np.empty(shape, kind)
        left = array.reshape(-1).view(np.uint8).data
        while left:
            left = left[self.file.readinto(left) :]
        return array

    def __delitem__(self, name: str) -> None:
        self.recent = deque((pair for pair in self.recent if pair[0] != name), maxlen=RECENT)
        if self.memory.pop(name, None) is None:
            del self.places[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.memory
        yield from self.places

    def __len__(self) -> int:
        return len(self.memory) + len(self.places)
