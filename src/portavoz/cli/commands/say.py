"""Speak a text into a sound file.

The text is an argument, a file, or standard input; it is read as it is spoken, so a book needs no more memory than
a page. Without -o the sound goes to say.wav, or with --play is only played. The file appears when it is complete;
until then an older file of that name is unchanged.

Examples:
  portavoz say "The train leaves at 7:45." -o train.wav
  portavoz say --file letter.txt -o letter.mp3 --timestamps srt
  echo "Through a pipe." | portavoz say - --play
  portavoz say --file book.txt -o - --stream --format raw | aplay -q -r 24000 -f S16_LE
  portavoz say "Slowly, please." --speed 0.8 --pauses 1.5 -o slow.flac --json
  portavoz say "As loud as a podcast." --loudness -16 --rate 48000 -o podcast.wav --quiet
  portavoz say "In my own voice." --voice my-folder --prompt me.wav --set exaggeration=0.7 -o own.wav --signals
  portavoz say "As somebody else." --voice my-checkpoint --speaker anna.npy:0.7+bert.npy:0.3 -o both.wav
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atomic import check_new_file
from ...deadline import time_limit
from ...errors import InputError
from ...input_files import is_file
from .. import progress, sink, source
from ..leveling import check_levels, level_options, leveled
from ..options import (
    json_option,
    manner_options,
    note,
    open_lexicon,
    open_voice,
    print_json,
    setting,
    voice_options,
)
from ..play import play, player

if TYPE_CHECKING:
    from ...families.synthesis import SynthesisRequest
    from ...lab.signals.diagnosis import Report as Found
    from ...speech import Speech
    from ...voice import Voice
    from ..extras import Diagnostics, Picture, Timestamps

hint = source.hint
SHOWN = 10  # warnings printed one by one; a text in another language would fill the screen


def options(parser: argparse.ArgumentParser) -> None:
    """What `say` takes."""
    source.source_options(parser)
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="the sound file; '-' is standard output (default: say.wav)"
    )
    parser.add_argument("--format", metavar="F", help="wav, flac, ogg or mp3 (default: OUT's ending); raw with '-o -'")
    parser.add_argument("--stream", action="store_true", help="with '-o -': send each piece as soon as it is spoken")
    parser.add_argument("--play", action="store_true", help="play the sound when it is finished")
    manner = parser.add_argument_group("manner")
    manner.add_argument(
        "--speaker",
        metavar="S",
        help="one of the voice's speakers, by name or number; in some families an embedding's file, or a mixture",
    )
    manner.add_argument(
        "--prompt", metavar="WAV", help="speak with the voice of this recording, in families that clone voices"
    )
    manner.add_argument(
        "--pitch",
        metavar="N",
        type=float,
        default=0.0,
        help="semitones up or down, in voices that were trained with a pitch input",
    )
    manner.add_argument(
        "--batch",
        metavar="N",
        type=int,
        help="sentences spoken together, where the family can (default: the fastest; 1 with --stream)",
    )
    manner_options(manner)
    level_options(parser.add_argument_group("level and rate"))
    voice_options(parser)
    also = parser.add_argument_group("other output")
    also.add_argument(
        "--timestamps",
        choices=("srt", "vtt", "json"),
        help="captions (srt or vtt) or times of words (json) beside OUT",
    )
    also.add_argument("--plot", metavar="PNG", help="draw the wave and its mel (needs the extra 'plot')")
    also.add_argument(
        "--signals",
        action="store_true",
        help="print what `lab signals` finds in the sound (compared with --prompt, if given)",
    )
    json_option(also)
    also.add_argument("--timeout", metavar="SECONDS", type=float, help="give up after this time (default: never)")
    also.add_argument("--quiet", action="store_true", help="print errors only: no progress, warnings or summary")


@dataclass(slots=True)
class Report:
    """What was said so far."""

    rate: int
    seconds: float = 0.0
    words: int = 0
    warnings: dict[str, None] = field(default_factory=dict)

    def add(self, part: Speech, *, quiet: bool) -> None:
        """Count one piece of speech, and print its warnings once."""
        self.seconds += part.duration
        self.words += len(part.words)
        for warning in part.warnings:
            if warning not in self.warnings and not quiet and len(self.warnings) < SHOWN:
                note(f"warning: {warning}")
            self.warnings[warning] = None

    def to_dict(self, took: float) -> dict[str, Any]:
        """`took` is in seconds; rtf is that over the seconds of sound."""
        rtf = took / self.seconds
        return {
            "seconds": round(self.seconds, 4),
            "rate": self.rate,
            "rtf": round(rtf, 4),
            "words": self.words,
            "warnings": list(self.warnings),
        }

    def tell(self, out: str, took: float) -> None:
        """The last line for people, on standard error; `out` is "" for sound that is only played."""
        if len(self.warnings) > SHOWN:
            note(f"{len(self.warnings) - SHOWN} more warnings; --json lists them all")
        where, rtf = {"-": "standard output", "": "played"}.get(out, out), took / self.seconds
        note(f"{where}: {self.seconds:.2f} s of speech in {took:.2f} s (RTF {rtf:.3f})")


def run(args: argparse.Namespace) -> int:
    """Speak the text. Raises PortavozError."""
    _check(args)
    check_levels(args)
    command = player(args.format or Path(args.output or "").suffix.lstrip(".").lower() or "wav") if args.play else None
    if args.play and command is None:
        note("no player here (afplay, paplay, aplay, ffplay or play): the sound is only written")
    limit = nullcontext() if args.timeout is None else time_limit(args.timeout)
    with limit, _target(args, playing=command is not None) as out:
        text = source.open_text(args)
        request = _request(args, text)
        voice = open_voice(args, request)
        _check_times(args, voice)
        began, report = time.perf_counter(), Report(args.rate or voice.rate)
        with ExitStack() as stack:
            file = stack.enter_context(sink.open_sink(out, report.rate, format=args.format, stream=args.stream))
            sound = stack.enter_context(leveled(file, voice.rate, args))
            beside = [stack.enter_context(extra) for extra in _beside(args, out, voice.rate)]
            diagnostics = _diagnostics(args, voice.rate)
            if diagnostics is not None:
                beside.append(diagnostics)
            update = stack.enter_context(progress.shown(text, quiet=args.quiet))
            for part in voice.stream(text.text, **_manner(args, voice, request)):
                sound.write(part.samples)
                for extra in beside:
                    extra.write(part)
                report.add(part, quiet=args.json or args.quiet)
                update(report.seconds)
        took = time.perf_counter() - began
        found = diagnostics.report() if diagnostics else None
        if args.json:
            kept = out if _kept(args, playing=command is not None) else None
            more = {} if found is None else {"signals": found.to_dict()}
            print_json({"output": kept, **report.to_dict(took), "voice": voice.name, "runtime": voice.runtime, **more})
        else:
            _tell(report, found, out if _kept(args, playing=command is not None) else "", took, quiet=args.quiet)
        if command and (problem := play(Path(out), command)):
            note(problem)
    return 0


def _diagnostics(args: argparse.Namespace, rate: int) -> Diagnostics | None:
    from ..extras import Diagnostics

    return Diagnostics(rate, args.prompt) if args.signals else None


def _tell(report: Report, found: Found | None, out: str, took: float, *, quiet: bool) -> None:
    """The summary, and what was asked to be said about the sound."""
    if not quiet:
        report.tell(out, took)
    if found is not None:
        from ...lab.signals.diagnosis import lines

        for line in lines(found):
            note(line)


def _check(args: argparse.Namespace) -> None:
    """Raises InputError for options that contradict each other, and for values out of range."""
    from ...audio.files import check_format
    from ...families.synthesis import MOST_ROWS, check_manner, whole_number

    if args.output == "-":
        for given, name in ((args.json, "--json"), (args.play, "--play"), (args.timestamps, "--timestamps")):
            if given:
                raise InputError(f"-o - and {name}: standard output carries the sound; name a file with -o")
    elif args.format == "raw":
        raise InputError("--format raw: bare samples go to standard output only; add '-o -', or choose wav")
    elif args.output is not None:
        check_format(args.format or Path(args.output).suffix.lstrip("."), f"{args.output!r}: ")
        check_new_file(args.output)
    check_manner(args.speed, args.pauses, args.pitch)
    if args.batch is not None:
        whole_number("batch", args.batch, 1, MOST_ROWS)
    if args.prompt is not None and args.speaker is not None:
        raise InputError("--prompt and --speaker both say who speaks: give one of them")
    for part in (args.speaker or "").split("+"):
        name = part.rpartition(":")[0] or part
        name = name.partition("#")[0].strip()
        if name.endswith((".npy", ".safetensors", ".wav")) and not is_file(name):
            raise InputError(f"--speaker {name}: there is no such file; check the path")


def _check_times(args: argparse.Namespace, voice: Voice) -> None:
    if args.timestamps is not None and not voice.model.timed:
        raise InputError(f"--timestamps: the {voice.about['family']} family has no word times; leave it out")


@contextmanager
def _target(args: argparse.Namespace, *, playing: bool) -> Iterator[str]:
    """The path to write: the one that was asked for, say.wav, or one that is thrown away after playing."""
    name = f"say.{args.format or 'wav'}"
    if _kept(args, playing=playing):
        yield name if args.output is None else args.output
        return
    with tempfile.TemporaryDirectory(prefix="portavoz-") as folder:
        yield str(Path(folder) / name)


def _kept(args: argparse.Namespace, *, playing: bool) -> bool:
    return args.output is not None or args.timestamps is not None or not playing


def _beside(args: argparse.Namespace, out: str, rate: int) -> list[Timestamps | Picture | Diagnostics]:
    """What is written besides the sound."""
    from ..extras import Picture, Timestamps

    files: list[Timestamps | Picture | Diagnostics] = []
    if args.timestamps is not None:
        files.append(Timestamps(out, args.timestamps))
    if args.plot is not None:
        files.append(Picture(args.plot, rate))
    return files


def _request(args: argparse.Namespace, text: source.Source) -> SynthesisRequest:
    """What the command line asks for. Raises InputError for what is wrong with it whatever the voice."""
    from ...families.synthesis import SynthesisOptions, SynthesisRequest
    from ...voice import read_prompt

    if (
        args.prompt is not None
        and args.output is not None
        and Path(args.output).resolve() == Path(args.prompt).resolve()
    ):
        raise InputError(f"-o {args.output}: this is the recording of --prompt; give another name")
    manner = SynthesisOptions(
        args.speaker, args.speed, args.pauses, args.seed, open_lexicon(args), None, args.pitch,
        dict(map(setting, args.set)),
    )  # fmt: skip
    prompt = None if args.prompt is None else read_prompt(args.prompt)
    return SynthesisRequest(text.text if isinstance(text.text, str) else None, prompt, manner)


def _manner(args: argparse.Namespace, voice: Voice, request: SynthesisRequest) -> dict[str, Any]:
    speaker: Any = args.speaker
    if isinstance(speaker, str) and speaker.isdecimal() and speaker not in voice.speakers:
        speaker = int(speaker)
    if request.prompt is not None:
        speaker = voice.clone(request.prompt)
    chosen = {"speed": args.speed, "pauses": args.pauses, "seed": args.seed, "speaker": speaker, "pitch": args.pitch}
    # A listener at the other end of a pipe should hear the first piece soon.
    early = args.output == "-" and (args.stream or args.format == "raw")
    batch = args.batch if args.batch is not None else 1 if early else None
    return {
        **chosen,
        "lexicon": request.manner.lexicon,
        "batch": batch,
        "options": request.manner.options,
        "markup": args.markup,
    }
