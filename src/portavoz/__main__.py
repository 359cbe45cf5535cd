"""``python -m portavoz`` is the command ``portavoz``."""

from __future__ import annotations

import signal
import sys

from . import interrupts
from .cli import exit_codes


def start() -> int:
    """The process's whole life: signals are handled before anything else is imported. Returns the exit code."""
    try:
        interrupts.install()
        from .cli.main import main

        return main()
    except KeyboardInterrupt as error:
        return exit_codes.SIGNAL + getattr(error, "number", signal.SIGINT)
    finally:
        # All output is written: a signal that comes while Python takes itself down shall print nothing.
        interrupts.restore_defaults()


if __name__ == "__main__":
    sys.exit(start())
