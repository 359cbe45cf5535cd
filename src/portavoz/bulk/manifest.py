"""Reads a manifest line by line in bounded memory: CSV, TSV, JSONL, Parquet, or plain text with one text a line.

CSV and TSV begin with a line of column names: id, text, and where wanted voice, speaker, speed, seed. The separator is
a comma, semicolon, tab or bar; after a tab or a bar quotes are plain characters. JSONL has one object a line. A line of
plain text has its number as id: 000001.
"""

from __future__ import annotations

import csv
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import IO, Any

from ..errors import InputError, needed
from .item import BadLine, Item, build

MOST_LINE = 1 << 20  # bytes
MOST_ROW_GROUP = 1 << 30  # bytes; Parquet decodes one at a time
SEPARATORS = ",;\t|"
Values = tuple[int, Mapping[str, Any]]
Rows = Iterator["Values | BadLine"]


def read(path: str, defaults: Mapping[str, Any], *, keep_extra: bool = False) -> Iterator[Item | BadLine]:
    """The items and bad lines of a manifest, in order. `path` may be a URL of an object store (extra `bulk`).

    Raises InputError for a file that cannot be read at all, MissingExtra.
    """
    ending = PurePosixPath(path).suffix.lower()
    if ending not in READERS:
        raise InputError(f"{path}: a manifest's name ends with {', '.join(READERS)}; convert it, or rename it")
    file = _opened(path)
    try:
        with file:
            for row in READERS[ending](file, path):
                yield row if isinstance(row, BadLine) else build(row[1], row[0], defaults, keep_extra=keep_extra)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror or problem}); check it") from problem


def _opened(path: str) -> IO[bytes]:
    if "://" in path:
        from .remote import open_url

        return open_url(path)
    if "\0" in path:
        raise InputError(f"{path!r}: a path cannot hold a NUL character; check the name")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{path}: not a regular file, wanted a manifest; check the path")
        return open(path, "rb")
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); check the path") from problem


class _Lines:
    """Physical lines as text, numbered from 1. What is no UTF-8 is kept as surrogates, for its line to be refused."""

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._file, self._path, self.number = file, path, 0
        self.first = 0  # line of a record that takes several; set to 0 before each
        self.overlong: list[BadLine] = []

    def __iter__(self) -> Iterator[str]:
        while raw := self._file.readline(MOST_LINE + 1):
            self.number += 1
            if self.number == 1:
                raw = self._without_mark(raw)
            if len(raw) <= MOST_LINE:
                self.first = self.first or self.number
                yield raw.decode("utf-8", "surrogateescape")
                continue
            while raw and not raw.endswith(b"\n"):
                raw = self._file.readline(MOST_LINE)
            self.overlong.append(BadLine(self.number, "", f"a line of more than {MOST_LINE} bytes"))

    def _without_mark(self, raw: bytes) -> bytes:
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise InputError(f"{self._path}: not UTF-8 text (it is UTF-16); convert it to UTF-8")
        return raw.removeprefix(b"\xef\xbb\xbf")

    def bad(self) -> Iterator[BadLine]:
        """The overlong lines since the last call."""
        yield from self.overlong
        self.overlong.clear()


def _text(file: IO[bytes], path: str) -> Rows:
    lines = _Lines(file, path)
    for line in lines:
        yield from lines.bad()
        if line.strip():
            yield lines.number, {"id": f"{lines.number:06d}", "text": line.strip()}
    yield from lines.bad()


def _jsonl(file: IO[bytes], path: str) -> Rows:
    lines = _Lines(file, path)
    for line in lines:
        yield from lines.bad()
        if not line.strip():
            continue
        try:
            found: Any = json.loads(line)
        except (ValueError, RecursionError) as problem:
            yield BadLine(lines.number, "", f"not JSON ({str(problem)[:100]})")
            continue
        if isinstance(found, dict):
            yield lines.number, found
        else:
            yield BadLine(lines.number, "", f"type {type(found).__name__}, wanted a JSON object")
    yield from lines.bad()


def _csv(file: IO[bytes], path: str) -> Rows:
    lines = _Lines(file, path)
    source = iter(lines)
    header = next(source, "")
    if lines.overlong:
        raise InputError(f"{path} line 1: {lines.overlong[0].reason}; begin with column names, such as id,text")
    separator, names = _header(header, path)
    quoting = csv.QUOTE_NONE if separator in "\t|" else csv.QUOTE_MINIMAL
    rows = csv.reader(source, delimiter=separator, quoting=quoting, strict=True)
    while True:
        lines.first = 0
        try:
            row = next(rows, None)
        except csv.Error as problem:
            yield from lines.bad()
            yield BadLine(lines.first, "", f"not a CSV line ({problem}); is a quote not closed?")
            continue
        yield from lines.bad()
        if row is None:
            return
        if not row:
            continue
        if len(row) == len(names):
            yield lines.first, dict(zip(names, row))
        else:
            yield BadLine(lines.first, row[0][:80], f"{len(row)} columns, the first line has {len(names)}")


def _header(line: str, path: str) -> tuple[str, Sequence[str]]:
    for separator in SEPARATORS:
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
        except csv.Error:
            continue
        if "text" in names:
            break
    else:
        raise InputError(
            f"{path} line 1: no column 'text' in {line.strip()[:80]!r}; begin with column names, such as id,text"
        )
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(f"{path} line 1: the column {repeated[0]!r} is there twice; rename one")
    if "id" not in names:
        raise InputError(f"{path} line 1: no column 'id' in {', '.join(names)[:80]}; give each line an id of its own")
    return separator, names


def _parquet(file: IO[bytes], path: str) -> Rows:
    with needed("pyarrow", "bulk", "a Parquet manifest"):
        import pyarrow
        from pyarrow import parquet
    try:
        table = parquet.ParquetFile(file)
        _check_parquet(table, path)
        number = 0
        for batch in table.iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pyarrow.ArrowException, ValueError) as problem:
        raise InputError(f"{path}: cannot be read as Parquet ({str(problem)[:160]}); write it again") from problem


def _check_parquet(table: Any, path: str) -> None:
    names = table.schema_arrow.names
    for wanted in ("id", "text"):
        if wanted not in names:
            raise InputError(f"{path}: no column {wanted!r} in {', '.join(names)[:80]}; rename one")
    for group in range(table.metadata.num_row_groups):
        size = table.metadata.row_group(group).total_byte_size
        if size > MOST_ROW_GROUP:
            raise InputError(
                f"{path}: row group {group} has {size} bytes, at most {MOST_ROW_GROUP}; write smaller row groups"
            )


READERS: dict[str, Callable[[IO[bytes], str], Rows]] = {
    ".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet, ".txt": _text,
}  # fmt: skip
