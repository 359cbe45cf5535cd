"""A scene: a small reference, and ports of it as strangers write them, faultless or with one mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ...instrument.torch import TorchProgram

Weights = dict[str, Tensor]
KINDS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Port:
    """One port. `options` say how it is written, and which mistake it has.

    `want` matches the id of the fault that must be named first, empty for a faultless port; `cause` what it should look
    like. `precision` is what its weights and its numbers are kept in.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    want: str = ""
    cause: str = ""
    precision: str = "float32"


@dataclass(frozen=True, slots=True)
class Scene:
    """`model` makes the reference, `inputs` what it is given; `port(weights, *inputs, **options)` is a stranger's."""

    name: str
    model: Callable[[], nn.Module]
    inputs: Callable[[torch.Generator], tuple[Tensor, ...]]
    port: Callable[..., Any]
    ports: Sequence[Port]

    def reference(self, seed: int) -> TorchProgram:
        """The reference as a program."""
        model, given = self._made(seed)
        return TorchProgram(lambda: model(*given), modules={"": model}, name=self.name)

    def ported(self, port: Port, seed: int) -> TorchProgram:
        """A port with weights of its own memory, in its own precision."""
        model, given = self._made(seed)
        kind = KINDS[port.precision]

        def cast(t: Tensor) -> Tensor:
            return t.detach().clone().to(kind) if t.is_floating_point() else t.detach().clone()

        weights = {name: cast(t) for name, t in model.state_dict().items()}
        inputs = [cast(t) for t in given]
        return TorchProgram(lambda: self.port(weights, *inputs, **port.options), name=port.name)

    def _made(self, seed: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = sensitive(self.model()).eval()
        draw = torch.Generator().manual_seed(seed + 1)
        return model, self.inputs(draw)


class WrittenPort:
    """A port as a class whose `forward` runs it: `how` says in which words it is written, `fault` what is wrong."""

    forward: Callable[..., Any]

    def __init__(self, w: Weights, fault: str = "", how: str = "") -> None:
        self.w, self.fault, self.how = w, fault, how

    @classmethod
    def port(cls, w: Weights, *inputs: Tensor, **options: Any) -> Any:
        """A scene's `port`."""
        return cls(w, **options).forward(*inputs)


def faulty(name: str, want: str, cause: str, **how: Any) -> Port:
    """A port with one fault, under that fault's name."""
    return Port(name, {"fault": name, **how}, want, cause)


def sensitive(model: nn.Module) -> nn.Module:
    """Weights as training leaves them: no bias 0, no scale 1, no statistics of 0 and 1."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand_like(buffer))
    return model


def precisions(ports: Sequence[Port], *kinds: str) -> list[Port]:
    """Faultless ports once more, in lower precisions."""
    return [
        Port(f"{one.name}, {kind}", one.options, precision=kind)
        for one in ports
        if not one.want
        for kind in kinds or ("bfloat16", "float16")
    ]
