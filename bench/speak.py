"""How fast does the bundled voice speak, beside hibari-tts, flite and espeak-ng, and how much memory does it take?

    python bench/speak.py [--rounds 9] [--numpy] [--hibari PYTHON] [--json FILE]

Four questions, each asked of sentences of about one, three and eight seconds, in turn, the least of all rounds:

- *warm*: a loaded voice says a sentence it has said before. RTF is processing ÷ audio; below 1 is faster than speech.
- *first audio*: from the call of `voice.stream` to its first piece; cold is the first call of a new process.
- *whole processes*, from their start to the file. Because a start is unlike speech, `without_start` is also given: the
  seconds that a long text takes more than "Hi.", over the seconds of audio it has more.
- *start and memory*: the import, the help, the peak memory of a process.

hibari-tts, whose voice is the bundled one's teacher, is asked in turn where `--hibari` names a Python that has it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from _hibari import Hibari
from _measure import Launcher, Report, Took, interleaved, parser, table, timed

if TYPE_CHECKING:
    from portavoz import Voice

SENTENCES = {
    "1s": "Hello there, my friend.",
    "3s": "The old house stood at the end of the lane, near the river.",
    "8s": "The old house stood at the end of the lane, and nobody who passed it by in the evening ever looked up at "
    "its windows, because there was never a light in any of them.",
}
SHORT, LONG = "Hi.", " ".join([SENTENCES["8s"]] * 6)
VISITS = 3  # a voice is warm after the first
COLD = """
import json, sys, time
start = time.perf_counter()
import portavoz
imported = time.perf_counter()
voice = portavoz.load()
loaded = time.perf_counter()
next(iter(voice.stream(sys.argv[1])))
print(json.dumps([imported - start, loaded - imported, time.perf_counter() - loaded]))
"""
SPEAK = "import sys, portavoz; portavoz.load().speak(sys.argv[1])"


def voices(report: Report, *, numpy: bool) -> dict[str, Voice]:
    """The bundled voice on each runtime that is installed."""
    import portavoz

    found = {f"portavoz_onnx_{n}t": portavoz.load(threads=n) for n in (1, 2)}
    if find_spec("torch") is None:
        report.absent["portavoz_torch_1t"] = "torch is not installed"
    else:
        import torch

        torch.set_num_threads(1)
        found["portavoz_torch_1t"] = portavoz.load(runtime="eager", backend="torch")
    if numpy:
        found["portavoz_numpy_1t"] = portavoz.load(runtime="eager", backend="numpy")
    return found


def first(voice: Voice, text: str) -> None:
    """The first piece of a stream; the rest is never made."""
    next(iter(voice.stream(text)))


def warm(report: Report, voices: dict[str, Voice], rounds: int, hibari: Hibari | None) -> None:
    """RTF and first audio of loaded voices."""
    cases: dict[str, Callable[[], Took]] = {}
    audio: dict[str, float] = {}
    for key, text in SENTENCES.items():
        for name, voice in voices.items():
            audio[f"{name} {key}"] = voice.speak(text).duration
            cases[f"{name} {key} speak"] = lambda v=voice, t=text: timed(lambda: v.speak(t), VISITS)
            cases[f"{name} {key} first"] = lambda v=voice, t=text: timed(lambda: first(v, t), VISITS)
        if hibari:
            audio[f"hibari {key}"] = hibari(text)[1]
            cases[f"hibari {key} speak"] = lambda h=hibari, t=text: h(t)[0]
    least, f = interleaved(cases, rounds), report.figures
    for name in [*voices, *(["hibari"] if hibari else [])]:
        for key in SENTENCES:
            f[f"{name}_audio_{key}_s"] = audio[f"{name} {key}"]
            f[f"{name}_warm_{key}_rtf"] = least[f"{name} {key} speak"].seconds / audio[f"{name} {key}"]
            if f"{name} {key} first" in least:
                f[f"{name}_first_audio_warm_{key}_s"] = least[f"{name} {key} first"].seconds
        seconds = sum(audio[f"{name} {key}"] for key in SENTENCES)
        f[f"{name}_warm_rtf"] = sum(least[f"{name} {key} speak"].seconds for key in SENTENCES) / seconds
        f[f"{name}_warm_cpu_rtf"] = sum(least[f"{name} {key} speak"].cpu for key in SENTENCES) / seconds


def cold(report: Report, rounds: int) -> None:
    """The first call of a process: its import, its load, its first piece of sound."""
    for key, text in SENTENCES.items():
        runs = [
            json.loads(subprocess.run([sys.executable, "-c", COLD, text], capture_output=True, check=True).stdout)
            for _ in range(rounds)
        ]
        imported, loaded, sounding = (min(column) for column in zip(*runs))
        report.figures[f"portavoz_onnx_1t_first_audio_cold_{key}_s"] = sounding
        f = report.figures
        f["portavoz_import_s"] = min(imported, f.get("portavoz_import_s", imported))
        f["portavoz_load_s"] = min(loaded, f.get("portavoz_load_s", loaded))


def programs(report: Report, hibari: Hibari | None) -> dict[str, Callable[[str, str], list[str]]]:
    """(text, file) → command line of each program that is here."""
    hibari_program = hibari.program if hibari else "hibari"
    known: dict[str, Callable[[str, str], list[str]]] = {
        "portavoz_say": lambda text, out: [sys.executable, "-m", "portavoz", "say", text, "-o", out],
        "hibari": lambda text, out: [hibari_program, text, "-o", out],
        "flite_slt": lambda text, out: ["flite", "-voice", "slt", "-t", text, "-o", out],
        "flite_kal16": lambda text, out: ["flite", "-voice", "kal16", "-t", text, "-o", out],
        "espeak_ng": lambda text, out: ["espeak-ng", "-w", out, text],
    }
    for name in list(known):
        program = known[name]("", "")[0]
        if which(program) is None:
            report.absent[name] = f"{program} is not installed"
            del known[name]
    return known


def processes(report: Report, launch: Launcher, rounds: int, hibari: Hibari | None) -> None:
    """Whole processes from their start to the file."""
    import soundfile

    texts = {**SENTENCES, "short": SHORT, "long": LONG}
    here, cases = programs(report, hibari), dict[str, Callable[[], Took]]()
    with tempfile.TemporaryDirectory(prefix="portavoz-") as folder:
        for key, text in texts.items():
            for name, command in here.items():
                call = command(text, str(Path(folder) / f"{name}_{key}.wav"))
                cases[f"{name} {key}"] = lambda c=call: launch(c)
        least = interleaved(cases, rounds)
        audio = {case: soundfile.info(Path(folder) / f"{case.replace(' ', '_')}.wav").duration for case in cases}
    for name in here:
        _process_figures(report.figures, name, least, audio)


def _process_figures(f: dict[str, float], name: str, least: dict[str, Took], audio: dict[str, float]) -> None:
    for key in SENTENCES:
        f[f"{name}_process_{key}_s"] = least[f"{name} {key}"].seconds
        f[f"{name}_process_{key}_rtf"] = least[f"{name} {key}"].seconds / audio[f"{name} {key}"]
    seconds = sum(audio[f"{name} {key}"] for key in SENTENCES)
    f[f"{name}_process_rtf"] = sum(least[f"{name} {key}"].seconds for key in SENTENCES) / seconds
    more, longer = least[f"{name} long"], audio[f"{name} long"] - audio[f"{name} short"]
    f[f"{name}_without_start_rtf"] = (more.seconds - least[f"{name} short"].seconds) / longer
    f[f"{name}_without_start_cpu_rtf"] = (more.cpu - least[f"{name} short"].cpu) / longer
    f[f"{name}_peak_3s_mb"], f[f"{name}_peak_long_mb"] = least[f"{name} 3s"].peak, more.peak


def start(report: Report, launch: Launcher, rounds: int) -> None:
    """A bare Python, the import, the help, a first sentence: whole processes."""
    python = sys.executable
    calls = {
        "python": [python, "-c", "pass"],
        "portavoz_import": [python, "-c", "import portavoz"],
        "portavoz_help": [python, "-m", "portavoz", "--help"],
        "portavoz_speak": [python, "-c", SPEAK, SENTENCES["3s"]],
    }
    for name, took in interleaved({n: lambda c=c: launch(c) for n, c in calls.items()}, rounds).items():
        report.figures[f"{name}_process_s"], report.figures[f"{name}_peak_mb"] = took.seconds, took.peak


def ratios(report: Report) -> None:
    """What is compared with what."""
    for above in ("portavoz_onnx_1t_warm", "portavoz_onnx_2t_warm"):
        for below in ("flite_slt_process", "flite_slt_without_start", "flite_kal16_without_start"):
            report.ratio(f"{above}_rtf", f"{below}_rtf")
    report.ratio("portavoz_onnx_1t_warm_cpu_rtf", "flite_slt_without_start_cpu_rtf")
    report.ratio("portavoz_onnx_1t_warm_cpu_rtf", "hibari_warm_cpu_rtf")
    for other in ("hibari", "flite_slt", "flite_kal16", "espeak_ng"):
        report.ratio("portavoz_say_process_rtf", f"{other}_process_rtf")
        report.ratio("portavoz_say_process_3s_s", f"{other}_process_3s_s")
        report.ratio("portavoz_say_peak_3s_mb", f"{other}_peak_3s_mb")
    for other in ("portavoz_onnx_2t", "portavoz_torch_1t", "portavoz_numpy_1t"):
        report.ratio("portavoz_onnx_1t_warm_rtf", f"{other}_warm_rtf")


def show(report: Report) -> None:
    """The tables, then the ratios."""
    f, keys = report.figures, list(SENTENCES)
    names = [name.removesuffix("_warm_rtf") for name in f if name.endswith("_warm_rtf")]
    others = [name.removesuffix("_process_rtf") for name in f if name.endswith("_process_rtf")]
    warmed = {n: [*(f[f"{n}_warm_{k}_rtf"] for k in keys), f[f"{n}_warm_rtf"], f[f"{n}_warm_cpu_rtf"]] for n in names}
    table("RTF of a loaded voice", [*keys, "all", "all, cpu"], warmed)
    streams = [n for n in names if f"{n}_first_audio_warm_{keys[0]}_s" in f]
    sooner = {f"{n} warm": [f[f"{n}_first_audio_warm_{k}_s"] * 1e3 for k in keys] for n in streams}
    sooner["portavoz_onnx_1t cold"] = [f[f"portavoz_onnx_1t_first_audio_cold_{k}_s"] * 1e3 for k in keys]
    table("first audio, ms", keys, sooner, ".1f")
    whole = {n: [*(f[f"{n}_process_{k}_s"] for k in keys), f[f"{n}_process_rtf"]] for n in others}
    table("whole process, s", [*keys, "RTF of all"], whole)
    least = {n: [f[f"{n}_without_start_rtf"], f[f"{n}_without_start_cpu_rtf"]] for n in others}
    table("RTF without start", ["clock", "cpu"], least)
    peaks = {n: [f[f"{n}_peak_3s_mb"], f[f"{n}_peak_long_mb"]] for n in others}
    table("peak memory, MB", ["3s", f"{len(LONG)} letters"], peaks, ".1f")
    starts = [name.removesuffix("_process_s") for name in f if name.endswith("_process_s")]
    table("start", ["s", "peak MB"], {n: [f[f"{n}_process_s"], f[f"{n}_peak_mb"]] for n in starts}, ".3f")
    print(f"inside a process: import {f['portavoz_import_s'] * 1e3:.1f} ms, load {f['portavoz_load_s'] * 1e3:.0f} ms\n")


def measure(report: Report, args: argparse.Namespace) -> None:
    """All four questions."""
    with ExitStack() as stack:
        hibari = stack.enter_context(Hibari(args.hibari, VISITS)) if args.hibari else None
        launch = stack.enter_context(Launcher())
        warm(report, voices(report, numpy=args.numpy), args.rounds, hibari)
        processes(report, launch, args.rounds, hibari)
        start(report, launch, args.rounds)
        cold(report, args.rounds)


def main() -> None:
    """Measure, print, write JSON where asked."""
    options = parser(__doc__, rounds=9)
    options.add_argument("--numpy", action="store_true", help="also the NumPy back end, which is slow")
    options.add_argument("--hibari", type=Path, metavar="PYTHON", help="a Python that has hibari-tts")
    args = options.parse_args()
    report = Report("speak", {"rounds": args.rounds, "sentences": SENTENCES, "short": SHORT, "long": LONG})
    measure(report, args)
    ratios(report)
    show(report)
    report.finish(args.json)


if __name__ == "__main__":
    main()
