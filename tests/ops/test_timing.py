"""Timing sees what each place takes, and changes nothing."""

import numpy as np

from portavoz import ops
from portavoz.blocks.feed_forward import FeedForward
from portavoz.ops.timing import Timing
from portavoz.weights.cursor import Weights


def test_seconds_and_shapes_of_blocks_and_layers() -> None:
    watch = Timing(ops.open("numpy"))
    model = FeedForward(Weights.fresh(watch) / "a.b", 64, 256)
    x = np.ones((2, 50, 64), np.float32)
    first, second = model(x), model(x)
    assert np.array_equal(first, second)
    assert np.array_equal(first, FeedForward(Weights.fresh(ops.open("numpy")) / "a.b", 64, 256)(x))
    block, *layers = watch.shapes
    assert block == "a.b"
    assert all(path.startswith("a.b.") for path in layers)
    assert watch.shapes["a.b"] == ([(2, 50, 64)], [(2, 50, 64)])
    assert sorted(made[0][-1] for _, made in (watch.shapes[path] for path in layers)) == [64, 256]
    assert 0 < sum(watch.seconds[path] for path in layers) <= watch.seconds["a.b"]
    watch.clear()
    assert not watch.seconds
