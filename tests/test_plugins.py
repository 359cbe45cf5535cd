"""Entry points of other packages: found again where the import path has changed, and read once where it has not."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from portavoz import plugins


def test_what_is_on_the_import_path_is_found_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "toy-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[portavoz.toys]\nball = toys:Ball\n", encoding="utf-8")
    assert dict(plugins.installed("portavoz.toys")) == {}
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        assert plugins.installed("portavoz.toys")["ball"].value == "toys:Ball"
        patch.setattr(plugins, "entry_points", lambda **_: pytest.fail("read twice"))
        assert importlib.metadata.version("toy") == "1.0"
        assert list(plugins.installed("portavoz.toys")) == ["ball"]
    assert dict(plugins.installed("portavoz.toys")) == {}
