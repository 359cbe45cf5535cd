"""Instrument a program in JAX: its function is traced once, and the traced operations are computed one by one.

Every product with a weight is a layer, with the bias that is added to it; so are lookups in a weight, the activations
of ``jax.nn``, softmax, random draws, and what `tap` names. Loops (scan, while) are followed step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import MissingExtra
from ...ops.tap import observing
from .base import Call, Instrument
from .fingerprint import fingerprint
from .jax_names import MARK, TracedNames, named_activations
from .jax_products import Product, biased, convolution, product
from .observer import Observer

CALLS = {
    "jit": "jaxpr", "pjit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr", "checkpoint": "jaxpr", "remat": "jaxpr", "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
}  # fmt: skip
ACTIVATIONS = {"relu", "gelu", "silu", "mish", "elu", "leaky_relu", "sigmoid", "softmax"}
DRAWS = {"normal": "normal", "normal_real": "normal", "uniform": "uniform", "bernoulli": "bernoulli"}
# Operations after which a weight is still the same numbers.
KEEPS = {"transpose", "reshape", "broadcast_in_dim", "squeeze", "convert_element_type", "copy", "copy_p", "rev"}


class JaxProgram:
    """`function` is given the weights by name (`tensors`) and runs the program; its outputs are `result`, `result.1` …

    A weight is called by its name without ``.weight`` and ``.bias``; one that the function only closes over by its
    fingerprint. Raises MissingExtra without `jax`.
    """

    def __init__(
        self,
        function: Callable[[Mapping[str, Any]], Any],
        tensors: Mapping[str, Any] | None = None,
        *,
        name: str = "jax",
    ) -> None:
        try:
            import jax  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtra("jax", "jax", "a program in JAX as a side of a comparison") from error
        self.function, self.name = function, name
        self.tensors = {key: np.asarray(a) for key, a in (tensors or {}).items()}
        self.traced: Any = None

    def run(self, observer: Observer, *, float64: bool = False) -> None:
        """Run it once under the observer; `float64` computes every float32 number in float64."""
        import jax

        if self.traced is None:
            with observing(TracedNames()), named_activations(jax.nn):
                self.traced = jax.make_jaxpr(self.function)(self.tensors)
        with jax.enable_x64(float64):
            _Run(observer, float64=float64).program(self.traced, self.tensors)


@dataclass(slots=True)
class Value:
    """A number of the run. `path` is the weight that it is or is made of alone, "" for what the run made."""

    array: Any
    path: str = ""
    whole: bool = False


class _Run(Instrument):
    """One run of a traced program."""

    def __init__(self, observer: Observer, *, float64: bool) -> None:
        super().__init__(observer)
        self.float64 = float64

    def is_tensor(self, value: Any) -> bool:
        return hasattr(value, "shape") and hasattr(value, "dtype")

    def array(self, tensor: Any) -> NDArray[Any]:
        a = np.asarray(tensor)
        return np.array(a if a.dtype.kind in "iub" or a.dtype in (np.float32, np.float64) else a.astype(np.float32))

    def like(self, array: NDArray[Any], tensor: Any) -> Any:
        import jax.numpy as jnp

        return jnp.asarray(np.asarray(array), tensor.dtype).reshape(tensor.shape)

    def wide(self, a: Any) -> Any:
        """A number as this run computes with it."""
        import jax.numpy as jnp

        a = jnp.asarray(a) if not hasattr(a, "dtype") or isinstance(a, np.ndarray) else a
        return a.astype(np.float64) if self.float64 and a.dtype == np.float32 else a

    def program(self, traced: Any, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Compute everything, and show the outputs."""
        # The weights come in as JAX flattens a dictionary: by name, sorted.
        given = [Value(self.wide(tensors[name]), name, True) for name in sorted(tensors)]
        consts = [Value(self.wide(a), "~", True) for a in traced.consts]
        for i, out in enumerate(self.body(traced.jaxpr, consts, given)):
            self.named_value(f"result.{i}" if i else "result", out.array)

    def body(self, jaxpr: Any, consts: Sequence[Value], given: Sequence[Value]) -> list[Value]:
        """The operations of one traced function, in order."""
        env: dict[Any, Value] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *given]))
        readers: dict[Any, list[Any]] = {}
        for eqn in jaxpr.eqns:
            for var in eqn.invars:
                if not hasattr(var, "val"):
                    readers.setdefault(var, []).append(eqn)
        kept = {var for var in jaxpr.outvars if not hasattr(var, "val")}
        waiting: dict[Any, Product] = {}

        def value(var: Any) -> Value:
            return Value(self.wide(np.asarray(var.val))) if hasattr(var, "val") else env[var]

        for eqn in jaxpr.eqns:
            found = next((v for v in eqn.invars if not hasattr(v, "val") and v in waiting), None)
            if found is not None:
                other = value(eqn.invars[1] if eqn.invars[0] is found else eqn.invars[0])
                env[eqn.outvars[0]] = self._added(waiting.pop(found), other, eqn)
                continue
            inputs = [value(var) for var in eqn.invars]
            made = self._product(eqn, inputs)
            after = readers.get(eqn.outvars[0], []) if made is not None else []
            if made is not None and len(after) == 1 and after[0].primitive.name == "add" and not kept & {*eqn.outvars}:
                waiting[eqn.outvars[0]] = made
                continue
            outs = [self._layer(made)] if made is not None else self._operation(eqn, inputs)
            env |= dict(zip(eqn.outvars, outs))
        return [value(var) for var in jaxpr.outvars]

    # Layers

    def _product(self, eqn: Any, inputs: list[Value]) -> Product | None:
        name = eqn.primitive.name
        if name not in ("dot_general", "conv_general_dilated"):
            return None
        left, right = inputs
        if name == "conv_general_dilated":
            return convolution(eqn, left, right, self._evaluated) if right.path else None
        if bool(left.path) == bool(right.path):
            named = [v.path not in ("", "~") for v in inputs]
            if not left.path or (named[0] == named[1] and left.array.ndim == right.array.ndim != 2):
                return None
            # Both come from outside: the one with a name is the weight, or else the flatter one, or the second.
            first = named[0] if named[0] != named[1] else left.array.ndim < right.array.ndim
        else:
            first = bool(left.path)
        return product(eqn, left, right, weight_first=first)

    def _added(self, made: Product, other: Value, eqn: Any) -> Value:
        """A product, with what is added to it: as its bias where it is one."""
        bias = biased(made, np.asarray(other.array)) if other.path else None
        if bias is not None:
            made.bias = bias
            return self._layer(made)
        out = self._layer(made)
        return Value(self._evaluated(eqn, [out.array, other.array])[0])

    def _layer(self, made: Product) -> Value:
        call = made.call(self.wide)
        return Value(made.lay(self.called(made.op, call)))

    def _owner(self, call: Call) -> str:
        given: Value = call.given
        if given.whole and given.path != "~":
            return given.path.removesuffix(".weight").removesuffix(".bias")
        return f"~{fingerprint(self.array(given.array)).hash:016x}"

    # Everything else

    def _operation(self, eqn: Any, inputs: list[Value]) -> list[Value]:
        name = eqn.primitive.name
        inner = eqn.params.get(CALLS.get(name, ""))
        if inner is not None:
            return self._called(eqn, inner, inputs)
        if name in ("scan", "while", "cond"):
            return self._flow(name, eqn, inputs)
        if name == "name" and str(eqn.params["name"]).startswith(MARK):
            return [Value(self.named_value(eqn.params["name"][len(MARK) :], inputs[0].array))]
        if name == "gather" and inputs[0].path and (call := self._lookup(eqn, inputs)) is not None:
            return [Value(self.called("embedding", call))]
        plain = name in ("tanh", "logistic") and not inputs[0].path
        if plain or (name == "max" and _zero(eqn.invars[1]) and not inputs[0].path):
            op = {"tanh": "tanh", "logistic": "sigmoid", "max": "relu"}[name]
            rest = [v.array for v in inputs[1:]]
            return [Value(self.called(op, Call([inputs[0].array], lambda t: self._evaluated(eqn, [t[0], *rest])[0])))]
        outs = self._evaluated(eqn, [v.array for v in inputs])
        path, whole = _derived(name, inputs)
        return [Value(out, path, whole) for out in outs]

    def _evaluated(self, eqn: Any, arrays: Sequence[Any]) -> list[Any]:
        params = dict(eqn.params)
        if self.float64:
            for key in ("new_dtype", "preferred_element_type", "dtype"):
                if params.get(key) == np.float32:
                    params[key] = np.dtype(np.float64)
        out = eqn.primitive.bind(*arrays, **params)
        return list(out) if eqn.primitive.multiple_results else [out]

    def _called(self, eqn: Any, inner: Any, inputs: list[Value]) -> list[Value]:
        """A function of its own: an activation, a draw, or what is followed into its body."""
        jaxpr, consts = getattr(inner, "jaxpr", inner), [Value(self.wide(a)) for a in getattr(inner, "consts", ())]
        word = str(eqn.params.get("name", "")).lstrip("_")

        def run(t: Sequence[Any]) -> Any:
            given = [Value(a) for a in (*t, *(v.array for v in inputs[1:]))]
            return _Run(Observer(), float64=self.float64).body(jaxpr, consts, given)[0].array

        if word in DRAWS and all(not _float(v.array) for v in inputs[:1]):
            narrow = _Run(Observer(), float64=False).body(jaxpr, consts, inputs)[0].array
            return [Value(self.drawn(DRAWS[word], self.wide(narrow)))]
        if word in ACTIVATIONS and inputs and not inputs[0].path and _float(inputs[0].array):
            axis, facts = _about(word, jaxpr, eqn, inputs)
            return [Value(self.called(word, Call([inputs[0].array], run, facts=facts, axis=axis)))]
        return self.body(jaxpr, consts, inputs)

    def _lookup(self, eqn: Any, inputs: list[Value]) -> Call | None:
        table, places = inputs[0], inputs[1].array
        rows = eqn.params["slice_sizes"] == (1, *table.array.shape[1:])
        if table.array.ndim != 2 or not rows or places.shape[-1] != 1 or not _float(table.array):
            return None

        def run(t: Sequence[Any]) -> Any:
            return self._evaluated(eqn, [table.array, t[0][..., None]])[0]

        return Call([places[..., 0]], run, {"weight": table.array}, given=table)

    def _flow(self, name: str, eqn: Any, inputs: list[Value]) -> list[Value]:
        """Loops and branches, step by step."""
        from .jax_loops import branch, scanned, while_loop

        return {"scan": scanned, "while": while_loop, "cond": branch}[name](self.body, eqn.params, inputs, Value)


