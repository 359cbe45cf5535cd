"""A kit for people who port a family in another language: what to say it with, what must come out, in which order.

    kit.json               the family's configuration, every tensor's shape and checksum, the stages in order
    weights.safetensors    tiny sensitised weights, in the layout that was asked for
    inputs.safetensors     what one run is given
    goldens/0-words.trace  every word by itself; then 1-… one trace for each stage, in the order to bring them up
    expected.json          decisions: durations, or the step at which each row stops
    README.md              what to do first, second, …

The goldens are traces (docs/porting.md), and so is what a port hands in: `open_kit` makes the kit's reference run on
the kit's own weights and inputs, and `progress` says how far a port has come.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic, new_folder
from ...config_reader import read_object
from ...errors import InputError, PortavozError
from ...families.spec import Arrays
from ...input_files import is_file, sha256
from ...weights import file
from ...weights.layout import known, relayout
from ..forcing.noise_floor import traced
from ..instrument.observer import Observer, Program
from ..report.verdict import Verdict, unit_of
from ..trace.reader import read
from ..trace.recorder import FileSink
from ..trace.trace import Trace
from . import subject as subjects
from .page import page
from .subject import KitSubject
from .vectors import PREFIX, Vectors, cases

FORMAT, VERSION = "portavoz-kit", 1
WORDS = "words"  # the stage that has no order


class SequentialProgram:
    """Several subjects, one after the other, as one."""

    def __init__(self, name: str, parts: list[Program]) -> None:
        self.name, self.parts = name, parts

    def run(self, observer: Observer, *, float64: bool = False) -> None:
        """Run each once under the visitor."""
        for part in self.parts:
            part.run(observer, float64=float64)


@dataclass(frozen=True, slots=True)
class Kit:
    """An opened kit: its folder, what kit.json says, and the reference on the kit's own weights and inputs."""

    folder: Path
    about: dict[str, Any]
    subject: Program


@dataclass(frozen=True, slots=True)
class Progress:
    """One stage: how many of its units the port handed in and were judged, how many of them are wrong."""

    stage: str
    golden: str
    units: int
    judged: int
    wrong: int

    @property
    def done(self) -> bool:
        """Whether all of it was judged and found right."""
        return self.judged == self.units and not self.wrong

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "done": self.done}


def write(family: str, folder: str | Path, *, layout: str = "torch", config: str = "") -> dict[str, Any]:
    """Write a kit and give what kit.json says. Raises InputError for a family, layout or configuration there is not.

    The same arguments make the same bytes; the goldens do not depend on the layout.
    """
    if layout not in known():
        raise InputError(f"there is no layout {layout!r}: choose one of {', '.join(known())}")
    kind = subjects.named(family, config)
    folder = new_folder(folder)
    (folder / "goldens").mkdir()
    arrays, roles = kind.weights()
    words = {f"{case.path}.{role}": (a, case.op if role == "weight" else "") for case in cases()
             for role, a in case.weights.items()}  # fmt: skip
    arrays = {**arrays, **{k: a for k, (a, _) in words.items()}}
    roles = {**roles, **{k: r for k, (_, r) in words.items()}}
    stored = {k: np.asarray(relayout(a, roles[k], "torch", layout), order="C") for k, a in arrays.items()}
    inputs = kind.probe.inputs(kind.config, 0, None)
    file.write(folder / "weights.safetensors", stored, {"layout": layout})
    file.write(folder / "inputs.safetensors", inputs, {})
    whole = traced(_subject(kind, arrays, inputs))
    stages = _goldens(whole, kind, folder)
    expected = kind.expected(whole)
    about: dict[str, Any] = {
        "format": FORMAT, "version": VERSION, "family": family, "name": kind.name, "layout": layout,
        "config": kind.family.values(kind.config), "stages": stages, "expected": expected,
        "tensors": {k: {"shape": list(a.shape), "role": roles[k], "check": checksum(a)} for k, a in stored.items()},
    }  # fmt: skip
    _text(folder / "expected.json", _json(expected))
    _text(folder / "README.md", page(about, kind, inputs))
    about["files"] = {str(p.relative_to(folder)): sha256(p) for p in _files(folder, stages)}
    _text(folder / "kit.json", _json(about))
    return about


def checksum(a: NDArray[Any]) -> float:
    """The sum of each number times 1 + its place modulo 251, in the order of the file: other axes, another sum."""
    flat = np.ascontiguousarray(a, np.float64).ravel()
    return float(f"{float((flat * (1 + np.arange(flat.size) % 251)).sum()):.9g}")


