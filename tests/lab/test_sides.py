"""An ONNX file and a NumPy program as sides of a comparison."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from portavoz.errors import InputError
from portavoz.lab.compare import compare
from portavoz.lab.instrument.numpy import NumpyProgram
from portavoz.lab.instrument.onnx import OnnxProgram
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.selftest.strangers import vocoder
from portavoz.lab.selftest.strangers.scene import sensitive


class Small(torch.nn.Module):
    """Two layers and a tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(6, 8), torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


@pytest.fixture
def small() -> tuple[Small, torch.Tensor]:
    torch.manual_seed(0)
    return Small(), torch.randn(2, 7, 6)


@pytest.mark.parametrize("fault", [False, True])
def test_a_numpy_program(fault: bool, small: tuple[Small, torch.Tensor]) -> None:
    model, x = small

    def run(w: Any) -> Any:
        weight = w["second.weight"][::-1] if fault else w["second.weight"]
        y = np.tanh(x.numpy() @ w["first.weight"].T + w["first.bias"])
        return y @ weight.T + w["second.bias"]

    arrays = {name: t.detach().numpy() for name, t in model.state_dict().items()}
    theirs = TorchProgram(lambda: model(x), modules={"": model})
    verdict = compare(theirs, NumpyProgram(run, arrays))
    assert verdict.pairing.coverage == 1 and len(verdict.pairing.units) == 4
    assert verdict.answer == ("FAIL" if fault else "PASS")
    if fault:
        assert verdict.faults[0].id == "leaf:second" and "order" in verdict.faults[0].cause
    assert compare(NumpyProgram(run, arrays), theirs).answer == ("FAIL" if fault else "PASS")


def test_an_onnx_file_is_either_side(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, (mel,) = sensitive(vocoder.Vocoder()).eval(), vocoder.inputs(torch.Generator().manual_seed(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (mel,), str(tmp_path / "m.onnx"), input_names=["mel"], dynamo=False)
    graph = OnnxProgram(tmp_path / "m.onnx", {"mel": mel.numpy()})
    theirs = TorchProgram(lambda: model(mel), modules={"": model})
    # Exporting folds the batch norms: that is no fault.
    for pair in ((graph, theirs), (theirs, graph)):
        verdict = compare(*pair)
        assert verdict.answer == "PASS" and verdict.pairing.fused
    wrong = vocoder.port({k: t.detach().clone() for k, t in model.state_dict().items()}, mel, fault="slope 1")
    port = TorchProgram(lambda: vocoder.port(dict(model.state_dict()), mel, fault="slope 1"))
    verdict = compare(graph, port)
    assert wrong.shape == (2, 1, 44) and verdict.answer == "FAIL" and "slope" in verdict.faults[0].cause
    with pytest.raises(InputError, match="its inputs are mel; given wave"):
        OnnxProgram(tmp_path / "m.onnx", {"wave": mel.numpy()})
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match="is not an ONNX graph"):
        OnnxProgram(tmp_path / "broken.onnx", {})


class Scaled(torch.nn.Module):
    """A gain, a root and a sum between two layers: none of them is a unit of PyTorch's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(6, 8), torch.nn.Linear(8, 5)
        self.gain = 0.75

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(self.first(x))
        return self.second(torch.sqrt(y * y + 0.5) * self.gain + y)


@pytest.mark.parametrize("fault", [False, True])
def test_every_node_of_two_graphs_is_an_edge(fault: bool, tmp_path: Path) -> None:
    import onnx

    torch.manual_seed(0)
    model, x = Scaled(), torch.randn(2, 7, 6)
    sides = []
    for name in ("theirs", "mine"):
        model.gain = 0.5 if fault and name == "mine" else 0.75
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(model, (x,), str(tmp_path / name), input_names=["x"], dynamo=False)
        graph = onnx.load(str(tmp_path / name))
        del graph.graph.value_info[:]  # as many exporters leave it: no shapes between input and output
        sides.append(OnnxProgram(tmp_path / name, {"x": x.numpy()}, model=graph))
    verdict = compare(*sides)
    ops = {key.rpartition("/")[2].partition(".")[0] for key in verdict.pairing.units}
    assert {"mul", "add", "sqrt"} <= ops and verdict.pairing.coverage == verdict.pairing.seen == 1
    assert verdict.answer == ("FAIL" if fault else "PASS")
    if fault:
        assert [one.id for one in verdict.faults] == ["leaf:/mul.1"] and "gain" in verdict.faults[0].cause
