"""hibari-tts in an environment of its own, warm: it says a sentence when told to, and says what that took."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType

from _measure import Took

CHILD = """
import json, sys, time
from hibari import Hibari
speak, visits = Hibari(threads=1), int(sys.argv[1])
for line in sys.stdin:
    seconds = cpu = float("inf")
    for _ in range(visits):
        before, start = time.process_time(), time.perf_counter()
        wave = speak(json.loads(line))
        seconds = min(seconds, time.perf_counter() - start)
        cpu = min(cpu, time.process_time() - before)
    print(json.dumps([seconds, cpu, len(wave) / 24000]), flush=True)
"""


class Hibari:
    """A process of another Python that has hibari-tts; used in a `with`. It inherits this one's one thread."""

    def __init__(self, python: Path, visits: int) -> None:
        self.command = [str(python), "-c", CHILD, str(visits)]
        self.program = str(python.parent / "hibari")

    def __enter__(self) -> Hibari:
        self._child = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.communicate()

    def __call__(self, text: str) -> tuple[Took, float]:
        """The least of some visits of one sentence, and its seconds of sound. Ends the benchmark when it fails."""
        assert self._child.stdin and self._child.stdout
        self._child.stdin.write(json.dumps(text) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit("hibari's process ended: name a Python that has hibari-tts with --hibari")
        seconds, cpu, sound = json.loads(line)
        return Took(seconds, cpu), sound
