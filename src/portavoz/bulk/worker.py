"""A process of the local pool: ``python -m portavoz.bulk.worker STATE OUT RUN NUMBER``.

Numbers of items come in on standard input, one a line; records go out on standard output, one line of JSON each. It
ends when its input ends, which is also what happens when the job is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import IO, Any

from ..errors import JobError, PortavozError
from .folders import JobFolder
from .ledger import Ledger
from .settings import Settings
from .snapshot import Snapshot
from .speak import Speaker


def main(arguments: list[str]) -> int:
    """Speak what is asked for. Returns the exit code."""
    out, state, run, number = arguments
    # Ctrl-C reaches the whole group; the job itself decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library prints must not get between the records.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    parent = os.getppid()
    try:
        folder = JobFolder(out, state)
        speaker, items = open_job(folder, lambda: os.getppid() == parent)
        speaker.ledger = own = Ledger(folder.ledgers / f"{int(run):06d}-{number}.jsonl")
        _send(channel, {"ready": True})
        for line in sys.stdin:
            _send(channel, speaker(items[int(line)]))
        own.close()
    except PortavozError as problem:
        _send(channel, {"fatal": str(problem)})
        return 1
    except OSError as problem:
        _send(channel, {"fatal": f"cannot be written ({problem.strerror or problem}); free space and run it again"})
        return 1
    return 0


def open_job(folder: JobFolder, alive: Callable[[], bool] = lambda: True) -> tuple[Speaker, Snapshot]:
    """What speaks the items of a job (it still needs a ledger), and these. Raises JobError."""
    job = folder.job()
    if job is None:
        raise JobError(f"{folder.state}: no job in it; all machines must see this folder")
    settings = Settings(**job["settings"])
    output = folder.staged() if settings.layout == "webdataset" else folder.output()
    return Speaker(settings, job["voices"], output, alive), Snapshot(folder.snapshot(job["manifest"]))


def _send(channel: IO[str], message: dict[str, Any]) -> None:
    try:
        channel.write(f"{json.dumps(message)}\n")
        channel.flush()
    except BrokenPipeError:
        # The job is gone, and with it whoever would read this.
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
