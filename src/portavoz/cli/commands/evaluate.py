"""Measure a voice against recordings, or two voices against each other.

The voices speak the sentences of a corpus with recordings (--corpus), of a text file (--text), or a built-in set. Every
figure and every difference has a 95 % confidence interval over sentences. A figure whose package is not installed is
left out and named; with --only it is an error. --listened joins the answers of listening pages (see 'portavoz listen').

Examples:
  portavoz evaluate heart --corpus corpus --html heart.html
  portavoz evaluate my-voice heart --text sentences.txt --json both.json --html both.html
  portavoz evaluate heart --corpus corpus --only mcd,stoi --count 20 --json
  portavoz evaluate heart --mos my_package.scores:estimate
  portavoz evaluate --asr whisper --mos distillmos     (neural judges, in an environment made by scripts/judges.sh)
  portavoz evaluate --listened answers-*.json
"""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atomic import atomic
from ...errors import InputError
from ...input_files import is_folder
from ..options import listed, load_options, note, print_json, runtime_options

if TYPE_CHECKING:
    from ...evaluate.report import Evaluation
    from ...evaluate.sentences import Sentence
    from ...evaluate.speaking import Subject

WIDTH = 24


def options(parser: argparse.ArgumentParser) -> None:
    """What `evaluate` takes."""
    parser.add_argument(
        "voices", metavar="VOICE", nargs="*", help="one or two voices, by name or folder (default: the bundled one)"
    )
    what = parser.add_argument_group("sentences")
    source = what.add_mutually_exclusive_group()
    source.add_argument(
        "--corpus", metavar="FOLDER", help="recordings with their texts, in any layout that training reads"
    )
    source.add_argument("--text", metavar="FILE", help="sentences, one per line, without recordings")
    what.add_argument("--count", metavar="N", type=int, default=40, help="most sentences (default: 40)")
    what.add_argument("--speaker", metavar="S[,S2]", default="", help="speakers: one for both voices, or one for each")
    measured = parser.add_argument_group("figures")
    measured.add_argument(
        "--only", metavar="FIGURE,…", default="", help="only these figures, such as word_error,mcd,stoi"
    )
    measured.add_argument(
        "--asr",
        metavar="R",
        default="pocketsphinx",
        help="recogniser for the word error rate: pocketsphinx (default) or whisper",
    )
    measured.add_argument(
        "--mos", metavar="M", help="MOS estimator: distillmos, your .onnx file, or package.module:function"
    )
    measured.add_argument("--listened", metavar="FILE", nargs="+", default=[], help="answers of listening pages")
    out = parser.add_argument_group("output")
    out.add_argument("--json", metavar="FILE", nargs="?", const="-", help="the report; without a FILE it is printed")
    out.add_argument("--html", metavar="FILE", help="a page with figures, sounds and pictures")
    out.add_argument(
        "--sounds", metavar="N", type=int, default=12, help="sentences with sound on the page (default: 12)"
    )
    runtime_options(parser.add_argument_group("runtime"))


