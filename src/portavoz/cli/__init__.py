"""The command line: `main` reads it, one thin file per command runs it."""

from .main import COMMANDS, main

__all__ = ["COMMANDS", "main"]
