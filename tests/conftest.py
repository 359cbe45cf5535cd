"""What every test may use."""

from __future__ import annotations

import gc
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import jaxtyping
import pytest

if TYPE_CHECKING:
    from warm import Warm

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


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """A process that has imported torch, where programs begin (support/warm.py)."""
    from warm import Warm

    with Warm() as process:
        yield process


# Where types and shapes are checked at every call inside the model; everywhere that takes more than half of the time.
# `TYPES=all` checks them in every test, as the slow lane does. In `WHOLE`, models run over and over.
TYPED = ("tests/blocks/", "tests/ops/", "tests/weights/", "tests/families/test_types.py")
WHOLE = ("tests/ops/test_ttnn_decode.py", "tests/ops/test_ttnn_golden.py", "tests/ops/test_ttnn_mesh.py",
         "tests/weights/test_desk.py", "tests/weights/test_ledger.py")  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Switch the checks of `--jaxtyping-packages` on or off, before the test's fixtures are made."""
    everywhere = os.environ.get("TYPES") == "all" or item.get_closest_marker("slow") is not None
    here = item.nodeid.startswith(TYPED) and not item.nodeid.startswith(WHOLE)
    jaxtyping.config.update("jaxtyping_disable", not (everywhere or here))


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Imports leave no garbage that is worth looking for."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What collecting has imported stays: training, which collects garbage at every validation, need not look at it."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder where a module's tests keep what they compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTAVOZ_CACHE", str(folder := tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """A file's tests stay in one process, as they share what is expensive to make; a page of the docs goes alone."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFileOrPage(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if nodeid.startswith("tests/test_docs.py") else nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # by number of tests, that is; `long_files_first` knows better
    return ByFileOrPage(config, log)


# Files that take longest, the longest first: one of them as the last would leave the other process idle.
LONGEST = (
    "lab/test_plant.py", "ops/test_conformance.py", "families/test_speecht5.py", "families/test_chatterbox_lab.py",
    "lab/test_parity.py", "serve/test_page.py", "ops/test_ttnn_golden.py", "weights/test_convert.py",
    "test_project.py", "lab/test_mlx_modules.py", "lab/test_kit.py", "lab/test_page.py", "evaluate/test_pages.py",
    "families/test_kokoro_blocks.py", "serve/test_load.py", "fuzz/test_fuzz.py", "cli/test_refusals.py",
    "lab/test_caches.py", "evaluate/test_report.py", "families/test_chatterbox_story.py", "lab/test_foreign_ports.py",
    "families/test_types.py", "weights/test_ledger.py", "families/test_families.py", "test_docs.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then by number of tests.

    With TEST_ORDER=SEED the files come in a random order instead, and the tests of each in another, the same for a
    seed.
    """
    seed = os.environ.get("TEST_ORDER")
    if seed is None:
        long_files_first(items)
        return
    chance, files = random.Random(seed), dict[Path, list[pytest.Item]]()
    for item in items:
        files.setdefault(item.path, []).append(item)
    groups = list(files.values())
    chance.shuffle(groups)
    for group in groups:
        chance.shuffle(group)
    items[:] = [item for group in groups for item in group]


def long_files_first(items: list[pytest.Item]) -> None:
    """Order items by file; within a file they stay as they are."""
    counts = Counter(item.path for item in items)
    here = Path(__file__).parent
    places = {here / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (places.get(item.path, len(places)), -counts[item.path]))
