"""Weights prepared for a card: the model from them says what the model from the originals says, bit for bit."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from portavoz import families, ops
from portavoz.cli.main import main
from portavoz.errors import WeightError
from portavoz.families.compact.probe import PROBE_HIFI, weights
from portavoz.lab.checkpoint.prepare import read
from portavoz.weights import file
from portavoz.weights.cursor import Weights


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    import json

    about = {"family": "compact", "layout": "torch", "config": json.dumps(PROBE_HIFI.to_dict())}
    file.write(tmp_path / "model.safetensors", weights(PROBE_HIFI), about)
    return tmp_path / "model.safetensors"


def said(arrays: Any, schedule: str) -> list[np.ndarray]:
    model = families.get("compact").whole(Weights(arrays, ops.open("ttnn", schedule=schedule)), PROBE_HIFI)
    memory, durations = model.encode(np.arange(11)[None] % PROBE_HIFI.symbols, np.zeros(1, np.int64))
    return [memory, durations, model.vocode(np.ones((1, 6, PROBE_HIFI.mel.mels), np.float32))]


@pytest.mark.parametrize("schedule", ["bfloat16", "fast"])
def test_a_prepared_file_is_the_same_model_and_smaller(schedule: str, checkpoint: Path) -> None:
    target = checkpoint.with_name("card.safetensors")
    assert main(["weights", "convert", str(checkpoint), str(target), "--backend", "ttnn", "--schedule", schedule]) == 0
    held, name = read(target)
    assert name == schedule and target.stat().st_size < checkpoint.stat().st_size
    ours, theirs = said({k: t.values for k, t in held.items()}, schedule), said(weights(PROBE_HIFI), schedule)
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs))


def test_the_file_has_what_the_card_takes(checkpoint: Path) -> None:
    from portavoz.weights import store

    target = checkpoint.with_name("card.safetensors")
    assert main(["weights", "convert", str(checkpoint), str(target), "--backend", "ttnn"]) == 0
    held, before = store.read(target), weights(PROBE_HIFI)
    path = "acoustic.encoder.stack.layers.0.attention.q.weight"
    assert np.allclose(held[path].values, before[path].T, rtol=2**-8)
    assert (held[path].kind, held.layout) == ("BF16", "ttnn")


def test_refusals_are_one_sentence(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(checkpoint.with_name("o.safetensors"))
    cases = {
        ("--backend", "mlx"): "only ttnn prepares weights",
        ("--schedule", "fast"): "give --backend ttnn",
        ("--backend", "ttnn", "--dtype", "float16"): "the schedule determines layout and dtype",
        ("--backend", "ttnn", "--schedule", "quick"): "there is no ttnn schedule 'quick'",
    }
    for options, sentence in cases.items():
        assert main(["weights", "convert", str(checkpoint), out, *options]) == 2
        assert sentence in capsys.readouterr().err
    with pytest.raises(WeightError, match="not prepared for ttnn; make it with portavoz weights convert"):
        read(checkpoint)


# Parameter dataclasses


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What stands for the package: from_torch gives the tensor back."""
    made = ModuleType("ttnn")
    made.float32, made.TILE_LAYOUT, made.Tensor = "float32", "tile", torch.Tensor
    made.from_torch = lambda tensor, **named: tensor
    monkeypatch.setitem(sys.modules, "ttnn", made)
    return made


def test_the_dataclasses_take_every_tensor_as_the_card_wants_it(checkpoint: Path, library: ModuleType) -> None:
    code = checkpoint.with_name("parameters.py")
    target = checkpoint.with_name("card.safetensors")
    args = ["weights", "convert", str(checkpoint), str(target), "--backend", "ttnn", "--classes", str(code)]
    assert main(args) == 0
    module = ModuleType("parameters")
    sys.modules["parameters"] = module
    try:
        exec(compile(code.read_text(), str(code), "exec"), module.__dict__)
        state = {name: torch.from_numpy(a) for name, a in weights(PROBE_HIFI).items()}
        made = module.CompactModelParameters.from_torch(state, dtype="bfloat16", device=None)
    finally:
        del sys.modules["parameters"]
    first = made.acoustic.encoder.stack.layers[0]
    path = "acoustic.encoder.stack.layers.0"
    assert torch.equal(first.attention.q.weight, state[f"{path}.attention.q.weight"].T)
    assert torch.equal(first.norm1.weight, state[f"{path}.norm1.weight"])

    def leaves(value: Any) -> int:
        if isinstance(value, torch.Tensor):
            return 1
        return sum(map(leaves, value if isinstance(value, (list, tuple)) else vars(value).values()))

    assert leaves(made) == len(state)
