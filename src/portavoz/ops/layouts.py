"""The axis orders that kernels have, by layout: those that files are written in, and those of back ends."""

from __future__ import annotations

from collections.abc import Mapping

# Layout → role → axes in order. A back end with an order of its own adds it with its class (see base.Ops.axes).
AXES: dict[str, Mapping[str, str]] = {
    "torch": {"conv1d": "out in k", "conv_transpose1d": "in out k", "conv2d": "out in kh kw"},
    "mlx": {"conv1d": "out k in", "conv_transpose1d": "out k in", "conv2d": "out kh kw in"},
}
ROLES = tuple(AXES["torch"])
# What a framework writes as a file's `format` → the layout of its kernels.
FORMATS = {"pt": "torch", "np": "torch", "mlx": "mlx"}


def format_of(layout: str) -> str:
    """The `format` metadata of a file in this layout: the framework's name for it, or the layout's own."""
    return next((name for name, other in FORMATS.items() if other == layout), layout)
