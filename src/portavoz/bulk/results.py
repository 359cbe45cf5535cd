"""What a job leaves beside the sound: manifest.jsonl, failed.jsonl, and LJSpeech's metadata.csv."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from typing import IO, Any

from . import ledger
from .folders import JobFolder
from .item import Item
from .output import Output
from .resume import FAILED, SPOKEN, Progress, shard_name
from .settings import Settings
from .snapshot import Snapshot


def write(job: JobFolder, items: Snapshot, progress: Progress, settings: Settings) -> float:
    """Write the files, in the manifest's order; returns the seconds of sound. Raises OSError."""
    output, seconds = job.output(), 0.0
    with _text(output, "manifest.jsonl") as out:
        for number, item, record in _records(job, items, progress, SPOKEN):
            seconds += record["seconds"]
            out.write(_dumps(_listed(number, item, record, settings)))
    if settings.layout == "ljspeech":
        with _text(output, "metadata.csv") as out:
            for _, item, _record in _records(job, items, progress, SPOKEN):
                text = _one_line(item.text)
                out.write(f"{item.id}|{text}|{text}\n")
    with _text(output, "failed.jsonl") as out:
        with (job.snapshot(items.sha256()) / "bad.jsonl").open(encoding="utf-8") as bad:
            out.writelines(bad)
        for _, item, record in _records(job, items, progress, FAILED):
            out.write(_dumps({"line": item.line, "id": item.id, "reason": record["failed"], "text": item.text}))
    return seconds


def _records(
    job: JobFolder, items: Snapshot, progress: Progress, state: int
) -> Iterator[tuple[int, Item, dict[str, Any]]]:
    """The last record of each item in a state."""
    names = ledger.names(job.ledgers)
    with contextlib.ExitStack() as stack:
        files: dict[int, IO[bytes]] = {}
        for number, item in enumerate(items):
            if progress.state[number] == state:
                at = int(progress.file[number])
                if at not in files:
                    if len(files) >= 64:
                        files.pop(next(iter(files))).close()
                    files[at] = stack.enter_context((job.ledgers / names[at]).open("rb"))
                files[at].seek(int(progress.offset[number]))
                yield number, item, json.loads(files[at].readline())


def _listed(number: int, item: Item, record: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A line of the output manifest: nothing in it depends on which process spoke the item, or when."""
    values = {name: getattr(item, name) for name in ("id", "text", "voice", "speaker", "speed", "seed")}
    where = {"audio": record["audio"]}
    if settings.layout == "webdataset":
        where = {"audio": shard_name(settings, number), "member": record["audio"]}
    measured = {name: record[name] for name in ("seconds", "rate", "bytes", "sha256", "loudness") if name in record}
    warned = {"warnings": record["warnings"]} if "warnings" in record else {}
    return {**item.extra, **values, **where, **measured, **warned}


def _dumps(value: dict[str, Any]) -> str:
    return f"{json.dumps(value, ensure_ascii=False)}\n"


def _one_line(text: str) -> str:
    """Text for a line of LJSpeech's table, in which bars separate the columns and nothing can be quoted."""
    return " ".join(text.replace("|", " ").split())


@contextlib.contextmanager
def _text(output: Output, name: str) -> Iterator[IO[str]]:
    with output.writer(name) as raw:
        out = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
        yield out
        out.flush()
        out.detach()