def _float(a: Any) -> bool:
    import jax.numpy as jnp

    return bool(jnp.issubdtype(a.dtype, jnp.floating))


def _zero(var: Any) -> bool:
    return hasattr(var, "val") and np.ndim(var.val) == 0 and float(var.val) == 0


def _derived(name: str, inputs: list[Value]) -> tuple[str, bool]:
    """The weight that a result is made of alone, and whether it still is all of it."""
    arrays = [v for v in inputs if v.array.ndim or v.path]
    if not arrays or not all(v.path for v in arrays):
        return "", False
    return arrays[0].path, len(arrays) == 1 and name in KEEPS and arrays[0].whole


def _about(word: str, jaxpr: Any, eqn: Any, inputs: list[Value]) -> tuple[int, dict[str, Any]]:
    """The axis of a softmax, and declared facts."""
    names = {eqn.primitive.name for eqn in _equations(jaxpr)}
    if word == "gelu":
        return -1, {"approximate": "tanh" in names}
    if word == "leaky_relu":
        slopes = [float(v.array) for v in inputs[1:] if not v.array.ndim]
        return -1, {"slope": round(slopes[0], 7)} if slopes else {}
    if word == "softmax":
        axes = [e.params["axes"] for e in _equations(jaxpr) if e.primitive.name == "reduce_sum"]
        return (axes[0][0] - inputs[0].array.ndim if axes and len(axes[0]) == 1 else -1), {}
    return -1, {}


def _equations(jaxpr: Any) -> list[Any]:
    out: list[Any] = []
    for eqn in jaxpr.eqns:
        inner = eqn.params.get(CALLS.get(eqn.primitive.name, ""))
        out += [eqn] if inner is None else _equations(getattr(inner, "jaxpr", inner))
    return out
