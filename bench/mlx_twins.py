"""What do our words cost on MLX beside `mlx.nn` modules that do the same, with the same weights, in the same run?

    python bench/mlx_twins.py [--rounds 7] [--json FILE]

Each part is first held to its twin's numbers (relative L2 below 1e-5). Then both take turns: seconds of one call, of
building its graph alone, kernels in the graph (views left out), and the most memory that the call needed beyond its
inputs. `metal` is what our back end does on Metal (MLX's own convolutions, chains of arithmetic compiled into one
kernel, as mlx.nn has them), `cpu` what it does on a processor (sums of matrix products, nothing compiled); both run on
the device that is here. Ratios of seconds are twin over ours: above 1, ours is faster. On Linux MLX has no fast
kernels, so nothing here says how fast MLX is on a Mac; run it there.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from _measure import Report, Took, interleaved, parser, table, timed

from portavoz.errors import MissingExtra

CHANNELS, HEADS, INNER, TIME, PAST = 128, 4, 512, 32, 64
VIEWS = {
    "Broadcast", "Transpose", "Reshape", "Flatten", "Unflatten", "ExpandDims", "Squeeze", "Slice", "Split", "AsStrided",
    "StopGradient", "Copy", "NumberOfElements", "DynamicSlice",
}  # fmt: skip
ENOUGH = 0.95  # of the twin's speed


@dataclass(frozen=True, slots=True)
class Pair:
    """One part: a call of ours and one of its twin's, both giving the same tensor; and our back end's thread."""

    ours: Callable[[], Any]
    twin: Callable[[], Any]
    back: Any


def filled(twin: Any, w: Any, names: dict[str, str]) -> Any:
    """The twin with our weights; `names`: how its parts are called → how ours are."""
    import mlx.core as mx

    arrays = w.arrays("mlx")
    pairs: list[tuple[str, Any]] = []
    for theirs, own in names.items():
        for kind in ("weight", "bias"):
            if f"{own}.{kind}" in arrays:
                pairs.append((f"{theirs}.{kind}", mx.array(arrays[f"{own}.{kind}"])))
    twin.load_weights(pairs, strict=True)
    mx.eval(twin.parameters())
    return twin


def opened(way: str) -> tuple[Any, Any]:
    """A back end and a cursor over fresh weights, which nobody trains."""
    from portavoz import ops
    from portavoz.weights.cursor import Weights

    metal = way == "metal"
    back = ops.open("mlx", convolutions="native" if metal else "matmul", compiled=metal)
    w = Weights.fresh(back, 1)
    w.train = False
    return back, w


def normal(back: Any, *shape: int) -> Any:
    """Random numbers on the back end."""
    return back.tensor(np.random.default_rng(list(shape)).standard_normal(shape).astype(np.float32))


def feed_forward(way: str) -> Pair:
    """Linear, gelu, linear."""
    import mlx.nn as nn

    from portavoz.blocks.feed_forward import FeedForward

    back, w = opened(way)
    ours, x = FeedForward(w, CHANNELS, INNER), normal(back, 1, TIME, CHANNELS)

    class Twin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = nn.Linear(CHANNELS, INNER), nn.Linear(INNER, CHANNELS)

        def __call__(self, x: Any) -> Any:
            return self.narrow(nn.gelu(self.wide(x)))

    twin = filled(Twin(), w, {"wide": "wide", "narrow": "narrow"})
    return Pair(lambda: ours(x), lambda: twin(x), back)


def encoder_layer(way: str) -> Pair:
    """Pre-norm self-attention and feed-forward."""
    import mlx.nn as nn

    from portavoz.blocks.attention import Attention
    from portavoz.blocks.feed_forward import FeedForward
    from portavoz.blocks.layers import EncoderLayer

    back, w = opened(way)
    attention = Attention(w / "attention", CHANNELS, HEADS, bias=False)
    norms = [w.layer_norm(f"norm{i}", CHANNELS) for i in range(2)]
    ours = EncoderLayer(w, attention, FeedForward(w, CHANNELS, INNER), norms=norms, pre=True)
    x = normal(back, 1, TIME, CHANNELS)
    names = {"linear1": "wide", "linear2": "narrow", "ln1": "norm0", "ln2": "norm1"}
    parts = {"query_proj": "q", "key_proj": "k", "value_proj": "v", "out_proj": "out"}
    names |= {f"attention.{theirs}": f"attention.{own}" for theirs, own in parts.items()}
    twin = nn.TransformerEncoderLayer(CHANNELS, HEADS, INNER, activation=nn.gelu, norm_first=True)
    twin = filled(twin, w, names)
    twin.eval()
    return Pair(lambda: ours(x), lambda: twin(x, None), back)


def decoder_step(way: str) -> Pair:
    """One step of post-norm self-attention over a cache and a feed-forward."""
    import mlx.core as mx
    import mlx.nn as nn

    from portavoz.blocks.attention import Attention, Grown
    from portavoz.blocks.feed_forward import FeedForward
    from portavoz.blocks.layers import EncoderLayer

    back, w = opened(way)
    attention = Attention(w / "attention", CHANNELS, HEADS)
    fed = FeedForward(w, CHANNELS, INNER)
    norms = [w.layer_norm(f"norm{i}", CHANNELS) for i in range(2)]
    layer = EncoderLayer(w, attention, fed, norms=norms, pre=False)
    x, k, v = (normal(back, 1, n, CHANNELS) for n in (1, PAST, PAST))

    def ours() -> Any:
        past = attention.extend(Grown(k, v), x)
        y = layer.attention_residual.after(x, attention(x, past))
        return layer.feed_forward_residual.after(y, fed(y))

    class Twin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.out = (nn.Linear(CHANNELS, CHANNELS) for _ in range(4))
            self.wide, self.narrow = nn.Linear(CHANNELS, INNER), nn.Linear(INNER, CHANNELS)
            self.norm0, self.norm1 = nn.LayerNorm(CHANNELS), nn.LayerNorm(CHANNELS)

        def __call__(self, x: Any, k: Any, v: Any) -> Any:
            k, v = mx.concatenate([k, self.k(x)], 1), mx.concatenate([v, self.v(x)], 1)
            q, k, v = (y.reshape(1, -1, HEADS, CHANNELS // HEADS).swapaxes(1, 2) for y in (self.q(x), k, v))
            y = mx.fast.scaled_dot_product_attention(q, k, v, scale=(CHANNELS // HEADS) ** -0.5)
            x = self.norm0(x + self.out(y.swapaxes(1, 2).reshape(1, -1, CHANNELS)))
            return self.norm1(x + self.narrow(nn.gelu(self.wide(x))))

    names = {name: f"attention.{name}" for name in ("q", "k", "v", "out")}
    twin = filled(Twin(), w, {**names, **{name: name for name in ("wide", "narrow", "norm0", "norm1")}})
    return Pair(ours, lambda: twin(x, k, v), back)


def conv_next(way: str) -> Pair:
    """The vocoder's block: depthwise convolution, norm, linear, gelu, linear."""
    import mlx.nn as nn

    from portavoz.blocks.istft_head import ConvNeXt

    back, w = opened(way)
    ours, x = ConvNeXt(w, CHANNELS, INNER, 0.5), normal(back, 1, TIME, CHANNELS)

    class Twin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv1d(CHANNELS, CHANNELS, 7, padding=3, groups=CHANNELS)
            self.norm = nn.LayerNorm(CHANNELS, 1e-6)
            self.wide, self.narrow = nn.Linear(CHANNELS, INNER), nn.Linear(INNER, CHANNELS)

        def __call__(self, x: Any) -> Any:
            return x + self.narrow(nn.gelu(self.wide(self.norm(self.depthwise(x))))) * ours.gamma

    twin = filled(Twin(), w, {name: name for name in ("depthwise", "norm", "wide", "narrow")})
    return Pair(lambda: ours(x), lambda: twin(x), back)


