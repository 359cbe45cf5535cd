"""The ops in TTNN's operations. Which executor runs them, and in which precision, is the caller's choice."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...audio import stft as transform
from ...errors import BackendError
from ..layouts import ROLES
from . import fourier
from .operations import OPERATIONS, Executor, Refused, Tensor
from .paged import Paged, View
from .plain import PlainOps
from .schedule import BYTES, TILE, Rule, Schedule, load

CORES, L1 = 64, 1_360_544  # of a Wormhole: cores that share a tensor, bytes that the library leaves it in each one's L1


class TtnnOps(PlainOps):
    """Every op as operations of Tenstorrent's TTNN (see `operations`).

    `device`: "golden" (None: this one) computes in PyTorch with the card's roundings; "card" calls the package ttnn,
    which may be a card, a simulator or its mock device. `schedule`: a name ("float32", "bfloat16", "fast") or a TOML
    file. `emulate`: golden computes every matrix product in the schedule's fidelity and accumulation, which is slow.
    `mesh`: rows and columns of devices ("1x2") over which the schedule's [parallel] cuts the model; golden simulates
    them.

    Raises BackendError for a device, schedule or mesh that is not there.
    """

    name = "ttnn"
    float64 = False
    fused = True
    spoken_options: ClassVar[dict[str, Any]] = {"schedule": "bfloat16"}

    def __init__(
        self, device: str | None = None, schedule: str | Path | Schedule = "float32", *, emulate: bool = False,
        mesh: str | tuple[int, int] | None = None, executor: Executor | None = None,
    ) -> None:  # fmt: skip
        self.schedule = schedule if isinstance(schedule, Schedule) else load(schedule)
        self.executor = executor or _executor(device or "golden", self.schedule, emulate=emulate, mesh=mesh)
        self.device = self.executor.name
        self.note = f"ttnn, schedule {self.schedule.name}: {self.executor.about}"
        self.l1 = 0.0  # bytes of each core's L1 that parameters stay in
        self.cache, self.bucket = Paged, self.schedule.bucket  # what runners ask for (see Ops)
        self._made: dict[Any, Any] = {}
        self._at: dict[int, tuple[int, Tensor]] = {}  # batch → the position of the step, and its tensor

    def _apply(self, operation: str, *xs: Any, rule: Rule | None = None, **options: Any) -> Tensor:
        """An operation of the table on tensors and numbers; `rule` None is the schedule's for what has no parameter."""
        xs = tuple(self.tensor(x) if isinstance(x, np.ndarray) else x for x in xs)
        given = [x.handle if isinstance(x, Tensor) else x for x in xs]
        rule = rule or self.schedule.defaults
        owner = next((x.owner for x in xs if isinstance(x, Tensor) and x.owner), "")
        self.executor.owner = owner
        try:
            return Tensor(self, self.executor.run(operation, given, rule, **options))
        except Refused as problem:
            shapes = ", ".join(str(list(x.shape)) for x in xs if isinstance(x, Tensor))
            what = f"{OPERATIONS[operation].library}{f' of {owner}' if owner else ''} on {shapes}"
            raise BackendError(self._refusal(what, rule, problem)) from problem

    def _refusal(self, what: str, rule: Rule, problem: Refused) -> str:
        """What the library said, of what it was said, and the line of the schedule."""
        remedy = "choose memory or shard otherwise there" if "L1" in str(problem) else "change it there"
        what = f"stage {self.stage}: {what}" if self.stage else what
        return f"{what} was refused ({rule.place or f'{self.schedule.name}, defaults'}): {problem}; {remedy}"

    # The door

    def tensor(self, a: Any, train: bool = False) -> Any:
        array = np.asarray(a)
        made = Tensor(self, self.executor.upload(array, self.schedule.defaults))
        made.host = array
        return made

    def _position(self, batch: int, at: int) -> Tensor:
        """A decoder's position, once for each row [B]: one upload a step, whatever the number of layers."""
        last, made = self._at.get(batch, (-1, None))
        if made is None or last != at:
            self._at[batch] = at, (made := self.tensor(np.full(batch, at, np.int32)))
        return made

    def parameter(self, a: Any, path: str, role: str, train: bool = False) -> Any:
        rule, order = self.schedule.rule(path), (1, 0) if role == "linear" else None
        array = np.asarray(a) if order is None else np.asarray(a).T
        if rule.memory == "l1" and role not in ROLES:
            self._in_l1(array.shape, path, rule)
        self.executor.owner = path
        try:
            handle = self.executor.upload(array, rule, parameter=True, kernel=role in ROLES)
        except Refused as problem:
            raise BackendError(self._refusal(f"{path} {list(array.shape)}", rule, problem)) from problem
        return Tensor(self, handle, rule=rule, owner=path, order=order)

    def _in_l1(self, shape: tuple[int, ...], path: str, rule: Rule) -> None:
        """Count what stays in L1 as the library does: tiles dealt out to the cores, all of which keep the same room.

        Raises BackendError when it overflows.
        """
        *rows, columns = (1, 1, *shape)
        tiles = math.prod(rows[:-1]) * -(-rows[-1] // TILE) * -(-columns // TILE)
        self.l1 += -(-tiles // CORES) * TILE**2 * BYTES[rule.dtype]
        if self.l1 > L1:
            stage = f"stage {self.stage}: " if self.stage else ""
            raise BackendError(
                f"{stage}{path}: with it the parameters in L1 need {self.l1 / 1024:.0f} KiB of each core, which has "
                f"{L1 / 1024:.0f} ({rule.place or f'{self.schedule.name}, defaults'}): Not enough space; set "
                'memory = "dram" there'
            )

    def numpy(self, x: Any) -> np.ndarray:
        array = np.asarray(self.executor.download(x.handle))
        return array if x.order is None else array.T

    # Ops with parameters

    def _rule(self, p: Any) -> Rule | None:
        return getattr(p.weight, "rule", None)

    def _weight(self, p: Any) -> Tensor:
        """A linear layer's weight as the card has it, [in, out], whoever made the tensor."""
        return p.weight if p.weight.order is not None else self._turned(p.weight, (1, 0))

    def _biased(self, p: Any) -> list[Tensor]:
        return [p.weight] if p.bias is None else [p.weight, p.bias]

    def linear(self, x: Any, p: Any) -> Any:
        return self._apply("linear", x, self._weight(p), *self._biased(p)[1:], rule=self._rule(p))

    def embedding(self, ids: Any, p: Any) -> Any:
        return self._apply("embedding", ids, p.weight, rule=self._rule(p))

    def conv1d(self, x: Any, p: Any) -> Any:
        facts = {"stride": p.stride, "padding": p.padding, "dilation": p.dilation, "groups": p.groups}
        return self._apply("conv1d", x, *self._biased(p), rule=self._rule(p), **facts)

    def conv_transpose1d(self, x: Any, p: Any) -> Any:
        facts = {"stride": p.stride, "padding": p.padding}
        if getattr(p, "alone", False):
            facts["groups"] = x.shape[2]
        if getattr(p, "extra", 0):
            facts["extra"] = p.extra
        return self._apply("conv_transpose1d", x, *self._biased(p), rule=self._rule(p), **facts)

    def conv2d(self, x: Any, p: Any) -> Any:
        facts = {"stride": tuple(p.stride), "padding": tuple(p.padding)}
        return self._apply("conv2d", x, *self._biased(p), rule=self._rule(p), **facts)

    def layer_norm(self, x: Any, p: Any) -> Any:
        return self._apply("layer_norm", x, p.weight, p.bias, rule=self._rule(p), eps=p.eps)

    def rms_norm(self, x: Any, p: Any) -> Any:
        return self._apply("rms_norm", x, p.weight, rule=self._rule(p), eps=p.eps)

    def batch_norm(self, x: Any, p: Any) -> Any:
        y = (x - p.running_mean) * self._apply("rsqrt", p.running_var + p.eps)
        return y if p.weight is None else self._apply("add", y * p.weight, p.bias, rule=self._rule(p))

    def lstm(self, x: Any, state: Any, p: Any) -> Any:
        (h, c), rows = state, []
        inner, outer = self._turned(p.weight_ih, (1, 0)), self._turned(p.weight_hh, (1, 0))
        given = self._apply("linear", x, inner, p.bias_ih + p.bias_hh)
        for t in range(x.shape[1]):
            i, f, g, o = self.chunk(given[:, t] + self._apply("linear", h, outer), 4)
            c = self.sigmoid(f) * c + self.sigmoid(i) * self.tanh(g)
            h = self.sigmoid(o) * self.tanh(c)
            rows.append(h[:, None])
        return self.concat(rows, 1), (h, c)

    def snake(self, x: Any, p: Any) -> Any:
        wave = self.sin(x * p.alpha)
        return x + wave * wave / (p.alpha + 1e-9)

    # The library has no Fourier transform: both are convolutions with the transform's basis as the kernel.

    def stft(self, x: Any, p: Any) -> Any:
        spec = p.spec
        index = np.pad(np.arange(x.shape[1]), transform.margins(spec), mode="reflect")
        index = np.broadcast_to(index, (x.shape[0], len(index)))
        x = self.gather(x[:, :, None], self.tensor(np.ascontiguousarray(index)))
        # Two halves of an odd size are one sample short of the last frame.
        x = self.pad(x, 0, int(spec.padding == "center") * (spec.fft % 2))
        kernel = self._constant(("stft", spec), lambda: fourier.basis(spec)[:, None])
        y = self._apply("conv1d", x, kernel, stride=spec.hop, padding=0, dilation=1, groups=1)
        real, imag = self.chunk(y, 2)
        return real, imag

    def istft(self, real: Any, imag: Any, p: Any) -> Any:
        spec, frames = p.spec, real.shape[1]
        kernel = self._constant(("istft", spec), lambda: fourier.inverse(spec)[:, None])
        wave = self._apply("conv_transpose1d", self.concat([real, imag], -1), kernel, stride=spec.hop, padding=0)
        left = transform.margins(spec)[0]
        inner = slice(left, left + (frames - (spec.padding == "center")) * spec.hop)
        envelope = self._constant(("envelope", spec, frames), lambda: 1.0 / fourier.envelope(spec, frames)[None, inner])
        return wave[:, inner, 0] * envelope

    def _constant(self, key: Any, make: Any) -> Tensor:
        if key not in self._made:
            self._made[key] = self.tensor(make().astype(np.float32))
        return self._made[key]

    def attention(self, q: Any, k: Any, v: Any, *, heads: int, scale: float, mask: Any = None, bias: Any = None) -> Any:
        if isinstance(k, View) and q.shape[1] == 1:  # what its cache holds is the mask
            return k.cache.decode(q, scale, bias)
        return super().attention(q, k, v, heads=heads, scale=scale, mask=mask, bias=bias)


def _executor(device: str, schedule: Schedule, *, emulate: bool, mesh: str | tuple[int, int] | None) -> Any:
    if device not in ("golden", "card"):
        raise BackendError(f"ttnn has no device {device!r}: choose golden (PyTorch with the card's roundings) or card")
    from .mesh import Mesh
    from .spread import shape_of

    shape = shape_of(mesh)
    if device == "golden":
        from .golden import Golden

        inner = Golden(emulate=emulate)
    else:
        from .device import Card

        inner = Card(mesh=shape)
    return inner if shape is None else Mesh(inner, shape, schedule)
