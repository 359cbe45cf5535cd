"""A bulk job as a process of its own that is killed, starved and started again, and what it then has to have."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from bulk_jobs import digests

STATE = ".portavoz-bulk"


class Disturbed:
    """The job `m.jsonl` → `out` in a folder, with two workers."""

    def __init__(self, folder: Path, voice: Path, *options: str, out: str = "out") -> None:
        self.folder, self.out = folder, folder / out
        base = [sys.executable, "-W", "error", "-m", "portavoz", "bulk", "m.jsonl", out, "--voice", str(voice)]
        self.command = [*base, "--workers", "2", "--speed", "4", *options]

    def start(self, **more: Any) -> subprocess.Popen[bytes]:
        """Start it, in a process group of its own."""
        return subprocess.Popen(
            self.command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **more,
        )

    def run(self, **more: Any) -> tuple[int, str]:
        """Run it to its end: exit code, and what it said."""
        child = self.start(**more)
        out, err = child.communicate(timeout=300)
        assert out == b""
        return child.returncode, err.decode()

    def peaks(self) -> tuple[int, int]:
        """Run it to a good end; the most memory (bytes) that the job and any of its workers were seen with."""
        child = self.start()
        most, job = [0, 0], psutil.Process(child.pid)
        while child.poll() is None:
            for at, processes in enumerate(([job], job.children())):
                for process in processes:
                    with contextlib.suppress(psutil.Error):
                        most[at] = max(most[at], process.memory_info().rss)
            time.sleep(0.05)
        assert child.returncode == 0, child.communicate()
        child.communicate()
        return most[0], most[1]

    def finish(self) -> dict[str, str]:
        """Run it to a good end; the finished files."""
        code, said = self.run()
        assert code == 0, said
        return digests(self.out)

    def records(self) -> Counter[str]:
        """How often each item was recorded as spoken, over all runs."""
        found: Counter[str] = Counter()
        for path in (self.out / STATE / "ledger").glob("*.jsonl"):
            for line in path.read_bytes().splitlines():
                try:
                    record = json.loads(line)
                except ValueError:
                    continue  # a line that was cut off
                if "audio" in record:
                    found[record["audio"]] += 1
        return found

    def wait_for(self, child: subprocess.Popen[bytes], items: int) -> None:
        """Until so many items are recorded, or the job ends."""
        give_up = time.monotonic() + 120
        while child.poll() is None and sum(self.records().values()) < items:
            assert time.monotonic() < give_up
            time.sleep(0.005)

    def kill(self, child: subprocess.Popen[bytes], what: str) -> None:
        """SIGKILL for the "group", the "job" alone, or one "worker"."""
        if what == "group":
            os.killpg(child.pid, signal.SIGKILL)
        elif what == "job":
            child.kill()
        else:
            try:
                workers = psutil.Process(child.pid).children()
            except psutil.NoSuchProcess:
                workers = []
            for worker in workers[:1]:
                worker.kill()
            return
        child.communicate()
        self.wait_until_alone()

    def wait_until_alone(self) -> None:
        """Until workers whose job was killed have seen it."""
        give_up = time.monotonic() + 60
        while any(self._ours(process) for process in psutil.process_iter(["cmdline"])):
            assert time.monotonic() < give_up
            time.sleep(0.02)

    def _ours(self, process: psutil.Process) -> bool:
        words = process.info["cmdline"] or ()
        return "portavoz.bulk.worker" in words and str(self.out / STATE) in map(self._absolute, words)

    def _absolute(self, word: str) -> str:
        return str(self.folder / word)

    def unfinished(self) -> int:
        """Files that were begun or finished, and not recorded: what the last kill lost."""
        known = set(self.records())
        done = {f"audio/{path.name}" for path in (self.out / "audio").glob("*")}
        return len(done - known) + len(list((self.out / STATE / "tmp").glob("*")))


def kills(job: Disturbed, count: int, items: int, seed: int) -> list[int]:
    """Kill a job of so many items `count` times at random moments, and let it end; what each kill lost."""
    moments, lost = random.Random(seed), []
    for _ in range(count):
        what = moments.choice(("group", "job", "worker"))
        child = job.start()
        if moments.random() < 0.3:
            time.sleep(moments.uniform(0.0, 3.0))
        else:
            before = sum(job.records().values())
            job.wait_for(child, moments.randint(before, max(before, items - 1)))
            time.sleep(moments.uniform(0.0, 0.03))
        job.kill(child, what)
        if what == "worker":
            code = child.wait(timeout=120)
            assert code == 0, child.communicate()
            child.communicate()
        lost.append(job.unfinished())
    return lost
