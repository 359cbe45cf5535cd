"""A server for tests: in a thread of this process, or a process of its own; clients for both.

What is large is imported where it is used: a load test needs a process and sockets alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openai
    from fastapi import FastAPI

SUPPORT = Path(__file__).resolve().parent
PATIENCE = 60.0  # seconds


class Served:
    """An address, and what runs there."""

    def __init__(self, port: int, app: FastAPI | None = None) -> None:
        self.port, self.app = port, app
        self.url = f"http://127.0.0.1:{port}"

    def client(self, key: str = "none", **options: Any) -> openai.OpenAI:
        """OpenAI's client."""
        import openai

        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, **{"max_retries": 0, **options})


@contextlib.contextmanager
def in_thread(opener: Any, **settings: Any) -> Iterator[Served]:
    """A server in a thread, with a model that the test can look into."""
    from portavoz.serve.app import create_app
    from portavoz.serve.run import bind, server
    from portavoz.serve.settings import Settings

    app = create_app(Settings(**{"voices": ("fake",), "port": 0, "log_level": "error", **settings}), opener=opener)
    listening = bind("127.0.0.1", 0)
    running = server(app)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listening])), daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        thread.join(0.01)
    try:
        yield Served(listening.getsockname()[1], app)
    finally:
        running.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server did not end"


class Process(Served):
    """A server process; `stop` ends it."""

    def __init__(self, *args: str, module: str = "fake_voice", warnings: str = "error", **environment: str) -> None:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path]), **environment}
        command = [sys.executable, "-W", warnings, "-m", *module.split(), "--port", "0", *args]
        self.process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r"portavoz: http://\S+:(\d+)", line):
                super().__init__(int(found[1]))
                break
        else:
            raise AssertionError(f"the server did not start: {self.lines}")
        self.reader = threading.Thread(target=self._drain, daemon=True)
        self.reader.start()

    def _drain(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *rest: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()
