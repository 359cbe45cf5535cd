"""The chain of `chatterbox_speed.py`: text and a prompt's file → wave, each speaker a process of its own, in turns."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from _measure import Report, table

SCRIPT = str(Path(__file__).with_name("_chatterbox_chain.py"))
PARTS = ("prompt", "tokens", "mel", "wave")
CASES = ("eager_float32", "onnx_int8", "openvino_int8")
EXACT = CASES[0]  # what a mel is compared with


class Speaker:
    """One process, and the least that each part of an utterance took it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.seconds, self.peak = process, 0.0, 0.0
        self.clock, self.cpu = (dict.fromkeys(PARTS, float("inf")) for _ in range(2))
        self.answer()

    def ask(self, do: str, **given: str) -> dict[str, Any]:
        """What it answers."""
        assert self.process.stdin
        print(json.dumps({"do": do, "with": given}), file=self.process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next line of it. Ends the benchmark where there is none."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"ended before it answered: {self.process.args}")
        answer = json.loads(line)
        self.peak = answer["peak"]
        return answer

    def say(self) -> None:
        """One utterance."""
        answer = self.ask("say")
        self.seconds = answer["seconds"]
        for part, (clock, cpu) in answer["parts"].items():
            self.clock[part], self.cpu[part] = min(self.clock[part], clock), min(self.cpu[part], cpu)

    def figures(self, case: str) -> dict[str, float]:
        """By name. "spoken" is all but the prompt, which is heard once for any number of texts; what T3 computes of it
        alone is part of hearing it where it is kept."""
        spoken = {
            kind: sum(took[part] for part in PARTS[1:]) for kind, took in (("s", self.clock), ("cpu_s", self.cpu))
        }
        return {
            f"{case}_chain_cpu_s": self.cpu["prompt"] + spoken["cpu_s"],
            f"{case}_spoken_cpu_s": spoken["cpu_s"],
            **{f"{case}_{part}_cpu_s": self.cpu[part] for part in PARTS},
            f"{case}_chain_s": self.clock["prompt"] + spoken["s"],
            f"{case}_spoken_s": spoken["s"],
            f"{case}_rtf": spoken["s"] / self.seconds,
            f"{case}_peak_mb": self.peak,
        }


def command(what: str, name: str, folder: Path, case: str, threads: int, tokens: int) -> list[str]:
    return [sys.executable, SCRIPT, what, name, str(folder), case, str(threads), str(tokens)]


@contextmanager
def speaking(name: str, folder: Path, cases: list[str], threads: int, tokens: int) -> Iterator[dict[str, Speaker]]:
    """The speakers by case, opened one after the other; the compile cache is filled before by processes of its own."""
    with ExitStack() as stack:
        out: dict[str, Speaker] = {}
        for case in cases:
            if case != "hf" and not case.startswith("eager"):
                subprocess.run(
                    command("open", name, folder, case, threads, tokens), check=True, stdout=subprocess.DEVNULL
                )
            given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            out[case] = Speaker(
                stack.enter_context(subprocess.Popen(command("serve", name, folder, case, threads, tokens), **given))
            )
        yield out
        for speaker in out.values():
            assert speaker.process.stdin
            speaker.process.stdin.close()


def decibels(got: Path, wanted: Path) -> float:
    """Signal over error of one array in another."""
    a, b = (np.load(path).astype(np.float64) for path in (got, wanted))
    return float(10 * np.log10((b**2).sum() / max(((a - b) ** 2).sum(), 1e-30)))


def chain(
    report: Report, name: str, cases: list[str], rounds: int, folder: Path | None, threads: int, tokens: int
) -> None:
    """Measure, print a table, and note everything in the report."""
    cases = ["hf", EXACT, *(case for case in cases or CASES if case != EXACT)]
    with tempfile.TemporaryDirectory(prefix="portavoz-bench-") as own:
        folder = folder or Path(own) / name
        subprocess.run(command("make", name, folder, "", threads, tokens), check=True)
        with speaking(name, folder, cases, threads, tokens) as speakers:
            for _ in range(rounds):
                for speaker in speakers.values():
                    speaker.say()
            for case, speaker in speakers.items():
                report.figures.update(speaker.figures(case))
            given, wanted = str(Path(own) / "given"), Path(own) / f"{EXACT}.npy"
            speakers[EXACT].ask("keep", given=given)
            for case in cases[1:]:
                speakers[case].ask("mel", given=given, out=str(Path(own) / f"{case}.npy"))
                if case != EXACT:
                    report.figures[f"{case}_mel_db"] = decibels(Path(own) / f"{case}.npy", wanted)
    columns = [
        "chain_cpu_s",
        "spoken_cpu_s",
        *(f"{part}_cpu_s" for part in PARTS),
        "spoken_s",
        "rtf",
        "peak_mb",
        "mel_db",
    ]
    rows = {case: [report.figures.get(f"{case}_{column}") for column in columns] for case in cases}
    table(f"{name}: {speakers['hf'].seconds:.1f} s of sound", columns, rows, ".4g")
    for case in cases[1:]:
        report.ratio("hf_chain_cpu_s", f"{case}_chain_cpu_s")
        report.ratio("hf_spoken_cpu_s", f"{case}_spoken_cpu_s")
