"""Families are found, not named: nothing outside a family's folder names it, and somebody else's is like our own."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import docs_pages
import pytest
from warm import Warm

from portavoz import families
from portavoz.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "portavoz"
OWN = ("families/", "train/tasks/")


def test_no_family_is_named_outside_its_folder() -> None:
    name = re.compile(rf"(?i)\b_?({'|'.join(families.own())})")
    places = [*PACKAGE.rglob("*"), *(ROOT / "scripts").rglob("*")]
    endings = (".py", ".html", ".js", ".css", ".toml", ".jinja", ".j2")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in places
        if path.suffix in endings and not str(path.relative_to(ROOT)).removeprefix("src/portavoz/").startswith(OWN)
        for line in path.read_text(encoding="utf-8").splitlines()
        if name.search(line)
    ]
    assert found == []


def test_each_family_stands_in_the_import_contract() -> None:
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in families.own():
        assert f'"portavoz.families.{name}"' in contracts


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(InputError, match="there is no family 'abacus': installed are"):
        families.get("abacus")


def portavoz(*args: str, path: list[Path], cwd: Path, code: int = 0, warm: Warm | None = None) -> str:
    """What the program prints, with these folders in front of everything else that can be imported."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(map(str, path)), "OMP_NUM_THREADS": "1"}
    environment |= {"PORTAVOZ_CACHE": str(cwd / "cache"), "HOME": str(cwd)}
    if warm is not None:
        found, said, complaint = warm.run(["-m", "portavoz", *args], cwd=cwd, env=environment)
        assert found == code, complaint
        return said
    done = subprocess.run(
        [sys.executable, "-m", "portavoz", *args], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done.stdout


# The family of docs/new-family.md, installed by an entry point


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on Python's path with the family and its entry point."""
    entry = "[portavoz.families]\nhum = hum:FAMILY\n"
    return docs_pages.installed(tmp_path_factory.mktemp("plugin"), "new-family.md", "hum.py", entry)


@pytest.fixture(scope="module")
def hummer(plugin: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(plugin)
        hum = importlib.import_module("hum")
        return hum.write(plugin / "hummer", hum.Config())


@pytest.fixture
def hum(plugin: Path, warm: Warm, tmp_path: Path) -> Callable[..., str]:
    """The program beside which the family is installed."""
    return lambda *args, code=0: portavoz(
        *map(str, args), path=[plugin, ROOT / "src"], cwd=tmp_path, warm=warm, code=code
    )


def test_the_toy_family_is_short() -> None:
    assert len(docs_pages.titled("new-family.md", "hum.py").splitlines()) <= 150


def test_what_it_cannot_do_is_refused(hum: Callable[..., str], hummer: Path) -> None:
    hum("say", "Hum.", "--voice", hummer, "--speed", "2", code=2)
    hum("say", "Hum.", "--voice", hummer, "--speaker", "nobody", code=2)
    hum("say", "Hum.", "--voice", hummer, "--vocoder", "elsewhere", code=2)


def test_it_speaks_eagerly_and_exported(hum: Callable[..., str], hummer: Path, tmp_path: Path) -> None:
    for runtime in ("eager", "onnx"):
        hum("say", "Hum.", "--voice", hummer, "--runtime", runtime, "-o", f"{runtime}.wav")
    from portavoz.audio.files import read

    waves = [read(tmp_path / f"{runtime}.wav").samples for runtime in ("eager", "onnx")]
    assert len(waves[0]) == len(waves[1]) > 1000 and abs(waves[0] - waves[1]).max() < 1e-3


def test_it_compares_shows_and_has_a_kit(hum: Callable[..., str], hummer: Path, tmp_path: Path) -> None:
    report = json.loads(hum("lab", "compare", "hum", "--seeds", "1", "--json"))
    assert report["family"] == "hum" and report["pass"]
    shown = json.loads(hum("show", "hum", "--json"))
    assert shown["configurations"]["tiny"]["parameters"] == 128 * 12 + 12 * 13 + 800 * 13
    assert json.loads(hum("show", hummer, "--json"))["name"] == "hummer"
    hum("lab", "kit", "hum", "-o", "kit")
    assert json.loads((tmp_path / "kit" / "kit.json").read_text())["expected"] == {"samples": 11 * 800}


# A package without one of its families


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package without families/speecht5."""
    place = tmp_path_factory.mktemp("without")
    shutil.copytree(PACKAGE, place / "portavoz", ignore=shutil.ignore_patterns("speecht5", "__pycache__"))
    return place


def test_the_other_family_speaks_and_is_shown(without: Path, tmp_path: Path) -> None:
    portavoz("say", "Hello there.", "-o", "out.wav", path=[without], cwd=tmp_path)
    assert (tmp_path / "out.wav").stat().st_size > 10_000
    assert json.loads(portavoz("show", "heart", "--json", path=[without], cwd=tmp_path))["family"] == "compact"
    portavoz("show", "speecht5", path=[without], cwd=tmp_path, code=2)


@pytest.mark.slow
def test_the_other_family_is_tested_compared_and_trained(without: Path, tmp_path: Path) -> None:
    args = ("lab", "selftest", "--family", "compact", "--clean", "4", "--triples", "0", "--json")
    graded = json.loads(portavoz(*args, path=[without], cwd=tmp_path))
    assert graded["detected"] == graded["faults"] > 50 and graded["false_alarms"] == 0
    args = ("lab", "compare", "compact", "--reference", "numpy", "--seeds", "1", "--json")
    assert json.loads(portavoz(*args, path=[without], cwd=tmp_path))["pass"]
    (tmp_path / "smoke.yaml").write_text("corpus: toy\nmodel: minimal\nsteps: 4\nbatch: 2\nevery: 4\n")
    portavoz("train", "smoke.yaml", "--out", "run", path=[without], cwd=tmp_path)
    assert any((tmp_path / "run").glob("*.safetensors"))
