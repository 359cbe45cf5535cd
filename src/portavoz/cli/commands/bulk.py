"""Speak a whole manifest: one sound file for each line.

MANIFEST is CSV, TSV, JSONL or Parquet with the columns id and text (and where wanted voice, speaker, speed, seed), or
plain text with one text per line. All lines are checked before work starts. A job that was stopped or killed, or whose
disk was full, resumes with the same command. Each id becomes one file, with the same bytes whatever the number of
workers. OUT/manifest.jsonl lists what was made, OUT/failed.jsonl what was not, and why.

Examples:
  portavoz bulk corpus.csv out --dry-run
  portavoz bulk corpus.csv out --format flac --workers 8
  portavoz bulk corpus.jsonl out --layout webdataset --format opus --loudness -23
  portavoz bulk corpus.parquet out --ray auto --workers 64
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .. import exit_codes
from ..options import json_option, load_options, manner_options, note, print_json, setting, voice_options

if TYPE_CHECKING:
    from ...bulk.check import Checked, Estimate
    from ...bulk.progress import Meter
    from ...bulk.settings import Settings

EVERY = 30.0  # seconds between two lines where standard error is no terminal


def options(parser: argparse.ArgumentParser) -> None:
    """What `bulk` takes."""
    parser.add_argument("manifest", metavar="MANIFEST", help="what to say: .csv, .tsv, .jsonl, .parquet or .txt")
    parser.add_argument("out", metavar="OUT", help="output folder: new, or with an unfinished job of the same kind")
    parser.add_argument("--dry-run", action="store_true", help="check every line, print an estimate, write nothing")
    job = parser.add_argument_group("job")
    job.add_argument("--workers", metavar="N", type=int, help="processes, or Ray actors (default: one per core)")
    job.add_argument(
        "--ray",
        metavar="ADDRESS",
        nargs="?",
        const="",
        help="run on a Ray cluster (auto, or its address), or start one here (needs the extra 'bulk')",
    )
    job.add_argument("--skip-bad", action="store_true", help="speak the good lines; bad ones go to OUT/failed.jsonl")
    job.add_argument("--update", action="store_true", help="resume with a manifest that has changed")
    job.add_argument("--verify", action="store_true", help="first compare all finished files with their checksums")
    job.add_argument("--state", metavar="DIR", help="the job's own files (default: a hidden folder in OUT)")
    job.add_argument("--keep-extra", action="store_true", help="copy other columns into the output manifest")
    sound = parser.add_argument_group("what to write")
    sound.add_argument("--format", metavar="F", default="wav", help="wav, flac, ogg, opus or mp3 (default: wav)")
    sound.add_argument("--layout", metavar="L", default="files", help="files, ljspeech or webdataset (default: files)")
    sound.add_argument("--shard-size", metavar="N", type=int, default=1000, help="lines in a shard (default: 1000)")
    sound.add_argument("--loudness", metavar="LUFS", type=float, help="integrated loudness of every item, such as -23")
    sound.add_argument("--timings", action="store_true", help="also write the time of each word")
    manner = parser.add_argument_group("manner, where a line does not set it")
    manner.add_argument("--speaker", metavar="S", help="one of the voice's speakers, by name or number")
    manner.add_argument(
        "--batch", metavar="N", type=int, help="sentences of a text spoken together, where the family can"
    )
    manner_options(manner)
    voice_options(parser)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Check or speak a manifest; 1 where a line is bad or an item failed. Raises PortavozError."""
    from ...bulk import check
    from ...bulk.job import Plan
    from ...bulk.job import run as speak

    settings = _settings(args)
    if args.dry_run:
        Plan(workers=args.workers)
        checked, estimate = check(args.manifest, settings)
        return _tell_check(args, checked, estimate)
    with _progress(quiet=args.json) as tell:
        plan = Plan(
            args.workers, args.ray, args.skip_bad, args.update, args.verify, args.state, tell
        )  # fmt: skip
        report = speak(args.manifest, args.out, settings, plan)
    if args.json:
        print_json(report)
    else:
        note(_summary(report))
    return exit_codes.FAIL if report["failed"] or report["bad_lines"] else exit_codes.OK


def _settings(args: argparse.Namespace) -> Settings:
    from ...bulk import Settings

    names = ("voice", "speaker", "speed", "seed", "pauses", "lexicon", "batch", "markup", "format", "layout",
             "shard_size", "loudness", "timings", "keep_extra")  # fmt: skip
    given = {name: getattr(args, name) for name in names}
    return Settings(**given, options=dict(map(setting, args.set)), load=load_options(args))


def _tell_check(args: argparse.Namespace, checked: Checked, estimate: Estimate | None) -> int:
    bad = checked.describe_bad()
    if args.json:
        print_json(
            {
                "manifest": args.manifest, "items": checked.items, "characters": checked.characters,
                "bad_lines": checked.bad, "bad": bad, "estimate": estimate.to_dict() if estimate else None,
            }
        )  # fmt: skip
    else:
        print(f"{args.manifest}: {checked.items} items, {checked.characters} characters, {checked.bad} bad lines")
        for line in bad:
            print(f"  {line}")
        if estimate:
            print(
                f"estimate: {_time(estimate.hours)} of sound, {estimate.bytes / 1e6:.1f} MB, "
                f"{_time(estimate.processor_hours)} of one worker (RTF {estimate.rtf:.3f})"
            )
    return exit_codes.FAIL if checked.bad else exit_codes.OK


def _time(hours: float) -> str:
    return f"{hours:.2f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"


def _summary(report: dict[str, Any]) -> str:
    parts = [f"{report['spoken']} spoken"]
    if report["already"]:
        parts.append(f"{report['already']} were there")
    if report["failed"] or report["bad_lines"]:
        parts.append(f"{report['failed'] + report['bad_lines']} failed (see {report['output']}/failed.jsonl)")
    parts.append(f"{report['hours']:.2f} h of sound")
    if report["rtf"] is not None:
        parts.append(f"{report['took']:.1f} s, RTF {report['rtf']:.3f}")
    return f"{report['output']}: {', '.join(parts)}"


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[Meter], None]]:
    """A bar on a terminal, else a line now and then."""
    if quiet or not sys.stderr.isatty():
        last = time.monotonic()

        def tell(meter: Meter) -> None:
            nonlocal last
            if not quiet and time.monotonic() - last >= EVERY:
                last = time.monotonic()
                note(meter.describe())

        yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    with Progress(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("…", total=None)
        yield lambda meter: bar.update(task, total=meter.weight, completed=meter.done, description=meter.describe())
