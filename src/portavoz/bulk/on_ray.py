"""The same job on Ray Data: rows are blocks of items, actors hold the voice, and Ray places them on machines.

All machines see OUT and the job's state (a shared file system) and have portavoz and the voice. Each block has a
ledger of its own. When Ray repeats a block, because its actor or its machine died, the ledger says which items are
done, and which one was being spoken: an item that was begun three times without an end is a failure.

Ray's own checkpoints note whole blocks, and after they are written; the ledger notes items, and is what a job resumes
by wherever it ran before.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BackendError, JobError, PortavozError, needed
from ..graph.processor import cores
from . import ledger, worker
from .folders import JobFolder
from .local import ATTEMPTS
from .speak import failed

if TYPE_CHECKING:
    from types import ModuleType

BLOCK = 64  # items at most
# Nothing is reported to anybody. Ray would start workers at a low priority (15): on a busy machine they never begin.
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
MEMORY = 100_000_000  # bytes of an object store of our own: rows are numbers and records


def records(folder: JobFolder, todo: Sequence[int], address: str, workers: int | None, run: int) -> Iterator[Any]:
    """Speak the items `todo` with actors on the cluster at `address` ("" starts one here, "auto" finds one).

    Yields their records, in the order in which blocks are finished. Raises JobError, MissingExtra, BackendError.
    """
    ray = _package()
    with _cluster(ray, address, workers) as actors:
        size = max(1, min(BLOCK, len(todo) // (4 * actors)))
        blocks = [todo[at : at + size] for at in range(0, len(todo), size)]
        rows = [{"work": json.dumps({"name": f"{run:06d}-block{n}", "items": b})} for n, b in enumerate(blocks)]
        out = folder.out if folder.remote else os.path.abspath(folder.out)
        made = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Actor,
            fn_constructor_args=(out, str(folder.state.absolute()), os.getcwd()),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=min(actors, len(rows))),
        )
        try:
            for row in made.iter_rows():
                record = json.loads(row["record"])
                if "fatal" in record:
                    raise JobError(f"{folder.out}: {record['fatal']}")
                yield record
        except ray.exceptions.RayError as problem:
            reason = str(problem).strip().splitlines()[-1][:200]
            raise JobError(f"{folder.out}: the cluster gave up ({reason}); the same command resumes") from problem


class Actor:
    """What holds the voice on a machine of the cluster, and speaks blocks of items."""

    def __init__(self, out: str, state: str, cwd: str) -> None:
        # Voices and lexicons may be relative paths.
        if os.path.isdir(cwd):
            os.chdir(cwd)
        self._folder = JobFolder(out, state)
        self._problem = ""
        try:
            self._speaker, self._items = worker.open_job(self._folder)
        except PortavozError as problem:
            self._problem = str(problem)

    def close(self) -> None:
        """Give the job's files back."""
        self._items.close()

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The records of the blocks in a batch, as they are made."""
        for work in batch["work"]:
            asked = json.loads(work)
            for record in self._block(asked["name"], asked["items"]):
                yield {"record": np.array([json.dumps(record)], dtype=object)}

    def _block(self, name: str, items: list[int]) -> Iterator[dict[str, Any]]:
        if self._problem:
            yield {"fatal": self._problem}
            return
        path = self._folder.ledgers / f"{name}.jsonl"
        done, begun = _before(path)
        own = self._speaker.ledger = ledger.Ledger(path)
        try:
            for number in items:
                item = self._items[number]
                digest = f"{item.digest:016x}"
                if digest not in done and begun[digest] >= ATTEMPTS:
                    done[digest] = failed(item, f"the worker died while it spoke this, {ATTEMPTS} times")
                    own.append(done[digest])
                if digest in done:
                    yield done[digest]
                    continue
                own.append({"begun": digest})
                yield self._speaker(item)
            own.close()
        except (PortavozError, OSError) as problem:
            yield {"fatal": str(problem)}


def _before(path: Path) -> tuple[dict[str, dict[str, Any]], Counter[str]]:
    """What an earlier attempt at a block has recorded, and how often each item was begun."""
    done: dict[str, dict[str, Any]] = {}
    begun: Counter[str] = Counter()
    if path.exists():
        for _, record in ledger.records(path):
            if "item" in record:
                done[record["item"]] = record
            elif "begun" in record:
                begun[record["begun"]] += 1
    return done, begun


def _package() -> ModuleType:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with needed("ray", "bulk", "--ray"):
        import ray
        import ray.data
        import ray.exceptions
    return ray


def _check_address(address: str) -> None:
    """Raises OSError or ValueError where nothing listens: Ray itself would try for two minutes, and then exit."""
    if address not in ("auto", "local"):
        host, _, port = address.rpartition("://")[2].rpartition(":")
        socket.create_connection((host, int(port)), timeout=10).close()


@contextmanager
def _cluster(ray: Any, address: str, workers: int | None) -> Iterator[int]:
    """Connect, or start a cluster here; how many actors to have."""
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            _check_address(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            here = workers or cores()
            # One more than the actors: what reads the rows must find a place, too.
            ray.init(num_cpus=here + 1, object_store_memory=MEMORY, **quiet)
    except (RuntimeError, ValueError, OSError, SystemExit) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise BackendError(f"--ray {address or '(a cluster here)'}: no cluster ({reason}); check it") from problem
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 2)) - 1)
    finally:
        ray.shutdown()
