"""Schedules: what each parameter, and each operation on it, is kept in and computed with; the first match by path.

[defaults]                  # every key of `Rule`; what a rule does not say is taken from here
dtype = "bfloat16"

[[rule]]
match = ["*.conv*", "*_postnet.*"]     # parameter paths, with * and ?
fidelity = "hifi4"
accumulation = "float32"

[buckets]                   # axis of a stage → the lengths that a runner pads it to, or one number: its multiples
T = [128, 256, 384, 512]

[cache]                     # of decode attention: every key of `CacheRule`
layout = "paged"
lengths = [256, 512, 1024, 2048]

[parallel]                  # on a mesh: which linear layers are cut along outputs, and which along inputs
column = ["*.q_proj", "*.k_proj", "*.v_proj"]
row = ["*.out_proj"]
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
CACHE: dict[str, tuple[str, ...]] = {
    "layout": ("paged", "contiguous"),
    "dtype": CHOICES["dtype"] or (),
    "fidelity": CHOICES["fidelity"] or (),
    "accumulation": CHOICES["accumulation"] or (),
}
TILE = 32  # rows and columns of a tile: what lengths are multiples of
CUTS = ("column", "heads", "row")


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
class CacheRule:
    """The caches of decode attention. `layout` "paged": blocks of `block` steps and a page table; or "contiguous".

    `dtype` is what keys and values are kept in, `fidelity` and `accumulation` are the attention's, whose result is kept
    in the defaults' `output`. `lengths` are the numbers of steps that a cache may have room for; () for any multiple of
    `block`.
    """

    layout: str = "paged"
    block: int = TILE
    dtype: str = "bfloat16"
    fidelity: str = "hifi4"
    accumulation: str = "float32"
    lengths: tuple[int, ...] = ()
    output: str = "bfloat16"
    place: str = ""

    @property
    def rule(self) -> Rule:
        """What the cache's own operations are run by."""
        return Rule(self.dtype, self.dtype, self.fidelity, self.accumulation, place=self.place)

    @property
    def attention(self) -> Rule:
        """What attention to it is run by."""
        return dataclasses.replace(self.rule, output=self.output)

    def room(self, steps: int) -> int:
        """The least length that has room for `steps`. Raises BackendError over the largest one."""
        if not self.lengths:
            return -(-steps // self.block) * self.block
        return _least(
            self.lengths, steps, "a decoder's cache", "steps", f"{self.place}, lengths = {list(self.lengths)}"
        )


@dataclass(frozen=True)
class Schedule:
    """Rules in order; `buckets` axis → the lengths that a runner pads it to (a number: its multiples).

    `cache` is about decode attention, `parallel` about a mesh: cut ("column", "heads", "row") → patterns of layers.
    """

    name: str
    defaults: Rule = field(default_factory=Rule)
    rules: Sequence[tuple[tuple[str, ...], Rule]] = ()
    buckets: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)
    cache: CacheRule = field(default_factory=CacheRule)
    parallel: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    file: str = ""

    def rule(self, path: str) -> Rule:
        """The first rule whose pattern is the parameter's path, else the defaults."""
        for patterns, rule in self.rules:
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
                return rule
        return self.defaults

    def bucket(self, stage: str, axis: str, n: int) -> int:
        """The length to which a stage's axis of n is padded. Raises BackendError over the largest bucket."""
        if axis == "S":  # the steps said: what a cache has room for
            return self.cache.room(n)
        lengths = self.buckets.get(axis)
        if lengths is None:
            return n
        if isinstance(lengths, int):
            return -(-n // lengths) * lengths
        return _least(lengths, n, f"stage {stage}", f"along {axis}", f"{self.file}, buckets, {axis} = {list(lengths)}")

    def cut(self, path: str) -> str:
        """How a linear layer is cut over a mesh: "column", "heads" (results side by side, each cut), "row" or ""."""
        for cut, patterns in self.parallel.items():
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
                return cut
        return ""


def _least(lengths: Sequence[int], n: int, who: str, what: str, line: str) -> int:
    for length in lengths:
        if n <= length:
            return length
    raise BackendError(
        f"{who} has {n} {what}, the largest bucket has room for {lengths[-1]} ({line}): add a longer one there, or "
        "give a shorter text"
    )


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
    _known(about, ("defaults", "rule", "buckets", "cache", "parallel"), name)
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
    buckets = _section(about, "buckets", name)
    buckets = {axis: _lengths(given, f"{name}, buckets, {axis}") for axis, given in buckets.items()}
    cache = _cache(_section(about, "cache", name), defaults, f"{name}, cache")
    parallel = _parallel(_section(about, "parallel", name), f"{name}, parallel")
    return Schedule(name.removesuffix(".toml"), defaults, tuple(rules), buckets, cache, parallel, name)


def _section(about: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
    given = about.get(key, {})
    if not isinstance(given, Mapping):
        raise BackendError(f"{name}: {key} is {str(given)[:60]!r}: write [{key}] and what belongs to it below")
    return given


def _lengths(given: Any, place: str) -> int | tuple[int, ...]:
    if _tiles(given):
        return given
    if isinstance(given, list) and given and all(map(_tiles, given)) and given == sorted(set(given)):
        return tuple(given)
    raise BackendError(
        f"{place} is {str(given)[:60]}: give rising multiples of 32, the side of a tile, or one of them, up to {MOST}"
    )


def _cache(given: Mapping[str, Any], base: Rule, place: str) -> CacheRule:
    _known(given, (*CACHE, "block", "lengths"), place)
    for key, words in CACHE.items():
        if key in given and given[key] not in words:
            raise BackendError(f"{place}: {key} is {given[key]!r}: choose one of {', '.join(words)}")
    usual = {"dtype": base.output, "fidelity": base.fidelity, "accumulation": base.accumulation}
    values = {**usual, **given}
    if not _tiles(values.get("block", TILE)):
        raise BackendError(f"{place}: block is {values['block']!r}: give a multiple of 32, the side of a tile")
    if "lengths" in values:
        lengths, block = _lengths(values["lengths"], f"{place}, lengths"), values.get("block", TILE)
        values["lengths"] = lengths if isinstance(lengths, tuple) else (lengths,)
        if any(n % block for n in values["lengths"]):
            raise BackendError(f"{place}, lengths is {list(values['lengths'])}: give multiples of the block of {block}")
    return CacheRule(**values, output=base.output, place=place)


def _parallel(given: Mapping[str, Any], place: str) -> dict[str, tuple[str, ...]]:
    _known(given, CUTS, place)
    for key, patterns in given.items():
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise BackendError(f"{place}: {key} is {patterns!r}: give a list of patterns of layers' paths")
    return {key: tuple(patterns) for key, patterns in given.items()}


def _tiles(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 0 < size <= MOST and size % TILE == 0


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
