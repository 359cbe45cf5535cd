"""Pickled checkpoints for tests: what torch.save writes, and what somebody with bad intentions would."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FLOAT = "ctorch\nFloatStorage\n"


class Call:
    """Unpickling this calls a function."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args


def archive(
    path: Path, data: bytes, storages: Mapping[str, bytes] = {"0": bytes(24)}, *, kind: int = zipfile.ZIP_STORED
) -> Path:
    """A zip file as torch.save writes it, around any pickle."""
    with zipfile.ZipFile(path, "w", kind) as out:
        out.writestr("model/data.pkl", data)
        out.writestr("model/byteorder", b"little")
        for key, content in storages.items():
            out.writestr(f"model/data/{key}", content)
        out.writestr("model/version", b"3\n")
    return path


def calling(function: Callable[..., Any], *args: object) -> bytes:
    """A pickle that calls a function before it gives a dictionary."""
    return pickle.dumps({"weight": Call(function, *args)}, protocol=2)


def state(
    *,
    key: str = "0",
    count: int = 6,
    offset: int = 0,
    size: tuple[int, ...] = (2, 3),
    stride: tuple[int, ...] = (3, 1),
    kind: str = "torch FloatStorage",
    rebuild: str = "torch._utils _rebuild_tensor_v2",
    name: str = "weight",
    after: bytes = b"",
) -> bytes:
    """The pickle of {name: tensor}, every number of it free; written by hand, opcode by opcode."""

    def text(s: str) -> bytes:
        return b"X" + struct.pack("<I", len(s.encode())) + s.encode()

    def number(n: int) -> bytes:
        packed = n.to_bytes((n.bit_length() + 8) // 8, "little", signed=True)
        return b"\x8a" + bytes([len(packed)]) + packed

    def names(pair: str) -> bytes:
        return b"c" + pair.replace(" ", "\n").encode() + b"\n"

    def several(numbers: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, numbers)) + b"t"

    storage = b"(" + text("storage") + names(kind) + text(key) + text("cpu") + number(count) + b"tQ"
    hooks = names("collections OrderedDict") + b")R"
    args = b"(" + storage + number(offset) + several(size) + several(stride) + b"\x89" + hooks + b"t"
    return b"\x80\x02}" + b"(" + text(name) + names(rebuild) + args + b"R" + after + b"u."
