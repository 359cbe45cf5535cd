"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two test processes share two cores: one thread each. Threads that wait for each other would cost ten times more.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's folder."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The folder of a small voice that babbles (see support/voices.py); not to be changed, `voices.copied` is."""
    import built
    import voices

    return built.made("tiny", voices.tiny)
