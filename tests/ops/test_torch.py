"""What only the torch back end has: gradients, devices, dtypes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from portavoz import ops
from portavoz.errors import BackendError
from portavoz.flow import MelSpec

OPS = ops.open("torch", dtype=torch.float64)


def leaf(*shape: int, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return OPS.tensor(values, train=True)


def layer(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"bias": None, **fields})


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    mask = OPS.tensor(np.tril(np.ones((3, 3), bool)))
    return OPS.attention(q, k, v, heads=2, scale=0.5, mask=mask)


SPEC = MelSpec(fft=8, hop=2, window=8, padding="same")
FACTS = {"stride": 2, "dilation": 1, "padding": 1, "groups": 1}
# name → function, inputs: the words between a loss and the weights of every family
PATHS: dict[str, tuple[Any, tuple[torch.Tensor, ...]]] = {
    "attention": (attend, (leaf(2, 3, 4), leaf(2, 3, 4, seed=1), leaf(2, 3, 4, seed=2))),
    "conv1d": (lambda x, w: OPS.gelu(OPS.conv1d(x, layer(weight=w, **FACTS))), (leaf(1, 5, 2), leaf(3, 2, 3))),
    "conv_transpose1d": (
        lambda x, w: OPS.tanh(OPS.conv_transpose1d(x, layer(weight=w, stride=2, padding=1))),
        (leaf(1, 4, 2), leaf(2, 3, 4)),
    ),
    "layer_norm": (
        lambda x, w, b: OPS.layer_norm(x, layer(weight=w, bias=b, eps=1e-5)),
        (leaf(1, 3, 4), leaf(4), leaf(4, seed=1)),
    ),
    "rope": (
        lambda x: OPS.rope(x, OPS.cos(OPS.tensor(np.ones((3, 1)))), OPS.sin(OPS.tensor(np.ones((3, 1)))), 2),
        (leaf(1, 3, 4),),
    ),
    "spectrum": (lambda x: OPS.stft(x, layer(spec=SPEC))[0], (leaf(1, 12),)),
    "wave": (lambda a, b: OPS.istft(a, b, layer(spec=SPEC)), (leaf(1, 3, 5), leaf(1, 3, 5, seed=1))),
    "gather": (lambda x: OPS.gather(x, OPS.tensor(np.array([[0, 0, 2]]))), (leaf(1, 3, 2),)),
    "snake": (lambda x, a: OPS.snake(x, layer(alpha=a)), (leaf(1, 3, 2), leaf(2))),
}


@pytest.mark.parametrize("name", sorted(PATHS))
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    function, inputs = PATHS[name]
    assert torch.autograd.gradcheck(function, inputs)


def test_a_gradient_that_is_cut_would_be_seen() -> None:
    with pytest.raises(RuntimeError, match="Numerical gradient for function expected to be zero"):
        torch.autograd.gradcheck(lambda x: OPS.tanh(x.detach()), (leaf(2),))


def test_a_parameter_owns_its_memory_and_gathers_gradients() -> None:
    array = np.ones(3, np.float32)
    parameter = ops.open("torch").tensor(array, train=True)
    array[0] = 7
    assert parameter.requires_grad
    assert parameter.is_leaf
    assert parameter.tolist() == [1, 1, 1]


def test_read_only_arrays_become_tensors_without_a_warning() -> None:
    array = np.ones(3, np.float32)
    array.flags.writeable = False
    assert ops.open("torch").tensor(array).tolist() == [1, 1, 1]


def test_integers_and_masks_keep_their_type_and_half_comes_back_as_float() -> None:
    back = ops.open("torch", dtype=torch.bfloat16)
    assert back.tensor(np.array([1, 2])).dtype == torch.int64
    assert back.tensor(np.array([True])).dtype == torch.bool
    half = back.tensor(np.array([1.0, 0.5], np.float32))
    assert half.dtype == torch.bfloat16
    assert back.numpy(half).dtype == np.float32
    assert back.full((2,), 1.0).dtype == torch.bfloat16


def test_a_device_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(BackendError, match=r"torch device 'cuda:99' cannot be used: .*; try device='cpu'"):
        ops.open("torch", device="cuda:99")
    with pytest.raises(BackendError, match="torch device 'abacus' cannot be used"):
        ops.open("torch", device="abacus")


def test_a_picture_of_one_channel_is_not_taken_for_another_layout() -> None:
    draw = np.random.default_rng(0)
    x, weight = draw.standard_normal((2, 9, 3, 1)), draw.standard_normal((2, 1, 2, 3))
    facts = {"stride": (1, 2), "padding": (0, 0)}
    want = ops.open().conv2d(x, layer(weight=weight, **facts))
    back = ops.open("torch")
    got = back.numpy(back.conv2d(back.tensor(x), layer(weight=back.tensor(weight), **facts)))
    assert np.abs(got - want).max() < 1e-5
