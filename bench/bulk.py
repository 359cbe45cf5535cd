"""A bulk job: what two workers gain, what an item costs beside its speech, and whether memory stays flat.

    python bench/bulk.py [--items 200] [--lines 10000] [--rounds 3] [--json FILE]

Jobs of one and of two workers take turns, each in a new folder, and are timed from their twentieth item on, when all
processes have begun. `bare` is the same texts spoken and encoded, without files, by one process and by two that share
nothing: what two gain there is the most that this machine gives to any two workers. `silent` is a whole job whose
workers speak silence of the same length: the processor time of all its processes on an item, from the check of its line
to its line in the output manifest, less what encoding takes. Memory is the largest process of a job with `--lines`
short lines.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from _measure import Launcher, Report, Took, interleaved, parser, timed

# ruff: isort: split
import numpy as np

import portavoz
from portavoz.bulk import run
from portavoz.bulk.encoding import encode
from portavoz.bulk.job import Plan

FEW = 20  # items before a job is timed
WORDS = "the train leaves at a quarter to eight and nobody in this town has ever been late for it".split()


def text(number: int) -> str:
    """About five seconds of speech, another one for each number."""
    return f"Number {number}: {' '.join(WORDS[(5 * number + n) % len(WORDS)] for n in range(14))}."


def manifest(path: Path, texts: list[str]) -> Path:
    """A manifest of these texts."""
    path.write_text("".join(f"{json.dumps({'id': f'i{n}', 'text': t})}\n" for n, t in enumerate(texts)))
    return path


LOOP = """
import sys
import portavoz
from portavoz.bulk.encoding import encode
texts = sys.stdin.readline().strip().split("|")
few, voice = int(sys.argv[1]), portavoz.load()
for number, one in enumerate(texts):
    if number == few:
        print(flush=True)
        sys.stdin.readline()
    speech = voice.speak(one)
    encode(speech.samples, speech.rate, "wav", str(number))
print(flush=True)
"""


def bare(texts: list[str], processes: int) -> Took:
    """The texts from the twentieth on spoken and encoded, without files, by each of so many processes."""
    with ExitStack() as stack:
        children = []
        for _ in range(processes):
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            child = stack.enter_context(subprocess.Popen([sys.executable, "-c", LOOP, str(FEW)], **pipes))
            children.append((child.stdin, child.stdout))
        said = iter(("|".join(texts), ""))
        for line in said:
            began = time.perf_counter()
            for asked, _ in children:
                asked.write(f"{line}\n")
                asked.flush()
            for _, answers in children:
                answers.readline()
        return Took(time.perf_counter() - began, 0.0)


def job(manifest: Path, folder: Path, workers: int) -> Took:
    """A whole job from its twentieth item on, when all workers have begun, to its last."""
    times: list[float] = []
    run(str(manifest), str(folder / "out"), plan=Plan(workers, tell=lambda _: times.append(time.perf_counter())))
    shutil.rmtree(folder / "out")
    return Took(times[-1] - times[FEW - 1], 0.0)


SILENT = """#!{python}
import sys
import numpy as np
from portavoz.bulk import speak, worker
from portavoz.speech import Speech
wave = np.zeros({samples}, np.float32)
speak.Speaker._speech = lambda self, item: Speech(wave, {rate})
sys.exit(worker.main(sys.argv[3:]))
"""


def silent(folder: Path, count: int = 400) -> float:
    """Seconds of processor time that a job takes for an item besides speaking and encoding it."""
    rate = portavoz.load().rate
    wave = np.zeros(5 * rate, np.float32)
    program = folder / "worker"
    program.write_text(SILENT.format(python=sys.executable, samples=len(wave), rate=rate))
    program.chmod(0o755)

    def whole(items: int) -> float:
        before = _processor()
        path = manifest(folder / "silent.jsonl", [text(n) for n in range(items)])
        with patch.object(sys, "executable", str(program)):
            run(str(path), str(folder / "silent"), plan=Plan(1))
        shutil.rmtree(folder / "silent")
        return _processor() - before

    alone = timed(lambda: [encode(wave, rate, "wav", str(n)) for n in range(count)]).cpu / count
    # The difference of two jobs: what happens once in each is not an item's.
    return (whole(4 * count) - whole(count)) / (3 * count) - alone


def _processor() -> float:
    """Seconds of this process and of those that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Command line."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--items", type=int, default=200, help="of the longer job (default: %(default)s)")
    options.add_argument("--lines", type=int, default=10_000, help="for memory; 0 for none (default: %(default)s)")
    args = options.parse_args()
    report = Report("bulk", {"rounds": args.rounds, "items": args.items, "lines": args.lines})
    texts = [text(n) for n in range(args.items)]
    with Launcher() as launch, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many = manifest(folder / "many.jsonl", texts)
        cases: dict[str, Callable[[], Took]] = {}
        for workers in (1, 2):
            cases[f"bare {workers}"] = lambda w=workers: bare(texts, w)
            cases[f"job {workers}"] = lambda w=workers: job(many, folder, w)
        least = interleaved(cases, args.rounds)
        _figures(report, least, args.items - FEW)
        report.figures["silent_cpu_ms"] = min(silent(folder) for _ in range(args.rounds)) * 1e3
        for lines in (args.lines // 10, args.lines) if args.lines else ():
            short = manifest(folder / "short.jsonl", ["No."] * lines)
            command = ["-m", "portavoz", "bulk", str(short), str(folder / f"out{lines}"), "--workers", "2", "--json"]
            report.figures[f"peak_mb_{lines}_lines"] = launch([sys.executable, *command]).peak
        report.ratio(f"peak_mb_{args.lines}_lines", f"peak_mb_{args.lines // 10}_lines")
    report.finish(args.json, digits=3)


def _figures(report: Report, least: dict[str, Took], items: int) -> None:
    """Milliseconds an item, and what they say."""
    for workers in (1, 2):
        report.figures[f"bare_{workers}_ms"] = least[f"bare {workers}"].seconds / items / workers * 1e3
        report.figures[f"item_{workers}_ms"] = least[f"job {workers}"].seconds / items * 1e3
    report.figures["overhead_ms"] = report.figures["item_1_ms"] - report.figures["bare_1_ms"]
    report.ratio("item_1_ms", "item_2_ms")
    report.ratio("bare_1_ms", "bare_2_ms")


if __name__ == "__main__":
    main()
