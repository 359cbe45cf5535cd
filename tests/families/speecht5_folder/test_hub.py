"""A folder by its name on the hub."""

from __future__ import annotations

import fnmatch
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from speecht5_folders import SPEAKER, TEXTS, close, refused, spoken

import portavoz
from portavoz.errors import InputError, MissingExtra, WeightError
from portavoz.families.speecht5.reference.transformers import Reference


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """An empty local cache of the hub, and no network: a connection fails the test's way."""
    import huggingface_hub

    home = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home))
    tried: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        tried.append(args)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    def add(name: str, source: Path, *, revision: str = "main") -> Path:
        base = home / f"models--{name.replace('/', '--')}"
        (base / "refs").mkdir(parents=True, exist_ok=True)
        sha = f"{len(revision):040x}"
        (base / "refs" / revision).write_text(sha, encoding="utf-8")
        return Path(shutil.copytree(source, base / "snapshots" / sha))

    add.tried = tried  # type: ignore[attr-defined]
    return add


def test_a_name_on_the_hub_that_is_in_the_cache(
    cache: Any, folder: Path, reference: tuple[Path, Reference], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache("someone/tiny-tts", folder)
    cache("someone/tiny-tts", folder, revision="v2")
    for name in ("someone/tiny-tts", "someone/tiny-tts@v2"):
        for offline in ("0", "1"):
            monkeypatch.setenv("HF_HUB_OFFLINE", offline)
            voice = portavoz.load(name)
            assert close(voice.speak(TEXTS[0], speaker=SPEAKER).samples, spoken(reference))
    assert cache.tried == []


def test_the_published_pair_of_names(
    cache: Any, folder: Path, copy: Path, reference: tuple[Path, Reference], tmp_path: Path
) -> None:
    """microsoft/speecht5_tts has its vocoder in microsoft/speecht5_hifigan."""
    (copy / "vocoder").rename(tmp_path / "voc")
    cache("someone/speecht5_tts", copy)
    with pytest.raises(InputError, match="someone/speecht5_hifigan: could not be fetched from the hub"):
        portavoz.load("someone/speecht5_tts")
    cache.tried.clear()
    cache("someone/speecht5_hifigan", tmp_path / "voc")
    assert close(portavoz.load("someone/speecht5_tts").speak(TEXTS[0], speaker=SPEAKER).samples, spoken(reference))
    portavoz.load(copy, vocoder="someone/speecht5_hifigan")
    assert cache.tried == []


def test_names_that_are_nowhere(cache: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set and it is not in the local Hugging Face cache"):
        portavoz.load("someone/nothing")
    (cache("someone/half", folder) / "model.safetensors").unlink()
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set and only a part of it is in the local"):
        portavoz.load("someone/half")
    assert cache.tried == []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(InputError, match=r"someone/nothing: could not be fetched from the hub \(.*\); try again"):
        portavoz.load("someone/nothing")
    assert cache.tried


@pytest.mark.parametrize("kind", ["safetensors", "pickle"])
def test_what_is_not_in_the_cache_is_fetched(
    cache: Any, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A hub of our own: pickles are only asked for where there is nothing else."""
    import huggingface_hub

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    if kind == "pickle":
        (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    asked: list[list[str]] = []

    def download(
        repo_id: str, *, revision: str | None, local_files_only: bool = False, allow_patterns: Any = None
    ) -> str:
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not here")
        asked.append(allow_patterns)
        for path in copy.rglob("*"):
            name = path.relative_to(copy)
            if path.is_file() and any(fnmatch.fnmatch(str(name), pattern) for pattern in allow_patterns):
                (tmp_path / "got" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, tmp_path / "got" / name)
        return str(tmp_path / "got")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    if kind == "pickle":
        assert "a pickle can run code" in refused(WeightError, lambda: portavoz.load("someone/far"))
        assert "pytorch_model.bin" not in asked[0] and "pytorch_model.bin" in asked[1]
        return
    assert len(portavoz.load("someone/far").speak("Hi.", speaker=SPEAKER).samples)
    assert len(asked) == 1 and "pytorch_model.bin" not in asked[0]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "huggingface_hub":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"no folder here but may be one on the hub, needs .*portavoz\[hub\]"):
        portavoz.load("someone/nothing")
