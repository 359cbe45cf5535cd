"""The command line, called in this process, and as a process of its own."""

from __future__ import annotations

import importlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from portavoz.cli import main


class Done(NamedTuple):
    """What a command line gave."""

    code: int
    out: bytes
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """``run("say", "Hello.", stdin=b"…")`` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        code = main(list(args))
        out, err = capsysbinary.readouterr()
        return Done(code, out, err.decode())

    return call


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """Run a command that must be refused: exit code 2 and one line on standard error, which this gives back."""

    def call(*args: str, stdin: bytes = b"") -> str:
        done = run(*args, stdin=stdin)
        assert done.code == 2, done
        assert done.out == b""
        assert done.err.startswith("portavoz: ")
        assert done.err.count("\n") == 1
        return done.err

    return call


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start ``python -m portavoz …`` in an empty folder, its three streams piped unless said otherwise."""

    def start(*args: str, **options: Any) -> subprocess.Popen[bytes]:
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [sys.executable, "-W", "error", "-m", "portavoz", *args]
        # A program that was started in the background ignores Ctrl-C, and so would its children.
        before = signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            return subprocess.Popen(command, cwd=tmp_path, env=dict(os.environ), **{**streams, **options})
        finally:
            signal.signal(signal.SIGINT, before)

    return start


@pytest.fixture
def with_torch() -> None:
    """For a test whose own programs, in another process or by name, need PyTorch."""
    importlib.import_module("torch")


@pytest.fixture
def with_mlx() -> None:
    """For a test whose own programs need MLX."""
    importlib.import_module("mlx")
