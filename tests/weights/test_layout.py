"""Axis orders: declared, confirmed by shapes, never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portavoz import ops
from portavoz.errors import WeightError
from portavoz.ops.base import Ops
from portavoz.ops.layouts import AXES
from portavoz.ops.layouts import ROLES as KERNELS
from portavoz.weights import file
from portavoz.weights.cursor import Weights
from portavoz.weights.layout import ambiguous, looks_like, order, relayout

# role → how a model takes it, and the kernel's shape in PyTorch's order; no two axes are equally long
ROLES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda w: w.linear("layer", 3, 5), (5, 3)),
    "embedding": (lambda w: w.embedding("layer", 7, 4), (7, 4)),
    "conv1d": (lambda w: w.conv1d("layer", 3, 5, 7), (5, 3, 7)),
    "conv_transpose1d": (lambda w: w.conv_transpose1d("layer", 3, 5, 4, stride=2), (3, 5, 4)),
    "conv2d": (lambda w: w.conv2d("layer", 2, 3, (4, 5)), (3, 2, 4, 5)),
}


def tensors(role: str, layout: str) -> dict[str, np.ndarray]:
    shape = ROLES[role][1]
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    bias = np.zeros(shape[1] if role == "conv_transpose1d" else shape[0], np.float32)
    made = {"layer.weight": np.ascontiguousarray(relayout(weight, role, "torch", layout))}
    return made if role == "embedding" else {**made, "layer.bias": bias}


@pytest.mark.parametrize("role", sorted(ROLES))
@pytest.mark.parametrize("metadata", [{"format": "mlx"}, {"layout": "mlx"}])
def test_a_file_in_the_other_layout_loads_equal(role: str, metadata: dict[str, str], tmp_path: Path) -> None:
    file.write(tmp_path / "pt.safetensors", tensors(role, "torch"), {"format": "pt"})
    file.write(tmp_path / "mlx.safetensors", tensors(role, "mlx"), metadata)
    take = ROLES[role][0]
    one, other = (take(Weights.load(tmp_path / f"{n}.safetensors", Ops())).weight for n in ("pt", "mlx"))
    assert one.shape == ROLES[role][1]
    assert np.array_equal(one, other)


@pytest.mark.parametrize("role", sorted(KERNELS))
def test_the_callers_word_overrides_the_files(role: str, tmp_path: Path) -> None:
    file.write(tmp_path / "w.safetensors", tensors(role, "mlx"), {"format": "pt"})
    layer = ROLES[role][0](Weights.load(tmp_path / "w.safetensors", Ops(), layout="mlx"))
    assert np.array_equal(layer.weight, tensors(role, "torch")["layer.weight"])


@pytest.mark.parametrize("role", sorted(KERNELS))
@pytest.mark.parametrize(("stored", "declared"), [("mlx", "torch"), ("torch", "mlx")])
def test_a_wrong_declaration_is_told_which_layout_it_is(role: str, stored: str, declared: str) -> None:
    w = Weights(tensors(role, stored), Ops(), layout=declared)
    with pytest.raises(
        WeightError, match=f"the checkpoint has .*: this is the {stored} layout, pass layout='{stored}'"
    ):
        ROLES[role][0](w)


def test_a_shape_that_no_layout_explains_gives_no_hint() -> None:
    w = Weights({"layer.weight": np.zeros((5, 4, 7), np.float32)}, Ops())
    with pytest.raises(WeightError, match=r"the checkpoint has \(5, 4, 7\), the model wants \(5, 3, 7\)$"):
        w.conv1d("layer", 3, 5, 7)


@pytest.mark.parametrize(
    ("role", "shape", "open_question"),
    [
        ("conv1d", (5, 3, 3), True),
        ("conv1d", (3, 5, 7), False),
        ("conv1d", (5, 3, 1), False),
        ("conv1d", (5, 1, 1), False),
        ("conv_transpose1d", (4, 4, 4), True),
        ("conv_transpose1d", (4, 2, 4), False),
        ("conv2d", (2, 3, 3, 3), True),
        ("conv2d", (2, 1, 3, 3), False),
        ("linear", (3, 3), False),
    ],
)
def test_which_kernels_leave_the_layout_open(role: str, shape: tuple[int, ...], open_question: bool) -> None:
    assert ambiguous(shape, role) == open_question
    other = relayout(np.arange(np.prod(shape)).reshape(shape), role, "torch", "mlx")
    stored = np.arange(np.prod(shape)).reshape(shape)
    assert open_question == (other.shape == shape and not np.array_equal(other, stored))


def test_a_square_kernel_in_a_file_that_declares_nothing_is_asked_about(tmp_path: Path) -> None:
    square = np.random.default_rng(0).standard_normal((5, 3, 3)).astype(np.float32)
    path = tmp_path / "w.safetensors"
    file.write(path, {"c.weight": square, "c.bias": np.zeros(5, np.float32)}, {})
    with pytest.raises(WeightError, match=r"\(5, 3, 3\) reads the same in every layout .* pass layout='torch'"):
        Weights.load(path, Ops()).conv1d("c", 3, 5, 3)
    assert np.array_equal(Weights.load(path, Ops(), layout="torch").conv1d("c", 3, 5, 3).weight, square)
    assert np.array_equal(Weights.load(path, Ops(), layout="mlx").conv1d("c", 3, 5, 3).weight, square.swapaxes(1, 2))


def test_other_kernels_in_such_a_file_are_read_as_torch_and_shapes_confirm_it(tmp_path: Path) -> None:
    for layout in ("torch", "mlx"):
        file.write(tmp_path / f"{layout}.safetensors", tensors("conv1d", layout), {})
    ROLES["conv1d"][0](Weights.load(tmp_path / "torch.safetensors", Ops()))
    with pytest.raises(WeightError, match="this is the mlx layout"):
        ROLES["conv1d"][0](Weights.load(tmp_path / "mlx.safetensors", Ops()))


def test_arrays_come_back_in_the_layout_asked_for() -> None:
    w = Weights(tensors("conv1d", "mlx"), Ops(), layout="mlx")
    ROLES["conv1d"][0](w)
    assert np.array_equal(w.arrays()["layer.weight"], tensors("conv1d", "torch")["layer.weight"])
    assert np.array_equal(w.arrays("mlx")["layer.weight"], tensors("conv1d", "mlx")["layer.weight"])


class ChannelsLast(Ops):
    """A back end whose kernels want MLX's order."""

    layout = "mlx"


