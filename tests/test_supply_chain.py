"""What speaking leaves behind, and whom it calls: nothing but the file that was asked for, and nobody."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Every file that Python writes and every socket that it makes; then the sockets that native code has left open.
AUDIT = """
import atexit, json, os, sys
seen = []

def note(event, args):
    if event.startswith("socket."):
        seen.append([event, repr(args[1:])])
    elif event == "open" and isinstance(args[1], str) and set("wax+") & set(args[1]):
        seen.append([event, os.fspath(args[0]) if not isinstance(args[0], int) else args[0]])
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.symlink"):
        seen.append([event, os.fspath(args[0])])

def tell():
    paths = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
    links = [os.readlink(path) for path in paths if os.path.islink(path)]
    with open(os.environ["REPORT"], "w") as out:
        json.dump({"seen": seen, "sockets": [one for one in links if one.startswith("socket:")]}, out)

sys.addaudithook(note)
atexit.register(tell)
"""


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def watched(folder: Path, *command: str) -> dict[str, Any]:
    """Run Python with an own home and temporary folder in `folder`; gives what it wrote and opened."""
    for name in ("home", "temporary", "here", "hook"):
        (folder / name).mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(AUDIT, encoding="utf-8")
    source = str(Path(importlib.import_module("portavoz").__file__ or "").parents[1])
    env = {
        "PATH": os.environ["PATH"], "HOME": str(folder / "home"), "TMPDIR": str(folder / "temporary"),
        "PYTHONPATH": os.pathsep.join([str(folder / "hook"), source]), "REPORT": str(folder / "report.json"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    done = subprocess.run([sys.executable, *command], cwd=folder / "here", env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_a_say_writes_nothing_but_its_output_and_calls_nobody(tiny: Path, tmp_path: Path) -> None:
    found = watched(tmp_path, "-m", "portavoz", "say", "Hello.", "-o", "out.wav", "--voice", str(tiny))
    assert files_below(tmp_path / "here") == ["out.wav"]
    assert files_below(tmp_path / "home") == files_below(tmp_path / "temporary") == []
    assert found["sockets"] == []
    written = {name for event, name in found["seen"] if event == "open"}
    assert [event for event, _ in found["seen"] if event.startswith("socket")] == []
    (beside,) = written - {str(tmp_path / "report.json")}
    assert Path(beside).parent == tmp_path / "here"
    assert Path(beside).name.startswith(".portavoz-")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_importing_a_runtime_leaves_nothing(runtime: str, tmp_path: Path) -> None:
    opened = "from portavoz.graph import openvino; openvino.core()" if runtime == "openvino" else "import onnxruntime"
    found = watched(tmp_path, "-c", f"import portavoz; {opened}")
    assert files_below(tmp_path / "home") == files_below(tmp_path / "temporary") == []
    assert found["sockets"] == []
    assert [event for event, _ in found["seen"] if event.startswith("socket")] == []


def test_a_choice_of_the_users_stays() -> None:
    code = "import os, portavoz; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    env = {**os.environ, "ORT_DISABLE_TELEMETRY": "0"}
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True).stdout == "0\n"


def test_every_licence_is_known(root: Path) -> None:
    about = importlib.util.spec_from_file_location("check_licences", root / "scripts" / "check_licences.py")
    assert about is not None and about.loader is not None
    script = importlib.util.module_from_spec(about)
    about.loader.exec_module(script)
    licences, _ = script.closure("portavoz")
    assert {"numpy", "onnxruntime", "soundfile"} <= set(licences)
    assert script.problems(licences) == []
    assert script.problems({"a": "", "b": "GPL-3.0-only", "c": "MIT"}) == ["a: states no licence", "b: GPL-3.0-only"]
