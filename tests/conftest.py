"""What every test may use."""

from __future__ import annotations

import os
import random
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With TEST_ORDER=SEED the files come in a random order, and the tests of each in another; the same for a seed."""
    seed = os.environ.get("TEST_ORDER")
    if seed is None:
        return
    chance, files = random.Random(seed), dict[Path, list[pytest.Item]]()
    for item in items:
        files.setdefault(item.path, []).append(item)
    groups = list(files.values())
    chance.shuffle(groups)
    for group in groups:
        chance.shuffle(group)
    items[:] = [item for group in groups for item in group]
