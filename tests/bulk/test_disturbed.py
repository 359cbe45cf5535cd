"""What a job survives: kills, a full and a read-only disk, workers that die, itself started twice."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bulk_disturb import STATE, Disturbed, kills
from bulk_jobs import digests, write_manifest

ITEMS = 24


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """The undisturbed job of a manifest."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_manifest(folder / "m.jsonl", ITEMS)
    Disturbed(folder, tiny, "--workers", "1", out="calm").finish()
    return folder / "calm"


@pytest.fixture
def calm(undisturbed: Path, tmp_path: Path) -> dict[str, str]:
    """The finished files of the undisturbed job; its manifest is the test's m.jsonl."""
    write_manifest(tmp_path / "m.jsonl", ITEMS)
    return digests(undisturbed)


def check_kills(job: Disturbed, calm: dict[str, str], count: int, seed: int) -> None:
    """`count` kills, then a good end: one file per id, as undisturbed; nothing recorded was done twice."""
    lost = kills(job, count, ITEMS, seed)
    assert job.finish() == calm
    assert job.records() == Counter({name: 1 for name in calm if name.startswith("audio/")})
    assert max(lost) <= 2  # one for each worker
    assert list((job.out / STATE / "tmp").iterdir()) == []


def test_kills_leave_one_file_per_id(tmp_path: Path, tiny: Path, calm: dict[str, str]) -> None:
    check_kills(Disturbed(tmp_path, tiny), calm, 1, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 20))
