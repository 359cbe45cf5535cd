"""A compiled stage that is closed gives its memory back, and opens again."""

import sys
from pathlib import Path

import numpy as np
import open_voices
import pytest

from portavoz.graph import onnx, openvino

SIZE, MIB = 3072, 1 << 20
HELD = SIZE * SIZE * 4 // MIB  # of the one weight, 36 MiB


def resident() -> float:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MIB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("runtime", [onnx, openvino])
def test_a_closed_stage_gives_its_memory_back_and_opens_again(runtime, tmp_path):
    g = open_voices.Builder()
    path = g.save(
        tmp_path / "a.onnx", [open_voices.value("x", 1, 2, SIZE)], g("MatMul", "x", g.weight(SIZE, SIZE)), "y", 2
    )
    if runtime is openvino:
        pytest.importorskip("openvino")
        openvino.convert(path, tmp_path, int8=False)
        path = tmp_path / "model.xml"
    session, x = runtime.Session(path), np.ones((2, SIZE), np.float32)
    first, opened = session.run(x=x)[0], resident()
    y = np.empty_like(first)
    bound = session.bind({"x": x}, {"y": y})
    bound()
    session.close()
    bound()  # what was bound before lives on
    np.testing.assert_array_equal(y, first)
    del bound
    assert opened - resident() > HELD / 2
    np.testing.assert_array_equal(session.run(x=x)[0], first)
