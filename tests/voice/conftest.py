"""The voice that most tests of this folder ask."""

from __future__ import annotations

from pathlib import Path

import pytest

import portavoz
from portavoz.voice import Voice


@pytest.fixture(scope="module")
def voice(tiny: Path) -> Voice:
    return portavoz.load(tiny)
