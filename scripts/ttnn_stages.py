"""Run families' stages on the package ttnn: on the mock device (see ttnn_mock.py), a simulator or a card.

python scripts/ttnn_mock.py -- scripts/ttnn_stages.py --schedule bfloat16 FAMILY:STAGE FAMILY
python scripts/ttnn_stages.py FAMILY                  # where the package and a card are

Each stage runs twice on the examples of its StageSpec, with fresh weights of the probe's configuration. A family
without stages runs its probe on NumPy, and each call of a stage that the probe made is repeated here. One JSON line a
stage: shapes, programs compiled, programs that the second run added, the peak of L1 as the library counts it, or the
error. `t5`: a T5 out of blocks (tests/support/t5.py), of both feed-forwards. --mesh 1x2: cut over two devices.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from portavoz import families
from portavoz.errors import PortavozError
from portavoz.graph.eager import Function
from portavoz.ops.base import Ops
from portavoz.ops.ttnn.backend import TtnnOps
from portavoz.ops.ttnn.operations import Tensor
from portavoz.weights.cursor import Weights


def stages(name: str, back: Ops) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A family's stages, or its whole probe, as functions without arguments."""
    base, _, only = name.partition(":")
    if base == "t5":
        yield from _t5(back, only)
        return
    family = families.get(base)
    if family.probe is None:
        raise SystemExit(f"{base} has no probe")
    probe = family.probe()
    for label, config in probe.configs.items():
        # Where a runner needs tensors of the host beside its graphs, a card runs the blocks.
        known = () if family.hosted else family.stages(config)
        specs = [spec for spec in known if not only or spec.owner == only or spec.name == only]
        for spec in specs:
            yield f"{base} {label} {spec.name}", lambda s=spec, c=config: _stage(back, s, c)
        if not known:
            for stage, call in _calls(back, family, probe, config, only):
                yield f"{base} {label} {stage}", call


def _stage(back: Ops, spec: Any, config: Any) -> Callable[[], Any]:
    stage = spec.build(_fresh(back), config)
    if spec.past is None:
        return lambda: stage(*(back.tensor(i.example) for i in spec.takes.values()))
    # A decoder's step: bound once, on caches of the back end's own, and one position further in each run.
    given = {name: i.example.copy() for name, i in spec.takes.items()}
    seen = given[spec.past.hidden]
    seen[...] = -1e30
    shapes = spec.build(_fresh(Ops()), config)(*(i.example for i in spec.takes.values()))
    made = {name: np.array(y, np.float32) for name, y in zip(spec.makes, shapes)}
    call = Function(stage, back, spec).bind(given, made)

    def run() -> Any:
        call()
        seen[..., int((seen == 0).sum())] = 0
        return tuple(made.values())

    return run


def _t5(back: Ops, only: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A T5's encoder, and a step of its decoder behind the first one."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
    from t5 import T5, T5Config

    ids, mask = np.arange(2 * 23).reshape(2, 23) % 60, np.ones((2, 1, 1, 23), bool)
    mask[1, ..., -4:] = False
    for kind in ("relu", "gated-gelu"):
        c = T5Config(64, 48, 4, 16, 80, 2, 2, feed_forward_proj=kind)
        model, seen = T5(_fresh(back), c, longest=64), back.tensor(mask)

        def encode(model: Any = model, seen: Any = seen) -> Any:
            return model.encode(back.tensor(ids), seen)

        def step(model: Any = model, seen: Any = seen, encode: Any = encode) -> Any:
            logits, state = model.step(back.tensor(ids[:, :1]), model.start(encode(), seen, capacity=8))
            return logits, model.step(back.tensor(ids[:, 1:2]), state)[0]

        for stage, run in (("encode", encode), ("step", step)):
            if not only or only == stage:
                yield f"t5 {kind} {stage}", lambda run=run: run


class Recorded:
    """A model on NumPy whose calls are kept: name, arguments, named ones, result."""

    def __init__(self, model: Any) -> None:
        self.model, self.calls = model, list[tuple[str, tuple[Any, ...], dict[str, Any], Any]]()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.model, name)
        if not callable(value):
            return value

        def call(*args: Any, **named: Any) -> Any:
            self.calls.append((name, args, named, value(*args, **named)))
            return self.calls[-1][3]

        return call


def _calls(back: Ops, family: Any, probe: Any, config: Any, only: str) -> Iterator[tuple[str, Any]]:
    """Each stage's first call. What a stage gave another one is what the same stage gave here."""
    model = Recorded(family.whole(_fresh(Ops()), config))
    probe.run(model, probe.inputs(config, 0, None), config)
    made, seen = dict[int, Any](), set[str]()

    @cache
    def ours() -> Any:
        return family.whole(_fresh(back), config)

    def here(value: Any) -> Any:
        return made.get(id(value), value)

    for name, args, named, result in model.calls:
        if name in seen or (only and name != only):
            continue
        seen.add(name)

        def make(name: str = name, args: Any = args, named: Any = named, result: Any = result) -> Callable[[], Any]:
            def run() -> Any:
                out = getattr(ours(), name)(*map(here, args), **{key: here(value) for key, value in named.items()})
                for theirs, mine in zip(*(x if isinstance(x, tuple) else (x,) for x in (result, out))):
                    if isinstance(mine, Tensor) or not hasattr(theirs, "shape"):
                        made[id(theirs)] = mine
                return out

            return run

        yield name, make


def _fresh(back: Ops) -> Weights:
    w = Weights.fresh(back)
    w.train = False
    return w


def measured(label: str, make: Callable[[], Callable[[], Any]], card: Any) -> dict[str, Any]:
    """One row."""
    from ttnn._ttnn import graph  # the package's own wrapper asks for PyTorch

    started = time.perf_counter()
    row: dict[str, Any] = {"stage": label}
    try:
        run = make()
        out = run()
        parts = out if isinstance(out, tuple) else (out,)
        row["shapes"] = [list(x.shape) for x in parts if hasattr(x, "shape")]
        before = card.programs()
        graph.begin_graph_capture(graph.RunMode.NORMAL)
        try:
            run()
        finally:
            captured = graph.end_graph_capture()
        row |= {"programs": before, "added": card.programs() - before}
        row["l1"] = int(graph.extract_peak_L1_memory_usage(captured))
    except (PortavozError, RuntimeError, TypeError, ValueError, IndexError, AttributeError) as problem:
        row["error"] = " ".join(f"{type(problem).__name__}: {problem}".split())[:400]
    return {**row, "seconds": round(time.perf_counter() - started, 1)}


def main() -> int:
    """Print the rows; the code is 1 where a stage failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="+", metavar="FAMILY[:STAGE]")
    parser.add_argument("--schedule", default="bfloat16")
    parser.add_argument("--mesh", metavar="RxC", help="devices to cut the model over")
    args = parser.parse_args()
    back, failed = TtnnOps("card", args.schedule, mesh=args.mesh), False
    card = back.executor
    for name in args.families:
        for label, make in stages(name, back):
            row = measured(label, make, card)
            failed |= "error" in row
            print(json.dumps(row), flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
