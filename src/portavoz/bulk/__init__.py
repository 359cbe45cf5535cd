"""A corpus spoken once: a manifest in, one sound file per id out; resumable, on one machine or on a Ray cluster.

`check` reads a manifest and reports its bad lines and an estimate; `run` speaks it.
"""

from .job import Checked, check, run
from .settings import Settings

__all__ = ["Checked", "Settings", "check", "run"]
