"""Folding against torch's own modules."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from portavoz.errors import WeightError
from portavoz.weights import fold

MODULES = {
    "linear": lambda: torch.nn.Linear(4, 6),
    "conv1d": lambda: torch.nn.Conv1d(4, 6, 3, groups=2),
    "conv_transpose1d": lambda: torch.nn.ConvTranspose1d(4, 6, 5, 2),
    "conv2d": lambda: torch.nn.Conv2d(4, 6, (3, 2)),
}


def arrays(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {f"m.{k}": t.detach().numpy() for k, t in module.state_dict().items()}


def old(module: torch.nn.Module, dim: Any) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this spelling old; checkpoints are full of it
        return torch.nn.utils.weight_norm(module, dim=dim)


def new(module: torch.nn.Module, dim: Any) -> torch.nn.Module:
    return torch.nn.utils.parametrizations.weight_norm(module, dim=dim)


@pytest.mark.parametrize("spelling", [old, new])
@pytest.mark.parametrize("role", sorted(MODULES))
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_is_fused_as_torch_does_it(spelling: Any, role: str, dim: Any) -> None:
    torch.manual_seed(0)
    module = spelling(MODULES[role](), dim)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("_g", "original0")):
                parameter.mul_(1.7)  # else g is still ‖v‖ and any norm would pass
    stored = arrays(module)
    assert "m.weight" not in stored or spelling is old
    fused = fold.weight_norm({k: v for k, v in stored.items() if k != "m.weight"})
    assert sorted(fused) == ["m.bias", "m.weight"]
    x = torch.zeros(1, 4, 8, 8) if role == "conv2d" else torch.zeros(1, 4) if role == "linear" else torch.zeros(1, 4, 8)
    module(x)  # the old spelling works its weight out on the way in
    assert np.allclose(fused["m.weight"], module.weight.detach().numpy(), rtol=3e-7, atol=1e-8)
    assert fused["m.weight"].dtype == np.float32


def test_everything_else_stays() -> None:
    rest = {"a.weight": np.ones(2), "b.weight_gain": np.ones(1), "c.bias": np.ones(1)}
    assert fold.weight_norm(rest) == rest


def test_half_a_pair_and_a_pair_too_many_are_errors() -> None:
    g, v = np.ones((2, 1, 1)), np.ones((2, 3, 1))
    with pytest.raises(WeightError, match=r"c.weight_g: weight norm has two tensors, c.weight_v is not there"):
        fold.weight_norm({"c.weight_g": g})
    with pytest.raises(WeightError, match=r"c.weight_v: weight norm has two tensors, c.weight_g is not there"):
        fold.weight_norm({"c.weight_v": v})
    with pytest.raises(WeightError, match=r"c.weight is there too"):
        fold.weight_norm({"c.weight_g": g, "c.weight_v": v, "c.weight": v})
    with pytest.raises(WeightError, match="do not belong together"):
        fold.weight_norm({"weight_g": np.ones((3, 1, 1)), "weight_v": v})
    with pytest.raises(WeightError, match="a direction of length 0"):
        fold.weight_norm({"weight_g": g, "weight_v": v * 0})


def statistics(channels: int) -> torch.nn.BatchNorm1d:
    norm = torch.nn.BatchNorm1d(channels, eps=1e-3).eval()
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.copy_(torch.randn(channels))
        norm.running_var.uniform_(0.5, 2.0)
    return norm


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("role", ["conv1d", "conv_transpose1d", "linear"])
def test_a_batch_norm_vanishes_into_the_layer_before_it(role: str, bias: bool) -> None:
    torch.manual_seed(1)
    makers = {
        "conv1d": lambda: torch.nn.Conv1d(4, 6, 3, bias=bias, groups=2),
        "conv_transpose1d": lambda: torch.nn.ConvTranspose1d(4, 6, 5, 2, bias=bias),
        "linear": lambda: torch.nn.Linear(4, 6, bias=bias),
    }
    layer, alone, norm = makers[role](), makers[role](), statistics(6)
    model = torch.nn.ModuleDict({"conv": layer, "norm": norm})
    tensors = {k: t.detach().numpy() for k, t in model.state_dict().items()}
    folded = fold.batch_norm(tensors, "conv", "norm", role=role, eps=1e-3)
    assert sorted(folded) == ["conv.bias", "conv.weight"]
    x = torch.randn(3, 4) if role == "linear" else torch.randn(3, 4, 9)
    with torch.no_grad():
        want = norm(layer(x))
        alone.weight.copy_(torch.from_numpy(folded["conv.weight"]))
        alone.bias = torch.nn.Parameter(torch.from_numpy(folded["conv.bias"]))
        assert torch.allclose(alone(x), want, atol=2e-6)
    assert "conv.bias" in folded


def test_a_batch_norm_that_does_not_belong_there_is_refused() -> None:
    tensors = {f"n.{k}": np.ones(5) for k in ("weight", "bias", "running_mean", "running_var")}
    with pytest.raises(WeightError, match=r"c.weight: not there, so n cannot be folded into c"):
        fold.batch_norm(tensors, "c", "n")
    with pytest.raises(WeightError, match="n: 5 channels after 6 of c"):
        fold.batch_norm({**tensors, "c.weight": np.ones((6, 4, 3))}, "c", "n")
    with pytest.raises(WeightError, match=r"x.weight: not there"):
        fold.batch_norm({**tensors, "c.weight": np.ones((5, 4, 3))}, "c", "x")
