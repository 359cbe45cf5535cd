"""The front of the command line: light, helpful, and one line for what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from portavoz import __version__
from portavoz.cli import COMMANDS, main

HEAVY = {
    "numpy",
    "torch",
    "onnxruntime",
    "soundfile",
    "soxr",
    "num2words",
    "safetensors",
    "rich",
    "typer",
    "matplotlib",
}


def test_front_page_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["--help"])
    assert leaving.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown and about in shown for name, about in COMMANDS.items())
    assert main([]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([name, "--help"])
    assert leaving.value.code == 0
    shown = capsys.readouterr().out
    assert "\nexamples:\n" in shown
    assert shown.count(f"portavoz {name}") >= 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"portavoz {__version__}\n"


def test_help_is_light() -> None:
    """In processor time, which a busy machine does not stretch; nothing heavy is imported."""
    code = "import sys; from portavoz.cli import run\ntry: run(['say', '--help'])\nfinally: print(*sys.modules)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    loaded = set(child.stdout.read().splitlines()[-1].split())
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    assert child.returncode == 0
    assert "portavoz.cli.commands.say" in loaded
    assert not loaded & HEAVY
    assert used.ru_utime + used.ru_stime < 0.3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["sya"], "there is no command 'sya': did you mean 'say'?"),
        (["--loud"], "unrecognized arguments: --loud"),
        (["say", "Hello.", "--loud"], "unrecognized arguments: --loud"),
        (["say", "Hello.", "--speed", "fast"], "invalid float value: 'fast'"),
        (["say", "Hello.", "--spee", "2"], "unrecognized arguments: --spee 2"),
        (["say", "Hello.", "--timestamps", "vtt"], "invalid choice: 'vtt'"),
        (["say"], "give one text"),
        (["say", "Hello.", "--file", "x"], "give one text"),
        (["train"], "the following arguments are required"),
    ],
)
def test_wrong_command_lines_are_one_line(refused, line: list[str], said: str) -> None:
    assert said in refused(*line)


def test_a_full_disk_behind_standard_output_is_one_line(process) -> None:
    with open("/dev/full", "wb") as full:
        done = process("text", "Hello.", stdout=full)
        err = done.communicate()[1].decode()
    assert done.returncode == 2
    assert err == "portavoz: standard output: cannot be written (No space left on device); send it elsewhere\n"


def test_closed_pipe_is_silent(process) -> None:
    read, write = os.pipe()
    os.close(read)
    done = process("text", "Hello. " * 2000, stdout=write)
    os.close(write)
    assert done.communicate()[1] == b""
    assert done.returncode == 141


def test_module_is_the_command(process) -> None:
    done = process("--version")
    assert done.communicate() == (f"portavoz {__version__}\n".encode(), b"")
    assert done.returncode == 0
