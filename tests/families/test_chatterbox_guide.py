"""The examples of docs/guide/chatterbox.md, run on small checkpoints; its table has every setting."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import chatterbox_models as models
import pytest
import soundfile

import portavoz
from portavoz.cli.main import main
from portavoz.families.chatterbox.loop import Chatterbox
from portavoz.families.chatterbox.voice import OPTIONS

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "chatterbox.md").read_text(encoding="utf-8")
SHELL = [line for block in re.findall(r"^```sh\n(.*?)^```", GUIDE, re.M | re.S) for line in block.splitlines()]
CODE = re.findall(r"^```py\n(.*?)^```", GUIDE, re.M | re.S)
COMPILED = [line for line in SHELL if "--runtime" in line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("guide")
    models.published(place / "chatterbox")
    models.published(place / "chatterbox-turbo", "tiny-turbo")
    soundfile.write(place / "me.wav", models.speech(5.3, 24_000), 24_000)
    (place / "book.txt").write_text("One line. Another one.\n")
    return place


@pytest.fixture(autouse=True)
def few_tokens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights hardly ever stop by themselves."""
    inner = Chatterbox.generation
    monkeypatch.setattr(Chatterbox, "generation", lambda self, **given: inner(self, **{**given, "most": 30}))
    monkeypatch.chdir(folder)
    return


def run(line: str) -> None:
    command = shlex.split(line.partition(" | ")[0], comments=True)
    assert command[0] == "portavoz"
    assert main(command[1:]) == 0
    if "-" not in command:
        output = Path(command[command.index("-o") + 1])
        assert soundfile.info(output).duration > 0.5


@pytest.mark.parametrize("line", [line for line in SHELL if line not in COMPILED])
def test_a_command_of_the_guide_speaks(line: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    run(line)
    if "-o -" in line:
        assert len(capsysbinary.readouterr().out) > 24_000


@pytest.mark.slow
@pytest.mark.parametrize("line", COMPILED)
def test_a_command_of_the_guide_speaks_on_a_compiled_runtime(line: str) -> None:
    run(line)


def test_the_code_of_the_guide_runs() -> None:
    said: dict[str, Any] = {"portavoz": portavoz}
    exec(CODE[0], said)
    assert said["speech"].duration > 0.5
    assert said["piece"].rate == 24_000


def test_the_guide_says_every_setting_and_every_default() -> None:
    table = GUIDE[GUIDE.index("| setting |") : GUIDE.index("The same `seed`")] + GUIDE[GUIDE.index("## Watermark") :]
    for name in OPTIONS:
        assert f"`{name}`" in table or f"--set {name}=" in table, name
