"""The lab's own test: named faults are planted in a port, one or three at a time, and it must name them at their place.

Beside it the usual gates look at the same ports: Pearson's correlation of what comes out above 0.94 or 0.99, and the
first unit whose output differs in a plain run.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import families
from ...errors import InputError
from ...families.faults import Arrays, Fault
from ...families.pipeline import Request
from ...families.spec import FamilySpec, FaultCatalogue
from ...folder import describe, voices
from ...ops import installed
from ...ops import open as open_ops
from ...ops.base import Ops
from ..compare import forced, inventory, mirrored, propagated
from ..forcing.noise_floor import traced
from ..instrument.observer import Program
from ..metrics import distance
from ..probes import configured, probe_of, program, reference_program, torch_program
from ..report.verdict import Verdict
from ..trace.recorder import record
from ..trace.trace import Trace
from .scoring import Clean, Outcome, Score, total

__all__ = [
    "FaultTarget", "Score", "catalogue", "catalogues", "grade", "judge_one", "planted", "target", "total",
]  # fmt: skip

SENTENCES = ("The lab says one sentence.", "Yes.", "Numbers such as 1984 are read out, and so is $3.50!")
KINDS = ("edge", "leaf", "facts", "shape", "value", "weights")


@dataclass(slots=True)
class FaultTarget:
    """Where faults are planted: a reference, its trace, and how to make a port of it; `out` is what is heard."""

    reference: Program
    trace: Trace
    port: Callable[..., Any]
    arrays: Arrays
    out: str = "wave#0:out"


def catalogues() -> dict[str, FamilySpec]:
    """Every catalogue of faults, and the family that it belongs to."""
    return {name: family for family in families.all() for name in family.faults}


def _catalogue(name: str) -> tuple[FamilySpec, FaultCatalogue]:
    known = catalogues()
    if name not in known:
        raise InputError(f"there are no planted faults for the family {name!r}: choose one of {', '.join(known)}")
    return known[name], known[name].faults[name]


def catalogue(name: str) -> list[Fault]:
    """The faults of a catalogue. Raises InputError for a name without any."""
    return _catalogue(name)[1].faults()


def target(name: str, probe: str = "", seed: int = 0) -> FaultTarget:
    """Where a catalogue's faults are planted, in one configuration of the family's probe ("": the first)."""
    family, about = _catalogue(name)
    if about.port is not None:
        made = about.port()(seed)
        reference = torch_program(made.reference, f"{family.name}'s reference")

        def ported(*, arrays: Arrays = made.reference.arrays, edit: Any = None, ops: Any = None) -> Program:
            return torch_program(made.port(arrays, edit), name)

        return FaultTarget(reference, traced(reference, free_running=True), ported, made.reference.arrays, about.output)
    config = configured(family, probe)
    if about.against:
        reference, arrays = reference_program(family, config, name=about.against, seed=seed)
    else:
        reference = program(family, config, seed=seed, ops="numpy")
        arrays = dict(reference.arrays)

    def port(**how: Any) -> Program:
        return program(family, config, seed=seed, **{"arrays": arrays, **how})

    return FaultTarget(reference, traced(reference, free_running=True), port, dict(arrays), about.output)


def planted(ground: FaultTarget, faults: Iterable[Fault], backend: str = "torch") -> Any:
    """A port with these faults in it."""
    faults = list(faults)
    arrays = dict(ground.arrays)
    words: dict[str, Any] = {}
    for fault in faults:
        if fault.weights is not None:
            fault.weights(arrays)
        words |= fault.words or {}

    def edit(model: Any, vocoder: Any) -> None:
        for fault in faults:
            if fault.edit is not None:
                fault.edit(model, vocoder)

    def make() -> Ops:
        kind: Any = type(open_ops(backend))
        return type("Faulty", (kind,), words)()

    return ground.port(arrays=arrays, ops=make if words else backend, edit=edit)


def named(verdict: Verdict, fault: Fault) -> bool:
    """Whether a fault is among the faults."""
    every = [f"{one.kind}:{unit}" for one in verdict.faults for unit in (one.unit, *one.shared)]
    return any(re.match(fault.want, one) for one in every)


def judge_one(ground: FaultTarget, fault: Fault, method: str) -> Outcome:
    """Plant one fault, look for it, and ask the usual gates."""
    port = planted(ground, [fault])
    wants = [fault.want]
    if method == "forced":
        verdict = forced(ground.trace, port)
    else:
        if fault.want.startswith("kernel:"):
            # A dump shows what the kernel gave, not the kernel: the unit behind it is the nearest that both have.
            port.spelled, wants = False, [r"(edge|leaf):.*(attention|attn)\.(out|out_proj)$"]
        verdict = mirrored(ground.reference, dumped(port, outputs_only=method == "outputs only"))
    first = verdict.faults[0] if verdict.faults else None
    right = first is not None and re.search(fault.cause, first.cause) is not None
    exact = first is not None and any(re.match(want, first.id) for want in wants)
    if method == "outputs only" and first is not None:  # an edge and the leaf behind it are one there
        exact = any(re.match(want, f"{kind}:{first.unit}") for want in wants for kind in KINDS)
    out = Outcome(
        fault.name, method, first.id if first else "", [one.id for one in verdict.faults],
        verdict.answer == "FAIL", exact,
        first.cause if first else "", bool(first and first.certain), right,
        first.ratio if first else math.inf,
    )  # fmt: skip
    if method == "forced":
        _usual(ground, port, fault, out)
    return out


def dumped(port: Program, *, outputs_only: bool = False) -> Trace:
    """A port as the file that it would hand in; a crash ends it early."""
    trace, _ = inventory(port)
    if outputs_only:
        for info in trace.units.values():
            info.shapes = {place: shape for place, shape in info.shapes.items() if place.startswith("out")}
    return trace


def _usual(ground: FaultTarget, port: Program, fault: Fault, out: Outcome) -> None:
    plain, crash = inventory(port)
    out.pcc = 0.0 if crash else distance(plain.arrays[ground.out], ground.trace.arrays[ground.out]).pcc
    seen = propagated(ground.trace, plain)
    if seen.faults:
        out.first_propagated = seen.faults[0].id
        out.propagated_right = re.match(fault.want, out.first_propagated) is not None


def clean_runs(family: str, count: int, score: Score) -> None:
    """Faultless ports on every back end present, forced and mirrored in turn: anything named is a false alarm."""
    spec, about = _catalogue(family)
    probes = [""] if about.port is not None else list(probe_of(spec).configs)
    present = ["torch"] if about.port is not None else installed()
    kinds = [(probe, live, b) for probe in probes for live in (True, False) for b in present]
    grounds: dict[tuple[str, int], FaultTarget] = {}
    for n in range(count):
        seed, (probe, live, backend) = n // len(kinds), kinds[n % len(kinds)]
        if (probe, seed) not in grounds:
            grounds = {(probe, seed): target(family, probe, seed)}
        ground = grounds[(probe, seed)]
        port = ground.port(ops=backend)
        verdict = forced(ground.trace, port) if live else mirrored(ground.reference, record(port))
        score.clean.append(_clean(backend, verdict))
        if verdict.answer != "PASS":
            score.alarms.append(f"{family} on {backend}, seed {seed}: {verdict.answer}, {verdict.reason}")


def stage_runs(voice: str, count: int, score: Score) -> None:
    """A bundled voice on ONNX Runtime, which shows only what crosses its stages' borders, beside NumPy."""
    from ..pipeline.pipeline_program import PipelineProgram

    for n in range(count):
        request = Request(SENTENCES[n % len(SENTENCES)])
        sides = [PipelineProgram(f"{voice}@{runtime}", request) for runtime in ("numpy", "onnx")]
        verdict = forced(traced(sides[0], free_running=True), sides[1])
        score.clean.append(_clean("onnx, by stage", verdict))
        if verdict.answer != "PASS":
            score.alarms.append(f"the bundled voice on onnx: {verdict.answer}, {verdict.reason}")


