"""Instrument any PyTorch program, unchanged.

Operations are caught where every module and every function ends up, in ``torch.nn.functional`` (a TorchFunctionMode);
hooks on all modules say where in the program we are. So modules and hand-written functions are seen alike.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from ...ops.tap import observing
from . import torch_functions as functions
from . import torch_products as products
from . import torch_recurrent as recurrent
from .base import Call, Instrument
from .observer import Observer, flatten


class TorchProgram:
    """`run` is a function without arguments that runs the program.

    `modules` gives roots a name ({"": model, "vocoder": vocoder}); a root that is met without one is called after its
    class, with a number (a whole model that comes first has the names of its own checkpoint). `tensors` names the
    weights of a program that has no modules; a weight without any name is called after its fingerprint. The program's
    outputs are borders `result`, `result.1` … `recurrent`: recurrent layers are spelled out as
    linear ones; not where the other side has a recurrent operation of its own, as families have.
    """

    def __init__(
        self,
        run: Callable[[], Any],
        *,
        modules: Mapping[str, torch.nn.Module] | None = None,
        tensors: Mapping[str, Tensor] | None = None,
        name: str = "torch",
        recurrent: bool = True,
    ) -> None:
        self.function, self.modules, self.tensors, self.name = run, modules or {}, tensors or {}, name
        self.recurrent, self.digests = recurrent, Digests()

    def run(self, observer: Observer, *, float64: bool = False) -> None:
        """Run it once under the observer; `float64` computes every float32 number in float64."""
        mode = TorchInstrument(observer, self.modules, self.tensors, float64=float64)
        mode.recurrent, mode.digests = self.recurrent, self.digests
        with observing(mode), torch.no_grad(), mode:
            out = self.function()
            for i, value in enumerate(flatten(out, functions.is_tensor)[0]):
                mode.named_value(f"result.{i}" if i else "result", value)


class Digests:
    """Hashes of tensors that outlive a run, so that each is worked out once while its numbers stay as they are."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[weakref.ref[Tensor], int, int]] = {}

    def of(self, tensor: Tensor, make: Callable[[Tensor], int]) -> int:
        """The hash, made where it is not known."""
        if tensor.is_inference():
            return make(tensor)  # nothing counts its changes
        kept = self.known.get(id(tensor))
        if kept is None or kept[0]() is not tensor or kept[1] != tensor._version:
            kept = self.known[id(tensor)] = weakref.ref(tensor), tensor._version, make(tensor)
        return kept[2]


