"""The one way to open a file that somebody else named: a regular file of a size that its kind can have, or an error.

A device, a pipe or a folder under a file's name would block, never end, or fail deep inside a library. So each input
file is opened here, or checked here before a library opens it by its name. `is_file` and `is_folder` answer for every
name, also one that is too long or behind a folder that cannot be read.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from .errors import InputError, PortavozError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Named = str | os.PathLike[str]
MIB = 1 << 20
LARGEST = 2_000_000  # values in one of them; a tokenizer of 200,000 pieces has fewer
MOST_BITS = 1024  # of a whole number: what Python writes and compares at no cost
DEEPEST = 64  # lists and mappings inside each other in a YAML or JSON file


class Kind(NamedTuple):
    """A kind of file: what an error calls it, and the most bytes that one can have."""

    name: str
    most: int


SETTINGS = Kind("a JSON file", 64 * MIB)
YAML = Kind("a YAML file", MIB // 4)  # PyYAML reads about 100 kB a second
TEXT = Kind("a text", 64 * MIB)
TABLE = Kind("a table", 1024 * MIB)  # one line for each recording of a corpus
SOUND = Kind("a sound file", 16 * 1024 * MIB)
GRAPH = Kind("an ONNX graph", 2048 * MIB)  # what a protobuf can have
ARRAY = Kind("an array", 4096 * MIB)
WEIGHTS = Kind("a weights file", 1024 * 1024 * MIB)  # mapped, not read
Refusal = Callable[[str], PortavozError]


class NotYaml(ValueError):
    """A text that breaks YAML's grammar, in line `line` where that is known."""

    def __init__(self, why: str, line: int | None) -> None:
        super().__init__(why)
        self.line = line


def is_file(path: Named) -> bool:
    """Whether there is a regular file (or a link to one); False for every name that cannot be looked at."""
    return os.path.isfile(path)


def is_folder(path: Named) -> bool:
    """Whether there is a folder; False for every name that cannot be looked at."""
    return os.path.isdir(path)


def is_there(path: Named) -> bool:
    """Whether there is anything of this name; False for every name that cannot be looked at."""
    return os.path.exists(path)


def is_closed(path: Named) -> bool:
    """Whether nobody can tell, because a folder on the way must not be entered."""
    try:
        os.stat(path)
    except OSError as problem:
        return isinstance(problem, PermissionError)
    except ValueError:
        return False
    return False


def open_input(path: Named, kind: Kind, *, remedy: str = "check the path", error: Refusal = InputError) -> BinaryIO:
    """The file, open for reading bytes. Raises `error` for a file that is missing, no regular file, or too large."""
    try:
        # Opening a pipe would wait for somebody who writes into it.
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (the caller closes it)
    except (OSError, ValueError) as problem:
        raise error(f"{_shown(path)}: {_reason(path, problem, kind)}; {remedy}") from problem
    try:
        _check(path, os.fstat(file.fileno()), kind, remedy, error)
    except BaseException:
        file.close()
        raise
    return file


def check(path: Named, kind: Kind, *, remedy: str = "check the path", error: Refusal = InputError) -> int:
    """The size in bytes of a file that a library opens by its name. Raises `error` as `open_input` does."""
    with open_input(path, kind, remedy=remedy, error=error) as file:
        return os.fstat(file.fileno()).st_size


def read_bytes(path: Named, kind: Kind, *, remedy: str = "check the path", error: Refusal = InputError) -> bytes:
    """The content of a file. Raises `error` as `open_input` does."""
    content = bytearray()
    with open_input(path, kind, remedy=remedy, error=error) as file:
        try:
            # Block by block: nothing is reserved for the most that there may be, and a file that grows ends here.
            while block := file.read(1 << 20):
                content += block
                if len(content) > kind.most:
                    raise error(_too_large(path, len(content), kind, remedy))
        except OSError as problem:
            raise error(f"{_shown(path)}: {_reason(path, problem, kind)}; {remedy}") from problem
    return bytes(content)


def read_text(path: Named, kind: Kind = TEXT, *, remedy: str = "check the path", error: Refusal = InputError) -> str:
    """The content of a UTF-8 file, with or without a byte order mark; line ends are "\\n".

    Raises `error` as `open_input` does, and naming the first byte that is not UTF-8.
    """
    try:
        text = read_bytes(path, kind, remedy=remedy, error=error).decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{_shown(path)}: not UTF-8 (byte {problem.start}); save it as UTF-8") from problem
    return text.replace("\r\n", "\n").replace("\r", "\n")


def sha256(path: Named, *, kind: Kind = WEIGHTS, remedy: str = "check the path", error: Refusal = InputError) -> str:
    """The SHA-256 of a file's content, hexadecimal, read block by block. Raises `error` as `open_input` does."""
    digest = hashlib.sha256()
    with open_input(path, kind, remedy=remedy, error=error) as file:
        try:
            while block := file.read(1 << 22):
                digest.update(block)
        except OSError as problem:
            raise error(f"{_shown(path)}: {_reason(path, problem, kind)}; {remedy}") from problem
    return digest.hexdigest()


