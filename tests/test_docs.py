"""The documentation's examples run: each page in an empty folder, from top to bottom.

A fenced block ``python`` is a script of its own; blocks ``python title=NAME`` are parts of one file of that name,
run as far as it has come, and later blocks may import it. In a block ``console`` each line after ``$ `` is a shell
command, and what stands below it is what the command must print, where ``…`` stands for anything. A page with
a block ``console slow`` or ``python slow`` runs in the slow lane too, with those blocks. Other fences (``sh``,
``text``, ``toml``) are not run.

In the fast lane what imports torch begins in a process that has it (support/warm.py); in the slow lane every program of
every page is a process from its start.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from warm import Warm

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^( *)```(\w+)( +slow)?(?: +title=(\S+))?[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def examples(page: Path, slow: bool = False) -> list[tuple[str, str, str]]:
    """(language, text, title or nothing) of the page's blocks that can be run, with the slow ones where asked."""
    blocks = FENCE.findall(page.read_text(encoding="utf-8"))
    return [
        (language, text, title)
        for _, language, late, title, text in blocks
        if language in ("python", "console") and (slow or not late)
    ]


def commands(block: str) -> list[tuple[str, str]]:
    """(command, what it must print; empty when the page does not say) for each line of a console block."""
    parts = re.split(r"^\s*\$ ", block, flags=re.MULTILINE)[1:]
    pairs = [part.partition("\n") for part in parts]
    return [
        (command, "\n".join(line.strip() for line in printed.strip().splitlines())) for command, _, printed in pairs
    ]


def matches(said: str, wanted: str) -> bool:
    """Whether `said` is `wanted`, where … in `wanted` stands for anything; blanks at the ends of lines do not count."""
    lines = "\n".join(line.strip() for line in said.strip().splitlines())
    return re.fullmatch(".*".join(re.escape(part) for part in wanted.split("…")), lines, re.DOTALL) is not None


def run_page(blocks: list[tuple[str, str, str]], folder: Path, warm: Warm | None = None) -> None:
    """Run a page's blocks; consecutive parts of one file run once, as far as the file has come."""
    for i, (language, text, title) in enumerate(blocks):
        if title:
            with (folder / title).open("a", encoding="utf-8") as out:
                out.write(f"{text}\n\n")
            if blocks[i + 1 : i + 2] and blocks[i + 1][2] == title:
                continue
            text = (folder / title).read_text(encoding="utf-8")
        run(language, text, folder, warm)


def run(language: str, text: str, folder: Path, warm: Warm | None = None) -> None:
    """Run one block in `folder`; fails with what it printed."""
    path = [str(Path(sys.executable).parent), os.environ["PATH"]]
    path = os.pathsep.join([warm.command(), *path] if warm else path)
    env = {**os.environ, "PATH": path, "COLUMNS": "100", "MPLBACKEND": "Agg", "PYTHONWARNINGS": "error"}
    if language == "python" and warm:
        code, _, said = warm.run(["-c", text], cwd=folder, env=env)
        assert code == 0, f"{text}\n{said}"
        return
    if language == "python":
        done = subprocess.run([sys.executable, "-c", text], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
        return
    for command, wanted in commands(text):
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert not wanted or matches(done.stdout, wanted), (
            f"{command}\nprinted:\n{done.stdout}\nthe page says:\n{wanted}"
        )


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [p for p in PAGES if examples(p)], ids=name)
def test_examples_run(page: Path, warm: Warm, tmp_path: Path) -> None:
    run_page(examples(page), tmp_path, warm)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if examples(p, slow=True)], ids=name)
def test_all_examples_run_from_their_start(page: Path, tmp_path: Path) -> None:
    run_page(examples(page, slow=True), tmp_path)


def test_pages_are_listed_and_links_lead_somewhere() -> None:
    """Every page of docs/ is in mkdocs.yml, and every relative link of a page leads to a file."""
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES:
        if page.parent != ROOT:
            assert str(page.relative_to(ROOT / "docs")) in listed
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("warmed", [False, True])
def test_runner_notices_a_wrong_example(warmed: bool, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    warm = request.getfixturevalue("warm") if warmed else None
    wrong = [
        "raise SystemExit(1)",
        "1 / 0",
        "import warnings\nwarnings.warn('no')",
        "import os\nos.kill(os.getpid(), 9)",
    ]
    for text in wrong:
        with pytest.raises(AssertionError):
            run("python", text, tmp_path, warm)
    with pytest.raises(AssertionError):
        run("console", "$ echo one\ntwo\n", tmp_path, warm)
    with pytest.raises(AssertionError):
        run("console", "$ portavoz lab nothing\n", tmp_path, warm)
    run("console", "$ echo one two three\none … three\n", tmp_path, warm)
    run("console", '$ portavoz lab nothing 2>&1 || echo "exit code $?"\n…exit code 2\n', tmp_path, warm)
    (tmp_path / "mine.py").write_text("import sys\nloaded = 'torch' in sys.modules", encoding="utf-8")
    run(
        "python",
        f"import mine, sys\nassert mine.loaded == {warmed}\nassert 'portavoz' not in sys.modules",
        tmp_path,
        warm,
    )
