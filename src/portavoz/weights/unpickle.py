"""The child process that reads a pickled checkpoint: the one place where a pickle is opened at all.

Run by `convert` as a script of its own (``python -I``): standard input is the checkpoint, standard output the
safetensors file, the one argument JSON with `metadata` and `limits`. It gives back what it cannot do as one line of
JSON on standard error. Nothing of portavoz is imported, so that nothing but this page decides what may happen:

- the unpickler knows the names that rebuild tensors and OrderedDict, as inert functions of this file, and no other;
- before the first byte is read, the process gives up opening files and sockets, starting processes, and more
  memory, time and output than a checkpoint of this size needs;
- every number in the pickle is compared with the bytes that are really there before anything is made of it.
"""

# What a pickle holds has no type before it has been looked at.
# pyright: basic

from __future__ import annotations

import codecs
import io
import json
import math
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from contextlib import suppress
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.lib.stride_tricks import as_strided

try:
    import resource
except ImportError:  # Windows has no such limits; the audit hook, the unpickler and the time limit hold there too
    resource = None

# PyTorch's storage classes, the names safetensors has for them, bytes an element.
KINDS = {
    "DoubleStorage": ("F64", 8), "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8), "IntStorage": ("I32", 4), "ShortStorage": ("I16", 2), "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1), "BoolStorage": ("BOOL", 1),
}  # fmt: skip
# What reading a damaged pickle can end with.
DAMAGE = (
    pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, ImportError, LookupError, RuntimeError,
    TypeError, ValueError, struct.error,
)  # fmt: skip
ALONE = "tensor"  # the name of one that was saved by itself
LARGEST_PICKLE = 1 << 26  # bytes of names and shapes; a checkpoint of a billion parameters has a few hundred thousand
COPIES = 4  # tensors may share a storage (tied weights), but not so often that a small file becomes a huge one
# Beginnings of the interpreter's audit events that reading a checkpoint never comes to.
FORBIDDEN = (
    "compile", "ctypes.", "exec", "ftplib.", "glob.", "http.", "import", "mmap.", "open", "os.", "pty.", "shutil.",
    "smtplib.", "socket.", "subprocess.", "tempfile.", "urllib.", "webbrowser.", "winreg.",
)  # fmt: skip


class Refused(Exception):
    """What the file asks for and does not get; the message is the end of a sentence."""


class Inert:
    """An object that a pickle may make, and may not change afterwards."""

    def __setstate__(self, state: object) -> NoReturn:
        raise Refused("it changes a tensor after making it")


class Storage(Inert):
    """A run of elements in the archive, by its key; read when it is written out."""

    def __init__(self, kind: str, key: str, count: int) -> None:
        self.kind, self.key, self.count = kind, key, count


class Tensor(Inert):
    """A view of a storage: offset, sizes and strides in elements."""

    def __init__(self, storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    @property
    def count(self) -> int:
        """How many elements it has."""
        return math.prod(self.size)

    @property
    def kind(self) -> tuple[str, int]:
        """Safetensors' name of its elements, and the bytes of one."""
        return KINDS[self.storage.kind]

    def check(self) -> None:
        """That it lies within its storage. Raises Refused."""
        last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride)) if self.count else 0
        if self.count > self.storage.count or last >= max(self.storage.count, 1):
            room = self.storage.count
            raise Refused(f"a tensor of the size {self.size} is said to lie in a storage of {room} numbers")


class Kept(OrderedDict):  # pyright: ignore[reportMissingTypeArgument]
    """An OrderedDict that takes the attributes of a state dict (`_metadata`) and forgets them."""

    def __setstate__(self, state: object) -> None:
        pass


def tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2, without a tensor."""
    whole = [offset, *size, *stride] if isinstance(size, tuple) and isinstance(stride, tuple) else [None]
    if not isinstance(storage, Storage) or len(size) != len(stride) or len(size) > 8:
        raise Refused("a tensor in it is not made of a storage, a size and a stride")
    if not all(type(n) is int and 0 <= n < 1 << 48 for n in whole):
        raise Refused(f"a tensor in it has the size {str(size)[:60]}, which cannot be")
    return Tensor(storage, offset, size, stride)


KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Kept,
    ("torch._utils", "_rebuild_tensor"): tensor,
    ("torch._utils", "_rebuild_tensor_v2"): tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *rest: tensor,
    **{(module, kind): kind for module in ("torch", "torch.storage") for kind in KINDS},
}


class Unpickler(pickle.Unpickler):
    """Knows the names above; storages become their place in the archive."""

    def __init__(self, data: bytes, sizes: dict[str, int]) -> None:
        super().__init__(io.BytesIO(data))
        self.sizes = sizes

    def find_class(self, module: str, name: str) -> Any:
        """One of the known names. Raises Refused for any other."""
        if (module, name) not in KNOWN:
            raise Refused(f"it asks for {module}.{name}, and only tensors are read"[:200])
        return KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        """('storage', kind, key, device, count), with the count compared with the bytes of the entry."""
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage" or pid[1] not in KINDS:
            raise Refused("a storage in it is of a kind that is not known here")
        _, kind, key, _, count = pid
        if not isinstance(key, str) or key not in self.sizes:
            raise Refused(f"the storage {str(key)[:60]!r} is not in the archive")
        there = self.sizes[key]
        if type(count) is not int or count < 0 or count * KINDS[kind][1] != there:
            raise Refused(f"the storage {key!r} is said to have {count} numbers, the archive has {there} bytes")
        return Storage(kind, key, count)


def _flattened(found: dict[Any, Any]) -> dict[Any, Any]:
    """Groups of tensors by name as ``group.name``; what a group leaves empty (None) is left out."""
    out: dict[Any, Any] = {}
    for name, value in found.items():
        if isinstance(name, str) and isinstance(value, dict) and any(isinstance(v, Tensor) for v in value.values()):
            out.update({f"{name}.{key}": v for key, v in value.items() if v is not None})
        else:
            out[name] = value
    return out


class Archive:
    """The zip file that torch.save writes: data.pkl, and one entry of bare numbers for each storage."""

    def __init__(self, source: BinaryIO, length: int) -> None:
        try:
            self.zip = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError, OSError) as problem:
            raise Refused(f"it is not a whole zip file ({problem})") from problem
        entries = self.zip.infolist()
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names):
            raise Refused("two of its entries have one name")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise Refused(f"its entry {entry.filename[:60]!r} is compressed, which torch.save never does")
            if entry.flag_bits & 1:
                raise Refused(f"its entry {entry.filename[:60]!r} is encrypted")
        if sum(entry.file_size for entry in entries) > length:
            raise Refused("its entries claim more bytes than the file has")
        roots = [name.removesuffix("data.pkl") for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise Refused(f"it holds {len(roots)} data.pkl, wanted 1")
        self.root, prefix = roots[0], roots[0] + "data/"
        self.sizes = {e.filename[len(prefix) :]: e.file_size for e in entries if e.filename.startswith(prefix)}
        if self.root + "byteorder" in names and self.read("byteorder") != b"little":
            raise Refused("it was written on a big-endian machine")

    def read(self, name: str) -> bytes:
        """One entry, checked against its checksum."""
        try:
            return self.zip.read(self.root + name)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError, OSError) as problem:
            raise Refused(f"its entry {name[:60]!r} cannot be read ({problem})") from problem

    def tensors(self) -> dict[str, Tensor]:
        """The state dict, tensors by name, or one tensor alone, with nothing read of their numbers yet."""
        if self.zip.getinfo(self.root + "data.pkl").file_size > LARGEST_PICKLE:
            raise Refused("its list of names is too long to be one")
        try:
            found = Unpickler(self.read("data.pkl"), self.sizes).load()
        except MemoryError:
            raise Refused("reading it needs more memory than a checkpoint of its size does") from None
        except DAMAGE as problem:
            raise Refused(f"its pickle is damaged ({type(problem).__name__}: {str(problem)[:80]})") from problem
        if isinstance(found, Tensor):
            found = {ALONE: found}
        if not isinstance(found, dict) or not found:
            raise Refused("it does not hold a state dict, tensors by name")
        found = _flattened(found)
        for name, value in found.items():
            if not isinstance(name, str) or not isinstance(value, Tensor):
                said = f"its entry {str(name)[:60]!r} is not a tensor"
                raise Refused(f"{said}; save the state dict alone, tensors by name")
            value.check()
        total = sum(t.count * t.kind[1] for t in found.values())
        if total > COPIES * (sum(self.sizes.values()) + 4096):
            raise Refused(f"its tensors would be {total} bytes, far more than are in the archive")
        return dict(found)


def write(archive: Archive, tensors: dict[str, Tensor], metadata: dict[str, str], out: BinaryIO) -> None:
    """Safetensors: the length of the header, the header, then each tensor, the widest elements first."""
    names = sorted(tensors, key=lambda name: (-tensors[name].kind[1], name))
    header: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    for name in names:
        one = tensors[name]
        (kind, width), start = one.kind, at
        at += one.count * width
        # A lone surrogate, which a pickle can have, is one that no reader of the format takes.
        shown = name.encode("utf-8", "backslashreplace").decode()
        header[shown] = {"dtype": kind, "shape": list(one.size), "data_offsets": [start, at]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    out.write(struct.pack("<Q", len(text)) + text)
    for one in (tensors[name] for name in names):
        width = one.kind[1]
        bare = np.frombuffer(archive.read("data/" + one.storage.key), f"u{width}")
        steps = tuple(width * step for step in one.stride)
        view = as_strided(bare[one.offset :], one.size, steps) if one.count else bare[:0]
        out.write(np.ascontiguousarray(view).tobytes())
    out.flush()


def confine(limits: dict[str, int]) -> None:
    """Give up what reading a checkpoint does not need; there is no way back in this process."""
    if resource is not None:
        wanted = {
            "RLIMIT_CPU": limits["seconds"], "RLIMIT_FSIZE": limits["output"], "RLIMIT_AS": limits["memory"],
            "RLIMIT_CORE": 0, "RLIMIT_NPROC": 0,
            "RLIMIT_NOFILE": 3,  # standard input, output and error: no file, no socket can be opened any more
        }  # fmt: skip
        for name, most in wanted.items():
            with suppress(ValueError, OSError, AttributeError):  # macOS has no bound on memory
                resource.setrlimit(getattr(resource, name), (most, most))

    def watch(event: str, _: object) -> None:
        if event.startswith(FORBIDDEN):
            raise Refused(f"reading it led to {event!r}")

    sys.addaudithook(watch)


def main() -> None:
    """Read, compare, write; or say in one line why not."""
    asked = json.loads(sys.argv[1])
    source, out = sys.stdin.buffer, sys.stdout.buffer
    length = source.seek(0, io.SEEK_END)
    source.seek(0)
    warm()
    confine(asked["limits"])
    try:
        if source.read(4) != b"PK\x03\x04":
            raise Refused("it is not the zip file that PyTorch writes since 1.6; open and save it with a newer PyTorch")
        archive = Archive(source, length)
        write(archive, archive.tensors(), asked["metadata"], out)
    except Refused as problem:
        refuse(str(problem))
    except MemoryError:
        refuse("reading it needs more memory than a checkpoint of its size does")
    except OSError as problem:
        refuse(f"the output cannot be written ({problem.strerror})")


def warm() -> None:
    """Let everything be imported that is only imported when it is first used."""
    for encoding in ("cp437", "ascii", "latin-1", "utf-8"):
        codecs.lookup(encoding)
    np.ascontiguousarray(as_strided(np.zeros(4, "u1"), (2,), (2,))).tobytes()


def refuse(reason: str) -> NoReturn:
    """One line of JSON on standard error, and exit code 2."""
    sys.stderr.write(json.dumps({"refused": reason}) + "\n")
    sys.stderr.flush()
    sys.exit(2)


if __name__ == "__main__":
    main()
