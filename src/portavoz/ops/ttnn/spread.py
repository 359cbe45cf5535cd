"""A tensor that lies on the devices of a mesh, and the mesh's shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import BackendError

MOST = 256  # devices


def shape_of(mesh: str | Sequence[int] | None) -> tuple[int, int] | None:
    """Rows and columns from "1x2" or a pair; None for None. Raises BackendError for what is no mesh."""
    if mesh is None:
        return None
    parts = mesh.lower().split("x") if isinstance(mesh, str) else list(map(str, mesh))
    sides = [int(part) if part.strip().isdecimal() and len(part) < 5 else 0 for part in parts]
    if len(sides) != 2 or not 1 <= sides[0] * sides[1] <= MOST:
        raise BackendError(f"mesh {mesh!r}: give rows and columns from 1 up, such as 1x2, and at most {MOST} devices")
    return sides[0], sides[1]


class Spread:
    """A tensor on all devices. `axis` None: the same on each (one part); else cut along it, a part a device.

    `groups`: the last axis is so many results side by side, each cut by itself. `source`: the layer that cut it.
    """

    __slots__ = ("axis", "groups", "parts", "shape", "source")

    def __init__(
        self, parts: list[Any], shape: Sequence[int], axis: int | None = None, *, groups: int = 1, source: str = ""
    ) -> None:
        self.parts, self.shape, self.axis, self.groups, self.source = parts, tuple(shape), axis, groups, source

    @property
    def right(self) -> int:
        """The cut axis, counted from the right."""
        return 0 if self.axis is None else self.axis - len(self.shape)
