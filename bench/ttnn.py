"""What would a stage cost on a Tenstorrent card? Estimates from published peaks, and the golden executor's own speed.

    python bench/ttnn.py [--rounds 3] [--schedule bfloat16] [--json FILE]

For each family with stages, in its largest configuration: dispatches, multiply–adds, bytes, L1 and the least time that
262 TFLOPS of block floats (in one phase) and 288 GB/s of DRAM allow (Wormhole n150, as published), and the bytes that
go between the devices of a mesh in one call. No figure of a device is measured. `ttnn_sentence_s / torch_sentence_s` is
how much longer a sentence takes on golden, here.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from _measure import Report, interleaved, parser, table, timed

SENTENCE = "Hello there, my friend."


MESHES = ("1x2", "1x4")


def called(spec: Any, config: Any, back: Any, begin: Any = lambda: None) -> Any:
    """Build a stage on shapes alone, and call it once behind `begin`; the back end."""
    from portavoz.graph.eager import Function
    from portavoz.lab.checkpoint.models import ShapeOnlyWeights

    w = ShapeOnlyWeights.fresh(back)
    w.train = False
    stage = spec.build(w, config)
    given = Function(stage, back, spec).examples()
    begin()
    stage(*given)
    return back


def moved(spec: Any, config: Any, schedule: str) -> dict[str, float]:
    """Mesh → bytes between its devices in one call of the stage; without a mesh that does not divide the heads."""
    from portavoz.errors import BackendError
    from portavoz.ops.ttnn.backend import TtnnOps
    from portavoz.ops.ttnn.golden import Shapes
    from portavoz.ops.ttnn.mesh import Mesh
    from portavoz.ops.ttnn.schedule import load
    from portavoz.ops.ttnn.spread import shape_of

    found: dict[str, float] = {}
    for mesh in MESHES:
        shape, about = shape_of(mesh), load(schedule)
        try:
            back = called(spec, config, TtnnOps(schedule=about, executor=Mesh(Shapes(), shape or (1, 1), about)))
        except BackendError:
            continue
        found[mesh] = sum(back.executor.moved.values())
    return found


def costs(schedule: str) -> dict[str, dict[str, Any]]:
    """Stage → its cost, from shapes alone."""
    from portavoz import families
    from portavoz.ops.ttnn.backend import TtnnOps
    from portavoz.ops.ttnn.cost import by_unit, cost
    from portavoz.ops.ttnn.golden import Shapes
    from portavoz.ops.ttnn.recording import Recording

    found: dict[str, dict[str, Any]] = {}
    for family in families.all():
        label, config = list(family.configs.items())[-1]
        # Where a runner needs tensors of the host beside its graphs, a card runs the blocks.
        for spec in () if family.hosted else family.stages(config):
            recording = Recording(Shapes())
            called(spec, config, TtnnOps(schedule=schedule, executor=recording), recording.clear)
            made = cost(recording.entries)
            sizes = {name: list(i.example.shape) for name, i in spec.takes.items()}
            found[f"{family.name} {label} {spec.name}"] = {
                **asdict(made), "bound": made.bound, "units": by_unit(recording.entries), "inputs": sizes,
                "moved": moved(spec, config, schedule),
            }  # fmt: skip
    return found


def thousands(size: float | None) -> float | None:
    """None for a mesh that does not divide the heads."""
    return None if size is None else size / 1e3


COLUMNS = {
    "dispatches": lambda row: row["dispatches"],
    "M multiply–adds": lambda row: row["products"] / 1e6,
    "MB parameters": lambda row: row["parameters"] / 1e6,
    "MB activations": lambda row: row["activations"] / 1e6,
    "KiB L1 a core": lambda row: row["l1"] / 1024,
    "estimate ≥ µs": lambda row: row["bound"] * 1e6,
    **{f"KB moved on {mesh}": lambda row, mesh=mesh: thousands(row["moved"].get(mesh)) for mesh in MESHES},
}


def main() -> None:
    """Print the table and the ratio, write JSON where asked."""
    made = parser(__doc__, rounds=3)
    made.add_argument("--schedule", default="bfloat16", help="a schedule's name, or a TOML file")
    args = made.parse_args()
    report = Report("ttnn", {"rounds": args.rounds, "schedule": args.schedule, "sentence": SENTENCE})
    rows = costs(args.schedule)
    for name, row in rows.items():
        for column in ("dispatches", "products", "parameters", "activations", "l1", "bound"):
            report.figures[f"estimate {name} {column}"] = float(row[column])
        for mesh, size in row["moved"].items():
            report.figures[f"estimate {name} moved on {mesh}"] = size
    shown = {name: [column(row) for column in COLUMNS.values()] for name, row in rows.items()}
    table("estimates from published peaks, no card was measured", list(COLUMNS), shown, ".1f")
    import portavoz

    voices = {name: portavoz.load(backend=name) for name in ("ttnn", "torch")}
    cases = {name: lambda v=voice: timed(lambda: v.speak(SENTENCE)) for name, voice in voices.items()}
    for name, took in interleaved(cases, args.rounds).items():
        report.figures[f"{name}_sentence_s"] = took.seconds
    report.ratio("ttnn_sentence_s", "torch_sentence_s")
    report.finish(args.json)


if __name__ == "__main__":
    main()
