"""Make a page for a blind listening test: a single HTML file that needs no server.

Each A is a voice, which speaks the sentences, or a folder of sound files named by sentence id. The page shuffles the
systems (by --seed and the listener's name), can be used by keyboard alone, and ends with a file of answers, which
'portavoz evaluate --listened' reads.

  mos      one sound at a time, 1 (bad) to 5 (excellent)
  ab       two sounds of the same sentence: which is better
  mushra   all systems beside a reference, 0 to 100, with the reference hidden among them

Examples:
  portavoz listen heart my-voice -o test.html
  portavoz listen before after --test ab --count 10 --seed 7 -o test.html
  portavoz listen heart --test mushra --corpus corpus -o test.html
  portavoz evaluate --listened answers-*.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ..options import listed, load_options, note, runtime_options

if TYPE_CHECKING:
    from ...evaluate.listening import Sounds
    from ...evaluate.sentences import Sentence


def options(parser: argparse.ArgumentParser) -> None:
    """What `listen` takes."""
    parser.add_argument("systems", metavar="A", nargs="+", help="voices, or folders of sound files")
    parser.add_argument(
        "-o", "--output", metavar="PAGE", required=True, help="the page to write; the name ends with .html"
    )
    parser.add_argument("--test", metavar="T", help="mos, ab or mushra (default: ab for two, mos otherwise)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--corpus", metavar="FOLDER", help="recordings with their texts: the sentences, and the reference"
    )
    source.add_argument("--text", metavar="FILE", help="sentences for the voices to speak, one per line")
    parser.add_argument(
        "--reference", metavar="FOLDER", help="reference recordings of a MUSHRA test, where they are not the corpus"
    )
    parser.add_argument("--count", metavar="N", type=int, default=10, help="most sentences (default: 10)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the order (default: 0)")
    parser.add_argument("--speaker", metavar="S[,S2]", default="", help="speakers: one for all voices, or one for each")
    parser.add_argument("--title", metavar="T", default="Listening test", help="heading of the page")
    runtime_options(parser.add_argument_group("runtime of the voices"))


def run(args: argparse.Namespace) -> int:
    """Gather, design, write. Raises PortavozError."""
    if Path(args.output).suffix != ".html":
        raise InputError(f"{args.output}: a page's name ends with .html; change the ending")
    if args.count < 1:
        raise InputError(f"--count {args.count}: give a number of sentences from 1 up")
    from ...evaluate import listening, speaking

    test = args.test or ("ab" if len(args.systems) == 2 else "mos")
    systems = speaking.subjects(args.systems, listed(args.speaker), load_options(args))
    names = speaking.names(systems)
    sentences = _sentences(args)
    # Before voices speak for minutes.
    listening.check(test, names)
    sounds, sentences = listening.gather(systems, sentences, args.count)
    reference = _reference(args, sentences) if test == "mushra" else None
    made = listening.design(test, names, sounds, sentences=sentences, reference=reference, seed=args.seed)
    listening.write(made, args.output, title=args.title)
    size = Path(args.output).stat().st_size / 1e6
    note(f"{args.output}: {len(made['trials'])} screens of {len(sentences)} sentences, {size:.1f} MB")
    return 0


def _sentences(args: argparse.Namespace) -> list[Sentence]:
    """The candidates; a folder of sound files decides which of them are used."""
    from ...evaluate import sentences
    from ...evaluate.listening import is_sound_folder

    most = 100_000 if any(is_sound_folder(name) for name in args.systems) else args.count
    return sentences.of_corpus(args.corpus, most) if args.corpus else sentences.of_text(args.text, most)


def _reference(args: argparse.Namespace, sentences: list[Sentence]) -> Sounds:
    from ...evaluate.listening import read_sound_folder

    if args.reference:
        return read_sound_folder(args.reference)
    return {s.id: wave for s in sentences if (wave := s.recording())}
