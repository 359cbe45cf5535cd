"""A compiled stage that is closed gives its memory back, and opens again."""

import importlib
import mmap
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import open_voices
import pytest
from mapped import mapped

from portavoz.graph import openvino

SIZE, MIB = 3072, 1 << 20
HELD = SIZE * SIZE * 4 // MIB  # of the one weight, 36 MiB


def resident() -> float:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MIB


def kept_mapped(path: Path) -> tuple[float, float]:
    """What stays of a mapped file where its pages are dropped, and what a session keeps of its weights after a run."""
    with path.with_suffix(".bin").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as plain:
        assert sum(plain[::4096]) >= 0
        openvino.page_out(path.with_suffix(".bin"))
        least = mapped(path.with_suffix(".bin"))
    session = openvino.Session(path)
    session.run(x=np.ones((2, SIZE), np.float32))
    kept = mapped(path.with_suffix(".bin"))
    session.close()  # not before: its mapping goes with it
    return least, kept


def weighty(folder: Path, *, convert: bool) -> Path:
    """A graph of one large weight, as a file of ONNX or of OpenVINO."""
    g = open_voices.Builder()
    x = open_voices.value("x", 1, 2, SIZE)
    path = g.save(folder / "a.onnx", [x], g("MatMul", "x", g.weight(SIZE, SIZE)), "y", 2)
    if convert:
        pytest.importorskip("openvino")
        openvino.convert(path, folder, int8=False)
    return folder / "model.xml" if convert else path


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
    path = weighty(tmp_path, convert=runtime == "openvino")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        assert process.submit(freed, f"portavoz.graph.{runtime}", path).result() > HELD / 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_file_of_packed_weights_leaves_memory(tmp_path):
    path = weighty(tmp_path, convert=True)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        least, kept = process.submit(kept_mapped, path).result()
    if least > HELD / 2:
        pytest.skip("this kernel does not drop pages when it is asked to")
    assert kept < HELD / 2
