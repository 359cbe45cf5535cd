"""A summary of a model: layers with parameters and multiply–adds, and stages with shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..families.spec import FamilySpec
from ..ops.profiler import Count, Profiler
from ..ops.timing import Shape, shapes
from ..ops.wrapper import OpsWrapper, Unit
from ..weights import fold
from ..weights.cursor import ShapeOnlyWeights, Weights
from .shape_ops import ShapeOps

NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
# A model's files by the prefix that their paths are shown with: where each is, or its tensors by name.
Files = Mapping[str, Path | Mapping[str, NDArray[Any]]]


def _cursor(source: Path | Mapping[str, NDArray[Any]], seen: OpsWrapper) -> Weights:
    return Weights.load(source, seen) if isinstance(source, Path) else Weights(fold.weight_norm(source), seen)


def layers(family: FamilySpec, config: Any, files: Files | None = None) -> list[dict[str, Any]]:
    """Each layer's path, kind, parameters, and multiply–adds for the family's utterance, in the order of building.

    Without `files` the model is all ones. Constants count as no parameters, and what happens between layers
    (attention's products) counts at the block around it. Raises WeightError when the weights do not fit.
    """
    return layers_of(visit(family, config, lambda: Profiler(ShapeOps()), files))


def layers_of(parts: Mapping[str, tuple[Any, Weights]]) -> list[dict[str, Any]]:
    """The rows of `layers` of what `visit` gave with a Profiler."""
    return [row for prefix, (watch, w) in parts.items() for row in _rows(prefix, watch, w)]


def visit(
    family: FamilySpec,
    config: Any,
    watch: Callable[[], Any],
    files: Files | None = None,
    *,
    lengths: Mapping[str, int] | None = None,
    times: int = 1,
) -> dict[str, tuple[Any, Weights]]:
    """Build a model under watches, one for each of its files, and let it say an utterance (the family's own).

    Gives watch and cursor of each file, by the prefix that its paths are shown with. With `times`, the watches have
    seen the last utterance only: the others were to warm up.
    """
    parts: dict[str, tuple[OpsWrapper, Weights]] = {}
    cursors: dict[str, Weights] = {}
    for part in family.parts:
        seen = watch()
        w = ShapeOnlyWeights.fresh(seen) if files is None else _cursor(files[part.prefix], seen)
        parts[part.prefix], cursors[part.name] = (seen, w), w
    model = family.eager(cursors, config)
    for _watch, w in parts.values():
        w.finish()
    for _ in range(times):
        for seen, _w in parts.values():
            seen.clear()
        family.exercise(model, config, lengths or family.lengths)
    return parts


def _rows(prefix: str, watch: Profiler, w: Weights) -> list[dict[str, Any]]:
    kinds, rows, none = w.record.layers, [], Count()
    for path in dict.fromkeys([*watch.weights, *watch.paths]):
        own, work = watch.weights.get(path, none), watch.paths.get(path, none)
        if own.parameters or work.multiply_adds:
            kind = kinds[path].op if path in kinds else "block"
            costs = {"parameters": own.parameters, "multiply_adds": work.multiply_adds}
            rows.append({"path": full(prefix, path), "kind": kind, **costs})
    return rows


def full(prefix: str, path: str) -> str:
    """The displayed path of a layer: with the prefix of its file."""
    return ".".join(part for part in (prefix, path) if part)


class ShapeProfiler(Profiler):
    """A Profiler that also records the input and output shapes of each block and layer in its first call."""

    def clear(self) -> None:
        """Forget what has run."""
        super().clear()
        self.shapes: dict[str, tuple[list[Shape], list[Shape]]] = {}

    def see(self, unit: Unit, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        first = (unit.kind == "block" or unit.layer is not None) and unit.path not in self.shapes
        if first:
            self.shapes[unit.path] = (shapes(args), [])  # a place in the order of calls, blocks before their parts
        out = super().see(unit, run, args, named)
        if first:
            self.shapes[unit.path][1].extend(shapes(out))
        return out


def tree(family: FamilySpec, config: Any, *, lengths: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """Every block and layer in the order of calls, its twins in one row, with the shapes it takes and makes.

    Twins differ in the numbers of their paths; their parameters and multiply–adds are added up, the shapes are those
    of the first call of the first twin.
    """
    return tree_of(visited(family, config, lengths=lengths))


def visited(family: FamilySpec, config: Any, *, lengths: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The input of `layers_of` and `tree_of`, from one utterance that is computed as shapes only."""
    return visit(family, config, lambda: ShapeProfiler(ShapeOps()), lengths=lengths)


def tree_of(parts: Mapping[str, tuple[Any, Weights]]) -> list[dict[str, Any]]:
    """The rows of `tree` of what `visit` gave with a ShapeProfiler."""
    return [row for prefix, (watch, _) in parts.items() for row in _twins(prefix, watch)]


def _twins(prefix: str, watch: ShapeProfiler) -> list[dict[str, Any]]:
    groups: dict[str, list[str]] = {}
    for path in watch.shapes:
        groups.setdefault(NUMBER.sub("*", path), []).append(path)
    below, rows = _below(watch), list[dict[str, Any]]()
    for key, paths in groups.items():
        given, made = watch.shapes[paths[0]]
        row = {"path": full(prefix, key), "twins": len(paths), "takes": _listed(given), "makes": _listed(made)}
        parameters, work = (sum(below.get(path, (0, 0))[i] for path in paths) for i in (0, 1))
        rows.append({**row, "parameters": parameters, "multiply_adds": work})
    return rows


def _below(watch: Profiler) -> dict[str, tuple[int, int]]:
    """Parameters and multiply–adds of each path, including everything below it."""
    found: dict[str, tuple[int, int]] = {}
    for path, count in (*watch.paths.items(), *watch.weights.items()):
        while True:
            parameters, work = found.get(path, (0, 0))
            found[path] = parameters + count.parameters, work + count.multiply_adds
            if not path:
                break
            path = path.rpartition(".")[0]
    return found


def twins(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Layers whose paths differ only in indices, as one row with the sums of their parameters and work."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(NUMBER.sub("*", row["path"]), []).append(row)
    return [
        {
            "path": key + (f" ×{len(group)}" if len(group) > 1 else ""),
            "kind": group[0]["kind"],
            **{what: total(group, what) for what in ("parameters", "multiply_adds")},
        }
        for key, group in groups.items()
    ]


def _listed(shapes: list[Shape]) -> list[list[int]]:
    return [list(shape) for shape in shapes]


def brief(shapes: list[list[int]]) -> str:
    """The first three shapes, and the total number."""
    return " ".join(map(_shape, shapes[:3])) + (f" … {len(shapes)} in all" if len(shapes) > 3 else "")


def total(rows: list[dict[str, Any]], key: str = "parameters") -> int:
    """The sum over layers."""
    return sum(row[key] for row in rows)


def compiled(graphs: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The compiled stages of a voice: names and shapes, where a string is a varying axis."""
    from ..graph.onnx import interface

    rows = []
    for name, path in graphs.items():
        shown = interface(path)
        rows.append({"name": name, **{side: [f"{n} {_shape(shape)}" for n, shape in shown[side]] for side in shown}})
    return rows


def _shape(shape: list[Any]) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"
