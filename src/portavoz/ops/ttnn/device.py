"""The card's executor: each operation of the table is a call of the package ttnn, whatever that runs on."""

from __future__ import annotations

import importlib.util
import sys

from ...errors import BackendError

GOLDEN = "device='golden' needs no card, and docs/ttnn.md says how to build the mock device"


class Card:
    """Runs on the package's device 0. Raises BackendError without the package or a device."""

    name = "card"

    def __init__(self) -> None:
        if importlib.util.find_spec("ttnn") is None:
            here = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise BackendError(
                f"the package ttnn is not installed in this Python {here} (it has wheels for 3.10 and 3.12): {GOLDEN}"
            )
        raise BackendError(f"ttnn finds no card: {GOLDEN}")
