"""A SpeechT5 folder that the reference wrote, and a copy of it to be broken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from portavoz.families.speecht5.reference.transformers import Reference


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    """A folder and the reference that wrote it; it stops by its own decision, sooner or later."""
    import checkpoints

    folder = tmp_path_factory.mktemp("speecht5") / "tiny"
    return folder, checkpoints.written(folder, prob_bias=-1.9, max_speech_positions=900)


@pytest.fixture(scope="session")
def folder(reference: tuple[Path, Reference]) -> Path:
    return reference[0]


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))
