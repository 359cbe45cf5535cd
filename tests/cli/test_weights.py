"""``portavoz weights convert``: what it says, and its exit code for files that are more than weights."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pickles
import pytest

from portavoz.weights import file


def test_convert(run, tmp_path: Path) -> None:
    pickles.archive(tmp_path / "w.bin", pickles.state(), {"0": np.arange(6, dtype=np.float32).tobytes()})
    done = run("weights", "convert", "w.bin", "w.safetensors", "--trust-pickle")
    assert (done.code, done.out) == (0, b"")
    assert done.err == "portavoz: w.safetensors: 1 tensors, 0.0 MB\n"
    tensors, about = file.read("w.safetensors")
    assert tensors["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert about["converted_by"].startswith("portavoz ") and about["converted_from"] == "w.bin"

    shown = json.loads(run("weights", "convert", "w.safetensors", "again.safetensors", "--json").out)
    assert shown["tensors"] == 1 and shown["output"] == "again.safetensors"
    assert shown["metadata"]["converted_from"] == "w.safetensors"


@pytest.mark.parametrize("name", ["os.system", "eval", "numbers"])
def test_refusals_are_one_line(refused, tmp_path: Path, name: str) -> None:
    data = {
        "os.system": pickles.calling(os.system, f"touch {tmp_path}/run"),
        "eval": pickles.calling(eval, f"open('{tmp_path}/run', 'w')"),
        "numbers": pickles.state(size=(1 << 40, 1 << 40)),
    }
    pickles.archive(tmp_path / "w.bin", data[name])
    assert "w.bin: not converted, because" in refused("weights", "convert", "w.bin", "w.safetensors", "--trust-pickle")
    assert "with --trust-pickle it is read in a process" in refused("weights", "convert", "w.bin", "w.safetensors")
    assert os.listdir() == ["w.bin"]


def test_options(refused) -> None:
    assert "has no command 'burn'" in refused("weights", "burn", "a", "b.safetensors")
    assert "a.bin: cannot be read: there is no such file" in refused(
        "weights", "convert", "a.bin", "b.safetensors", "--trust-pickle"
    )
    assert "change the ending" in refused("weights", "convert", "a.bin", "b.bin")
