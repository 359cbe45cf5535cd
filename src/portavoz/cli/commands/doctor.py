"""Check this machine and every stage of synthesis.

Lists Python, processor features, devices, extras and players, and compares the voice's files with their checksums. Then
one sentence passes through every stage (phonemes, durations, mel and wave, or what its family has instead), each with
its time and the peak memory so far. Exit code: 0 all stages work, 1 one fails.

Examples:
  portavoz doctor
  portavoz doctor --voice my-voice --runtime eager
  portavoz doctor --json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from ...errors import PortavozError
from ...inspect import health_checks, system_info
from ..options import json_option, open_voice, print_json, voice_options
from ..play import players


def options(parser: argparse.ArgumentParser) -> None:
    """What `doctor` takes."""
    voice_options(parser)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Examine, and report."""
    here = {
        **system_info.system(),
        "features": system_info.features(),
        "devices": system_info.devices(),
        "extras": system_info.extras(),
        "players": list(players()),
    }
    steps = examine(args)
    healthy = all(step["ok"] for step in steps)
    if args.json:
        print_json({**here, "stages": steps, "healthy": healthy})
    else:
        _print(here, steps)
    return 0 if healthy else 1


def examine(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One sentence, step by step, until a step fails; each with seconds, MB, and what it made."""
    rows: list[dict[str, Any]] = []
    for step in health_checks.steps(args.voice, lambda: open_voice(args)):
        rows.append(_examined(step))
        if not rows[-1]["ok"]:
            break
    return rows


def _examined(step: Callable[[], str]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        ok, said = True, step()
    except PortavozError as problem:
        ok, said = False, str(problem)
    took, peak = time.perf_counter() - began, system_info.memory()
    megabytes = round(peak, 1) if peak == peak else None
    return {"name": step.__name__, "ok": ok, "seconds": round(took, 4), "megabytes": megabytes, "says": said}


def _print(here: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    print(f"Python     {here['python']} on {here['system']}")
    print(f"processor  {here['processor']}, {here['cores']} cores")
    known = here["features"]
    has = (
        "cannot be asked here"
        if known is None
        else " ".join(name for name, there in known.items() if there) or "none known"
    )
    print(f"features   {has}")
    print(f"devices    {', '.join(here['devices']) or 'the processor only'}")
    print(f"players    {', '.join(here['players']) or 'none found'}")
    for name, extra in here["extras"].items():
        print(f"extra {name:<11} {'✓ installed' if extra['installed'] else '– ' + extra['install']} ({extra['adds']})")
    for step in steps:
        memory = "" if step["megabytes"] is None else f"{step['megabytes']:7.0f} MB"
        print(
            f"{'✓' if step['ok'] else '✗'} {step['name']:<10} {step['seconds'] * 1000:8.1f} ms {memory}  {step['says']}"
        )
