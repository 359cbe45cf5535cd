"""Manifests in, and finished files out of, an object store: any that fsspec has (s3, gs, az, memory …)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..errors import InputError, JobError, needed


def open_url(url: str) -> IO[bytes]:
    """A file of an object store, to read. Raises InputError, MissingExtra."""
    store, path = _store(url)
    try:
        return store.open(path, "rb")
    except Exception as problem:
        raise InputError(f"{url}: cannot be read ({_reason(problem)}); check the address and your rights") from problem


class ObjectStore:
    """The output below a URL. An object appears when all of it is there; there is nothing to sync."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store, self._root = _store(url)
        self._sizes: dict[str, dict[str, int]] = {}

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def put(self, name: str, data: bytes) -> Path | None:
        with self._said(name):
            self._store.pipe_file(self._path(name), data)

    @contextmanager
    def writer(self, name: str) -> Iterator[IO[bytes]]:
        with self._said(name):
            file = self._store.open(self._path(name), "wb", autocommit=False)
        try:
            yield file
        except BaseException:
            file.discard()
            raise
        with self._said(name):
            file.close()
            file.commit()

    def open(self, name: str) -> IO[bytes]:
        with self._said(name):
            return self._store.open(self._path(name), "rb")

    def size(self, name: str) -> int | None:
        # One list of a folder instead of a question for each object.
        folder, _, object_name = name.rpartition("/")
        if folder not in self._sizes:
            self._sizes[folder] = self._list(folder)
        return self._sizes[folder].get(object_name)

    def _list(self, folder: str) -> dict[str, int]:
        with self._said(folder):
            path = self._path(folder)
            self._store.invalidate_cache()
            if not self._store.exists(path):
                return {}
            return {each["name"].rpartition("/")[2]: each["size"] for each in self._store.ls(path, detail=True)}

    def remove(self, name: str) -> None:
        with self._said(name):
            if self._store.exists(self._path(name)):
                self._store.rm_file(self._path(name))

    @contextmanager
    def _said(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as problem:
            raise JobError(
                f"{self.url}/{name}: the object store refused ({_reason(problem)}); the same command resumes"
            ) from problem


def _store(url: str) -> tuple[Any, str]:
    with needed("fsspec", "bulk", url):
        import fsspec
    # Object stores have no folders; a file system as one makes them as they are needed.
    options = {"auto_mkdir": True} if url.startswith(("local://", "file://")) else {}
    try:
        return fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as problem:
        # Each store has a package of its own, and fsspec names it.
        raise InputError(f"{url}: cannot be opened ({_reason(problem)}); install it, or check the address") from problem


def _reason(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__
