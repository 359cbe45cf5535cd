"""Schedules: what each parameter, and each operation on it, is kept in and computed with; the first match by path.

[defaults]                  # every key of `Rule`; what a rule does not say is taken from here
dtype = "bfloat16"

[[rule]]
match = ["*.conv*", "*_postnet.*"]     # parameter paths, with * and ?
fidelity = "hifi4"
accumulation = "float32"
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...config_reader import LONGEST, MOST
from ...errors import BackendError
from ...input_files import MIB, Kind, is_file, read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Bytes of a number; the exponents that 16 numbers of a block float share are in it.
BYTES = {"float32": 4.0, "bfloat16": 2.0, "bfloat8_b": 1.0625, "bfloat4_b": 0.5625}
SETTING = Kind("a TOML file", MIB // 4)
CORES = 1024  # of a side of a grid
FOLDER = Path(__file__).parent / "schedule"
# Key → the words that it may have; None: numbers.
CHOICES: dict[str, tuple[str, ...] | None] = {
    "dtype": ("float32", "bfloat16", "bfloat8_b", "bfloat4_b"),
    "output": ("float32", "bfloat16", "bfloat8_b", "bfloat4_b"),
    "fidelity": ("lofi", "hifi2", "hifi3", "hifi4"),
    "accumulation": ("float32", "bfloat16"),
    "memory": ("dram", "l1"),
    "shard": ("none", "height", "width", "block"),
    "grid": None,
}


@dataclass(frozen=True)
class Rule:
    """How a parameter is stored (`dtype`, `memory`, `shard`, `grid` of cores) and how an operation with it computes.

    `fidelity` and `accumulation` (of the destination register) are the matrix unit's; `output` is the dtype of what the
    operation gives. `place` says where the rule stands: "bfloat16.toml, rule 2 (*.conv*)".
    """

    dtype: str = "bfloat16"
    output: str = "bfloat16"
    fidelity: str = "hifi4"
    accumulation: str = "float32"
    memory: str = "dram"
    shard: str = "none"
    grid: tuple[int, int] = (8, 8)
    place: str = ""

    @property
    def exact(self) -> bool:
        """Whether float32 sums of all products are what the matrix unit gives (see number.matmul)."""
        return self.fidelity in ("hifi3", "hifi4") and self.accumulation == "float32"


@dataclass(frozen=True)
class Schedule:
    """Rules in order; `buckets` axis → the multiples to which a runner pads it."""

    name: str
    defaults: Rule = field(default_factory=Rule)
    rules: Sequence[tuple[tuple[str, ...], Rule]] = ()
    buckets: Mapping[str, int] = field(default_factory=dict)

    def rule(self, path: str) -> Rule:
        """The first rule whose pattern is the parameter's path, else the defaults."""
        for patterns, rule in self.rules:
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
                return rule
        return self.defaults


def names() -> list[str]:
    """The schedules that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str | Path) -> Schedule:
    """A schedule by its name, or from a TOML file. Raises BackendError naming the file, the rule and the key."""
    path = FOLDER / f"{name}.toml" if str(name) in names() else Path(name)
    if not is_file(path):
        raise BackendError(f"there is no ttnn schedule {str(name)!r}: choose {', '.join(names())}, or give a TOML file")
    try:
        about = tomllib.loads(read_text(path, SETTING, error=BackendError))
    except (ValueError, RecursionError) as problem:
        raise BackendError(f"{path}: cannot be read as TOML ({problem}); correct it") from problem
    return read(about, path.name)


def read(about: Mapping[str, Any], name: str) -> Schedule:
    """A schedule from plain values. Raises BackendError."""
    _known(about, ("defaults", "rule", "buckets"), name)
    defaults = _rule(about.get("defaults", {}), Rule(), f"{name}, defaults")
    rules: list[tuple[tuple[str, ...], Rule]] = []
    found = about.get("rule", [])
    if not isinstance(found, list) or len(found) > LONGEST or not all(isinstance(given, dict) for given in found):
        raise BackendError(f"{name}: rule is {str(found)[:60]!r}: write [[rule]] above each, {LONGEST} at most")
    for n, given in enumerate(found, 1):
        match = given.get("match")
        patterns = (match,) if isinstance(match, str) else tuple(match) if isinstance(match, list) else ()
        if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
            raise BackendError(f"{name}, rule {n}: match is {match!r}: give a pattern of paths, or a list of them")
        values = {key: value for key, value in given.items() if key != "match"}
        rules.append((patterns, _rule(values, defaults, f"{name}, rule {n} ({', '.join(patterns)})")))
    buckets = about.get("buckets", {})
    if not isinstance(buckets, dict) or not all(_tiles(size) for size in buckets.values()):
        raise BackendError(f"{name}: buckets are {buckets}: give multiples of 32, the side of a tile, up to {MOST}")
    return Schedule(name.removesuffix(".toml"), defaults, tuple(rules), dict(buckets))


def _tiles(size: Any) -> bool:
    return isinstance(size, int) and 0 < size <= MOST and size % 32 == 0


def _rule(given: Any, base: Rule, place: str) -> Rule:
    if not isinstance(given, Mapping):
        raise BackendError(f"{place}: {str(given)[:60]!r}, wanted keys and values: {', '.join(CHOICES)}")
    _known(given, tuple(CHOICES), place)
    for key, value in given.items():
        words = CHOICES[key]
        if words is None:
            if not (
                isinstance(value, list)
                and len(value) == 2
                and all(isinstance(n, int) and 0 < n <= CORES for n in value)
            ):
                raise BackendError(f"{place}: {key} is {value!r}: give rows and columns of cores, such as [8, 8]")
        elif value not in words:
            raise BackendError(f"{place}: {key} is {value!r}: choose one of {', '.join(words)}")
    values = {key: tuple(value) if key == "grid" else value for key, value in given.items()}
    return dataclasses.replace(base, **values, place=place)


def _known(given: Mapping[str, Any], keys: Sequence[str], place: str) -> None:
    for key in given:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(keys)}"
            raise BackendError(f"{place}: unknown key {key!r}; {hint}")
