"""Does a server gain when it computes sentences of several requests as one batch? Processor time, one thread, ONNX.

    python bench/batching.py [--rounds 3] [--rows 2,4,8] [--config base] [--json FILE]

Sentences of nearly the same length, each alone or all as one batch; processor seconds for a second of sound, the least
of some rounds in turn. `compact` is the bundled voice: every call of its stages, as one sentence makes them, with its
arrays repeated along the batch (the best case: nothing is padded). `speecht5` has random weights of the published size
and sentences of 50 to 60 symbols, 100 steps each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _measure import Report, Took, interleaved, parser, table, timed

# What is above says how many threads the packages below may use.
# isort: split
import numpy as np

import portavoz
from portavoz import families
from portavoz.families.speecht5.loop import SpeechT5, StoppingCriteria
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.graph.cache import Cache
from portavoz.graph.compile import Origin, assemble, plan

TEXT = "The train leaves at a quarter to eight, and nobody in this town has ever been late for it."
SYMBOLS, STEPS = 60, 100
NEVER = 9.0  # a threshold that no sum of stop probabilities reaches
Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Recorder:
    """Stages that note every call."""

    def __init__(self, stages: Any) -> None:
        self._stages, self.calls = stages, list[Call]()

    def __getattr__(self, name: str) -> Any:
        stage = getattr(self._stages, name)

        def call(*args: Any) -> Any:
            self.calls.append((stage, args))
            return stage(*args)

        return call


def compact() -> tuple[Callable[[int], Any], Callable[[int], Any], float]:
    """Sentences of the bundled voice: so many in turn, as one batch, and the seconds of one."""
    voice: Any = portavoz.load()
    model = voice.model.model
    genuine, model.stages = model.stages, Recorder(model.stages)
    seconds, calls = voice.speak(TEXT).duration, model.stages.calls
    model.stages = genuine

    def repeated(rows: int) -> None:
        for stage, args in calls:
            stage(*(np.repeat(one, rows, 0) if isinstance(one, np.ndarray) else one for one in args))

    return lambda rows: [repeated(1) for _ in range(rows)], repeated, seconds


def speecht5(config: str, precision: str, cache: Cache) -> tuple[Callable[[int], Any], Callable[[int], Any], float]:
    """The same of SpeechT5."""
    family = families.get("speecht5")
    reference = Reference.fresh(family.configuration(config))
    c, draw = reference.config, np.random.default_rng(0)
    origin = Origin.given(family, c, dict(zip(("model", "vocoder"), reference.tensors())))
    model = SpeechT5(assemble(origin, plan(family, "onnx", precision), cache).runner, c)
    ids = [np.append(draw.integers(4, c.vocab_size, n - 1), c.eos_token_id) for n in range(SYMBOLS, SYMBOLS - 8, -1)]
    speaker = draw.standard_normal(c.speaker_embedding_dim).astype(np.float32)
    stop = StoppingCriteria(threshold=NEVER, maxlenratio=STEPS * c.reduction_factor / SYMBOLS)

    def together(rows: int) -> None:
        for said in model.synthesize_batch(ids[:rows], speaker, stop=stop):
            list(said.waves)

    def in_turn(rows: int) -> None:
        for row in ids[:rows]:
            list(model.synthesize(row, speaker, stop=stop).waves)

    return in_turn, together, STEPS * c.reduction_factor * c.hop / c.sampling_rate


def main() -> None:
    """Command line."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--rows", default="2,4,8", help="sizes of a batch (default: %(default)s)")
    options.add_argument("--config", default="base", help="of SpeechT5: base or tiny (default: %(default)s)")
    args = options.parse_args()
    sizes = [int(size) for size in args.rows.split(",")]
    report = Report("batching", {"rounds": args.rounds, "rows": sizes, "config": args.config})
    sides = {
        "compact": compact(),
        **{f"speecht5_{p}": speecht5(args.config, p, Cache()) for p in ("float32", "int8")},
    }
    for name, (in_turn, together, seconds) in sides.items():
        cases: dict[str, Callable[[], Took]] = {"alone": lambda f=in_turn: timed(lambda: f(1))}
        for rows in sizes:
            cases[f"batch_{rows}"] = lambda f=together, n=rows: timed(lambda: f(n))
        took = interleaved(cases, args.rounds)
        report.figures[f"{name}_alone"] = took["alone"].cpu / seconds
        for rows in sizes:
            report.figures[f"{name}_batch_{rows}"] = took[f"batch_{rows}"].cpu / rows / seconds
            report.ratio(f"{name}_alone", f"{name}_batch_{rows}")
        shown = [report.figures[f"{name}_{case}"] for case in cases]
        table("processor s a second of sound", list(cases), {name: shown})
    report.finish(args.json)


if __name__ == "__main__":
    main()
