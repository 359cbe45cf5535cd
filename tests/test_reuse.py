"""What docs/reuse.md says is what is measured."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from warm import Warm


@pytest.fixture(scope="module")
def script(root: Path) -> Any:
    spec = importlib.util.spec_from_file_location("reuse_page", root / "bench" / "reuse_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REACHED = """
import importlib.util, json
spec = importlib.util.spec_from_file_location("reuse_page", "bench/reuse_page.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
lines, words = script.reached(script.say_t5)
print(json.dumps([sorted({name for name, _ in lines & script.executable()}), sorted(words)]))
"""


def test_a_line_counts_when_it_ran(script: Any, root: Path, warm: Warm) -> None:
    """The lines are followed in a process where nothing else has been traced."""
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
    code, out, err = warm.run(["-c", REACHED], cwd=root, env=dict(os.environ))
    assert code == 0, err
    files, words = json.loads(out)
    assert {"attention.py", "layers.py", "relative.py"} <= set(files)
    assert "hifigan.py" not in files
    assert "rms_norm" in words
    assert "layer_norm" not in words


@pytest.mark.slow
def test_the_page_is_what_is_measured(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(root / "bench" / "reuse_page.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