def test_a_back_end_gets_kernels_in_its_own_order() -> None:
    layer = ROLES["conv_transpose1d"][0](Weights(tensors("conv_transpose1d", "torch"), ChannelsLast()))
    assert np.array_equal(layer.weight, tensors("conv_transpose1d", "mlx")["layer.weight"])
    fresh = Weights.fresh(ChannelsLast(), 3)
    ROLES["conv1d"][0](fresh)
    plain = Weights.fresh(ops.open("numpy"), 3)
    ROLES["conv1d"][0](plain)
    assert np.array_equal(fresh.arrays()["layer.weight"], plain.arrays()["layer.weight"])


def test_a_layout_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(WeightError, match="there is no layout 'nhwc': choose one of torch, mlx"):
        relayout(np.zeros((1, 2, 3)), "conv1d", "nhwc", "torch")


def test_orders_undo_each_other() -> None:
    for role in KERNELS:
        orders = {name: axes[role] for name, axes in AXES.items()}
        for source in orders:
            for target in orders:
                there, back = order(role, source, target), order(role, target, source)
                shape = tuple(range(2, 2 + len(orders[source].split())))
                x = np.arange(np.prod(shape)).reshape(shape)
                assert (there is None) == (source == target)
                assert np.array_equal(relayout(relayout(x, role, source, target), role, target, source), x)
                assert there is None or back is not None


def test_a_role_without_axes_of_its_own_never_looks_like_another_layout() -> None:
    assert looks_like((3, 5), (5, 3), "linear", "torch") is None
    assert looks_like((3, 5), (5, 3, 1), "conv1d", "torch") is None
