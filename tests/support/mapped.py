"""What of a mapped file is in memory."""

from pathlib import Path


def mapped(path: Path) -> float:
    """MiB of a mapped file in memory."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    starts = [i for i, line in enumerate(lines) if line.endswith(f" {path}")]
    return sum(int(next(one for one in lines[i:] if one.startswith("Rss:")).split()[1]) for i in starts) / 1024