def res_block(way: str) -> Pair:
    """HiFi-GAN's residual block."""
    import mlx.nn as nn

    from portavoz.blocks.hifigan import ResBlock

    back, w = opened(way)
    ours, x = ResBlock(w, 32, 3, (1, 3), 0.1), normal(back, 1, 2 * TIME, 32)

    class Twin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs1 = [nn.Conv1d(32, 32, 3, padding=d, dilation=d) for d in (1, 3)]
            self.convs2 = [nn.Conv1d(32, 32, 3, padding=1) for _ in range(2)]

        def __call__(self, x: Any) -> Any:
            for wide, narrow in zip(self.convs1, self.convs2):
                x = x + narrow(nn.leaky_relu(wide(nn.leaky_relu(x, 0.1)), 0.1))
            return x

    twin = filled(Twin(), w, {f"convs{i}.{j}": f"convs{i}.{j}" for i in (1, 2) for j in range(2)})
    return Pair(lambda: ours(x), lambda: twin(x), back)


PARTS: dict[str, Callable[[str], Pair]] = {
    "feed_forward": feed_forward,
    "encoder_layer": encoder_layer,
    "decoder_step": decoder_step,
    "conv_next": conv_next,
    "res_block": res_block,
}


def kernels(y: Any) -> int:
    """How many primitives that compute stand behind a tensor that is not evaluated yet."""
    import mlx.core as mx

    text = io.StringIO()
    mx.export_to_dot(text, y)
    return sum(name not in VIEWS for name in re.findall(r'label ="(\w+)"', text.getvalue()))


