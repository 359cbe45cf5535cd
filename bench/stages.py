"""Where does the time of a sentence go? Each stage alone, on ONNX Runtime and torch, with one and two threads.

    python bench/stages.py [--rounds 5] [--json FILE]

Milliseconds for sentences of about one, three and eight seconds, the least of all rounds. `source` is the spectra of
the pulses, `filter` sends them and noise through the vocoder's filters. `waves` is `source`, `vocode`, `filter` and
`inverse` in daily use: in blocks, which the vocoder is given with their neighbours on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, cast

from _measure import Report, Took, interleaved, parser, table, timed

# ruff: isort: split
import numpy as np

SENTENCES = {
    "1s": "Hello there, my friend.",
    "3s": "The old house stood at the end of the lane, near the river.",
    "8s": "The old house stood at the end of the lane, and nobody who passed it by in the evening ever looked up at "
    "its windows, because there was never a light in any of them.",
}
STAGES = ("text", "encode", "durations", "decode", "source", "vocode", "filter", "inverse", "waves")
VISITS = 3


def models(report: Report) -> dict[str, tuple[Any, int]]:
    """The bundled voice's model, and the number of threads, by name."""
    import portavoz

    found = {f"onnx_{n}t": (cast(Any, portavoz.load(threads=n).model).model, n) for n in (1, 2)}
    if find_spec("torch") is None:
        report.absent["torch"] = "torch is not installed"
        return found
    model = cast(Any, portavoz.load(runtime="eager", backend="torch").model).model
    return {**found, **{f"torch_{n}t": (model, n) for n in (1, 2)}}


def threads(name: str, count: int) -> None:
    """Torch's threads are the process's; ONNX Runtime's were chosen when the voice was loaded."""
    if name.startswith("torch"):
        import torch

        torch.set_num_threads(count)


def stages(model: Any, text: str) -> tuple[dict[str, Callable[[], object]], float]:
    """Each stage as a call on what the stage before it made, and the seconds of sound that come out."""
    from portavoz.audio.stft import OverlapAdd
    from portavoz.blocks.filtered import filtered
    from portavoz.blocks.pulse_source import PulseSource
    from portavoz.families.compact.source_loop import noise_rows
    from portavoz.text.chunks import split_text

    symbols = next(iter(split_text(text, secondary=True))).symbols
    memory, predicted = model.encode(symbols)
    durations = model.durations(symbols, predicted)
    controls = model.controls(memory, durations)
    frames, bins = len(controls), model.c.mel.fft // 2 + 1
    f0 = np.expm1(5 * controls[:, -2]).astype(np.float32)
    pulses = PulseSource(model.c.mel, f0).spectra(frames)
    noise = noise_rows(0, bins)
    text_of, place, told = np.split(controls, [model.c.hidden, model.c.hidden + 2], -1)
    given = [np.ascontiguousarray(part[None]) for part in (text_of, place, told)]
    filters = model.stages.vocode(*given)[0]
    spectrum = filtered(filters, pulses, noise)

    def inverse() -> None:
        overlap = OverlapAdd(model.c.mel)
        overlap.push(spectrum)
        overlap.finish()

    work: dict[str, Callable[[], object]] = {
        "text": lambda: list(split_text(text, secondary=True)),
        "encode": lambda: model.encode(symbols),
        "durations": lambda: model.durations(symbols, predicted),
        "decode": lambda: model.controls(memory, durations),
        "source": lambda: PulseSource(model.c.mel, f0).spectra(frames),
        "vocode": lambda: model.stages.vocode(*given),
        "filter": lambda: filtered(filters, pulses, noise),
        "inverse": inverse,
        "waves": lambda: list(model.spoken(controls)),
    }
    return work, frames * model.c.mel.hop / model.c.mel.rate


def opening(report: Report, rounds: int) -> None:
    """How long each compiled stage takes to open, and the dictionary."""
    from portavoz.folder import find
    from portavoz.graph.onnx import Session

    folder = find(None)
    cases = {
        name: lambda n=name: timed(lambda: Session(folder / f"{n}.onnx").describe())
        for name in ("encode", "decode", "vocode")
    }
    for name, took in interleaved(cases, rounds).items():
        report.figures[f"open_{name}_s"] = took.seconds


def measure(report: Report, rounds: int) -> None:
    """Every stage of every model with every sentence, in turn."""
    f = report.figures
    for key, text in SENTENCES.items():
        cases: dict[str, Callable[[], Took]] = {}
        for name, (model, count) in models(report).items():
            work, f[f"audio_{key}_s"] = stages(model, text)
            for stage, call in work.items():

                def case(name: str = name, count: int = count, call: Callable[[], object] = call) -> Took:
                    threads(name, count)
                    return timed(call, VISITS)

                cases[f"{name}_{stage}_{key}_s"] = case
        for name, took in interleaved(cases, rounds).items():
            f[name] = took.seconds


def main() -> None:
    """Measure, print, write JSON where asked."""
    args = parser(__doc__, rounds=5).parse_args()
    report = Report("stages", {"rounds": args.rounds, "sentences": SENTENCES})
    opening(report, args.rounds)
    measure(report, args.rounds)
    f = report.figures
    names = [name.removesuffix("_text_1s_s") for name in f if name.endswith("_text_1s_s")]
    for key in SENTENCES:
        rows = {name: [f[f"{name}_{stage}_{key}_s"] * 1e3 for stage in STAGES] for name in names}
        table(f"{f[f'audio_{key}_s']:.2f} s of speech, ms", STAGES, rows, ".2f")
    opened = {"ms": [f[f"open_{stage}_s"] * 1e3 for stage in ("encode", "decode", "vocode")]}
    table("opening a compiled stage", ["encode", "decode", "vocode"], opened, ".1f")
    for name in names[1:]:
        for stage in ("encode", "decode", "vocode"):
            report.ratio(f"onnx_1t_{stage}_8s_s", f"{name}_{stage}_8s_s")
    report.finish(args.json)


if __name__ == "__main__":
    main()
