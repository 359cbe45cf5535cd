"""A bulk job from its manifest to its report: checked, compared with what began in OUT, spoken, listed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__
from ..atomic import DISK
from ..errors import InputError, JobError
from ..graph.processor import cores
from ..input_files import sha256
from . import ledger, results, resume, shards, snapshot
from .check import Checked, Estimate, check_manifest, estimate
from .folders import JobFolder
from .local import Pool
from .output import Output
from .progress import Meter
from .settings import Settings
from .snapshot import Snapshot
from .speak import audio_name

__all__ = ["Checked", "Plan", "check", "run"]
MOST_WORKERS = 512


@dataclass(frozen=True, slots=True)
class Plan:
    """How to run: processes here, or `ray`, the address of a cluster ("" starts one on this machine).

    skip_bad: speak the good lines of a manifest that has bad ones. update: take over a manifest that has changed.
    verify: compare all finished files with their checksums. state: the folder of the job's own files. tell: called with
    a Meter after each item.
    """

    workers: int | None = None
    ray: str | None = None
    skip_bad: bool = False
    update: bool = False
    verify: bool = False
    state: str | None = None
    tell: Callable[[Meter], None] = field(default=lambda meter: None)

    def __post_init__(self) -> None:
        """Raises InputError for a number of workers out of range."""
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS:
            raise InputError(f"workers is {self.workers}: give a number from 1 to {MOST_WORKERS}")


def check(manifest: str, settings: Settings) -> tuple[Checked, Estimate | None]:
    """A dry run: every line checked, nothing written; the estimate where at least one line can be spoken.

    Raises PortavozError.
    """
    with tempfile.TemporaryDirectory(prefix="portavoz-") as folder:
        checked = check_manifest(manifest, settings, Path(folder))
        return checked, estimate(checked, settings) if checked.items else None


def run(manifest: str, out: str, settings: Settings | None = None, plan: Plan | None = None) -> dict[str, Any]:
    """Speak a manifest into OUT, or go on where an earlier run of it ended. Returns the report.

    Each id has one file, the same bytes whatever the number of workers. Raises InputError for bad lines and bad values,
    JobError when the job cannot go on (what is finished is kept), PortavozError.
    """
    settings, plan = settings or Settings(), plan or Plan()
    job = JobFolder(out, plan.state)
    job.make()
    with job.held(), _disk(job):
        checked = check_manifest(manifest, settings, job.next)
        if checked.bad and not plan.skip_bad:
            raise InputError(_refusal(manifest, checked))
        with _adopt(job, checked, settings, plan) as items:
            job.make_layout(settings)
            return _Run(job, items, settings, plan).speak(checked)


def _refusal(manifest: str, checked: Checked) -> str:
    many = "1 bad line" if checked.bad == 1 else f"{checked.bad} bad lines"
    listed = "; ".join(checked.describe_bad(5))
    return f"{manifest}: {many}: {listed}; correct them ('--dry-run' lists more), or give --skip-bad"


@contextmanager
def _disk(job: JobFolder) -> Iterator[None]:
    """A full or read-only disk as a JobError."""
    try:
        yield
    except OSError as problem:
        if problem.errno not in DISK:
            raise
        raise JobError(
            f"{job.out}: cannot be written ({problem.strerror}); free space, and the same command resumes"
        ) from problem


def _adopt(job: JobFolder, checked: Checked, settings: Settings, plan: Plan) -> Snapshot:
    """The items to speak. Raises JobError when the job that began here was another one."""
    before = job.job()
    with Snapshot(job.next) as new:
        sha = new.sha256()
        asked = {
            "settings": settings.to_dict(), "voices": checked.voices, "manifest": sha, "items": len(new),
            "versions": _versions(settings),
        }  # fmt: skip
        if before is not None:
            _compare_settings(job, before, asked, settings)
            if before["manifest"] != sha:
                with Snapshot(job.snapshot(before["manifest"])) as old:
                    _compare_manifests(job, old, new, settings, plan)
    place = job.snapshot(sha)
    if place.is_dir():
        # The same items; their line numbers may have moved.
        shutil.rmtree(place)
    os.replace(job.next, place)
    job.next.mkdir()
    job.write_job(asked)
    for older in job.state.glob("manifest-*"):
        if older != place:
            shutil.rmtree(older)
    return Snapshot(place)


def _compare_settings(job: JobFolder, before: dict[str, Any], asked: dict[str, Any], settings: Settings) -> None:
    if changed := settings.difference(before["settings"]):
        raise JobError(f"{job.out}: this job began with other settings: {changed}; use the old ones, or another folder")
    for name, known in before["voices"].items():
        now = asked["voices"].get(name)
        if now is not None and now != known:
            shown = "the default voice" if name == "None" else f"voice {name!r}"
            raise JobError(
                f"{job.out}: {shown} is not the one that this job began with (other files, runtime or batch); use "
                "that one, or another folder"
            )
    differ = [f"{n} {old} → {asked['versions'].get(n)}" for n, old in before["versions"].items()
              if asked["versions"].get(n) != old]  # fmt: skip
    if differ:
        raise JobError(
            f"{job.out}: this job began with other versions: {', '.join(differ)}; its files could differ, use the old "
            "versions or another folder"
        )


def _compare_manifests(job: JobFolder, old: Snapshot, new: Snapshot, settings: Settings, plan: Plan) -> None:
    difference = snapshot.difference(old, new)
    if settings.layout == "webdataset":
        raise JobError(
            f"{job.out}: the manifest has changed since this job began: {difference}; shards keep their lines, so use "
            "the old manifest or another folder"
        )
    if not plan.update:
        raise JobError(
            f"{job.out}: the manifest has changed since this job began: {difference}; give --update to take it over, "
            "or use another folder"
        )
    output, keys = job.output(), set(new.index[:, snapshot.KEY].tolist())
    for number, key in enumerate(old.index[:, snapshot.KEY].tolist()):
        if key not in keys:
            id = old[number].id
            output.remove(audio_name(settings, id))
            if settings.timings:
                output.remove(f"timings/{id}.json")


def _versions(settings: Settings) -> dict[str, str]:
    """What the bytes of a file depend on besides the voice."""
    found = {"portavoz": __version__}
    for name in ("onnxruntime", "numpy", "soxr"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    import soundfile

    lexicon = {} if settings.lexicon is None else {"lexicon": sha256(Path(settings.lexicon))[:16]}
    return {**found, "libsndfile": soundfile.__libsndfile_version__, **lexicon}


class _Run:
    """One run of a job whose items are known."""

    def __init__(self, job: JobFolder, items: Snapshot, settings: Settings, plan: Plan) -> None:
        self.job, self.items, self.settings, self.plan = job, items, settings, plan
        self.sharded = settings.layout == "webdataset"
        self.output: Output = job.output()

    def speak(self, checked: Checked) -> dict[str, Any]:
        """Everything that is left; the report."""
        before = resume.look(self.job, self.items, self.settings, verify=self.plan.verify)
        weights = self.items.weights()
        left = before.state != resume.SPOKEN
        already = before.count(resume.SPOKEN)
        meter = Meter(len(self.items), already, int(weights[left].sum()))
        number = ledger.next_run(self.job.ledgers)
        own = ledger.Ledger(self.job.ledgers / f"{number:06d}-job.jsonl")
        try:
            self._pack(before, resume.unpacked_shards(before, self.settings) if self.sharded else [], own)
            self._speak_rest(before, meter, weights, own, number)
        finally:
            own.close()
        return self._finish(checked, meter, already)

    def _speak_rest(self, progress: resume.Progress, meter: Meter, weights: Any, own: ledger.Ledger, run: int) -> None:
        if not meter.weight:
            return
        waiting: dict[int, int] = {}
        if self.sharded:
            for n in progress.todo():
                waiting[n // self.settings.shard_size] = waiting.get(n // self.settings.shard_size, 0) + 1
        for record in self._records(progress, own, run):
            n = progress.number(record["item"])
            if n is None:
                continue
            progress.state[n] = resume.FAILED if "failed" in record else resume.SPOKEN
            meter.add(record, int(weights[n]))
            self.plan.tell(meter)
            if self.sharded:
                shard = n // self.settings.shard_size
                waiting[shard] -= 1
                if not waiting[shard]:
                    self._pack(progress, [shard], own)

    def _records(self, progress: resume.Progress, own: ledger.Ledger, run: int) -> Iterator[dict[str, Any]]:
        """The records of all that is left, as they come."""
        if self.plan.ray is not None:
            from .on_ray import records

            return records(self.job, list(progress.todo()), self.plan.ray, self.plan.workers, run)
        left = int((progress.state != resume.SPOKEN).sum())
        workers = min(self.plan.workers or cores(), left)
        return iter(Pool(self.job, self.items, progress.todo(), workers, run, own))

    def _pack(self, progress: resume.Progress, which: list[int], own: ledger.Ledger) -> None:
        """Write the shards that are complete."""
        staged = self.job.staged()
        for shard in which:
            first = shard * self.settings.shard_size
            numbers = range(first, min(first + self.settings.shard_size, len(self.items)))
            spoken = {n for n in numbers if progress.state[n] == resume.SPOKEN}
            if spoken and not all(progress.packed[n] for n in spoken):
                record, files = shards.assemble(shard, self.items, spoken, self.settings, staged, self.output)
                path = [] if self.job.remote else [Path(self.job.out) / record["shard"]]
                own.append(record, path)
                for name in files:
                    staged.remove(name)

    def _finish(self, checked: Checked, meter: Meter, already: int) -> dict[str, Any]:
        """The lists of what there is, and the report."""
        took = meter.took
        progress = resume.look(self.job, self.items, self.settings, verify=False)
        missing = progress.count(resume.OPEN)
        if missing:
            raise JobError(
                f"{self.job.out}: {missing} finished files have disappeared; run the same command to redo them"
            )
        seconds = results.write(self.job, self.items, progress, self.settings)
        failed = progress.count(resume.FAILED)
        return {
            "output": self.job.out, "items": len(self.items), "spoken": meter.spoken, "already": already,
            "failed": failed, "bad_lines": checked.bad, "seconds": round(seconds, 3), "hours": round(seconds / 3600, 4),
            "took": round(took, 3), "rtf": round(took / meter.seconds, 5) if meter.seconds else None,
        }  # fmt: skip
