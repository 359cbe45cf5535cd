"""Shapes in signatures: ``Float[Array, "B T C"]``. Checked at every call of a test, nothing otherwise.

Annotations are texts here (``from __future__ import annotations``), so nobody reads them while portavoz speaks.
The test run has imported jaxtyping before portavoz (its pytest plugin did), and then the names below are
jaxtyping's; everywhere else they are never evaluated, and the package is not needed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, Num, Shaped
else:
    Bool = Float = Int = Num = Shaped = Any

if TYPE_CHECKING:
    Size = int
else:
    Size = Any  # a length is an int, or a symbol for one while a graph is traced

Array = Any  # a tensor of whatever back end is at work

__all__ = ["Array", "Bool", "Float", "Int", "Num", "Shaped", "Size"]
