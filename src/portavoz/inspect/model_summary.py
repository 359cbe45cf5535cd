"""A model taken apart: its layers with their parameters and work, and its stages with their shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..ops.profiler import Count, Profiler
from ..ops.timing import Shape, Timing
from ..ops.wrapper import OpsWrapper
from ..weights import fold
from ..weights.cursor import Weights

NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
# How a family's files are opened: the name of a part, "" where all is in one file → the cursor at its root.
Opened = Callable[[str], Weights]


class Family(NamedTuple):
    """What is shown of a family: its configurations, its stages, and one utterance through a model of it."""

    configs: Mapping[str, Any]
    lengths: dict[str, int]  # of the utterance that work is counted for
    stages: list[dict[str, Any]]
    build: Callable[[Any, Opened, dict[str, int]], Callable[[], None]]  # a model → what says an utterance of lengths


# A model's files by the prefix that their paths are shown with: where each is, or its tensors by name.
Files = Mapping[str, Path | Mapping[str, NDArray[Any]]]


def _cursor(source: Path | Mapping[str, NDArray[Any]], seen: OpsWrapper) -> Weights:
    return Weights.load(source, seen) if isinstance(source, Path) else Weights(fold.weight_norm(source), seen)


class ShapeOnlyWeights(Weights):
    """Fresh weights without first values: what a model costs does not depend on them, and drawing them takes longer."""

    def _first(self, path: str, shape: tuple[int, ...], init: float | None) -> NDArray[Any]:
        return np.zeros(shape, np.float32)


def family(name: str) -> Family:
    """A family by name: "compact" or "speecht5"."""
    return {"compact": _compact, "speecht5": _speecht5}[name]()


FAMILIES = ("compact", "speecht5")


def layers(name: str, config: Any, files: Files | None = None) -> list[dict[str, Any]]:
    """Each layer's path, kind, parameters, and multiply–adds for the family's utterance, in the order of building.

    Without `files` the model is all zeros. Constants count as no parameters, and what happens between layers
    (attention's products) counts at the block around it. Raises WeightError when the weights do not fit.
    """
    parts = visit(name, config, lambda: Profiler(ops.open(ops.preferred())), files)
    return [row for prefix, (watch, w) in parts.items() for row in _rows(prefix, watch, w)]


def visit(
    name: str,
    config: Any,
    watch: Callable[[], Any],
    files: Files | None = None,
    *,
    lengths: dict[str, int] | None = None,
    times: int = 1,
) -> dict[str, tuple[Any, Weights]]:
    """Build a model under watches, one for each of its files, and let it say an utterance (the family's own).

    Gives watch and cursor of each file, by the prefix that its paths are shown with. With `times`, the watches have
    seen the last utterance only: the others were to warm up.
    """
    parts: dict[str, tuple[OpsWrapper, Weights]] = {}

    def opened(prefix: str) -> Weights:
        seen = watch()
        w = ShapeOnlyWeights.fresh(seen) if files is None else _cursor(files[prefix], seen)
        parts[prefix] = (seen, w)
        return w

    shown = family(name)
    say = shown.build(config, opened, lengths or shown.lengths)
    for _watch, w in parts.values():
        w.finish()
    for _ in range(times):
        for seen, _w in parts.values():
            seen.clear()
        say()
    return parts


def _rows(prefix: str, watch: Profiler, w: Weights) -> list[dict[str, Any]]:
    kinds, rows = w.record.layers, []
    for path in dict.fromkeys([*watch.weights, *watch.paths]):
        own, work = watch.weights.get(path, Count()), watch.paths.get(path, Count())
        if own.parameters or work.multiply_adds:
            kind = kinds[path].word if path in kinds else "block"
            costs = {"parameters": own.parameters, "multiply_adds": work.multiply_adds}
            rows.append({"path": full(prefix, path), "kind": kind, **costs})
    return rows


def full(prefix: str, path: str) -> str:
    """A path of one file as it is shown: with the file's prefix."""
    return ".".join(part for part in (prefix, path) if part)


def tree(name: str, config: Any, *, lengths: dict[str, int] | None = None) -> list[dict[str, Any]]:
    """Every block and layer in the order of calls, its twins in one row, with the shapes it takes and makes.

    Twins differ in the numbers of their paths; their parameters and multiply–adds are added up, the shapes are those
    of the first call of the first twin.
    """
    back = ops.open(ops.preferred())
    shaped = visit(name, config, lambda: Timing(back), lengths=lengths)
    counted = visit(name, config, lambda: Profiler(back), lengths=lengths)
    return [row for prefix in shaped for row in _twins(prefix, shaped[prefix][0], counted[prefix][0])]


def _twins(prefix: str, timing: Timing, counting: Profiler) -> list[dict[str, Any]]:
    groups: dict[str, list[str]] = {}
    for path in timing.shapes:
        groups.setdefault(NUMBER.sub("*", path), []).append(path)
    rows: list[dict[str, Any]] = []
    for key, paths in groups.items():
        counts, (given, made) = [counting.under(path) for path in paths], timing.shapes[paths[0]]
        row = {"path": full(prefix, key), "twins": len(paths), "takes": _listed(given), "makes": _listed(made)}
        sums = {what: sum(getattr(count, what) for count in counts) for what in ("parameters", "multiply_adds")}
        rows.append({**row, **sums})
    return rows


def _listed(shapes: list[Shape]) -> list[list[int]]:
    return [list(shape) for shape in shapes]


def brief(shapes: list[list[int]]) -> str:
    """The first three shapes, and how many there are in all."""
    return " ".join(map(_shape, shapes[:3])) + (f" … {len(shapes)} in all" if len(shapes) > 3 else "")


def total(rows: list[dict[str, Any]], key: str = "parameters") -> int:
    """The sum over layers."""
    return sum(row[key] for row in rows)


def compiled(folder: Path) -> list[dict[str, Any]]:
    """A compact voice's stages as its graphs have them: names and shapes, where a text is an axis that varies."""
    from ..graph.compact import Compiled

    rows = []
    for name, session in Compiled(folder).sessions.items():
        shown = session.describe()
        rows.append({"name": name, **{side: [f"{n} {_shape(shape)}" for n, shape in shown[side]] for side in shown}})
    return rows


def _shape(shape: list[Any]) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"


def _compact() -> Family:
    from ..families.compact.acoustic import layout
    from ..families.compact.config import CONFIGS
    from ..families.compact.loop import STAGES, Eager

    lengths = {"symbols": 64, "frames": 384}  # about four and a half seconds of speech
    stages = [{"name": name, **{side: list(vs) for side, vs in sides.items()}} for name, sides in STAGES.items()]

    def build(config: Any, opened: Opened, lengths: dict[str, int]) -> Callable[[], None]:
        model = Eager(opened(""), config)

        def say() -> None:
            ids = np.arange(lengths["symbols"])[None] % config.symbols
            memory, _ = model.encode(ids, np.zeros(1, np.int64))
            index, place = layout(np.full((1, lengths["symbols"]), lengths["frames"] // lengths["symbols"]))
            model.vocode(model.decode(memory, index, place))

        return say

    return Family(CONFIGS, lengths, stages, build)


def _speecht5() -> Family:
    from ..families.speecht5.config import CONFIGS
    from ..families.speecht5.stages import STAGES, Eager

    lengths = {"symbols": 60, "steps": 50}  # of two frames each at the published size: 1.6 seconds of speech

    def build(config: Any, opened: Opened, lengths: dict[str, int]) -> Callable[[], None]:
        stages = Eager(opened(""), opened("vocoder"), config)

        def say() -> None:
            ids = np.arange(lengths["symbols"])[None] % config.vocab_size
            speaker = np.full((1, config.speaker_embedding_dim), 0.1, np.float32)
            state = stages.encode(ids, np.ones(ids.shape, bool), speaker, lengths["steps"])
            keeps = (config.speech_decoder_prenet_layers, 1, config.speech_decoder_prenet_units)
            mel = np.zeros((1, 1, config.num_mel_bins), np.float32)
            for _ in range(lengths["steps"]):
                frames, _, state = stages.step(mel[:, -1:], state, np.ones(keeps, np.float32))
                mel = np.concatenate([mel, frames], 1)
            stages.vocode(stages.postnet(mel[:, 1:]))

        return say

    return Family(CONFIGS, lengths, [{"name": name, **sides} for name, sides in STAGES.items()], build)
