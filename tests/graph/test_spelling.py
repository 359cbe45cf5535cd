"""What a graph spells in its own way gives the numbers of the words it stands for."""

import numpy as np
import onnx
import pytest
from written import Written

from portavoz import ops
from portavoz.errors import BackendError
from portavoz.flow import MelSpec
from portavoz.graph.export import export
from portavoz.graph.onnx import Session
from portavoz.graph.onnx_ops import WIDE, OnnxOps
from portavoz.weights.cursor import Weights
from portavoz.weights.layer import Layer

DRAW = np.random.default_rng(4)


def draw(*shape):
    return DRAW.standard_normal(shape).astype(np.float32)


def same(word, *arrays, **options):
    """The oracle's and the graph's result of one word agree to what float32 can hold."""
    results = []
    for words in (ops.open("numpy"), Written()):
        given = [words.tensor(a) for a in arrays]
        named = {k: words.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        results.append(words.numpy(getattr(words, word)(*given, **named)))
    assert results[0].shape == results[1].shape
    assert np.abs(results[0] - results[1]).max() <= 2e-6 * max(1.0, np.abs(results[0]).max())


@pytest.mark.parametrize("steps", [1, 5])
def test_heads(steps):
    same("split_heads", draw(2, steps, 12), heads=3)
    same("merge_heads", draw(2, 3, steps, 4))


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("channels", "groups", "kernel", "stride", "padding", "dilation"),
    [
        (WIDE, 1, 3, 1, 1, 1),
        (WIDE, 1, 7, 1, 3, 1),
        (WIDE, 1, 3, 1, 0, 1),
        (WIDE, 1, 4, 1, 1, 1),
        (WIDE, 1, 1, 1, 0, 1),
        (WIDE, WIDE, 7, 1, 3, 1),
        (WIDE, 1, 3, 2, 1, 1),
        (WIDE, 1, 3, 1, 2, 2),
        (4, 1, 3, 1, 1, 1),
    ],
)
def test_convolution(channels, groups, kernel, stride, padding, dilation, bias, native):
    weight, offset = draw(24 * groups, channels // groups, kernel), draw(24 * groups) if bias else None
    facts = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x, results = np.arange(2 * 19 * channels, dtype=np.float32).reshape(2, 19, channels) / 500, []
    for words in (ops.open("numpy"), Written(native_convolutions=native)):
        make = getattr(words, "weight", words.tensor)
        layer = Layer(
            getattr(words, "ops", words),
            "conv1d",
            "a",
            weight=make(weight),
            bias=None if offset is None else make(offset),
            **facts,
        )
        results.append(words.numpy(layer(words.tensor(x))))
    assert results[0].shape == results[1].shape
    assert np.abs(results[0] - results[1]).max() <= 2e-6 * np.abs(results[0]).max()


def test_rotary_positions():
    same("rope", draw(2, 9, 3 * 8), draw(9, 4), draw(9, 4), heads=3)


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_attention(mask, bias):
    options = {"heads": 2, "scale": 0.3}
    if mask:
        allowed = DRAW.random((2, 1, 5, 7)) < 0.6
        allowed[..., 0] = True  # a row that may see nothing has no softmax
        options["mask"] = allowed
    if bias:
        options["bias"] = draw(1, 2, 5, 7)
    same("attention", draw(2, 5, 8), draw(2, 7, 8), draw(2, 7, 8), **options)


def test_shapes_that_do_not_fit_are_refused():
    words = Written(varies=False)
    with pytest.raises(BackendError, match=r"do not fit in masked"):
        words.masked(words.tensor(draw(1, 5, 8)), words.tensor(np.ones((1, 4, 8), bool)))


@pytest.mark.parametrize(("fft", "hop", "samples"), [(16, 4, 480), (16, 8, 64), (12, 2, 60), (16, 3, 96), (15, 4, 61)])
def test_transforms(fft, hop, samples):
    """Hops beside each other where frames are whole ones, else frames of hops of which the last is cut."""
    spec = MelSpec(rate=24_000, fft=fft, hop=hop, window=fft, padding="center", high=8000.0)
    wave, results = draw(2, samples), []
    for words in (ops.open("numpy"), Written()):
        layer = Layer(getattr(words, "ops", words), "stft", "a", spec=spec)
        spectra = words.stft(words.tensor(wave), layer)
        back = words.istft(*spectra, layer)
        results.append([words.numpy(x) for x in (*spectra, back)])
    for ours, theirs in zip(*results):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= 4e-6 * np.abs(ours).max()


def lstm(words, tensors, size):
    layer = Weights(tensors, words).lstm("", 5, size)

    def run(x, *state):
        y, (h, c) = layer(x, state)
        return y, h, c

    return run


def test_a_recurrent_layer_is_one_node_of_a_graph(tmp_path):
    size, path = 6, tmp_path / "a.onnx"
    shapes = {"weight_ih_l0": (4 * size, 5), "weight_hh_l0": (4 * size, size)}
    shapes |= dict.fromkeys(("bias_ih_l0", "bias_hh_l0"), (4 * size,))
    tensors, words = {name: draw(*shape) for name, shape in shapes.items()}, OnnxOps()
    state = [draw(3, size), draw(3, size)]
    inputs = [("x: N T _", draw(3, 7, 5)), ("h: N _", state[0]), ("c: N _", state[1])]
    path.write_bytes(export(lstm(words, tensors, size), inputs, ["y: N T _", "h1: N _", "c1: N _"], ops=words))
    assert [node.op_type for node in onnx.load(str(path)).graph.node].count("LSTM") == 1
    for rows, steps in ((3, 7), (2, 11)):
        given = [draw(rows, steps, 5), draw(rows, size), draw(rows, size)]
        wanted = lstm(ops.open("numpy"), tensors, size)(*given)
        for got, want in zip(Session(path).run(**dict(zip("xhc", given))), wanted):
            np.testing.assert_allclose(got, want, atol=2e-6)
