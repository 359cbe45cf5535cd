"""Every error that portavoz raises on purpose.

Each message is one sentence that says where, what was there, what was wanted and what to do; the command
line prints it alone and exits 2.
"""

from collections.abc import Generator
from contextlib import contextmanager

LONGEST = 1500  # characters of a message; a value out of a file, repeated in it, may have any length


class PortavozError(Exception):
    """The parent of all of them: catching this catches what portavoz refuses, and nothing else."""

    def __init__(self, message: str = "") -> None:
        cut = len(message) > LONGEST
        super().__init__(f"{message[: LONGEST - 500]} … {message[-400:]}" if cut else message)


class InputError(PortavozError):
    """A text, an audio file, an option or a path that the caller can mend."""


class WeightError(PortavozError):
    """Weights that do not fit the model: missing, mis-shaped, left over, or never trained."""


class SpecError(PortavozError):
    """Two stages that cannot be joined, or a configuration that contradicts itself."""


class MissingExtra(PortavozError):
    """A package that an optional feature needs is not installed; the message names the pip extra."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        install = f"'portavoz[{extra}]'" if extra else package
        super().__init__(f"{purpose} needs the package '{package}': pip install {install}")
        self.package, self.extra = package, extra


@contextmanager
def needed(package: str, extra: str, purpose: str) -> Generator[None, None, None]:
    """Around an import: raises MissingExtra where the package is not there."""
    try:
        yield
    except ImportError as problem:
        raise MissingExtra(package, extra, purpose) from problem


class BackendError(PortavozError):
    """A device or a runtime that is not there, or that cannot do what was asked of it."""


class DeadlineError(PortavozError):
    """Work that was stopped because it took longer than it may; see `deadline.time_limit`."""


class JobError(PortavozError):
    """A long job (training, bulk synthesis) that cannot go on; what was finished is kept."""


class ProgramError(PortavozError):
    """A program that the caller named raised an error; the command line exits with 4."""
