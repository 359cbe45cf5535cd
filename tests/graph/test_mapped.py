"""Compiled stages keep their weights in a file beside the graph, which a session maps."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from mapped import mapped

from portavoz.errors import WeightError
from portavoz.graph.export import export, write
from portavoz.graph.onnx import Session, weights_of
from portavoz.graph.onnx_ops import OnnxOps

LARGE = np.arange(3000, dtype=np.float32).reshape(30, 100) / 999
OTHER = np.random.default_rng(1).standard_normal((100, 40)).astype(np.float32)
GIVEN = np.random.default_rng(2).standard_normal((2, 30)).astype(np.float32)


def stage(ops):
    first, second = (ops.parameter(array, path, "matrix") for array, path in ((LARGE, "first"), (OTHER, "second")))
    return lambda x: ops.matmul(ops.matmul(x, first), second)


def written(path: Path) -> Path:
    ops = OnnxOps()
    write(path, stage(ops), [("x: B", GIVEN)], ["y: B"], ops=ops)
    return path


def test_the_graph_is_small_and_computes_what_the_one_with_weights_does(tmp_path):
    path, ops = written(tmp_path / "a.onnx"), OnnxOps()
    (inline := tmp_path / "b.onnx").write_bytes(export(stage(ops), [("x: B", GIVEN)], ["y: B"], ops=ops))
    assert path.stat().st_size < 1000 and weights_of(path).stat().st_size >= LARGE.nbytes + OTHER.nbytes
    for packed in (True, False):
        y = Session(path, packed=packed).run(x=GIVEN)[0]
        np.testing.assert_allclose(y, GIVEN @ LARGE @ OTHER, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(y, Session(inline, packed=packed).run(x=GIVEN)[0])


def test_each_tensor_begins_at_a_page(tmp_path):
    graph = onnx.load(str(written(tmp_path / "a.onnx")), load_external_data=False).graph
    places = [{e.key: e.value for e in tensor.external_data} for tensor in graph.initializer]
    assert [int(place["offset"]) % 4096 for place in places] == [0, 0]
    assert {place["location"] for place in places} == {"a.bin"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_weights_that_are_not_packed_are_read_where_they_are_mapped(tmp_path):
    session = Session(written(tmp_path / "a.onnx"), packed=False)
    session.run(x=GIVEN)
    assert mapped(tmp_path / "a.bin") * 2**20 >= LARGE.nbytes


def test_a_graph_without_its_weights_is_one_sentence(tmp_path):
    path = written(tmp_path / "a.onnx")
    weights_of(path).unlink()
    with pytest.raises(WeightError, match=r"a\.onnx: not a graph that ONNX Runtime can open"):
        Session(path).run(x=GIVEN)
