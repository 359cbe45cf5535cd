"""What a back end without its framework looks like."""

from __future__ import annotations

from no_such_framework import Ops


class FramelessOps(Ops):
    """Never defined."""
