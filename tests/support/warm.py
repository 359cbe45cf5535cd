"""Programs that begin as a fork of a process which has imported torch: without the seconds that this import takes.

Of portavoz nothing is imported there. Arguments, folder, environment, import path and streams are the program's own,
and it ends as any program does. PYTHONWARNINGS may be ``error``, or not given.

``with Warm() as warm: warm.run(["-c", "import torch"], cwd=..., env=...)``; `Warm.command` makes a command ``portavoz``
that begins there. This module imports little: that command starts with it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import select
import socket
import sys
import types
import warnings
from pathlib import Path

BEGUN_THERE = ("lab", "train", "doctor")  # the commands that import torch, as others do for a voice that needs it
# What is imported there too as soon as a program needs it, and the words that show that one does.
LATER = {"transformers.models.t5.modeling_t5": ("transformers", "lab.references")}


def asked(place: str, arguments: list[str], *, cwd: str, env: dict[str, str], streams: list[int]) -> int:
    """Run Python with `arguments` in the warm process at the socket `place`; the exit code."""
    message = json.dumps({"arguments": arguments, "cwd": cwd, "env": env}).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        socket.send_fds(connection, [len(message).to_bytes(4, "big")], streams)
        connection.sendall(message)
        answer = connection.recv(4)
    return int.from_bytes(answer, "big", signed=True) if answer else 1


def portavoz(place: str, real: str) -> int:
    """The command of `Warm.command`."""
    if sys.argv[1:2] and (sys.argv[1] in BEGUN_THERE or "--voice" in sys.argv):
        given = ["-m", "portavoz", *sys.argv[1:]]
        return asked(place, given, cwd=os.getcwd(), env=dict(os.environ), streams=[0, 1, 2])
    os.execv(real, [real, *sys.argv[1:]])


class Warm:
    """The process; it ends with the block, and with the process that started it."""

    def __init__(self) -> None:
        import subprocess
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.place = f"{self.folder.name}/socket"
        command = [sys.executable, "-W", "error", __file__, self.place]
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout
        if not self.process.stdout.readline():
            raise RuntimeError("the warm process did not start")

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()
        self.folder.cleanup()

    def run(self, arguments: list[str], *, cwd: Path, env: dict[str, str]) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of Python with `arguments`: ``-c CODE`` or ``-m MODULE …``."""
        with open(os.devnull) as nothing, open(self._file("out"), "w+") as out, open(self._file("err"), "w+") as err:
            streams = [nothing.fileno(), out.fileno(), err.fileno()]
            code = asked(self.place, arguments, cwd=str(cwd), env=env, streams=streams)
            out.seek(0), err.seek(0)
            return code, out.read(), err.read()

    def _file(self, name: str) -> str:
        return f"{self.folder.name}/{name}"

    def command(self) -> str:
        """A folder with a command ``portavoz``, to be the first of PATH."""
        path = Path(self._file("bin"), "portavoz")
        if not path.exists():
            path.parent.mkdir()
            real, here = str(Path(sys.executable).parent / "portavoz"), str(Path(__file__).parent)
            path.write_text(
                f"#!{sys.executable} -SE\nimport sys\nsys.path.insert(0, {here!r})\nimport warm\n"
                f"sys.exit(warm.portavoz({self.place!r}, {real!r}))\n"
            )
            path.chmod(0o755)
        return str(path.parent)


def _received(connection: socket.socket) -> tuple[dict, list[int]]:
    head, streams, *_ = socket.recv_fds(connection, 4, 3)
    message = b""
    while len(message) < int.from_bytes(head, "big"):
        message += connection.recv(1 << 20)
    return json.loads(message), streams


def _begun(listener: socket.socket) -> tuple[dict, list[int]]:
    """Wait for programs; returns in each of them, never in the process that waits, which ends with its input."""
    while True:
        if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
            os._exit(0)
        connection = listener.accept()[0]
        message, streams = _received(connection)
        for module, words in LATER.items():
            if any(word in text for text in message["arguments"] for word in words):
                with contextlib.suppress(ImportError):  # the program will say so
                    importlib.import_module(module)
        if os.fork() == 0:
            listener.close()
            if (program := os.fork()) == 0:
                connection.close()
                return message, streams
            code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
            connection.sendall(code.to_bytes(4, "big", signed=True))
            os._exit(0)
        connection.close()
        for stream in streams:
            os.close(stream)
        while _gone():
            pass


def _gone() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _serve(place: str) -> None:
    with contextlib.suppress(ImportError):  # in the light lane it is absent, and what begins here does without
        import torch  # noqa: F401

    base = [path for path in sys.path if path != str(Path(__file__).parent)]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        message, streams = _begun(listener)
    for number, (name, stream) in enumerate(zip(("stdin", "stdout", "stderr"), streams)):
        os.dup2(stream, number)
        os.close(stream)
        # Python's own were made for what was open when the warm process began: a file, where this is a pipe.
        made = open(number, "w" if number else "r", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)
    os.chdir(message["cwd"])
    os.environ.clear()
    os.environ.update(message["env"])
    if message["env"].get("PYTHONWARNINGS") != "error":
        warnings.filters.remove(("error", None, Warning, None, 0))
        sys.warnoptions.clear()
    more = message["env"].get("PYTHONPATH")
    sys.path[:] = ["", *(more.split(os.pathsep) if more else ()), *base]
    kind, what, *rest = message["arguments"]
    sys.argv[:] = [kind, *rest]
    if kind == "-m":
        sys.path[0] = message["cwd"]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    exec(compile(what, "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    _serve(sys.argv[1])
