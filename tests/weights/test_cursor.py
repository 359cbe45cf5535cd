"""The cursor: what it takes, what it refuses and with which sentence, what it starts from."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from portavoz.errors import WeightError
from portavoz.ops.base import Ops
from portavoz.weights.cursor import Weights, initial

OPS = Ops()


def source(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {k.replace("__", "."): generator.standard_normal(s).astype(np.float32) for k, s in shapes.items()}


def test_a_walk_takes_tensors_and_gives_layers_that_know_their_path() -> None:
    tensors = source(a__b__weight=(5, 3), a__b__bias=(5,))
    w = Weights(tensors, OPS)
    layer = (w / "a").linear("b", 3, 5)
    x = np.ones((1, 2, 3), np.float32)
    assert (layer.path, repr(layer)) == ("a.b", "linear at a.b")
    assert np.allclose(layer(x), x @ tensors["a.b.weight"].T + tensors["a.b.bias"])
    w.finish()


def test_a_missing_tensor_names_those_of_the_same_ending() -> None:
    w = Weights(source(decoder__conv_pre__weight=(5, 3), other__weight=(1,)), OPS)
    message = "^conv_pre.weight: not in the checkpoint; same ending, not taken yet: decoder.conv_pre.weight$"
    with pytest.raises(WeightError, match=message):
        w.linear("conv_pre", 3, 5)
    with pytest.raises(WeightError, match=r"^x\.y: not in the checkpoint$"):
        w.tensor("x.y", (1,))


def test_a_mis_shaped_tensor_says_both_shapes() -> None:
    w = Weights(source(a__weight=(4, 3)), OPS)
    with pytest.raises(WeightError, match=r"a.weight: the checkpoint has \(4, 3\), the model wants \(5, 3\)"):
        w.linear("a", 3, 5)


def test_left_over_tensors_are_named() -> None:
    w = Weights(source(a=(1,), b=(1,), c=(1,), d=(1,), e=(1,), f=(1,)), OPS)
    w.tensor("a", (1,))
    with pytest.raises(WeightError, match=r"^5 unused tensors: b, c, d, e, …; is this the right model\?"):
        w.finish()
    for name in "bcde":
        w.tensor(name, (1,))
    with pytest.raises(WeightError, match=r"^1 unused tensor: f; "):
        w.finish()


def test_ignoring_is_by_whole_steps_of_a_path() -> None:
    w = Weights(source(old__a=(1,), old__b=(1,), older=(1,)), OPS)
    w.ignore("old", why="the discriminator")
    assert w.left_over() == ["older"]
    assert w.record.ignored == {"old": "the discriminator"}


def test_batch_norms_counter_is_ignored_by_name() -> None:
    shapes = {f"n.{k}": np.ones(2, np.float32) for k in ("weight", "bias", "running_mean", "running_var")}
    w = Weights({**shapes, "n.num_batches_tracked": np.array(7)}, OPS)
    w.batch_norm("n", 2)
    w.finish()


def test_tied_tensors_are_one_and_have_one_shape() -> None:
    w = Weights(source(e__weight=(7, 4)), OPS)
    table, head = w.embedding("e", 7, 4), w.linear("e", 4, 7, bias=False)
    assert table.weight is head.weight
    assert w.record.asked["e.weight"] == 2
    with pytest.raises(WeightError, match=r"e.weight: taken as \(7, 4\) and again as \(4, 7\)"):
        w.linear("e", 7, 4, bias=False)


def test_half_precision_is_widened_and_integers_stay() -> None:
    w = Weights({"a": np.ones(3, np.float16), "n": np.array([1, 2]), "d": np.ones(2)}, OPS)
    assert w.tensor("a", (3,)).dtype == np.float32
    assert w.tensor("n", (2,)).dtype == np.int64
    assert w.tensor("d", (2,)).dtype == np.float64


def test_has_sees_the_source_and_everything_when_fresh() -> None:
    w = Weights(source(a__b=(1,)), OPS)
    assert w.has("a.b")
    assert (w / "a").has("b")
    assert not w.has("b")
    assert Weights.fresh(OPS).has("anything")


# Fresh


def test_a_first_value_depends_on_seed_and_path_alone() -> None:
    one, two = Weights.fresh(OPS, 5), Weights.fresh(OPS, 5)
    a = one.linear("x", 3, 5).weight
    two.linear("before", 9, 9)
    assert np.array_equal(a, two.linear("x", 3, 5).weight)
    assert not np.array_equal(a, two.linear("y", 3, 5).weight)
    assert not np.array_equal(a, Weights.fresh(OPS, 6).linear("x", 3, 5).weight)


def test_a_first_value_is_the_same_on_every_machine_and_in_every_process() -> None:
    code = "from portavoz.weights.cursor import initial; print(initial('a.weight', (2, 3), None, 1).tolist())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(initial("a.weight", (2, 3), None, 1).tolist())
    # Frozen: a training that is repeated next year starts from these numbers.
    assert initial("a.weight", (2, 3), None, 1)[0].tolist() == pytest.approx(FROZEN, abs=1e-7)


FROZEN = [0.2595756947994232, -0.28807660937309265, -0.05892708897590637]


def test_first_values_are_uniform_within_one_over_the_root_of_fan_in() -> None:
    x = initial("big.weight", (400, 25, 4), None, 0)
    assert x.dtype == np.float32
    assert 0.099 < np.abs(x).max() <= 0.1
    assert abs(x.mean()) < 0.001
    assert x.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.02)
    assert (initial("b", (3,), 1.0, 0) == 1).all()


def test_constants_take_the_place_of_first_values() -> None:
    w = Weights.fresh(OPS, constants={"a.mean": np.array([1.0, 2.0], np.float32)})
    assert (w / "a").tensor("mean", (2,), init=0.0, train=False).tolist() == [1, 2]


def test_tensors_are_what_training_changes_and_arrays_everything() -> None:
    import torch

    from portavoz import ops

    w = Weights.fresh(ops.open("torch"), 0)
    w.conv1d("c", 2, 3, 3)
    w.batch_norm("n", 3)
    assert sorted(w.tensors()) == ["c.bias", "c.weight", "n.bias", "n.weight"]
    assert all(isinstance(t, torch.Tensor) and t.requires_grad for t in w.tensors().values())
    assert sorted(set(w.arrays()) - set(w.tensors())) == ["n.running_mean", "n.running_var"]
    assert all(isinstance(a, np.ndarray) and a.flags.c_contiguous for a in w.arrays().values())


def test_a_loaded_model_gathers_gradients_only_when_asked(tmp_path: object) -> None:
    from portavoz import ops

    tensors = source(a__weight=(5, 3), a__bias=(5,))
    still = Weights(tensors, ops.open("torch"))
    still.linear("a", 3, 5)
    assert still.tensors() == {}
    moving = Weights(tensors, ops.open("torch"), train=True)
    assert moving.linear("a", 3, 5).weight.requires_grad
    assert sorted(moving.tensors()) == ["a.bias", "a.weight"]


def test_every_role_takes_the_names_and_shapes_of_pytorch() -> None:
    import torch

    made = {
        "linear": (torch.nn.Linear(3, 5), lambda w: w.linear("m", 3, 5)),
        "conv1d": (torch.nn.Conv1d(4, 6, 5, groups=2), lambda w: w.conv1d("m", 4, 6, 5, groups=2)),
        "conv_transpose1d": (torch.nn.ConvTranspose1d(3, 5, 4), lambda w: w.conv_transpose1d("m", 3, 5, 4, stride=1)),
        "conv2d": (torch.nn.Conv2d(2, 3, (4, 5)), lambda w: w.conv2d("m", 2, 3, (4, 5))),
        "layer_norm": (torch.nn.LayerNorm(4), lambda w: w.layer_norm("m", 4)),
        "rms_norm": (torch.nn.RMSNorm(4), lambda w: w.rms_norm("m", 4)),
        "batch_norm": (torch.nn.BatchNorm1d(4), lambda w: w.batch_norm("m", 4)),
        "lstm": (torch.nn.LSTM(3, 5), lambda w: w.lstm("m", 3, 5)),
        "embedding": (torch.nn.Embedding(7, 4), lambda w: w.embedding("m", 7, 4)),
    }
    for name, (module, take) in made.items():
        w = Weights({f"m.{k}": t.numpy() for k, t in module.state_dict().items()}, OPS)
        assert take(w).op == name
        w.finish()
