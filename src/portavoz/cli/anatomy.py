"""A compact model taken apart: its layers with their parameters, and its stages with their shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..families.compact.config import CompactConfig
from ..families.compact.mel import layout
from ..families.compact.speak import STAGES, Eager
from ..ops import open as open_ops
from ..ops.counting import Count, Counting
from ..weights.cursor import Weights

# What the work of a model is counted for: about four and a half seconds of speech.
LENGTH = {"symbols": 64, "frames": 384}


def layers(config: CompactConfig, weights: Path | None = None) -> list[dict[str, Any]]:
    """Each layer's path, kind, parameters, and multiply–adds for an utterance of LENGTH, in the order of building.

    Without `weights` the model has first values. Constants count as no parameters, and what happens between layers
    (attention's products) counts at the block around it. Raises WeightError when the weights do not fit.
    """
    counting = Counting(open_ops("numpy"))
    w = Weights.fresh(counting) if weights is None else Weights.load(weights, counting)
    model = Eager(w, config)
    w.finish()
    _run(model, config)
    layers, counts = w.record.layers, {**counting.weights, **counting.paths}
    rows = []
    for path in dict.fromkeys([*counting.weights, *counts]):
        own, work = counting.weights.get(path, Count()), counting.paths.get(path, Count())
        if own.parameters or work.multiply_adds:
            kind = layers[path].word if path in layers else "block"
            rows.append({"path": path, "kind": kind, "parameters": own.parameters, "multiply_adds": work.multiply_adds})
    return rows


def _run(model: Eager, config: CompactConfig) -> None:
    ids = np.arange(LENGTH["symbols"])[None] % config.symbols
    memory, _ = model.encode(ids, np.zeros(1, np.int64))
    index, place = layout(np.full((1, LENGTH["symbols"]), LENGTH["frames"] // LENGTH["symbols"]))
    model.vocode(model.decode(memory, index, place))


def total(rows: list[dict[str, Any]], key: str = "parameters") -> int:
    """The sum over layers."""
    return sum(row[key] for row in rows)


def declared() -> list[dict[str, Any]]:
    """The family's stages as it declares them: names, and which axes vary."""
    return [{"name": name, **{side: list(values) for side, values in sides.items()}} for name, sides in STAGES.items()]


def compiled(folder: Path) -> list[dict[str, Any]]:
    """A voice's stages as its graphs have them: names and shapes, where a text is an axis that varies."""
    from ..graph.compact import Compiled

    rows = []
    for name, session in Compiled(folder).sessions.items():
        shown = session.describe()
        rows.append({"name": name, **{side: [f"{n} {_shape(shape)}" for n, shape in shown[side]] for side in shown}})
    return rows


def _shape(shape: list[Any]) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"
