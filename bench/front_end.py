"""How fast is text read: words a second, the dictionary's opening, words that no dictionary knows?

    python bench/front_end.py [--rounds 5] [--json FILE]

Reading is all of it, from written text to a model's symbols. Spelled words go through letter-to-sound alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from _measure import Report, Took, interleaved, parser, table, timed

PROSE = (
    "The old house stood at the end of the lane, and nobody who passed it by in the evening ever looked up at its "
    "windows, because there was never a light in any of them. On the first day of spring a young woman came along "
    "the road with a suitcase in either hand, stopped before the gate, and read the number twice. "
)
FIGURES = (
    "On March 15, 2024 Dr. Smith paid $3.50 for 5 kg at 9:45 a.m., up 12.5% from 1999. "
    "Flight BA 117 left gate B12 at 7:05 p.m. with 238 passengers; see page 14. "
)
TIMES = 40  # a text long enough to be a chapter
# Invented, so that no dictionary has them, and with common and uncommon rows of letters.
SPELLED = (
    "blenverton cradwick quistle ompharia trelkin schovani dubrecht farnolupe glimmersh yaxtoban "
    "pellitronics wexmorran hujabari zintrell nophrastic caldovene mirthwaze ashquil torbendale fluxenary"
).split()


def works() -> dict[str, tuple[Callable[[], object], int]]:
    """What is measured, and how many words each does."""
    from importlib.resources import files

    from portavoz.text.chunks import split_text
    from portavoz.text.letter_to_sound import Reader
    from portavoz.text.letter_to_sound import read as spell
    from portavoz.text.lexicon import Dictionary, dictionary
    from portavoz.text.normalize import spoken
    from portavoz.text.tagger import tagger

    data = files("portavoz.text") / "data"
    prose, figures, known = PROSE * TIMES, FIGURES * TIMES, sorted(set(PROSE.lower().replace(",", "").split()))
    sentences = [re.findall(r"[a-z']+|,", sentence) for sentence in (PROSE + FIGURES).lower().split(".")]
    tokens = sum(map(len, sentences))
    return {
        "read_prose": (lambda: list(split_text(prose)), len(prose.split())),
        "normalize_prose": (lambda: spoken(prose), len(prose.split())),
        "read_figures": (lambda: list(split_text(figures)), len(figures.split())),
        "normalize_figures": (lambda: spoken(figures), len(figures.split())),
        "tag": (lambda: [tagger().tag(sentence) for sentence in sentences * TIMES], tokens * TIMES),
        "look_up": (lambda: [dictionary().get(word) for word in known], len(known)),
        "spell": (lambda: [spell(word) for word in SPELLED], len(SPELLED)),
        "open_dictionary": (lambda: Dictionary((data / "cmudict.xz").read_bytes()).get("hello"), 0),
        "open_letters": (lambda: Reader(str(data / "letters.npz")), 0),
    }


def main() -> None:
    """Measure, print, write JSON where asked."""
    args = parser(__doc__, rounds=5).parse_args()
    report, measured = Report("front_end", {"rounds": args.rounds, "times": TIMES}), works()
    cases: dict[str, Callable[[], Took]] = {name: lambda w=work: timed(w) for name, (work, _) in measured.items()}
    least, rows = interleaved(cases, args.rounds), dict[str, list[float | None]]()
    for name, (_, words) in measured.items():
        took = least[name].seconds
        if words:
            report.figures[f"{name}_words_per_s"] = words / took
            report.figures[f"{name}_s_per_word"] = took / words
        else:
            report.figures[f"{name}_s"] = took
        rows[name] = [words / took if words else None, took * 1e3, least[name].cpu * 1e3]
    table("text", ["words/s", "ms", "cpu ms"], rows, ",.1f")
    for above, below in (("spell", "look_up"), ("read_figures", "read_prose"), ("read_prose", "normalize_prose")):
        report.ratio(f"{above}_s_per_word", f"{below}_s_per_word")
    report.finish(args.json)


if __name__ == "__main__":
    main()
