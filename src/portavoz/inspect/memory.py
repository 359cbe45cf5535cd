"""The memory use of this process."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def peak_memory() -> float | None:
    """The peak memory of this process in MB; None if the system does not report it."""
    try:
        # Not getrusage: on Linux its peak includes that of the process which started this one.
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) * 1024 / 1e6 if found else None
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
