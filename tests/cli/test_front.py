"""The front of the command line: light, helpful, and one line for what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from portavoz import __version__
from portavoz.cli.main import COMMANDS, GROUPS, main

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


PATHS = [(name,) for name in COMMANDS] + [(group, verb) for group, verbs in GROUPS.items() for verb in verbs]


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What --help prints, its blanks made one."""
    with pytest.raises(SystemExit) as leaving:
        main([*words, "--help"])
    assert leaving.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_help_of_a_group_names_every_command(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [group] if group else []
    shown = helped(capsys, *words)
    commands = GROUPS[group] if group else COMMANDS
    assert all(re.search(rf"\n +{name}( \(\w+\))?\s+{re.escape(about)}\n", shown) for name, about in commands.items())
    assert main(words) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("words", PATHS, ids=" ".join)
def test_each_command_has_help_with_examples(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    shown = helped(capsys, *words)
    assert "\nexamples:\n" in shown
    assert shown.count(f"portavoz {' '.join(words)}") >= 2


def test_the_old_name_of_the_selftest_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    assert helped(capsys, "lab", "plant").replace("lab plant", "lab selftest") == helped(capsys, "lab", "selftest")


def test_each_command_lists_its_own_options_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--every" in helped(capsys, "lab", "trace")
    assert "--every" not in (compare := helped(capsys, "lab", "compare")) and "--since" in compare
    assert "--trust-pickle" in helped(capsys, "weights", "convert")
    assert "--trust-pickle" not in helped(capsys, "weights", "audit")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"portavoz {__version__}\n"


def test_help_is_light() -> None:
    """No help of any command imports a package that is heavy, or NumPy."""
    code = f"""
import sys
from portavoz.cli.main import main
for words in {PATHS!r}:
    try: main([*words, "--help"])
    except SystemExit: pass
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "portavoz.cli.commands.say" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["sya"], "'portavoz' has no command 'sya': did you mean 'say'?"),
        (["--loud"], "unrecognized arguments: --loud"),
        (["say", "Hello.", "--loud"], "unrecognized arguments: --loud"),
        (["say", "Hello.", "--speed", "fast"], "invalid float value: 'fast'"),
        (["say", "Hello.", "--spee", "2"], "unrecognized arguments: --spee 2"),
        (["say", "Hello.", "--timestamps", "ass"], "invalid choice: 'ass'"),
        (["say"], "give one text"),
        (["say", "Hello.", "--file", "x"], "give one text"),
        (["lab", "comparee", "a", "b"], "'portavoz lab' has no command 'comparee': did you mean 'compare'?"),
        (["lab", "help"], "'portavoz lab' has no command 'help': use 'portavoz lab --help'"),
        (["weights", "burn", "a"], "'portavoz weights' has no command 'burn': choose one of audit, convert"),
        (["say", "hello", "world", "-o", "x.wav"], "arguments: world; put a text of several words in quotes"),
        (["say", "-good", "day"], "a text that begins with '-' goes after '--'"),
        (["text", "-hello"], "unrecognized arguments: -hello; a text that begins with '-' goes after '--'"),
        (["train"], "the following arguments are required"),
    ],
)
def test_wrong_command_lines_are_one_line(refused, line: list[str], said: str) -> None:
    assert said in refused(*line)


FRAMEWORKS = {"torch", "onnxruntime", "onnx", "openvino", "mlx", "jax", "ray", "matplotlib"}
REFUSED = [
    ["say", "Hi.", "-o", "x.doc"], ["say", "Hi.", "-o", "nowhere/x.wav"], ["say", "Hi.", "--lexicon", "nowhere"],
    ["say", "Hi.", "--speed", "0"], ["say", "Hi.", "--batch", "0"], ["say", "Hi.", "--plot", "nowhere/x.png"],
    ["say", "Hi.", "--speaker", "a.npy:0.7+b.npy"], ["say", "Hi.", "--prompt", "a.wav"], ["say", "Hi.", "--rate", "5"],
    ["say", "Hi.", "--runtime", "abacus"], ["say", "Hi.", "--set", "a=1"], ["bulk", "nowhere.csv", "out"],
    ["show", "nowhere"], ["train", "nowhere.yaml", "--out", "o"], ["compress", "nowhere", "-o", "o", "--as", "int8"],
    ["compress", "heart", "-o", "full", "--as", "int8"], ["compress", ".", "-o", "o", "--as", "int8"],
    ["evaluate", "--only", "mcd"], ["evaluate", "--count", "0"], ["evaluate", "--mos", "nowhere"],
    ["listen", "heart", "-o", "x.doc"], ["listen", "nowhere", "-o", "x.html"], ["weights", "audit", "nowhere"],
    ["weights", "convert", "nowhere", "x.safetensors"], ["weights", "repair", "nowhere"], ["weights", "diff", "a", "b"],
    ["lab", "compare", "nowhere", "x"], ["lab", "compare", "compact", "compact", "--html", "nowhere/x.html"],
    ["lab", "trace", "compact", "-o", "nowhere/x"], ["lab", "check", "nowhere"],
    ["lab", "kit", "compact", "-o", "full"],
    ["lab", "kit", "compact", "-o", "k", "--layout", "abacus"], ["lab", "swap", "nowhere", "heart"],
    ["lab", "swap", "heart", "./full@abacus"], ["lab", "swap", "heart", "heart", "--wave", "full"],
    ["lab", "swap", "piper", "piper"], ["lab", "precision", "nowhere"], ["lab", "signals", "--voice", "nowhere"],
    ["lab", "signals", "nowhere.wav"], ["lab", "selftest", "--family", "abacus"], ["lab", "selftest", "--clean", "-1"],
    ["serve", "--slots", "0"], ["serve", "--config", "nowhere"], ["tune", "nowhere"],
    ["tune", "heart", "--floor", "-1"],
    ["tune", "heart"], ["bench", "abacus"],
]  # fmt: skip


def test_wrong_values_are_refused_before_a_framework_is_imported(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    code = f"""
import sys
from portavoz.cli.main import main
for words in {REFUSED!r}:
    code = main(words)
    print(*words, code, *sorted(set(sys.modules) & {FRAMEWORKS!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{' '.join(words)} 2" for words in REFUSED]
    assert done.stderr.count("\n") == len(REFUSED)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


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
