"""A compiled stage that is closed gives its memory back, and opens again."""

import importlib
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import open_voices
import pytest

from portavoz.graph import openvino

SIZE, MIB = 3072, 1 << 20
HELD = SIZE * SIZE * 4 // MIB  # of the one weight, 36 MiB


def resident() -> float:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MIB


def freed(runtime: str, path: Path) -> float:
    """MiB that closing a session gave back. In a process of its own: where much was freed before, the allocator hands
    out memory that is resident already, and nothing is seen to come or go."""
    session, x = importlib.import_module(runtime).Session(path), np.ones((2, SIZE), np.float32)
    first, opened = session.run(x=x)[0], resident()
    y = np.empty_like(first)
    bound = session.bind({"x": x}, {"y": y})
    bound()
    session.close()
    bound()  # what was bound before lives on
    np.testing.assert_array_equal(y, first)
    del bound
    less = opened - resident()
    np.testing.assert_array_equal(session.run(x=x)[0], first)
    return less


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_closed_stage_gives_its_memory_back_and_opens_again(runtime, tmp_path):
    g = open_voices.Builder()
    path = g.save(
        tmp_path / "a.onnx", [open_voices.value("x", 1, 2, SIZE)], g("MatMul", "x", g.weight(SIZE, SIZE)), "y", 2
    )
    if runtime == "openvino":
        pytest.importorskip("openvino")
        openvino.convert(path, tmp_path, int8=False)
        path = tmp_path / "model.xml"
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        assert process.submit(freed, f"portavoz.graph.{runtime}", path).result() > HELD / 2
