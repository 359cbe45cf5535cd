"""Run the light part of the suite on every other Python that this machine has.

Light is each test that needs no framework and no extra (tests/support/light.py says how that is found out). Each
Python gets an environment of its own (`.venv-py3.12` …), and speaks one sentence in it:

- 3.10 with the lowest versions that pyproject.toml allows,
- 3.12 with NumPy 1,
- 3.13 and later with the newest of everything.

Ends with 1 when a Python fails, and also when none was found: a lane that never runs proves nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.12", "3.13", "3.14")
TOOLS = ["pytest", "hypothesis", "jaxtyping", "beartype", "librosa<1"]


def interpreters(version: str) -> list[str]:
    """Candidates for a Python of this version: on the path, then where pyenv keeps them."""
    found = shutil.which(f"python{version}")
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return ([found] if found else []) + [str(p) for p in sorted(home.glob(f"{version}.*/bin/python"), reverse=True)]


def working(version: str) -> str | None:
    """The first candidate that really is this version; a shim on the path may be none."""
    for candidate in interpreters(version):
        says = subprocess.run([candidate, "--version"], capture_output=True, text=True).stdout
        if says.startswith(f"Python {version}."):
            return candidate
    return None


def lowest() -> list[str]:
    """The base dependencies of pyproject.toml, each at its lower bound: ``numpy>=1.26`` → ``numpy==1.26.*``."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split("\ndependencies = [", 1)[1].split("]", 1)[0]
    bounds = re.findall(r'"([\w-]+)>=([\d.]+)"', block)
    return [f"{name}=={'.'.join(bound.split('.')[:2])}.*" for name, bound in bounds]


def pins(version: str) -> list[str]:
    """What this Python's environment is asked to have."""
    return {"3.10": lowest(), "3.12": ["numpy<2"]}.get(version, [])


def lane(version: str, python: str) -> bool:
    """Prepare one environment, run the light files in it, speak one sentence. Prints one line of outcome."""
    folder = ROOT / f".venv-py{version}"
    if not (folder / "bin" / "python").exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    own = str(folder / "bin" / "python")
    subprocess.run([own, "-m", "pip", "install", "-q", "-e", str(ROOT), *TOOLS, *pins(version)], check=True)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
    tests = subprocess.run([own, "-m", "pytest", "-q", "-p", "light"], cwd=ROOT, env=env).returncode
    wav = folder / "say.wav"
    say = subprocess.run([str(folder / "bin" / "portavoz"), "say", f"This is Python {version}.", "-o", str(wav)])
    numpy = subprocess.run([own, "-c", "import numpy; print(numpy.__version__)"], capture_output=True, text=True)
    good = tests == 0 and say.returncode == 0 and wav.stat().st_size > 10_000
    print(f"Python {version}, NumPy {numpy.stdout.strip()}: {'ok' if good else 'FAILED'}", flush=True)
    return good


def main() -> int:
    """All lanes; see the module's text for the exit code."""
    wanted = sys.argv[1:] or VERSIONS
    here = {version: python for version in wanted if (python := working(version))}
    print(f"found: {', '.join(here) or 'no other Python'}", flush=True)
    outcomes = [lane(version, python) for version, python in here.items()]
    return 0 if outcomes and all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
