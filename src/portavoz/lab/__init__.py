"""The lab: our models beside the ones that they must equal, and any port beside its reference."""

from __future__ import annotations

from .compare import assert_parity, compare
from .instrument.observer import tap

__all__ = ["assert_parity", "compare", "tap"]