def _bundled(family: str) -> str | None:
    """A voice of this family that came with the package."""
    return next((name for name, folder in voices().items() if describe(folder)["family"] == family), None)


def _clean(backend: str, verdict: Verdict) -> Clean:
    free_running = max((a.ratio for a in verdict.free_outputs if not math.isnan(a.floor)), default=math.nan)
    return Clean(backend, verdict.method, verdict.largest_clean, free_running)


def triples(ground: FaultTarget, faults: list[Fault], count: int, seed: int, score: Score) -> None:
    """Three faults of different places at once: how many of them one run names."""
    draw = np.random.default_rng(seed)
    while count:
        some = [faults[i] for i in draw.choice(len(faults), 3, replace=False)]
        ends = sum("value:wave" in f.want for f in some)
        if len({f.want for f in some}) < 3 or sum(bool(f.words) for f in some) > 1 or ends > 1:
            continue  # two changes of one and the same function are one fault
        count -= 1
        port = planted(ground, some)
        verdicts = [forced(ground.trace, port)]
        if not any(fault.want.startswith("kernel:") for fault in some):
            verdicts.append(mirrored(ground.reference, dumped(port)))
        for verdict in verdicts:
            found = [fault for fault in some if named(verdict, fault)]
            score.triples.append((verdict.method, 3, len(found)))
            if len(found) < 3:
                lost = ", ".join(fault.name for fault in some if fault not in found)
                score.lost.append(f"{verdict.method}: {lost} (among {', '.join(fault.name for fault in some)})")


def grade(
    family: str,
    *,
    seeds: int = 1,
    clean: int = 24,
    threes: int = 12,
    methods: Iterable[str] = ("forced", "mirrored", "outputs only"),
    only: Callable[[Fault], bool] | None = None,
) -> Score:
    """Plant a family's whole catalogue. Raises InputError for a family without faults."""
    faults, score, start, cpu = catalogue(family), Score(), time.perf_counter(), time.process_time()
    faults = [f for f in faults if only is None or only(f)]
    for seed in range(seeds):
        for probe in dict.fromkeys(f.probe for f in faults):
            ground, here = target(family, probe, seed), [f for f in faults if f.probe == probe]
            for fault in here:
                score.outcomes += [judge_one(ground, fault, method) for method in methods]
            if threes and len(here) > 6:
                triples(ground, here, threes, seed, score)
    if (voice := _bundled(family)) is not None:
        stage_runs(voice, min(len(SENTENCES), clean // 10), score)
    clean_runs(family, clean - len(score.clean), score)
    score.seconds, score.cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    return score
