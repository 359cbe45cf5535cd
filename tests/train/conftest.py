"""Training in tests uses one thread: models are small, and threads that wait for each other cost ten times more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from portavoz.train.data import toy


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen short utterances, to be read only; what is computed of them is kept beside them."""
    return toy.make(tmp_path_factory.mktemp("toy"), count=16)
