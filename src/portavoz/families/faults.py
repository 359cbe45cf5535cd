"""Planted faults: what one is, and how it is made in weights, in a built model, or in a back end's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake. `want` matches the id of the fault that must be named first ("edge:…/softmax.0").

    It is made in the weights (`weights` changes a dictionary), in the model (`edit` changes its parts after it was
    built) or in the back end (`words` replaces words). `cause` matches what it should look like; `probe` is the
    configuration that it is planted in.
    """

    name: str
    want: str
    weights: Callable[[Arrays], None] | None = None
    edit: Callable[[Any, Any], None] | None = None
    words: dict[str, Callable[..., Any]] | None = None
    cause: str = ""
    probe: str = ""


def change(path: str, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Arrays], None]:
    """Replace one tensor by a function of it."""

    def apply(arrays: Arrays) -> None:
        arrays[path] = np.array(function(arrays[path]), arrays[path].dtype, order="C")

    return apply


def in_tensor(
    name: str, layer: str, function: Callable[[NDArray[Any]], NDArray[Any]], cause: str = "", *, role: str = "weight",
    probe: str = "",
) -> Fault:  # fmt: skip
    """A fault of one tensor of a layer; that layer is what must be named first."""
    return Fault(name, leaf(layer), change(f"{layer}.{role}", function), cause=cause, probe=probe)


def exchange(a: str, b: str) -> Callable[[Arrays], None]:
    """Exchange all tensors below two paths."""

    def apply(arrays: Arrays) -> None:
        for path in [p for p in arrays if p.startswith(a + ".")]:
            other = b + path[len(a) :]
            arrays[path], arrays[other] = arrays[other], arrays[path]

    return apply


class OverriddenOps:
    """A back end with some of its words replaced, for one block only."""

    def __init__(self, inner: Any, **words: Callable[..., Any]) -> None:
        self.__dict__.update(words, inner=inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Wrapped:
    """A part of a model with another way of being called."""

    def __init__(self, inner: Any, call: Callable[..., Any]) -> None:
        self.__dict__.update(inner=inner, call=call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.call(self.inner, *args, **named)


class LongerByOne(list[Any]):
    """A list that says it is one longer or shorter than it is: a mean that divides by the wrong number."""

    def __len__(self) -> int:
        return super().__len__() + 1


def rx(path: str) -> str:
    """A path as a regular expression."""
    return path.replace(".", r"\.")


def leaf(path: str) -> str:
    """The unit itself, by its numbers or by what it declares."""
    return rf"(leaf|facts|weights):{rx(path)}$"


def edge(path: str) -> str:
    """What arrives at a unit."""
    return rf"(edge|shape):{rx(path)}$"


def words_in(get: Any, **words: Any) -> Any:
    """Replace words in one block; each is given the inner ops first."""

    def edit(acoustic: Any, vocoder: Any) -> None:
        block = get(acoustic, vocoder)
        inner = block.ops
        block.ops = OverriddenOps(inner, **{k: (lambda *a, f=f, **n: f(inner, *a, **n)) for k, f in words.items()})

    return edit


def part(get: Any, name: str, call: Any) -> Any:
    def edit(acoustic: Any, vocoder: Any) -> None:
        owner = get(acoustic, vocoder)
        setattr(owner, name, Wrapped(getattr(owner, name), call))

    return edit


def without_dilation(get: Any) -> Any:
    """A convolution that forgets its dilation, padded so that the length stays."""

    def edit(acoustic: Any, vocoder: Any) -> None:
        conv = get(acoustic, vocoder)
        conv.dilation, conv.padding = 1, (conv.weight.shape[-1] - 1) // 2

    return edit


def attention_without_scale(
    ops: Any, q: Any, k: Any, v: Any, *, heads: int, scale: float, mask: Any = None, bias: Any = None
) -> Any:
    """The word `attention` as a kernel computes it that has no scale."""
    q, k, v = (ops.split_heads(x, heads) for x in (q, k, v))
    scores = ops.matmul(q, ops.swap(k))
    scores = scores if bias is None else scores + bias
    return ops.merge_heads(ops.matmul(ops.softmax(scores if mask is None else ops.masked(scores, mask)), v))
