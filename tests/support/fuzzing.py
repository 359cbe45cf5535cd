"""One fuzz case under limits of time and memory; what is neither accepted nor refused in a sentence is a defect."""

from __future__ import annotations

import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from portavoz.errors import PortavozError

SECONDS = 5.0  # of processor time that a case may take
MEMORY = 1 << 30  # bytes of address space that it may add


class TooSlow(BaseException):
    """A case took more than SECONDS. No Exception, so that no handler under test takes it for its own."""


def outcome(action: Callable[[], Any], *, limited: bool = True) -> str:
    """ "accepted", "refused", or what is wrong: the traceback's last lines, a missing sentence, a limit."""
    try:
        with limits() if limited else nullcontext(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            action()
    except PortavozError as problem:
        return refusal(str(problem))
    except TooSlow:
        return f"more than {SECONDS:g} s of processor time"
    except RecursionError:
        return "RecursionError"
    except Exception:  # noqa: BLE001 (what a case must not raise)
        return "".join(traceback.format_exc().splitlines(keepends=True)[-8:])
    return "accepted"


def refusal(sentence: str) -> str:
    """ "refused" for a sentence that a command can print in one line of bearable length."""
    if not sentence.strip() or len(sentence) > 1500:
        return f"a sentence of {len(sentence)} characters: {sentence[:80]!r}"
    return "refused"


@contextmanager
def limits() -> Iterator[None]:
    """Processor time and address space of one case. (RLIMIT_AS holds for the process: set, and put back.)"""

    def late(number: int, frame: object) -> None:
        raise TooSlow

    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as sizes:
        now = int(sizes.read().split()[0]) * resource.getpagesize()
    handler = signal.signal(signal.SIGVTALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, before[1]))
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGVTALRM, handler)


def run(
    cases: Iterator[Callable[[], Any]], *, count: int = 0, seconds: float = 0.0
) -> tuple[dict[str, int], list[str]]:
    """Cases until `count` of them, or `seconds` have passed: how many ended how, and the first defects."""
    seen, defects, stop = {"accepted": 0, "refused": 0, "defect": 0}, list[str](), time.monotonic() + seconds
    for number, case in enumerate(cases):
        if number == 0:
            outcome(case, limited=False)  # what it imports the first time is not the case's
        if (count and number >= count) or (seconds and time.monotonic() > stop):
            break
        found = outcome(case)
        kind = found if found in seen else "defect"
        seen[kind] += 1
        if kind == "defect" and len(defects) < 5:
            defects.append(f"case {number}: {found}")
    return seen, defects
