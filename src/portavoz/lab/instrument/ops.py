"""A model of ours, on any back end, as a subject of the lab."""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...ops import open as open_ops
from ...ops.base import Ops
from ...ops.tap import observing
from ...ops.wrapper import OpsWrapper
from ...ops.wrapper import Unit as Met
from ...weights.cursor import Weights
from ...weights.layout import relayout
from .observer import Arrays, LazyArrays, Observer, Unit, flatten

Build = Callable[[Weights], Callable[[], Any]]


class OpsProgram:
    """`build` makes a model from a cursor and gives a function that runs it; `arrays` are its weights, by path.

    `ops` is a back end's name, or makes one for each run. With `spelled` off, a back end's own kernel of a composite
    runs as it is, and nothing inside it is seen: what a program in another language can dump.
    """

    def __init__(
        self,
        build: Build,
        arrays: Mapping[str, NDArray[Any]],
        *,
        ops: str | Callable[[], Ops] = "torch",
        name: str = "",
    ) -> None:
        self.build, self.arrays = build, arrays
        self.make: Callable[[], Ops] = (lambda: open_ops(ops)) if isinstance(ops, str) else ops
        self.spelled = True
        self.name = name or (ops if isinstance(ops, str) else "ours")

    def run(self, observer: Observer, *, float64: bool = False) -> None:
        """Build the model under the observer and run it; `float64` on NumPy."""
        watch = OpsInstrument(Ops() if float64 else self.make(), observer, spelled=self.spelled)
        arrays = {k: widened(a) for k, a in self.arrays.items()} if float64 else self.arrays
        run = self.build(Weights(arrays, watch))
        watch.clear()
        with observing(watch):
            run()


def widened(a: NDArray[Any]) -> NDArray[Any]:
    return a.astype(np.float64) if a.dtype.kind == "f" else a


class OpsInstrument(OpsWrapper):
    """Passes every leaf op to an observer. Composites run their own bodies, so that their structural ops are seen."""

    def __init__(self, inner: Ops, observer: Observer, *, spelled: bool = True) -> None:
        super().__init__(inner)
        self.observer, self.spelled, self.borders = observer, spelled, Counter[str]()

    def see(self, unit: Met, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if unit.kind != "leaf":
            return run(*args, **named)
        tensors, join = flatten((args, named), self._is_tensor)
        results: list[tuple[list[Any], Callable[..., Any]]] = []

        def on(xs: Arrays | None) -> Arrays:
            plain, by_name = join(tensors if xs is None else [self._like(x, t) for x, t in zip(xs, tensors)])
            results.append(flatten(run(*plain, **by_name), self._is_tensor))
            return [self.inner.numpy(t) for t in results[-1][0]]

        handed = self.observer.observe(self._unit(unit, args, named), [self.inner.numpy(t) for t in tensors], on)
        if not results:
            on(None)
        out, put = results[-1]
        return put(out if handed is None else [self._like(y, t) for y, t in zip(handed, out)])

    def composite(self, unit: Met, native: Callable[..., Any] | None, body: Callable[..., Any]) -> Callable[..., Any]:
        if native is not None and not self.spelled:
            return native

        def spelled(*args: Any, **named: Any) -> Any:
            if native is not None:
                plain = getattr(Ops, unit.op)(self.inner, *args, **named)
                kernel = native(*args, **named)
                about = Unit(unit.key, "kernel", unit.op, unit.path, _call(unit.key))
                self.observer.kernel(about, self.inner.numpy(kernel), self.inner.numpy(plain))
            return body(*args, **named)

        return spelled

    def named_value(self, name: str, value: Any) -> Any:
        """A value named by `tap`: observed like an op that changes nothing."""
        call = self.borders[name]
        self.borders[name] += 1
        tensor = self._is_tensor(value) and not isinstance(value, np.ndarray)
        array = self.inner.numpy(value) if tensor else np.asarray(value)
        handed = self.observer.observe(Unit(f"{name}#{call}", "value", "value", name, call), [array], lambda xs: [])
        if handed is None:
            return value
        new = np.asarray(handed[0]).astype(array.dtype)
        return self.inner.tensor(np.array(new)) if tensor else new

    def _is_tensor(self, value: Any) -> bool:
        return hasattr(value, "shape") and not hasattr(value, "path")

    def _like(self, a: NDArray[Any], tensor: Any) -> Any:
        own = self.inner.numpy(tensor).dtype
        # MLX calls its 64-bit integers by another name of NumPy's for the same numbers: a view gives them ours.
        return self.inner.tensor(np.array(a, dtype=own, copy=True).view(own))

    def _unit(self, unit: Met, args: tuple[Any, ...], named: dict[str, Any]) -> Unit:
        fields = vars(unit.layer) if unit.layer is not None else {}
        given = {role: t for role, t in fields.items() if self._is_tensor(t) and not role.startswith("_")}

        def canonical(role: str, t: Any) -> NDArray[Any]:
            kind = unit.op if role == "weight" else ""
            return np.asarray(relayout(self.inner.numpy(t), kind, self.inner.layout, "torch"))

        known = {k: v for k, v in facts(unit, args, named).items() if k in FACTS}
        return Unit(unit.key, "leaf", unit.op, unit.path, _call(unit.key), known, LazyArrays(given, canonical))


FACTS = ("eps", "stride", "padding", "dilation", "groups", "slope", "approximate")


def _call(key: str) -> int:
    return int(key.rpartition("#")[2].partition("/")[0])


def leaves(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The tensors in a value, each with its place: ``in1`` → ``in1.k``, ``in1.v`` for a named tuple."""
    if hasattr(value, "path"):
        return  # a layer: its tensors are weights
    if hasattr(value, "shape"):
        yield place, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from leaves(f"{place}.{name}", part)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        names: Sequence[Any] = getattr(value, "_fields", range(len(value)))
        for name, part in zip(names, value):
            yield from leaves(f"{place}.{name}", part)


def facts(unit: Met, args: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """What a unit declares besides tensors: a layer's stride, eps …; an op's slope, heads, axis by their names."""
    if unit.layer is not None:
        given = {k: v for k, v in vars(unit.layer).items() if not k.startswith("_") and k not in ("ops", "op", "path")}
    elif unit.kind == "block":
        given = dict(named)
    else:
        bound = inspect.signature(getattr(Ops, unit.op)).bind(None, *args, **named)
        bound.apply_defaults()
        given = {k: v for k, v in bound.arguments.items() if k != "self"}
    plain = {k: dataclasses.asdict(cast(Any, v)) if dataclasses.is_dataclass(v) else v for k, v in given.items()}
    return {
        k: v for k, v in plain.items() if isinstance(v, (bool, int, float, str, dict, tuple)) and not any(leaves("", v))
    }
