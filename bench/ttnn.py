"""What would a stage cost on a Tenstorrent card? Estimates from published peaks, and the golden executor's own speed.

    python bench/ttnn.py [--rounds 3] [--schedule bfloat16] [--json FILE]

For each family's stages, in its largest configuration: dispatches, multiply–adds, bytes, L1 and the least time that
262 TFLOPS of block floats (in one phase) and 288 GB/s of DRAM allow (Wormhole n150, as published), and the bytes that
go between the devices of a mesh in one call. No figure of a device is measured. `ttnn_sentence_s / torch_sentence_s` is
how much longer a sentence takes on golden, here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from _measure import Report, interleaved, parser, table, timed

SENTENCE = "Hello there, my friend."


MESHES = ("1x2", "1x4")


class Calls:
    """A model of which the first call of each stage is kept in `found`: what `count` says of it, behind `begin`."""

    def __init__(self, model: Any, begin: Any, count: Any, found: dict[str, Any]) -> None:
        self.model, self.begin, self.count, self.found = model, begin, count, found

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.model, name)

        def call(*args: Any, **named: Any) -> Any:
            self.begin()
            made = value(*args, **named)
            self.found.setdefault(name, self.count())
            return made

        return call if callable(value) else value


def stages(family: Any, config: Any, back: Any, begin: Any, count: Any, *without: type[Exception]) -> dict[str, Any]:
    """Stage → what `count` says of one call, on shapes alone; `without` one that raises this."""
    from portavoz.graph.eager import Function
    from portavoz.lab.checkpoint.models import ShapeOnlyWeights

    def fresh() -> Any:
        w = ShapeOnlyWeights.fresh(back)
        w.train = False
        return w

    found: dict[str, Any] = {}
    # Where a runner needs tensors of the host beside its graphs, a card runs the blocks: the probe calls them.
    specs = () if family.hosted else family.stages(config)
    if not specs:
        with suppress(*without):
            probe = family.probe()
            model = Calls(family.whole(fresh(), config), begin, count, found)
            probe.run(model, probe.inputs(config, 0, None), config)
    for spec in specs:
        with suppress(*without):
            stage = spec.build(fresh(), config)
            given = Function(stage, back, spec).examples()
            begin()
            stage(*given)
            found[spec.name] = count()
    return found


def moved(family: Any, config: Any, schedule: str) -> dict[str, dict[str, float]]:
    """Mesh → stage → bytes between its devices in one call; without a stage whose heads it does not divide."""
    from portavoz.errors import BackendError
    from portavoz.ops.ttnn.backend import TtnnOps
    from portavoz.ops.ttnn.golden import Shapes
    from portavoz.ops.ttnn.mesh import Mesh
    from portavoz.ops.ttnn.schedule import load
    from portavoz.ops.ttnn.spread import shape_of

    found: dict[str, dict[str, float]] = {}
    for name in MESHES:
        about = load(schedule)
        mesh = Mesh(Shapes(), shape_of(name) or (1, 1), about)
        back, total = TtnnOps(schedule=about, executor=mesh), lambda mesh=mesh: sum(mesh.moved.values())
        found[name] = stages(family, config, back, mesh.moved.clear, total, BackendError)
    return found


def costs(schedule: str) -> dict[str, dict[str, Any]]:
    """Stage → its cost, from shapes alone."""
    from portavoz import families
    from portavoz.ops.ttnn.backend import TtnnOps
    from portavoz.ops.ttnn.cost import cost
    from portavoz.ops.ttnn.golden import Shapes
    from portavoz.ops.ttnn.recording import Recording

    rows: dict[str, dict[str, Any]] = {}
    for family in families.all():
        if family.probe is None:
            continue
        label, config = list(family.configs.items())[-1]
        recording = Recording(Shapes())
        back = TtnnOps(schedule=schedule, executor=recording)
        found = stages(family, config, back, recording.clear, lambda r=recording: cost(r.entries))
        between = moved(family, config, schedule)
        for stage, made in found.items():
            each = {mesh: sizes[stage] for mesh, sizes in between.items() if stage in sizes}
            rows[f"{family.name} {label} {stage}"] = {**asdict(made), "bound": made.bound, "moved": each}
    return rows


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
