"""`portavoz lab trace module:function` where the function runs modules of MLX."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

PORT = """
import mlx.core as mx
import mlx.nn as nn
import numpy as np

net = nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, 2))
net.load_weights([(k, mx.array(np.sin(np.arange(v.size, dtype=np.float32) + 1).reshape(v.shape)))
                  for k, v in nn.utils.tree_flatten(net.parameters())])


def run():
    return net(mx.array(np.cos(np.arange(24, dtype=np.float32)).reshape(1, 8, 3)))
"""


@pytest.mark.usefixtures("with_mlx")
def test_a_program_on_mlx_is_recorded_and_judged(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "on_mlx.py").write_text(PORT)
    (tmp_path / "wrong_on_mlx.py").write_text(PORT.replace("nn.ReLU()", "nn.SiLU()"))
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert run("lab", "trace", "on_mlx:run", "-o", "a.trace").code == 0
        checked = run("lab", "check", "a.trace").out.decode()
        assert "a complete trace of 4 units (3 with their inputs), 2 layers with weights, floors for 4" in checked
        assert run("lab", "compare", "a.trace", "on_mlx:run").code == 0
        done = run("lab", "compare", "on_mlx:run", "wrong_on_mlx:run")
        assert done.code == 1 and "layers.2" in done.out.decode().splitlines()[0]
    finally:
        for name in ("on_mlx", "wrong_on_mlx"):
            sys.modules.pop(name, None)
