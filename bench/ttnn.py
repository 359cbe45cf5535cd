"""What would a stage cost on a Tenstorrent card? Estimates from published peaks, and the golden executor's own speed.

    python bench/ttnn.py [--rounds 3] [--schedule bfloat16] [--json FILE]

For each family with stages, in its largest configuration: dispatches, multiply–adds, bytes, L1 and the least time that
262 TFLOPS of block floats (in one phase) and 288 GB/s of DRAM allow (Wormhole n150, as published). No figure of a
device is measured. `ttnn_sentence_s / torch_sentence_s` is how much longer a sentence takes on golden, here.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from _measure import Report, interleaved, parser, table, timed

SENTENCE = "Hello there, my friend."


def costs(schedule: str) -> dict[str, dict[str, Any]]:
    """Stage → its cost, from shapes alone."""
    from portavoz import families
    from portavoz.lab.checkpoint.models import ShapeOnlyWeights
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
            back = TtnnOps(schedule=schedule, executor=recording)
            w = ShapeOnlyWeights.fresh(back)
            w.train = False
            stage = spec.build(w, config)
            given = [back.tensor(i.example) for i in spec.takes.values()]
            recording.clear()
            stage(*given)
            made = cost(recording.entries)
            sizes = {name: list(i.example.shape) for name, i in spec.takes.items()}
            found[f"{family.name} {label} {spec.name}"] = {
                **asdict(made), "bound": made.bound, "units": by_unit(recording.entries), "inputs": sizes,
            }  # fmt: skip
    return found


COLUMNS = {
    "dispatches": lambda row: row["dispatches"],
    "M multiply–adds": lambda row: row["products"] / 1e6,
    "MB parameters": lambda row: row["parameters"] / 1e6,
    "MB activations": lambda row: row["activations"] / 1e6,
    "KiB L1 a core": lambda row: row["l1"] / 1024,
    "estimate ≥ µs": lambda row: row["bound"] * 1e6,
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
    shown = {name: [column(row) for column in COLUMNS.values()] for name, row in rows.items()}
    table("estimates from published peaks, no card was measured", list(COLUMNS), shown, ".1f")
    import portavoz

    voices = {name: portavoz.load(backend=name) for name in ("ttnn", "torch")}
    cases = {name: lambda v=voice: timed(lambda: v.speak(SENTENCE)) for name, voice in voices.items()}
    for name, took in interleaved(cases, args.rounds).items():
        report.figures[f"{name}_sentence_s"] = took.seconds
    report.ratio("ttnn_sentence_s", "torch_sentence_s")
    report.show()
    report.write(args.json)


if __name__ == "__main__":
    main()
