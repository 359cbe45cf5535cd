"""The folders of a job: OUT, which holds what was asked for, and the job's own state."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..atomic import made_folder, write_json
from ..config_reader import read_object
from ..errors import InputError, JobError
from ..input_files import is_there
from . import output
from .settings import Settings

STATE = ".portavoz-bulk"
FORMAT = 1
MADE = {"files": ("audio",), "ljspeech": ("wavs",), "webdataset": ("shards",)}


class JobFolder:
    """Paths of a job. `out` is a folder or the URL of one in an object store, which needs a `state` elsewhere."""

    def __init__(self, out: str, state: str | None = None) -> None:
        self.out, self.remote = out, "://" in out
        if self.remote and state is None:
            raise InputError(f"{out}: a job that writes to an object store needs --state, a folder for its own files")
        if "\0" in out or "\0" in (state or ""):
            raise InputError(f"{out!r}: a path cannot hold a NUL character; choose another name")
        self.state = Path(state) if state is not None else Path(out) / STATE
        self.ledgers, self.temporary = self.state / "ledger", self.state / "tmp"
        self.staging, self.next = self.state / "staging", self.state / "next"
        self._made: list[Path] = []

    def make(self) -> None:
        """Create the folders. Raises InputError, also where OUT is in use for something else."""
        if not self.state.is_dir() and not self.remote and _occupied(Path(self.out)):
            raise InputError(f"{self.out}: there are other files in it; choose a new folder")
        homes = (self.state,) if self.remote else (self.state, Path(self.out))
        self._made = [path for path in homes if not is_there(path)]
        for path in (self.ledgers, self.temporary, self.staging):
            made_folder(path)

    def make_layout(self, settings: Settings) -> None:
        """Create the folders of the finished files."""
        if not self.remote:
            timings = ("timings",) if settings.timings and settings.layout != "webdataset" else ()
            for name in (*MADE[settings.layout], *timings):
                made_folder(Path(self.out) / name)

    def output(self) -> output.Output:
        """Where finished files go."""
        if self.remote:
            from .remote import ObjectStore

            return ObjectStore(self.out)
        return output.Folder(Path(self.out), self.temporary)

    def staged(self) -> output.Folder:
        """Where the items of an incomplete shard are kept."""
        return output.Folder(self.staging, self.temporary)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the job, until the process ends at the latest. Raises JobError when another process holds the lock."""
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(self.state / ".lock", blocking=False))
            except Timeout as problem:
                raise JobError(
                    f"{self.out}: another job is writing here; wait until it ends, stop it, or choose another folder"
                ) from problem
            except OSError as problem:
                raise InputError(f"{self.state}: cannot be written ({problem.strerror}); choose another") from problem
            # What a killed run was writing: nobody else writes here now.
            if self.next.exists():
                shutil.rmtree(self.next)
            made_folder(self.next)
            for left in self.temporary.iterdir():
                left.unlink()
            try:
                yield
            except InputError:
                self._forget()
                raise

    def _forget(self) -> None:
        """Remove the folders of a job that was refused before it began, where there were none."""
        if self.state in self._made and self.job() is None:
            shutil.rmtree(self.state, ignore_errors=True)
            with suppress(OSError):
                for path in self._made[1:]:
                    path.rmdir()

    def job(self) -> dict[str, Any] | None:
        """What the job that began here was asked for; None where none did. Raises InputError."""
        path = self.state / "job.json"
        if not path.exists():
            return None
        found = read_object(path, "choose another folder")
        if found.get("format") != FORMAT or not {"settings", "voices", "manifest", "versions"} <= {*found}:
            raise InputError(f"{path}: not a job of this portavoz; use the one that began it, or another folder")
        return found

    def write_job(self, job: dict[str, Any]) -> None:
        """Note what the job was asked for."""
        write_json(self.state / "job.json", {"format": FORMAT, **job}, indent=1)

    def snapshot(self, sha256: str) -> Path:
        """The folder of the checked manifest with this hash."""
        return self.state / f"manifest-{sha256[:16]}"


def _occupied(folder: Path) -> bool:
    try:
        return folder.is_dir() and any(entry.name != STATE for entry in folder.iterdir())
    except OSError as problem:
        raise InputError(f"{folder}: cannot be read ({problem.strerror}); choose another folder") from problem