def parse_json(text: str | bytes, hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The value of a JSON text. Raises ValueError for anything else: deep nesting and endless numbers too.

    `hook` makes an object of its pairs, as `json.loads` has it.
    """
    try:
        return _bounded(json.loads(text, object_pairs_hook=hook))
    except RecursionError as problem:
        raise ValueError(f"nested more than {DEEPEST} deep") from problem


def parse_yaml(text: str, loader: Any = None) -> Any:
    """The value of a YAML text, with PyYAML's safe loader or one made of it.

    Raises ValueError for anything else (NotYaml for what breaks the grammar). An alias that makes much of little, deep
    nesting and endless numbers are refused too.
    """
    import yaml

    try:
        return _bounded(yaml.load(text, loader or yaml.SafeLoader))
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        why = getattr(problem, "problem", None) or str(problem).splitlines()[0]
        raise NotYaml(why, mark.line + 1 if mark else None) from problem
    except (RecursionError, OverflowError) as problem:
        raise ValueError(f"nested more than {DEEPEST} deep, or a number without end") from problem
    except (AttributeError, KeyError, TypeError, IndexError) as problem:
        # What PyYAML's own constructors raise for a value that is not of its tag, such as !!bool 3.
        raise ValueError(f"a value that is not of its tag ({problem!r})") from problem


def read_array(path: Named, kind: Kind = ARRAY) -> NDArray[Any]:
    """The array in a .npy file, read-only. Raises InputError for anything else; Python objects are never read."""
    return _array(read_bytes(path, kind, remedy="save an array with numpy.save"), _shown(path))


def read_arrays(path: Named, kind: Kind = ARRAY, only: str | None = None) -> dict[str, NDArray[Any]]:
    """The arrays in a .npz file by name, or the one of the name `only`.

    Raises InputError for anything else, and for more than `kind` can have.
    """
    import zipfile
    import zlib

    left, out = kind.most, dict[str, Any]()
    with open_input(path, kind, remedy="save arrays with numpy.savez") as file:
        try:
            packed = zipfile.ZipFile(file)
            members = packed.infolist() if only is None else [packed.getinfo(f"{only}.npy")]
            length = os.fstat(file.fileno()).st_size
            for about in members:
                if about.compress_size > length:
                    raise zipfile.BadZipFile("an entry claims more bytes than the file has")
                left -= about.file_size
                if left < 0:
                    raise InputError(f"{_shown(path)}: unpacks to more than {kind.most // MIB} MiB; save fewer arrays")
                with packed.open(about) as member:
                    name = about.filename.removesuffix(".npy")
                    out[name] = _array(member.read(about.file_size), f"{_shown(path)}: {name}")
        except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, RuntimeError, KeyError) as bad:
            raise InputError(f"{_shown(path)}: not a .npz file ({bad}); save arrays with numpy.savez") from bad
    return out


def _array(content: bytes, name: str) -> NDArray[Any]:
    import io
    from tokenize import TokenError

    import numpy as np

    form, file = np.lib.format, io.BytesIO(content)
    try:
        header = form.read_array_header_1_0 if form.read_magic(file) == (1, 0) else form.read_array_header_2_0
        shape, fortran, kind = header(file)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, TokenError, RecursionError, MemoryError) as problem:
        reason = str(problem).partition("\n")[0][:100] or type(problem).__name__
        raise InputError(f"{name}: not an array that NumPy wrote ({reason}); save it again") from problem
    if kind.hasobject:
        raise InputError(f"{name}: Python objects, which run code when they are read; save numbers with numpy.save")
    body = content[file.tell() :]
    # What the header claims is compared with what is there before anything of that size is made.
    if math.prod(shape) * kind.itemsize != len(body) or not body:
        raise InputError(f"{name}: the header says {kind} {shape}, {len(body)} bytes follow it; save it again")
    return np.frombuffer(body, kind).reshape(shape, order="F" if fortran else "C")


def _bounded(value: Any) -> Any:
    """The value, when it is not nested deeper than DEEPEST. Counts what aliases repeat: a laughing billion is refused.

    The walk visits at most LARGEST values.
    """
    left = LARGEST
    waiting: list[tuple[Collection[Any], int]] = [([value], 0)]
    while waiting:
        inner, depth = waiting.pop()
        left -= len(inner)
        if left < 0:
            raise ValueError(f"more than {LARGEST} values")
        if inner and depth >= DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
        for part in inner:
            if isinstance(part, (dict, list)):
                waiting.append((part.values() if isinstance(part, dict) else part, depth + 1))
            elif isinstance(part, int) and part.bit_length() > MOST_BITS:
                raise ValueError(f"a whole number of more than {MOST_BITS} bits")
    return value


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check(path: Named, found: os.stat_result, kind: Kind, remedy: str, error: Refusal) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise error(f"{_shown(path)}: this is not a file but a folder, wanted {kind.name}; {remedy}")
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{_shown(path)}: this is not a file but a device or a pipe, wanted {kind.name}; {remedy}")
    if found.st_size > kind.most:
        raise error(_too_large(path, found.st_size, kind, remedy))


def _too_large(path: Named, size: int, kind: Kind, remedy: str) -> str:
    return f"{_shown(path)}: {size} bytes, wanted {kind.name} of at most {kind.most}; {remedy}"


def _reason(path: Named, problem: OSError | ValueError, kind: Kind) -> str:
    if isinstance(problem, FileNotFoundError):
        return "cannot be read: there is no such file"
    if isinstance(problem, IsADirectoryError):
        return f"this is not a file but a folder, wanted {kind.name}"
    if "\0" in os.fspath(path):
        return "there is no such file, and a path cannot hold a NUL character"
    return f"cannot be read ({getattr(problem, 'strerror', None) or problem})"


def _shown(path: Named) -> str:
    name = os.fspath(path)
    printable = name if name.isprintable() else repr(name)
    return printable if len(printable) <= 300 else f"{printable[:120]}…{printable[-120:]}"
