"""The server beside a peer's, both at once, on the same file of a voice: portavoz serve and Piper's own HTTP server.

    recipes/open_voices.sh runs/open            fetches the file, and makes an environment with Piper's package
    python bench/serving.py [--folder runs/open] [--peer runs/open/venv/bin/python] [--rounds 10] [--json FILE]

Each server is as it is installed: threads and settings are its own. Requests take turns between the two. First sound:
of a text of four sentences, alone. With one and with eight requests at once: seconds of sound a second, and processor
seconds for a second of sound. On a busy machine only the latter say something of a server: who runs more threads gets
more of the processor there.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from _measure import Report, parser

# ruff: isort: split
import numpy as np

TEXT = (
    "The old clock in the hall struck twelve, and nobody heard it. She asked whether the train had already left. "
    "On the platform stood a man with a green umbrella. He looked at the sky, and went home."
)
CROWDS = (1, 8)
PATIENCE = 600  # seconds until a server answers


@dataclass(frozen=True)
class Side:
    """A server: its process and address, and how it is asked to speak."""

    process: int
    port: int
    path: str
    body: dict[str, Any]
    header: int  # bytes of a WAV's header before the sound
    rate: int


class Heard(NamedTuple):
    """One answer: seconds until its first sound, and seconds of sound."""

    first: float
    sound: float


def ask(side: Side) -> Heard:
    """One request, its answer read as it comes."""
    connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=PATIENCE)
    began = time.perf_counter()
    connection.request("POST", side.path, json.dumps(side.body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"port {side.port}: {answer.status} {answer.read()[:300]!r}")
    size, first = -side.header, 0.0
    while data := answer.read1(1 << 16):
        if size <= 0 < size + len(data):
            first = time.perf_counter()
        size += len(data)
    connection.close()
    return Heard(first - began, size / 2 / side.rate)


def crowd(side: Side, count: int) -> tuple[float, float]:
    """`count` requests at once: seconds of sound a second, and processor seconds for a second of sound."""
    with ThreadPoolExecutor(count) as pool:
        used, began = processor(side.process), time.perf_counter()
        sound = sum(one.sound for one in pool.map(ask, [side] * count))
        return sound / (time.perf_counter() - began), (processor(side.process) - used) / sound


def processor(process: int) -> float:
    """Processor seconds that a process has used (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    """The id of a server process, once it accepts connections."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + PATIENCE
        while True:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{command[0]} -m {command[2]}: {(process.stderr or sys.stdin).read()[-500:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def measure(report: Report, sides: dict[str, Side], rounds: int) -> None:
    """All figures, turn and turn about."""
    firsts: dict[str, list[float]] = {name: [] for name in sides}
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for side in sides.values():
        ask(side)  # warms up
    for _ in range(rounds):
        for name, side in sides.items():
            firsts[name].append(ask(side).first * 1e3)
    for _ in range(max(1, rounds // 4)):
        for count in CROWDS:
            for name, side in sides.items():
                found.setdefault((name, count), []).append(crowd(side, count))
    for name in sides:
        report.figures[f"{name}_first_p50_ms"] = float(np.median(firsts[name]))
        report.figures[f"{name}_first_max_ms"] = max(firsts[name])
        for count in CROWDS:
            report.figures[f"{name}_{count}_at_once_sound_s_a_s"] = max(row[0] for row in found[name, count])
            report.figures[f"{name}_{count}_at_once_cpu_s"] = min(row[1] for row in found[name, count])
    for what in ("first_p50_ms", *(f"{n}_at_once_{kind}" for n in CROWDS for kind in ("sound_s_a_s", "cpu_s"))):
        report.ratio(f"piper_server_{what}", f"portavoz_server_{what}")


def main() -> None:
    """Command line."""
    options = parser(__doc__, rounds=10)
    options.add_argument("--folder", type=Path, default=Path("runs/open"), help="the recipe's (default: %(default)s)")
    options.add_argument("--peer", help="the Python that has Piper's package (default: FOLDER/venv/bin/python)")
    args = options.parse_args()
    file, peer = args.folder / "piper" / "en_US-joe-medium.onnx", args.peer or str(args.folder / "venv/bin/python")
    report = Report("serving", {"rounds": args.rounds, "text": TEXT})
    if not file.exists() or not Path(peer).exists():
        report.absent["piper_server"] = "make it with recipes/open_voices.sh"
    else:
        rate = json.loads(Path(f"{file}.json").read_text(encoding="utf-8"))["audio"]["sample_rate"]
        ours, theirs = free(), free()
        body = {"model": "joe", "voice": "default", "input": TEXT, "response_format": "pcm", "sample_rate": rate}
        serve = [sys.executable, "-m", "portavoz", "serve", "--port", str(ours), "--voices", f"joe={file}"]
        piper = [peer, "-m", "piper.http_server", "--host", "127.0.0.1", "--port", str(theirs), "-m", str(file)]
        with running(serve, ours) as own, running(piper, theirs) as other:
            sides = {
                "portavoz_server": Side(own, ours, "/v1/audio/speech", body, 0, rate),
                "piper_server": Side(other, theirs, "/synthesize", {"text": TEXT}, 44, rate),
            }
            measure(report, sides, args.rounds)
    report.finish(args.json, digits=2)


if __name__ == "__main__":
    main()
