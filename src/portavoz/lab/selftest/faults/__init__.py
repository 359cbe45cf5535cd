"""The catalogue of planted faults, family by family: each must be named at its place, in every run."""

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


def exchange(a: str, b: str) -> Callable[[Arrays], None]:
    """Exchange all tensors below two paths."""

    def apply(arrays: Arrays) -> None:
        for path in [p for p in arrays if p.startswith(a + ".")]:
            other = b + path[len(a) :]
            arrays[path], arrays[other] = arrays[other], arrays[path]

    return apply


class Over:
    """A back end with some of its words replaced, for one block only."""

    def __init__(self, inner: Any, **words: Callable[..., Any]) -> None:
        self.__dict__.update(words, inner=inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Instead:
    """A part of a model with another way of being called."""

    def __init__(self, inner: Any, call: Callable[..., Any]) -> None:
        self.__dict__.update(inner=inner, call=call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.call(self.inner, *args, **named)


class Short(list[Any]):
    """A list that says it is one longer or shorter than it is: a mean that divides by the wrong number."""

    def __len__(self) -> int:
        return super().__len__() + 1