def open_kit(folder: str | Path) -> Kit:
    """A kit that `write` made. Raises InputError for a folder that is none, or whose files are damaged."""
    folder = Path(folder)
    about = read_object(folder / "kit.json", "no kit without it: make one with portavoz lab kit FAMILY")
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise InputError(f"{folder}: kit.json is not of this portavoz' version {VERSION}; make the kit again")
    try:
        tensors, layout = about["tensors"], about["layout"]
        stored, inputs = (file.read(folder / f"{name}.safetensors")[0] for name in ("weights", "inputs"))
        arrays = {k: relayout(a, tensors[k]["role"], layout, "torch") for k, a in stored.items()}
        kind = subjects.of(about["family"], about["config"])
        if not all(isinstance(stage[key], str) for stage in about["stages"] for key in ("name", "file")):
            raise TypeError("stages without names and files")
        subject = _subject(kind, arrays, inputs)
    except (KeyError, TypeError, ValueError, AttributeError, PortavozError) as problem:
        raise InputError(f"{folder}: the kit is damaged ({str(problem)[:300]}); make it again") from problem
    return Kit(folder, about, subject)


def is_kit(name: str) -> bool:
    """Whether this is a kit's folder."""
    return is_file(Path(name) / "kit.json")


def progress(kit: Kit, verdict: Verdict) -> list[Progress]:
    """How far a port has come, stage by stage. What it fuses counts where it handed in something of that stage."""
    met = {check.ref for check in verdict.checks}
    wrong = {unit for c in verdict.faults for unit in (c.unit, *c.shared)}
    left = set(verdict.pairing.uncovered)
    out: list[Progress] = []
    for stage in kit.about["stages"]:
        keys = list(read(kit.folder / stage["file"]).units)
        judged = len([k for k in keys if k not in left]) if met.intersection(keys) else 0
        judged = judged if stage["name"] != WORDS else len(met.intersection(keys))
        bad = len({unit_of(key) for key in keys} & wrong)
        out.append(Progress(stage["name"], stage["file"], len(keys), judged, bad))
    return out


def settle(verdict: Verdict, stages: list[Progress]) -> Verdict:
    """The verdict on these stages of a kit: PASS when each is done, whatever the others lack."""
    if verdict.answer == "FAIL":
        return verdict
    open_ = [stage.stage for stage in stages if not stage.done]
    names = ", ".join(stage.stage for stage in stages)
    verdict.answer = "UNDECIDABLE" if open_ else "PASS"
    verdict.reason = f"missing, or partial: {', '.join(open_)}" if open_ else f"every unit of {names} passed"
    return verdict


def _subject(kind: KitSubject, arrays: Mapping[str, NDArray[Any]], inputs: Arrays) -> Program:
    words = Vectors({k: a for k, a in arrays.items() if k.startswith(PREFIX)})
    model = {k: a for k, a in arrays.items() if not k.startswith(PREFIX)}
    return SequentialProgram(kind.name, [words, kind.program(model, inputs)])


def _goldens(whole: Trace, kind: KitSubject, folder: Path) -> list[dict[str, Any]]:
    """One trace for each stage, and what kit.json says of them."""
    starts = [(WORDS, f"{PREFIX}*"), *kind.probe.bring_up(kind.config)]
    keys: dict[str, list[str]] = {name: [] for name, _ in starts}
    now = 0
    for key in whole.units:
        if now + 1 < len(starts) and fnmatch.fnmatchcase(key, starts[now + 1][1]):
            now += 1
        keys[starts[now][0]].append(key)
    out: list[dict[str, Any]] = []
    for n, (name, _) in enumerate(starts):
        target = f"goldens/{n}-{name}.trace"
        _part(whole, keys[name], folder / target)
        gives = [key for key in keys[name] if whole.units[key].kind == "value"]
        out.append({"name": name, "file": target, "units": len(keys[name]), "gives": gives})
    return out


def _part(whole: Trace, keys: list[str], path: Path) -> None:
    part = Trace(whole.name)
    part.producer, part.precision = whole.name, whole.precision
    part.units = {key: whole.units[key] for key in keys}
    part.layers = {p: whole.layers[p] for p in dict.fromkeys(u.path for u in part.units.values()) if p in whole.layers}
    part.floors = {key: whole.floors[key] for key in keys if key in whole.floors}
    with TemporaryFile() as body:
        sink = FileSink(part, body, once=False)  # every tensor by its own name: simpler to read elsewhere
        for key in keys:
            sink.put(whole.units[key], {place: whole.array(key, place) for place in whole.units[key].shapes})
        sink.finish(path)


def _files(folder: Path, stages: list[dict[str, Any]]) -> list[Path]:
    names = ["README.md", "expected.json", "inputs.safetensors", "weights.safetensors"]
    return [folder / name for name in (*names, *(stage["file"] for stage in stages))]


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _text(path: Path, text: str) -> None:
    with atomic(path, "w") as out:
        out.write(text)
