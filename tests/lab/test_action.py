"""The CI action of the docs: its steps are run as a runner would, on two small programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from warm import Warm

PROGRAM = """
import torch

torch.manual_seed(0)
first, last = torch.nn.Linear(6, 8), torch.nn.Linear(8, 4)


def right():
    return last(torch.relu(first(torch.ones(1, 5, 6).cumsum(1))))


def wrong():
    return last(torch.tanh(first(torch.ones(1, 5, 6).cumsum(1))))
"""


@pytest.fixture(scope="module")
def action(root: Path) -> dict[str, Any]:
    """The action as a runner reads it."""
    return yaml.safe_load((root / "docs" / "examples" / "parity" / "action.yml").read_text(encoding="utf-8"))


def ran(warm: Warm, action: dict[str, Any], folder: Path, **inputs: str) -> tuple[int, dict[str, str], str]:
    """Run the step that compares: exit code, outputs, summary."""
    step = next(s for s in action["runs"]["steps"] if s.get("id") == "compare")
    assert step["shell"] == "bash"
    given = {name: str(about.get("default", "")) for name, about in action["inputs"].items()} | inputs
    env = {
        **os.environ,
        "PATH": os.pathsep.join([warm.command(), str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    for name, text in step["env"].items():
        env[name] = given[text.removeprefix("${{ inputs.").removesuffix(" }}")]
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        (folder / name).write_text("")
        env[name] = str(folder / name)
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    said = [line.partition("=") for line in (folder / "GITHUB_OUTPUT").read_text().splitlines()]
    return done.returncode, {key: value for key, _, value in said}, (folder / "GITHUB_STEP_SUMMARY").read_text()


def test_the_actions_steps_do_what_the_docs_say(warm: Warm, action: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    code, outputs, summary = ran(warm, action, tmp_path, reference="program:right", port="program:wrong")
    assert code == 1 and outputs["verdict"] == "FAIL" and outputs["first"].startswith("FIRST WRONG: ")
    assert summary.strip() == outputs["first"] and (tmp_path / "portavoz-lab.html").is_file()
    old = tmp_path / "old.json"
    old.write_text((tmp_path / "portavoz-lab.json").read_text())
    code, outputs, _ = ran(warm, action, tmp_path, reference="program:right", port="program:wrong", since=str(old))
    assert code == 0 and outputs["verdict"] == "FAIL"  # nothing new
    assert json.loads((tmp_path / "portavoz-lab.json").read_text())["since"]["new"] == []
    code, outputs, _ = ran(warm, action, tmp_path, reference="program:right", port="program:right")
    assert code == 0 and outputs["verdict"] == "PASS"


def test_a_port_that_cannot_be_run_fails_the_job(warm: Warm, action: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    code, outputs, _ = ran(warm, action, tmp_path, reference="program:right", port="program:nobody")
    assert code == 2 and outputs == {}


def test_every_output_has_its_step(action: dict[str, Any]) -> None:
    assert action["runs"]["using"] == "composite"
    assert {about["value"] for about in action["outputs"].values()} == {
        f"${{{{ steps.compare.outputs.{name} }}}}" for name in action["outputs"]
    }
    kept = next(s for s in action["runs"]["steps"] if "upload-artifact" in s.get("uses", ""))
    assert kept["if"] == "always()" and "portavoz-lab.html" in kept["with"]["path"]
