"""The real package on a mock device: shapes, dtypes, layouts, sharding, L1 and programs; never numbers.

Where the lane cannot be built these tests are skipped with the reason; with PORTAVOZ_TTNN_REQUIRED set they fail.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "ttnn_mock.py"


@pytest.fixture(scope="module")
def lane() -> Any:
    """The script's module, its environment built."""
    spec = importlib.util.spec_from_file_location("ttnn_mock", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["ttnn_mock"] = module
    spec.loader.exec_module(module)
    try:
        module.build()
    except module.Missing as problem:
        if os.environ.get("PORTAVOZ_TTNN_REQUIRED"):
            raise
        pytest.skip(f"the mock lane of ttnn cannot be built here: {problem}")
    return module


def rows(lane: Any, *args: str, board: str = "n150") -> dict[str, dict[str, Any]]:
    """What scripts/ttnn_stages.py says, by stage."""
    done = lane.run([str(ROOT / "scripts" / "ttnn_stages.py"), *args], path=ROOT / "src", board=board)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert found, done.stderr[-3000:]
    return {row["stage"]: row for row in found}


def accepted(found: dict[str, dict[str, Any]]) -> None:
    """Every stage ran twice, and the second time with the programs of the first."""
    assert {name: row["error"] for name, row in found.items() if "error" in row} == {}
    assert {name: row["added"] for name, row in found.items() if row["added"]} == {}
    assert all(row["programs"] > 0 for row in found.values())


def test_the_library_accepts_a_decoder_step_and_a_stage_of_hifigan(lane: Any) -> None:
    found = rows(lane, "speecht5:step", "speecht5:vocode.1")
    accepted(found)
    assert found["speecht5 tiny step"]["shapes"] == [[2, 1, 34], [2, 4, 32]]
    assert found["speecht5 tiny vocode.1"]["shapes"] == [[2, 116]]
    assert found["speecht5 tiny vocode.1"]["l1"] > 0


REFUSED = """
import numpy as np
from portavoz.errors import BackendError
from portavoz.ops.ttnn.backend import TtnnOps
from portavoz.ops.ttnn.schedule import read
from portavoz.weights.cursor import Weights

rule = {"match": "big.*", "memory": "l1", "dtype": "float32"}
back = TtnnOps("card", read({"rule": [rule]}, "mine.toml"))
for shape in ((64, 64), (8192, 2600)):
    w = Weights({"big.weight": np.zeros(shape, np.float32)}, back)
    try:
        layer = w.linear("big", shape[1], shape[0], bias=False)
        layer(back.tensor(np.zeros((1, 32, shape[1]), np.float32)))
        layer(back.tensor(np.zeros((1, 32, 48), np.float32)))
    except BackendError as problem:
        print("refused:", problem)
"""


def test_what_the_library_refuses_names_the_tensor_and_the_line_of_the_schedule(lane: Any) -> None:
    done = lane.run(["-c", REFUSED], path=ROOT / "src")
    said = [line for line in done.stdout.splitlines() if line.startswith("refused:")]
    assert len(said) == 2, done.stderr[-2000:]
    assert "big.weight" in said[1] and "mine.toml, rule 1 (big.*)" in said[1] and "L1 buffer" in said[1]
    assert "choose memory or shard otherwise there" in said[1]
    assert "ttnn.linear of big.weight on [1, 32, 48], [64, 64] was refused (mine.toml, rule 1 (big.*))" in said[0]


KEPT = """
import numpy as np
from portavoz.ops.ttnn.backend import TtnnOps
from portavoz.ops.ttnn.schedule import read
from portavoz.weights.cursor import Weights

wide = {"match": ["a.*", "n.*"], "output": "float32"}
back = TtnnOps("card", read({"rule": [wide]}, "wide.toml"))
w = Weights.fresh(back)
x = back.tensor(np.zeros((1, 32, 64), np.float32))
y = w.linear("a", 64, 64)(x)
for made in (x, y, back.relu(y), w.layer_norm("n", 64)(x), back.concat([y, y], 1)):
    print("kept:", str(made.handle.tensor.dtype).rpartition(".")[2].lower())
"""


def test_results_are_kept_in_the_dtype_of_the_rule_as_golden_keeps_them(lane: Any) -> None:
    done = lane.run(["-c", KEPT], path=ROOT / "src")
    kept = [line[6:] for line in done.stdout.splitlines() if line.startswith("kept: ")]
    assert kept == ["bfloat16", "float32", "bfloat16", "float32", "float32"], done.stderr[-2000:]


def test_a_machine_without_a_card_is_one_sentence(lane: Any) -> None:
    code = "from portavoz.ops.ttnn.backend import TtnnOps; TtnnOps('card')"
    given = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TT_LOGGER_LEVEL": "FATAL"}
    python = lane.root() / "venv" / "bin" / "python"
    done = subprocess.run([python, "-c", code], env=given, capture_output=True, text=True, cwd=lane.root(), timeout=60)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "BackendError: ttnn finds no card (No chips detected in the cluster)" in last, last
    assert "device='golden' needs no card" in last


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["bfloat16", "fast"])
@pytest.mark.parametrize("family", ["speecht5", "t5", "compact", "chatterbox", "kokoro", "piper"])
def test_the_library_accepts_every_stage(lane: Any, family: str, schedule: str) -> None:
    accepted(rows(lane, family, "--schedule", schedule))


@pytest.mark.slow
def test_two_chips_accept_a_model_that_is_cut_over_them(lane: Any) -> None:
    found = rows(lane, "speecht5:encode", "speecht5:step", "chatterbox:step", "--mesh", "1x2", board="n300")
    accepted(found)
    assert found["speecht5 tiny step"]["shapes"] == [[2, 1, 34], [2, 4, 32]]