def test_thirty_kills(tmp_path: Path, tiny: Path, calm: dict[str, str], seed: int) -> None:
    check_kills(Disturbed(tmp_path, tiny), calm, 3, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_kills_leave_whole_shards(tmp_path: Path, tiny: Path, seed: int) -> None:
    write_manifest(tmp_path / "m.jsonl", ITEMS)
    options = ("--layout", "webdataset", "--shard-size", "5", "--format", "opus")
    calm = Disturbed(tmp_path, tiny, *options, out="calm").finish()
    job = Disturbed(tmp_path, tiny, *options)
    kills(job, 3, ITEMS, seed)
    assert job.finish() == calm
    assert list((job.out / STATE / "staging").iterdir()) == []


def limited(size: int) -> Any:
    """For a child: no file may grow beyond `size` bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def refused(job: Disturbed, *reasons: str, **more: Any) -> None:
    """The job must end with 2, one line, and no file that is not whole."""
    code, said = job.run(**more)
    assert code == 2, said
    assert said.startswith("portavoz: ") and said.count("\n") == 1, said
    assert any(reason in said for reason in reasons), said


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.0, 0.8])
def test_a_file_that_cannot_grow_ends_the_job(
    tmp_path: Path, tiny: Path, calm: dict[str, str], undisturbed: Path, part: float
) -> None:
    """600 bytes stop the check of the manifest; then the longest fifth of the sound files does not fit."""
    sizes = sorted(path.stat().st_size for path in (undisturbed / "audio").iterdir())
    job = Disturbed(tmp_path, tiny)
    refused(job, "File too large", preexec_fn=limited(sizes[int(part * len(sizes))] if part else 600))
    found = {name: digest for name, digest in digests(job.out).items() if name.startswith("audio/")}
    assert found.items() <= calm.items()
    assert list((job.out / STATE / "tmp").glob("*")) == []
    assert job.finish() == calm


def test_the_same_manifest_started_twice(tmp_path: Path, tiny: Path, calm: dict[str, str]) -> None:
    job = Disturbed(tmp_path, tiny)
    both = [job.start(), job.start()]
    said = [child.communicate(timeout=120)[1].decode() for child in both]
    codes = [child.returncode for child in both]
    assert sorted(codes) == [0, 2], said
    assert "another job is writing here" in said[codes.index(2)]
    assert digests(job.out) == calm


STUB = """#!{python}
import os, signal, sys
print('{{"ready": true}}', flush=True)
for line in sys.stdin:
    if int(line) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    print('{{"item": "%016x", "seconds": 1.0, "audio": "x"}}' % int(line), flush=True)
"""


class Items:
    """Stands for a snapshot: the pool asks for the item only to name it."""

    def __getitem__(self, number: int) -> Any:
        from portavoz.bulk.item import Item

        return Item(number, f"item-{number}", "One.", None, None, 1.0, 0)


def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Iterator[dict[str, Any]]:
    """A pool of two whose workers are this script."""
    from portavoz.bulk.folders import JobFolder
    from portavoz.bulk.ledger import Ledger
    from portavoz.bulk.local import Pool

    program = tmp_path / "worker"
    program.write_text(script.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    ledger = Ledger(tmp_path / "000000-job.jsonl")
    items: Any = Items()
    try:
        yield from Pool(JobFolder(str(tmp_path)), items, iter(range(6)), 2, 0, ledger)
    finally:
        ledger.close()


def test_an_item_that_kills_its_worker_three_times_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list(pool(tmp_path, monkeypatch, STUB))
    assert len(found) == 6
    [failed] = [record for record in found if "failed" in record]
    assert failed["failed"] == "the worker was ended by SIGKILL (perhaps out of memory) while it spoke this, 3 times"
    assert "SIGKILL" in (tmp_path / "000000-job.jsonl").read_text()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("#!/bin/sh\nexit 3\n", "the worker ended with code 3 3 times before it could speak"),
        ('#!/bin/sh\necho \'{{"fatal": "no voice"}}\'\n', "no voice"),
    ],
    ids=["silent", "fatal"],
)
def test_workers_that_cannot_start_end_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    from portavoz.errors import JobError

    with pytest.raises(JobError, match=reason):
        list(pool(tmp_path, monkeypatch, script))


@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_the_job_at_once_and_silently(tmp_path: Path, tiny: Path, number: int, code: int) -> None:
    write_manifest(tmp_path / "m.jsonl", 400)
    job = Disturbed(tmp_path, tiny)
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        child = job.start()
    finally:
        signal.signal(signal.SIGINT, before)
    job.wait_for(child, 3)
    os.killpg(child.pid, number)
    assert child.communicate(timeout=60) == (b"", b"")
    assert child.returncode == code
    job.wait_until_alone()


# What needs mounts runs in a mount namespace of its own; each line is one command of the shell in it.


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[subprocess.Popen[str]]:
    """A shell in which `folder` is a disk of that size."""
    shell = subprocess.Popen(
        ["unshare", "--mount", "--map-root-user", "sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert say(shell, f"mount -t tmpfs -o size={size} tmpfs {folder}")[0] == 0
        yield shell
    finally:
        shell.communicate("exit\n")


def say(shell: subprocess.Popen[str], command: str) -> tuple[int, str]:
    """Run a command in the shell: exit code and output."""
    assert shell.stdin and shell.stdout
    shell.stdin.write(f"({command}) 2>&1; code=$?; echo; echo done $code\n")
    shell.stdin.flush()
    lines: list[str] = []
    for line in shell.stdout:
        if line.startswith("done "):
            return int(line.split()[1]), "".join(lines[:-1] if lines and lines[-1] == "\n" else lines)
        lines.append(line)
    raise AssertionError("the shell has gone")


def command(job: Disturbed) -> str:
    """The job as a command of the shell."""
    return f"cd {job.folder} && PYTHONPATH={os.pathsep.join(filter(None, sys.path))} {' '.join(job.command)}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_full_disk(tmp_path: Path, tiny: Path, calm: dict[str, str], undisturbed: Path, seed: int) -> None:
    total = sum(path.stat().st_size for path in undisturbed.rglob("*") if path.is_file())
    size = random.Random(seed).randint(total // 20, total * 9 // 10) // 4096 * 4096
    (tmp_path / "disk").mkdir()
    job = Disturbed(tmp_path, tiny, out="disk/out")
    with mounted(tmp_path / "disk", str(size)) as shell:
        code, said = say(shell, command(job))
        assert code == 2 and said.count("\n") == 1, said
        assert "No space left on device" in said
        assert say(shell, f"mount -o remount,size=1g {tmp_path / 'disk'}")[0] == 0
        code, said = say(shell, command(job))
        assert code == 0, said
        assert say(shell, f"cp -r {job.out} {tmp_path / 'copy'}")[0] == 0
    assert digests(tmp_path / "copy") == calm


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_read_only_disk(tmp_path: Path, tiny: Path, calm: dict[str, str], seed: int) -> None:
    """Read-only from the start (seed 0), or after a kill at a random moment."""
    (tmp_path / "disk").mkdir()
    job, moment = Disturbed(tmp_path, tiny, out="disk/out"), random.Random(seed)
    with mounted(tmp_path / "disk", "1g") as shell:
        if seed:
            say(shell, f"timeout -s KILL {moment.uniform(0.5, 4.0):.2f} sh -c '{command(job)}'; sleep 1")
        assert say(shell, f"mount -o remount,ro {tmp_path / 'disk'}")[0] == 0
        code, said = say(shell, command(job))
        assert code == 2 and said.count("\n") == 1 and "Read-only file system" in said, said
        assert say(shell, f"mount -o remount,rw {tmp_path / 'disk'}")[0] == 0
        code, said = say(shell, command(job))
        assert code == 0, said
        assert say(shell, f"cp -r {job.out} {tmp_path / 'copy'}")[0] == 0
    assert digests(tmp_path / "copy") == calm
    shutil.rmtree(tmp_path / "copy")


@pytest.mark.slow
def test_ten_thousand_lines_stay_flat_in_memory(tmp_path: Path, tiny: Path) -> None:
    """Ten times the lines, and no more than a tenth more memory of the job and of each worker; also when it resumes."""
    peaks = []
    for count in (1000, 10_000):
        write_manifest(tmp_path / "m.jsonl", count)
        job = Disturbed(tmp_path, tiny, "--speed", "10", out=f"out-{count}")
        peaks.append((job.peaks(), job.peaks()[0]))
    ((job_small, worker_small), again_small), ((job_large, worker_large), again_large) = peaks
    assert job_large < 1.1 * job_small, peaks
    assert worker_large < 1.1 * worker_small, peaks
    assert again_large < 1.1 * again_small, peaks
