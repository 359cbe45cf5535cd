"""What a unit gave is what the next one takes: in a trace's file such numbers are once, under both names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from probes import compact

from portavoz.errors import InputError
from portavoz.lab.compare import mirrored
from portavoz.lab.forcing.noise_floor import write
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.trace.reader import read
from portavoz.lab.trace.recorder import record
from portavoz.lab.trace.trace import ENTRY


def stack() -> TorchProgram:
    """Channels first between the layers, as PyTorch's convolutions want them."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv1d(4, 6, 3, padding=1), torch.nn.LeakyReLU(0.1), torch.nn.Conv1d(6, 5, 3, padding=1),
        torch.nn.Tanh(), torch.nn.Conv1d(5, 5, 1),
    )  # fmt: skip
    x = torch.randn(2, 4, 9)

    def run() -> torch.Tensor:
        y = model(x)
        return torch.tanh(y) + torch.sigmoid(y)  # the same numbers twice, and turned

    return TorchProgram(run)


def header(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    raw = path.read_bytes()
    parsed = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return parsed, json.loads(parsed["__metadata__"][ENTRY])


@pytest.mark.parametrize("subject", [stack(), compact(ops="numpy")], ids=["torch", "compact"])
def test_shared_numbers_are_read_as_if_each_were_there(subject: Any, tmp_path: Path) -> None:
    whole = record(subject)
    write(subject, tmp_path / "a.trace", floors=False)
    again = read(tmp_path / "a.trace")
    for key, unit in whole.units.items():
        assert again.units[key].shapes == unit.shapes
        for place in unit.shapes:
            assert np.array_equal(again.array(key, place), whole.array(key, place), equal_nan=unit.kind == "leaf")
    assert mirrored(subject, again).answer == "PASS"
    stored, told = header(tmp_path / "a.trace")
    shared = sum(len(unit.get("same_as", {})) + len(unit.get("transpose_of", {})) for unit in told["units"])
    assert len(stored) - 1 + shared == len(whole.arrays) and shared > len(whole.arrays) / 4


def test_the_other_order_of_axes_counts_too(tmp_path: Path) -> None:
    write(stack(), tmp_path / "a.trace", floors=False)
    units = {unit["key"]: unit for unit in header(tmp_path / "a.trace")[1]["units"]}
    assert units["1#0/leaky_relu.0"]["transpose_of"] == {"in0": "0#0:out"}
    assert units["2#0"]["transpose_of"] == {"in0": "1#0/leaky_relu.0:out"}


@pytest.mark.parametrize(
    "entry",
    [
        {"same_as": {"in0": "nowhere#0:out"}},
        {"same_as": {"middle": "2#0:out"}},
        {"same_as": 3},
        {"transpose_of": {"in0": 1}},
    ],
)
def test_names_of_nothing_are_a_sentence(entry: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.trace"
    write(stack(), path, floors=False)
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    parsed, told = header(path)
    told["units"][2] |= entry
    parsed["__metadata__"][ENTRY] = json.dumps(told)
    head = json.dumps(parsed).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + raw[8 + size :])
    with pytest.raises(InputError, match="which is not a tensor of the file"):
        read(path)


@pytest.mark.slow
def test_a_short_probe_of_the_published_size(tmp_path: Path) -> None:
    from portavoz.cli.programs import side

    write(side("speecht5", "base"), tmp_path / "base.trace", floors=False)
    assert (tmp_path / "base.trace").stat().st_size <= 64e6
    trace = read(tmp_path / "base.trace")
    assert trace.units["mel#0"].shapes["out"] == (2, 16, 80)
