"""Runs commands for `_measure.Launcher`: a JSON list a line in, [seconds, processor seconds, peak MB, exit code] out.

A process of its own and a small one, because a child's peak memory begins with that of the process it was forked from.
"""

import json
import os
import sys
import time


def run(command: list[str]) -> list[float]:
    """Start a command with nothing to read and its output thrown away, and wait for it."""
    quiet = os.open(os.devnull, os.O_RDWR)
    streams = [(os.POSIX_SPAWN_DUP2, quiet, stream) for stream in (0, 1, 2)]
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=streams)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    os.close(quiet)
    # Linux counts in KiB, macOS in bytes.
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
    return [seconds, usage.ru_utime + usage.ru_stime, peak, os.waitstatus_to_exitcode(status)]


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