class TorchInstrument(Instrument, TorchFunctionMode):
    """Passes every operation to an observer."""

    def __init__(
        self, observer: Observer, modules: Mapping[str, Any], tensors: Mapping[str, Tensor], *, float64: bool
    ) -> None:
        Instrument.__init__(self, observer)
        TorchFunctionMode.__init__(self)
        self.float64, self.recurrent, self.digests = float64, True, Digests()
        self.narrow: dict[int, Any] = {}
        self.seen = 0
        for prefix, root in modules.items():
            self.name(prefix, root)
        for name, tensor in tensors.items():
            self.owners.setdefault(tensor.data_ptr(), name.removesuffix(".weight").removesuffix(".bias"))

    is_tensor: Any = staticmethod(functions.is_tensor)
    array: Any = staticmethod(functions.array)
    like: Any = staticmethod(functions.like)

    def digest(self, tensor: Tensor) -> int:
        return self.digests.of(tensor, super().digest)

    def identity(self, tensor: Tensor) -> int:
        return tensor.data_ptr()

    def parts(self, root: torch.nn.Module) -> Iterable[tuple[str, Any]]:
        return root.named_modules()

    def parameters(self, module: torch.nn.Module) -> Iterable[tuple[str, Tensor]]:
        return module.named_parameters(recurse=False)

    def __enter__(self) -> TorchInstrument:
        self.hooks = [
            hooks.register_module_forward_pre_hook(self.before),
            hooks.register_module_forward_hook(lambda module, args, out: self.after(module), always_call=True),
        ]
        return super().__enter__()

    def __exit__(self, *problem: Any) -> None:
        for hook in self.hooks:
            hook.remove()
        super().__exit__(*problem)

    def before(self, module: torch.nn.Module, args: Any) -> Any:
        """A module's call begins. A recurrent one compares kinds of numbers itself, so its weights are widened here."""
        self.entered(module)
        if self.float64 and isinstance(module, torch.nn.RNNBase):
            kept = self.narrow[id(module)] = module._flat_weights
            module._flat_weights = [w if w is None else functions.wide(w) for w in kept]
            for old, new in zip(kept, module._flat_weights):
                if old is not None and new is not None:
                    self.owners[new.data_ptr()] = self.owners.get(old.data_ptr(), "")
            return functions.widened(None, args, {})[0]
        return None

    def after(self, module: torch.nn.Module) -> None:
        """It has ended."""
        self.left()
        if id(module) in self.narrow:
            module._flat_weights = self.narrow.pop(id(module))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given: list[Tensor] = flatten([*args, *kwargs.values()], self.is_tensor)[0]
        done, out = self._added(func, args, given)
        if not done:
            seen = self.seen
            out = self._run(func, args, kwargs)
            products.mark(out, getattr(func, "__name__", ""), [] if self.seen > seen else given)
        return out

    def _added(self, func: Any, args: Any, given: list[Tensor]) -> tuple[bool, Any]:
        """Products that wait for their bias: this operation adds it, or reads the product as it is."""
        waiting = [t for t in given if getattr(t, products.PENDING, None) is not None]
        name = getattr(func, "__name__", "")
        if name in products.SUMS and len(args) == 2 and len(waiting) == 1:
            other = args[1] if args[0] is waiting[0] else args[0]
            found: products.Product = getattr(waiting[0], products.PENDING)
            if isinstance(other, Tensor) and products.fits_bias(other, found):
                found.bias = other
                setattr(waiting[0], products.PENDING, None)
                out = self._product(found)
                if name in ("__iadd__", "add_"):
                    out = waiting[0].copy_(out)
                setattr(out, products.MADE, True)
                return True, out
        for t in waiting:
            self._settled(t)
        return False, None

    def _settled(self, t: Tensor) -> None:
        """A product without a bias is seen as soon as something reads it."""
        found: products.Product = getattr(t, products.PENDING)
        setattr(t, products.PENDING, None)
        t.copy_(self._product(found))

    def _product(self, found: products.Product) -> Tensor:
        bias = found.bias
        if bias is not None and bias.numel() > len(found.weight):
            found.bias = bias[(0,) * (bias.dim() - 1)]
        return found.lay(self.called("linear", found.call()))

    def _run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        # A weight is known by its own memory, so the name is looked up before it is widened.
        given = functions.op(func, args, kwargs)
        owner = given.bind(args, kwargs).given if given is not None and self.float64 else None
        name, plain = getattr(func, "__name__", ""), args
        if name == "multi_head_attention_forward":
            return self._body(func, args, kwargs)
        found = products.product(name, args, kwargs) if name in products.PRODUCTS and given is None else None
        if self.float64:
            found = found and self._widened(found)
            args, kwargs, func = functions.widened(func, args, kwargs)
        if found is not None:
            if found.bias is not None:
                return self._product(found)
            self.seen += 1
            found.native = func(*args, **kwargs)
            setattr(found.native, products.PENDING, found)
            return found.native
        if self.recurrent and (name in recurrent.LAYERS or name in recurrent.CELLS):
            with self._renamed(plain, args):
                out = recurrent.spelled(name, args, self._linear)
            return func(*args, **kwargs) if out is None else out
        if name == "scaled_dot_product_attention":
            return self._attention(*args, **kwargs)
        if name == "multinomial" and args:
            # A replayed draw does not depend on its chances, so they are compared where they arrive.
            args = (self._chances(args[0]), *args[1:])
        if name in functions.DRAWS:
            return self._drawn(name, args, kwargs, func(*args, **kwargs))
        op = functions.op(func, args, kwargs) if given is not None else None
        return func(*args, **kwargs) if op is None else self._leaf(op, args, kwargs, owner)

    @contextmanager
    def _renamed(self, narrow: Any, wide: Any) -> Iterator[None]:
        """Weights that were widened for one call have the names of their own."""
        pairs = zip(flatten(list(narrow), self.is_tensor)[0], flatten(list(wide), self.is_tensor)[0])
        names = {b.data_ptr(): self.owners[a.data_ptr()] for a, b in pairs if a.data_ptr() in self.owners}
        fresh = {place: name for place, name in names.items() if place not in self.owners}
        self.owners |= fresh
        try:
            yield
        finally:
            for place in fresh:
                del self.owners[place]

    def _widened(self, found: products.Product) -> products.Product:
        bias = None if found.bias is None else functions.wide(found.bias)
        x, weight = functions.wide(found.x), functions.wide(found.weight)
        return dataclasses.replace(found, x=x, weight=weight, bias=bias)

    def _body(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """A function of PyTorch that is written in Python, followed into its body."""
        functional: Any = torch.nn.functional
        kept = functional.has_torch_function
        functional.has_torch_function = lambda given: False
        TorchFunctionMode.__enter__(self)
        try:
            return func(*args, **kwargs)
        finally:
            TorchFunctionMode.__exit__(self, None, None, None)
            functional.has_torch_function = kept

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Any:
        """A linear layer inside a function that is spelled out."""
        op = functions.op(torch.nn.functional.linear, (x, weight, bias), {})
        return self._leaf(op, (x, weight, bias), {}) if op is not None else None

    def _drawn(self, name: str, args: Any, kwargs: dict[str, Any], value: Tensor) -> Tensor:
        """A draw; a normal one is seen as one of mean 0 and deviation 1."""
        if name.endswith("_") and isinstance(value, torch.nn.Parameter):
            return value  # the first weights of a module that is made in the run
        self.seen += 1
        mean, deviation = functions.moments(name, args, kwargs)
        if (mean, deviation) == (0.0, 1.0):
            new = self.drawn(name, value)
        else:
            new = self.drawn(name, (value - mean) / deviation) * deviation + mean
        return value.copy_(new) if name.endswith("_") and new is not value else new

    def _chances(self, given: Tensor) -> Any:
        """The chances of a draw, as a unit that hands them on."""
        self.seen += 1
        return self.called("chances", Call([given], lambda t: t[0]))

    def _leaf(self, op: functions.Op, args: Any, kwargs: Any, owner: Tensor | None = None) -> Any:
        call = op.bind(args, kwargs)
        call.given = call.given if owner is None else owner
        self.seen += 1
        out = self.called(op.name, call)
        return functions.joined(out, kwargs) if op.name == "stft" else out

    def _attention(self, *args: Any, **kwargs: Any) -> Any:
        """The fused kernel spelled out, so that scale, mask and softmax are seen."""

        def softmax(scores: Tensor) -> Tensor:
            found = functions.op(torch.softmax, (scores, -1), {})
            return scores.softmax(-1) if found is None else self._leaf(found, (scores, -1), {})

        return functions.attention(softmax, *args, **kwargs)
