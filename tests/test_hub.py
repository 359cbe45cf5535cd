"""Voices by name from a hub: a server on this machine that says as much of its protocol as the package asks."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import open_voices
import pytest

import portavoz
from portavoz.errors import InputError, WeightError
from portavoz.loading import catalogue

COMMIT = "0123456789abcdef" * 2 + "01234567"


class Hub:
    """Repositories as folders; `asked` are the requests."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.repositories: dict[str, Path] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                hub.asked.append(f"{self.command} {self.path}")
                status, headers, body = hub.reply(self.path.partition("?")[0])
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_GET = do_HEAD = answer  # noqa: N815 (the names that the server looks for)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reply(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body."""
        parts = path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        parts = parts[2:] if api else parts
        folder = self.repositories.get("/".join(parts[:2]))
        if folder is None:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
        if api:
            tree = [
                {
                    "type": "file",
                    "path": name,
                    "size": path.stat().st_size,
                    "oid": hashlib.sha1(name.encode()).hexdigest(),
                }
                for name, path in files.items()
            ]
            about = {"id": "/".join(parts[:2]), "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
            body = json.dumps(tree if "tree" in parts else about).encode()
            return 200, {"Content-Type": "application/json"}, body
        name = "/".join(parts[4:])  # owner/name/resolve/revision/file
        if name not in files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        body = files[name].read_bytes()
        return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}, body


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    made = Hub()
    # What HF_ENDPOINT and HF_HOME say is read when the package is imported.
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", made.address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    template = made.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("PORTAVOZ_VOICES", str(tmp_path / "own"))
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.usefixtures("own_cache")
def test_a_folder_is_fetched_once(hub: Hub, tmp_path: Path) -> None:
    """What a family asks for and nothing else; afterwards nobody is asked, also where the hub has gone."""
    folder = open_voices.kokoro(tmp_path / "repository")
    (folder / "onnx").mkdir()
    (folder / "kokoro-v1.0.onnx").rename(folder / "onnx" / "model.onnx")
    (folder / "README.md").write_text("A card.")
    hub.repositories["someone/kokoro"] = folder
    said = portavoz.load("someone/kokoro").speak("Hello.", speaker="bf_emma")
    fetched = {line.rpartition("/")[2] for line in hub.asked if line.startswith("GET /someone")}
    assert fetched == {"model.onnx", "af_heart.bin", "bf_emma.bin", "ef_dora.bin"}
    wanted = portavoz.load(folder).speak("Hello.", speaker="bf_emma")
    np.testing.assert_array_equal(said.samples, wanted.samples)

    hub.asked.clear()
    again = portavoz.load("someone/kokoro").speak("Hello.", speaker="bf_emma")
    np.testing.assert_array_equal(again.samples, said.samples)
    assert not hub.asked


@pytest.mark.usefixtures("own_cache")
def test_a_pinned_voice_is_fetched_and_compared(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = open_voices.piper(tmp_path / "repository" / "en")
    hub.repositories["someone/voices"] = tmp_path / "repository"
    files = {
        f"en/{path.name}": {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in (graph, graph.with_name(graph.name + ".json"))
    }
    entry = {"name": "tiny", "repository": "someone/voices", "revision": COMMIT, "open": f"en/{graph.name}"}
    monkeypatch.setattr(catalogue, "available", lambda: {"tiny": {**entry, "files": files}})
    assert portavoz.load("tiny").speak("Hello.").words
    assert all(COMMIT in line for line in hub.asked if line.startswith("GET /someone"))
    hub.asked.clear()
    assert portavoz.load("tiny").speak("Hello.").words and not hub.asked

    files[entry["open"]]["sha256"] = "0" * 64
    with pytest.raises(WeightError, match="not the file that voice 'tiny' is pinned to"):
        portavoz.load("tiny")


def test_what_the_hub_does_not_have(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="nobody/nothing: neither a folder here nor a checkpoint on the hub"):
        portavoz.load("nobody/nothing")
    entry = {"name": "tiny", "repository": "nobody/nothing", "revision": COMMIT, "open": "a.onnx"}
    known = {"a.onnx": {"bytes": 1, "sha256": "0" * 64}}
    monkeypatch.setattr(catalogue, "available", lambda: {"tiny": {**entry, "files": known}})
    with pytest.raises(InputError, match=r"voice 'tiny': a\.onnx could not be fetched from nobody/nothing"):
        portavoz.load("tiny")
