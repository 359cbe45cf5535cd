"""Any PyTorch program as a subject of the lab: nothing in it has to know of us.

Words are caught where every module and every function ends up, in ``torch.nn.functional`` (a TorchFunctionMode);
hooks on all modules say where in the program we are. So modules and hand-written functions are seen alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from . import torch_words as words
from .prints import fingerprint
from .visit import ACTIVE, Arrays, Later, Unit, Visitor, flatten


class TorchSubject:
    """`run` is a function without arguments that runs the program.

    `modules` gives roots a name ({"": model, "vocoder": vocoder}); a root that is met without one is called after its
    class, with a number (a whole model that comes first has the names of its own checkpoint). `tensors` names the
    weights of a program that has no modules; a weight without any name is called after its fingerprint. The program's
    outputs are borders `result`, `result.1` …
    """

    def __init__(
        self,
        run: Callable[[], Any],
        *,
        modules: Mapping[str, torch.nn.Module] | None = None,
        tensors: Mapping[str, Tensor] | None = None,
        name: str = "torch",
    ) -> None:
        self.run, self.modules, self.tensors, self.name = run, modules or {}, tensors or {}, name

    def follow(self, visitor: Visitor, *, wide: bool = False) -> None:
        """Run it once under the visitor; `wide` with every float32 number as float64."""
        mode = Following(visitor, self.modules, self.tensors, wide=wide)
        token = ACTIVE.set(mode)
        try:
            with torch.no_grad(), mode:
                out = self.run()
                for i, value in enumerate(flatten(out, words.is_tensor)[0]):
                    mode.border(f"result.{i}" if i else "result", value)
        finally:
            ACTIVE.reset(token)


class Following(TorchFunctionMode):
    """Passes every word on to a visitor."""

    def __init__(
        self, visitor: Visitor, modules: Mapping[str, Any], tensors: Mapping[str, Tensor], *, wide: bool
    ) -> None:
        super().__init__()
        self.visitor, self.wide = visitor, wide
        self.paths: dict[int, str] = {}
        self.owners: dict[int, str] = {}
        self.calls: Counter[str] = Counter()
        self.roots: Counter[str] = Counter()
        self.frames: list[tuple[str, str]] = [("", "#0")]
        self.prints: dict[int, tuple[Any, str]] = {}
        for prefix, root in modules.items():
            self._name(prefix, root)
        for name, tensor in tensors.items():
            self.owners.setdefault(tensor.data_ptr(), name.removesuffix(".weight").removesuffix(".bias"))

    def _name(self, prefix: str, root: Any) -> None:
        for name, module in root.named_modules():
            path = f"{prefix}.{name}".strip(".")
            self.paths.setdefault(id(module), path)
            for role, parameter in module.named_parameters(recurse=False):
                self.owners.setdefault(parameter.data_ptr(), path if role == "weight" else f"{path}.{role}".strip("."))

    def __enter__(self) -> Following:
        self.hooks = [
            hooks.register_module_forward_pre_hook(self._entered),
            hooks.register_module_forward_hook(self._left, always_call=True),
        ]
        return super().__enter__()

    def __exit__(self, *problem: Any) -> None:
        for hook in self.hooks:
            hook.remove()
        super().__exit__(*problem)

    def _entered(self, module: Any, args: Any) -> None:
        if id(module) not in self.paths:
            self._name(self._root(module), module)
        path = self.paths[id(module)]
        # A leaf's own frame counts the calls of its word, so blocks count under a name of their own.
        name = f"{path}\0block"
        self.frames.append((path, f"{path}#{self.calls[name]}"))
        self.calls[name] += 1

    def _root(self, module: Any) -> str:
        """A name for a root without one: none for a whole model that comes first, else its class and a number."""
        if not self.paths and any(module.children()):
            return ""
        kind = type(module).__name__
        number = self.roots[kind]
        self.roots[kind] += 1
        return f"{kind}.{number}"

    def _left(self, module: Any, args: Any, out: Any) -> None:
        self.frames.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # A weight is known by its own memory, so the name is looked up before it is widened.
        given = words.word(func, args, kwargs)
        owner = given.bind(args, kwargs).given if given is not None and self.wide else None
        if self.wide:
            args, kwargs, func = words.widened(func, args, kwargs)
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention":
            return self._attention(*args, **kwargs)
        if name in words.DRAWS:
            return self._drawn(name, func(*args, **kwargs))
        word = words.word(func, args, kwargs) if given is not None else None
        return func(*args, **kwargs) if word is None else self._word(word, args, kwargs, owner)

    def _word(self, word: words.Word, args: Any, kwargs: Any, owner: Tensor | None = None) -> Any:
        call = word.bind(args, kwargs)
        call.given = call.given if owner is None else owner
        unit = self._unit(word, call)
        results: list[tuple[list[Any], Callable[..., Any]]] = []

        def on(xs: Arrays | None) -> Arrays:
            tensors = call.tensors if xs is None else [words.like(x, t) for x, t in zip(call.turned(xs), call.tensors)]
            out, put = flatten(call.run(tensors), words.is_tensor)
            results.append((out, put))
            return [words.array(t) for t in call.canonical(out)]

        handed = self.visitor.visit(unit, [words.array(t) for t in call.canonical(call.tensors)], on)
        if not results:
            on(None)
        out, put = results[-1]
        return put(out if handed is None else [words.like(y, t) for y, t in zip(call.turned(handed), out)])

    def _unit(self, word: words.Word, call: words.Call) -> Unit:
        path, block = self.frames[-1]
        if not call.weights:
            name = f"{block}/{word.name}"
            key = f"{name}.{self._count(name)}"
        else:
            path = self._owner(call)
            key = f"{path}#{self._count(path)}"
        number = int(key.rpartition("#")[2].partition("/")[0])
        weights = Later(call.weights, lambda role, t: words.array(t))
        return Unit(key, "tap", word.name, path, number, call.facts, weights)

    def _count(self, name: str) -> int:
        self.calls[name] += 1
        return self.calls[name] - 1

    def _owner(self, call: words.Call) -> str:
        first = call.given
        if first.data_ptr() in self.owners:
            return self.owners[first.data_ptr()]
        path = self.frames[-1][0]
        if path:
            return path  # a weight made on the fly (weight norm): its module
        # The tensor is kept, so that its number is not given to another one.
        kept = self.prints.setdefault(id(first), (first, f"~{fingerprint(words.array(first)).hash:016x}"))
        return kept[1]

    def _attention(
        self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
        scale: float | None = None, enable_gqa: bool = False,
    ) -> Any:  # fmt: skip
        """The fused kernel spelled out, so that scale, mask and softmax are seen."""
        if enable_gqa:
            k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
        scores = torch.matmul(q * (q.shape[-1] ** -0.5 if scale is None else scale), k.transpose(-1, -2))
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
        softmax = words.word(torch.softmax, (scores, -1), {})
        assert softmax is not None
        return torch.matmul(self._word(softmax, (scores, -1), {}), v)

    def _drawn(self, name: str, value: Tensor) -> Tensor:
        key = f"{self.frames[-1][1]}/{name}"
        unit = Unit(f"{key}.{self._count(key)}", "draw", name, self.frames[-1][0])
        handed = self.visitor.visit(unit, [words.array(value)], lambda xs: [])
        return value if handed is None else words.like(handed[0], value)

    def border(self, name: str, value: Any) -> Any:
        """A value named by `tap`: seen like a word that changes nothing."""
        call = self._count(f"{name}\0border")
        array: NDArray[Any] = words.array(value) if words.is_tensor(value) else np.asarray(value)
        handed = self.visitor.visit(Unit(f"{name}#{call}", "border", "border", name, call), [array], lambda xs: [])
        if handed is None:
            return value
        return words.like(handed[0], value) if words.is_tensor(value) else np.asarray(handed[0], array.dtype)
