"""Playing a sound file with whatever player the system has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

# Command, and whether it plays more than WAV. The first that is there is used.
PLAYERS: tuple[tuple[tuple[str, ...], bool], ...] = (
    (("afplay",), True),
    (("paplay",), True),
    (("aplay", "-q"), False),
    (("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"), True),
    (("play", "-q"), True),
)


def players() -> dict[str, str]:
    """The players that are installed, name → path, in the order of preference."""
    found = {command[0]: shutil.which(command[0]) for command, _ in PLAYERS}
    return {name: path for name, path in found.items() if path}


def player(format: str = "wav") -> list[str] | None:
    """The command that plays a file of this format; None when there is none."""
    there = players()
    for command, every in PLAYERS:
        if command[0] in there and (every or format == "wav"):
            return [there[command[0]], *command[1:]]
    return None


def play(path: Path, command: list[str]) -> str:
    """Play a file to its end; gives what went wrong, "" when nothing did."""
    try:
        done = subprocess.run([*command, str(path.resolve())], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError as error:
        return f"{command[0]} could not be started ({error.strerror})"
    said = " ".join(done.stderr.split())[:200] or f"exit code {done.returncode}"
    return f"{Path(command[0]).name} could not play it ({said})" if done.returncode else ""
