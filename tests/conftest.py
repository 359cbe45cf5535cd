"""What every test may use."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's folder."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def tiny(request: pytest.FixtureRequest) -> Path:
    """The folder of a small voice that babbles (see support/voices.py); not to be changed, `voices.copied` is."""
    import voices

    # Exporting takes ten seconds, so the folder is kept as long as the code that makes it stays the same.
    folder = request.config.cache.mkdir(f"tiny-{voices.fingerprint()}") / "voice"
    if not (folder / "voice.json").is_file():
        for old in folder.parent.parent.glob("tiny-*"):
            shutil.rmtree(old)
        voices.tiny(folder)
    return folder
