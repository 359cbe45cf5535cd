"""The lab: our models beside the ones that they must equal, and any port beside its reference."""

from __future__ import annotations

from ..ops.tap import tap
from .compare import assert_parity, compare

__all__ = ["assert_parity", "compare", "tap"]