def run(args: argparse.Namespace) -> int:
    """Measure, write, print. Raises PortavozError."""
    _check(args)
    from ...evaluate import ratings

    joined = ratings.join(args.listened) if args.listened else None
    measured = _measured(args) if args.voices or not args.listened else None
    listening = joined.report() if joined else None
    report = {**(measured.report() if measured else {}), **({"listening": listening} if listening else {})}
    if args.html:
        from ...evaluate import page

        page.write(measured, args.html, sounds=args.sounds, listening=listening)
    if args.json == "-":
        print_json(report)
        return 0
    if args.json:
        with atomic(args.json, "w") as out:
            out.write(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if measured:
        print("\n".join(figures(measured)))
    if listening:
        print("\n".join(listened(listening)))
    return 0


def _check(args: argparse.Namespace) -> None:
    if len(args.voices) > 2:
        raise InputError(f"{len(args.voices)} voices: give one, or two to compare")
    if args.count < 1:
        raise InputError(f"--count {args.count}: give a whole number from 1 up")
    if args.sounds < 0:
        raise InputError(f"--sounds {args.sounds}: give a whole number from 0 up")
    for option, ending in (("json", ".json"), ("html", ".html")):
        name = getattr(args, option)
        # Otherwise a voice after the option would be taken for the name of the file.
        if name not in (None, "-") and Path(name).suffix != ending:
            raise InputError(f"--{option} {name}: has to end with {ending}; change it, and put voices before options")
        if name not in (None, "-") and not is_folder(Path(name).absolute().parent):
            raise InputError(f"--{option} {name}: the folder {Path(name).parent} does not exist; create it first")


def _measured(args: argparse.Namespace) -> Evaluation:
    from ...evaluate.metrics import ALONE, METRICS
    from ...evaluate.objective_metrics import Mos
    from ...evaluate.report import evaluate
    from ...evaluate.speaking import subjects

    under = subjects(args.voices or [None], listed(args.speaker), load_options(args))
    needing = [name for name in listed(args.only) if name in METRICS and name not in ALONE]
    if args.corpus is None and needing:
        raise InputError(f"{needing[0]} compares with recordings, and there are none: give a corpus (--corpus FOLDER)")
    mos = Mos(args.mos) if args.mos else None
    return evaluate(under, _sentences(args, under[0]), only=listed(args.only), mos=mos, asr=args.asr, say=note)


def _sentences(args: argparse.Namespace, subject: Subject) -> list[Sentence]:
    from ...evaluate import sentences
    from ...voice import load

    if args.corpus is None:
        return sentences.of_text(args.text, args.count)
    own = [subject.speaker] if subject.speaker else load(subject.voice, **subject.options).speakers[:1]
    return sentences.of_corpus(args.corpus, args.count, speakers=tuple(own))


def figures(evaluation: Evaluation) -> list[str]:
    """The figures as a table of text, then the differences, then what was not measured."""
    from ...evaluate.metrics import METRICS, shown

    rows = []
    for name, metric in METRICS.items():
        found = [column.figure(name) for column in evaluation.columns]
        if any(found):
            title = f"{metric.title}, {metric.unit}" if metric.unit else metric.title
            rows.append([title, *(_interval(name, one[:3]) if one else "" for one in found)])
    lines = _table(["", *(column.name for column in evaluation.columns)], rows)
    for a, b, found in evaluation.differences():
        lines += ["", f"{b.name} − {a.name}"]
        for name, one in found.items():
            low, high = (shown(name, x, signed=True) for x in one[1:3])
            unit = METRICS[name].unit
            lines.append(
                f"  {METRICS[name].title:<24} {shown(name, one.value, signed=True):>8} {unit} ({low} … {high})"
            )
    lines += ["", *(f"not measured: {METRICS[name].title}: {why}" for name, why in evaluation.missing.items())]
    return lines


def _interval(name: str, found: tuple[float, ...]) -> str:
    from ...evaluate.metrics import shown

    value, low, high = (shown(name, x) for x in found)
    return f"{value} ({low} … {high})"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Columns of one width; long names take several lines."""
    wrapped = [textwrap.wrap(name, WIDTH - 2) for name in head]
    tall = max(map(len, wrapped))
    lines = [[name[i] if i < len(name) else "" for name in wrapped] for i in range(tall)]
    first = max(len(row[0]) for row in rows) + 2 if rows else 2
    width = max([WIDTH, *(len(cell) + 2 for row in rows for cell in row[1:])])
    return [f"{line[0]:<{first}}{''.join(f'{cell:<{width}}' for cell in line[1:])}".rstrip() for line in lines + rows]


def listened(report: dict[str, Any]) -> list[str]:
    """The joined answers as text."""
    lines = [f"listening test ({report['test']}), {report['listeners']} listeners"]
    for name, one in report.get("means", {}).items():
        lines.append(f"  {name:<24} {one['value']:6.2f} ({one['low']:.2f} … {one['high']:.2f}), {one['count']} ratings")
    for one in report.get("differences", []):
        lines.append(
            f"  {one['second']} − {one['first']}: {one['value']:+.2f} ({one['low']:+.2f} … {one['high']:+.2f})"
        )
    for one in report.get("preferences", []):
        share = f"{one['value']:.0%} ({one['low']:.0%} … {one['high']:.0%})"
        counts = f"{one['prefer_first']} : {one['prefer_second']}, {one['no_preference']} without preference"
        lines.append(f"  {one['first']} rather than {one['second']}: {share}; {counts}; p {one['sign_test']:.3g}")
    lines += [f"  left out: {listener} {why}" for listener, why in report["excluded"].items()]
    return lines