def measure(report: Report, name: str, pair: Pair, rounds: int) -> list[float]:
    """Both sides of one part, all on our back end's thread; the row of its table."""
    import mlx.core as mx

    f, visits = report.figures, 5

    def on_its_thread() -> None:
        a, b = (np.array(side(), np.float64) for side in (pair.ours, pair.twin))
        far = float(np.linalg.norm(a - b) / np.linalg.norm(b))
        if far > 1e-5:
            raise SystemExit(f"{name}: ours is {far:.1e} from its twin, so their times say nothing")
        for side, call in (("ours", pair.ours), ("nn", pair.twin)):
            f[f"{side}_{name}_kernels"] = kernels(call())
            before = mx.get_active_memory()
            mx.reset_peak_memory()
            mx.eval(call())
            f[f"{side}_{name}_bytes"] = mx.get_peak_memory() - before

        def full(call: Callable[[], Any]) -> Callable[[], Took]:
            return lambda: timed(lambda: mx.eval(call()), visits)

        def graph(call: Callable[[], Any]) -> Callable[[], Took]:
            return lambda: timed(call, visits)

        cases = {
            f"{side}_{name}{kind}_s": make(call)
            for side, call in (("ours", pair.ours), ("nn", pair.twin))
            for kind, make in (("", full), ("_graph", graph))
        }
        for key, took in interleaved(cases, rounds).items():
            f[key] = took.seconds

    pair.back.worker.call(on_its_thread)
    report.ratio(f"nn_{name}_s", f"ours_{name}_s")
    report.ratio(f"nn_{name}_graph_s", f"ours_{name}_graph_s")
    report.ratio(f"ours_{name}_kernels", f"nn_{name}_kernels")
    row = [f[f"{side}_{name}{kind}_s"] * 1e6 for kind in ("", "_graph") for side in ("ours", "nn")]
    return row + [f[f"{side}_{name}_{what}"] for what in ("kernels", "bytes") for side in ("ours", "nn")]


def main() -> None:
    """Measure, print, write JSON where asked."""
    args = parser(__doc__, rounds=7).parse_args()
    sizes = {"channels": CHANNELS, "heads": HEADS, "inner": INNER, "time": TIME, "past": PAST}
    report = Report("mlx_twins", {"rounds": args.rounds, **sizes})
    try:
        back, _ = opened("cpu")
    except MissingExtra as problem:
        report.absent["mlx"] = str(problem)
    else:
        columns = ["ours µs", "nn µs", "ours graph µs", "nn graph µs", "ours kernels", "nn", "ours bytes", "nn bytes"]
        rows = {
            f"{name}_{way}": measure(report, f"{name}_{way}", make(way), args.rounds)
            for name, make in PARTS.items()
            for way in ("metal", "cpu")
        }
        table("one call", columns, rows, ",.0f")
        report.figures["hand_over_s"] = timed(lambda: back.worker.call(int), 200).seconds
        low = [name for name in rows if report.ratios[f"nn_{name}_s / ours_{name}_s"] < ENOUGH]
        print(f"slower than {ENOUGH} of mlx.nn: {', '.join(low) or 'none'}")
        print(f"handing a call to the model's thread and back: {report.figures['hand_over_s'] * 1e6:.0f} µs\n")
    report.finish(args.json)


if __name__ == "__main__":
    main()
