"""Reference packages, and random weights for their models under which no fault hides.

A fresh model has zeros and ones in places where a mistake would not be seen. Every parameter and every statistic gets
random numbers from (seed, its name), at scales that keep activations sane through many layers, so that no tanh is
saturated and no softmax one-sided.
"""

from __future__ import annotations

import hashlib
import importlib
import math
from typing import Any

from ..errors import needed


def package(name: str) -> Any:
    """A reference package, imported now. Raises MissingExtra when it is not installed."""
    with needed(name, "reference", f"comparing with {name}"):
        return importlib.import_module(name)


# Ending of a name → factor on what its kind gets: attention looks hard enough to matter, residual sums stay small.
FACTORS = {
    "q_proj.weight": 1.4, "k_proj.weight": 1.4, "q.weight": 0.6, "k.weight": 0.6, "convs2": 0.4,
    "conv_post.weight": 0.5, "pe_k.weight": 0.5, "prob_out.weight": 1.5,
}  # fmt: skip


def sensitise(module: Any, seed: int = 0) -> Any:
    """Fill a torch module's parameters and buffers in place; gives the module back, in evaluation mode.

    Its seed alone decides: one tensor's numbers do not depend on the others.
    """
    import torch

    kinds = {f"{name}.".lstrip(".") + key: m for name, m in module.named_modules() for key in _own(m)}
    with torch.no_grad():
        for name, tensor in module.state_dict(keep_vars=True).items():
            if tensor.is_floating_point():
                digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
                draw = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
                normal = torch.randn(tensor.shape, generator=draw)
                tensor.copy_(_values(name, normal, kinds[name]) * _factor(name))
    return module.eval()


def _own(module: Any) -> list[str]:
    named = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return [key for key, _ in named]


def _factor(name: str) -> float:
    return next((f for part, f in FACTORS.items() if name.endswith(part) or f".{part}." in name), 1.0)


def _values(name: str, normal: Any, module: Any) -> Any:
    kind, key = type(module).__name__, name.rpartition(".")[2]
    if key == "alpha":
        return 0.7 + 0.1 * normal
    if key in ("running_var", "scale"):
        return 1 + 0.3 * normal.abs()
    if key in ("bias", "running_mean", "mean"):
        return (0.2 if key != "bias" else 0.1) * normal
    if "Norm" in kind:
        return 1 + 0.2 * normal
    if "Embedding" in kind:
        return normal
    return normal / math.sqrt(_fan_in(normal.shape, module))


def _fan_in(shape: Any, module: Any) -> float:
    """How many products are summed into one number."""
    if type(module).__name__ == "ConvTranspose1d":
        return shape[0] * shape[2] / module.stride[0]
    return math.prod(shape[1:]) or 1
