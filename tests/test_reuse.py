"""What docs/reuse.md says is what is measured."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def script(root: Path) -> Any:
    spec = importlib.util.spec_from_file_location("reuse_page", root / "bench" / "reuse_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_line_counts_when_it_ran(script: Any) -> None:
    code = textwrap.dedent(
        '''
        def f(a):
            """Text."""
            if a:
                return [b
                        for b in a]
            return None

        class C:
            y = 2

            def g(self):
                return 3
        '''
    )
    assert set(script.bodies(compile(code, "f.py", "exec"))) == {4, 5, 6, 7, 13}
    lines, words = script.reached(script.say_t5)
    files = {name for name, _ in lines & script.executable()}
    assert {"attention.py", "layers.py", "relative.py"} <= files
    assert "hifigan.py" not in files
    assert "rms_norm" in words
    assert "layer_norm" not in words


@pytest.mark.slow
def test_the_page_is_what_is_measured(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(root / "bench" / "reuse_page.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
