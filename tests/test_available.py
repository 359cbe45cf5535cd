"""Voices that are had by name: what the index says of them, where they are looked for, what is compared."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_voices
import pytest

import portavoz
from portavoz.cli.main import main
from portavoz.errors import InputError, MissingExtra, WeightError
from portavoz.loading import catalogue


def test_the_index_says_licences_and_where_they_were_read() -> None:
    found = catalogue.available()
    assert len(found) >= 8
    for name, entry in found.items():
        assert {"family", "title", "language", "licence", "licence_read", "repository", "revision", "bytes"} <= {*entry}
        assert entry["licence_read"] and entry["commercial"] in (True, False, None), name
        forbids = any(word in entry["licence"] for word in ("-NC", "for research only"))
        assert (entry["commercial"] is False) == forbids, name
        for path, file in entry.get("files", {}).items():
            digest, length = (file["sha256"], 64) if "sha256" in file else (file["git_sha1"], 40)
            assert len(digest) == length and file["bytes"] > 0 and ".." not in path
        assert "files" not in entry or entry["open"] in entry["files"]


def test_the_list_marks_what_may_not_be_sold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["voices", "--available"]) == 0
    printed = capsys.readouterr().out
    assert "NOT FOR COMMERCIAL USE; CC BY-NC-SA 4.0" in printed and "kokoro-v1.0 " in printed
    assert main(["voices", "--available", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in rows} == {*catalogue.available()} and "files" not in rows[0]


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An index of one voice that lies in a hub's cache."""
    graph = open_voices.piper(tmp_path / "cache")
    files = {path.name: path for path in (graph, graph.with_name(graph.name + ".json"))}
    made: dict[str, Any] = {"name": "tiny", "repository": "a/b", "revision": "r", "open": graph.name, "files": {}}
    for name, path in files.items():
        data = path.read_bytes()
        made["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    data = files[graph.name + ".json"].read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    made["files"][graph.name + ".json"] = {"bytes": len(data), "git_sha1": git}
    made["asked"] = []

    def download(repo_id: str, filename: str, revision: str, local_files_only: bool = False) -> str:
        made["asked"].append((repo_id, filename, revision, local_files_only))
        return str(files[filename])

    hub = SimpleNamespace(hf_hub_download=download, errors=SimpleNamespace(LocalEntryNotFoundError=OSError))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", hub.errors)
    monkeypatch.setattr(catalogue, "available", lambda: {"tiny": made})
    monkeypatch.setenv("PORTAVOZ_CACHE", str(tmp_path / "graphs"))
    monkeypatch.setenv("PORTAVOZ_VOICES", str(tmp_path / "own"))
    return made


def test_a_name_is_fetched_from_the_cache_first_and_compared(entry: dict[str, Any]) -> None:
    assert portavoz.load("tiny").speak("Hello.").words
    assert {one[3] for one in entry["asked"]} == {True} and {one[2] for one in entry["asked"]} == {"r"}
    entry["files"][entry["open"]]["sha256"] = "0" * 64
    with pytest.raises(WeightError, match="not the file that voice 'tiny' is pinned to"):
        portavoz.load("tiny")


def test_ones_own_file_comes_first(entry: dict[str, Any], tmp_path: Path) -> None:
    open_voices.piper(tmp_path / "own", name="tiny")
    assert portavoz.load("tiny").name == "tiny" and not entry["asked"]


def test_what_cannot_be_fetched(entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"voice 'tiny', which is fetched by its name, .*portavoz\[hub\]"):
        portavoz.load("tiny")
    del entry["files"]
    with pytest.raises(InputError, match="listed without a checksum, so it is not fetched"):
        portavoz.load("tiny")
