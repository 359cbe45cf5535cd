"""What does the lab cost: a forced run beside a plain one, a recorded reference beside a plain one, the ledger?

    python bench/lab.py [--rounds 3] [--config base] [--steps 8] [--json FILE]

SpeechT5 with random weights, ours on torch and `transformers`, one thread, one probe of about 12 symbols; what is
compared takes turns, the least of all rounds counts. Targets: forced ÷ plain and capture ÷ plain at most 2, the ledger
(fingerprints of every weight, once a model, not in the capture) at most 5 s for 500 MB, the first fault within 60 s.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from _measure import Report, Took, interleaved, parser, timed

# What is above says how many threads the packages below may use.
# isort: split
import torch

from portavoz import families
from portavoz.lab.align.matching import align
from portavoz.lab.compare import compare
from portavoz.lab.forcing.noise_floor import write
from portavoz.lab.forcing.teacher_forcing import Forcing, run_forced
from portavoz.lab.instrument.fingerprint import fingerprint
from portavoz.lab.instrument.observer import Observer
from portavoz.lab.probes import program, reference_program
from portavoz.lab.trace.recorder import FileSink, Recorder, record
from portavoz.lab.trace.trace import Trace
from portavoz.weights.cursor import Weights


def main() -> None:
    """Measure, print, write."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--config", default="base", help="tiny or base (default: base)")
    options.add_argument("--steps", type=int, default=8, help="of the decoder's loop (default: 8)")
    args = options.parse_args()
    torch.set_num_threads(1)
    family = families.get("speecht5")
    config = family.configuration(args.config)
    reference, arrays = reference_program(family, config, steps=args.steps)
    port = program(family, config, arrays=arrays, steps=args.steps)
    report = Report("lab", {"config": args.config, "steps": args.steps, "rounds": args.rounds})
    report.figures["weights_mb"] = sum(a.nbytes for a in arrays.values()) / 1e6

    def ledger() -> None:
        for path, array in arrays.items():
            fingerprint(array, "conv_transpose1d" if "upsampler" in path else "")

    took = timed(ledger)
    report.figures |= {"ledger_s": took.seconds, "ledger_cpu_s": took.cpu}
    trace = record(reference)
    with TemporaryDirectory() as folder:
        write(reference, Path(folder) / "probe.trace", floors=False)
        report.figures["trace_mb"] = (Path(folder) / "probe.trace").stat().st_size / 1e6
    pairing = align(record(port), trace)

    def plain_port() -> Took:
        run = port.build(Weights(port.arrays, port.make()))
        return timed(run)

    def forced() -> Took:
        return timed(lambda: run_forced(port, Forcing(pairing, trace, {})))

    def plain_reference() -> Took:
        with torch.no_grad():
            return timed(reference.run)

    def capture() -> Took:
        with TemporaryDirectory() as folder, open(Path(folder) / "body", "w+b") as body:
            return timed(lambda: reference.run(Recorder(FileSink(Trace(), body), fingerprints=False)))

    def wrapped() -> Took:
        return timed(lambda: reference.run(Observer()))

    cases = {
        "plain_port": plain_port, "forced": forced, "plain_reference": plain_reference, "capture": capture,
        "watched_reference": wrapped,
    }  # fmt: skip
    report.figures |= {f"{name}_s": took.seconds for name, took in interleaved(cases, args.rounds).items()}
    start = time.perf_counter()
    verdict = compare(reference, port)
    report.figures["compare_s"] = time.perf_counter() - start
    report.settings["verdict"] = verdict.answer
    for above, below in (("forced_s", "plain_port_s"), ("capture_s", "plain_reference_s")):
        report.ratio(above, below)
    report.finish(args.json, digits=3)


if __name__ == "__main__":
    main()
