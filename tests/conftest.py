"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two test processes share two cores: one thread each. Threads that wait for each other would cost ten times more.
os.environ["OMP_NUM_THREADS"] = "1"


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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """A file's tests stay in one process, as they share what is expensive to make; a page of the docs goes alone."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFileOrPage(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if nodeid.startswith("tests/test_docs.py") else nodeid.partition("::")[0]

    return ByFileOrPage(config, log)
