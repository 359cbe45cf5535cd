"""Text to sentences, as it arrives and in flat memory; sentences to pieces that a model speaks at once.

A sentence ends at ". ! ? …" (and the closing quotes and brackets after it) before a blank, unless the dot belongs to
an abbreviation, an initial or a list's number, or the text goes on in small letters; at a blank line and before the
next item of a list; and at a blank where it would grow beyond `LONGEST` characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .normalize.abbreviations import NUMBERED, STARTERS, TITLES, takes_letter
from .normalize.letter_a import LETTERED
from .unicode_fold import BLANKS

if TYPE_CHECKING:
    from .normalize import Spoken

LONGEST = 4000  # characters of a sentence without an end; then it is cut at a blank
_CHUNK = 8192  # characters of a text looked at together
_AHEAD = 96  # characters after a possible end that must be known to judge it

_END = re.compile(r"[.!?…][\"'”’»)\]}]{0,8}(?=\s)|[。！？][」』”’）]{0,8}|\n(?=[\s\d*•#-])")
_BLANK_LINE = re.compile(r"\n[^\S\n]{0,60}\n")
_ITEM = re.compile(r"\n[ \t]{0,8}(?:[-*•]|\d{1,3}[.)]|#{1,6})[ \t]")
_BLANK_RUN = re.compile(rf"[{re.escape(BLANKS)}]{{0,{2 * LONGEST}}}")
_NEXT = re.compile(r"\s{0,60}[\"'“‘«(\[{]{0,4}([^\W_]{1,24})?")
_INITIALS = re.compile(r"(?:[A-Za-z]{1,2}\.){1,7}[A-Za-z]{1,2}")
_LAST_WORD = re.compile(r"([A-Za-z][A-Za-z.]{0,15}|\d{1,9})\.$")

# Lower case, without the last dot: after these a sentence goes on.
_INSIDE = frozenset(TITLES)
_INSIDE_SMALL = frozenset("e.g i.e cf vs viz approx ca fig figs vol vols pp ch eq incl excl esp nos".split())
# A figure after them belongs to them: No. 5, Jan. 5.
_BEFORE_FIGURE = frozenset(NUMBERED) | frozenset(
    "c jan feb mar apr jun jul aug sep sept oct nov dec tel est rm".split()
)
_BEFORE_MORE = re.compile(r"\d ?(?:ft|lb|lbs|hr|hrs|min)\.$")  # 6 ft. 2 in.
# These may end a sentence, but only before a word that begins one.
_EITHER = frozenset(
    "inc ltd co corp jr sr bros ave blvd rd mon tue tues wed thu thurs fri sat sun a.m p.m dept univ ft "
    "etc ln dr hwy pkwy ct pl sq".split()
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence without the blanks around it; `start` is its offset in the whole input, in characters."""

    text: str
    start: int
    paragraph_end: bool


@dataclass(slots=True)
class _Cutter:
    """The text that is not cut yet. `scanned` is how far no end was found, so that nothing is looked at twice."""

    rest: str = ""
    offset: int = 0
    scanned: int = 0
    waiting: Sentence | None = None
    lines: int = field(default=0)

    def add(self, chunk: str, *, final: bool = False) -> Iterator[Sentence]:
        """Take the next characters; yield what is certain by now."""
        self.rest += chunk
        while True:
            self._skip_blanks()
            if self.waiting and (self.lines > 1 or self.rest or final):
                paragraph = self.lines > 1 or (final and not self.rest)
                yield Sentence(self.waiting.text, self.waiting.start, paragraph)
                self.waiting = None
            end = self._end(final=final)
            if end is None:
                return
            self._cut(end)

    def _skip_blanks(self) -> None:
        """Drop blanks before the next sentence, counting the line ends among them."""
        while self.rest:
            blank = _BLANK_RUN.match(self.rest)
            length = blank.end() if blank else 0
            if not length:
                return
            self.lines += self.rest.count("\n", 0, length)
            self.rest, self.offset, self.scanned = self.rest[length:], self.offset + length, 0

    def _cut(self, end: int) -> None:
        written = self.rest[:end].rstrip(BLANKS)
        self.waiting = Sentence(written, self.offset, False)
        self.rest, self.offset, self.scanned = self.rest[len(written) :], self.offset + len(written), 0
        self.lines = 0

    def _end(self, *, final: bool) -> int | None:
        """Where the sentence at the beginning of `rest` ends; None while that cannot be known."""
        for match in _END.finditer(self.rest, self.scanned, LONGEST + _AHEAD):
            if match.end() > LONGEST:
                break
            if len(self.rest) - match.end() < _AHEAD and not final:
                self.scanned = match.start()
                return None
            if is_end(self.rest, match):
                return match.end()
        if len(self.rest) > LONGEST + _AHEAD:
            blank = max(self.rest.rfind(c, 0, LONGEST) for c in " \n\t")
            return blank if blank > 0 else LONGEST
        if final:
            return len(self.rest) or None
        # A mark at the very end may still get its blank or its closing quotes.
        self.scanned = max(0, len(self.rest) - 10)
        return None


def sentences(text: str | Iterable[str]) -> Iterator[Sentence]:
    """The sentences of `text`, a string or chunks of one (the lines of a file, words from a stream), lazily.

    Linear in time; never more than a few thousand characters are held, whatever is written. A sentence is yielded
    as soon as what follows shows that it has ended. Blank text has no sentences.
    """
    chunks = (text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK)) if isinstance(text, str) else text
    cutter = _Cutter()
    for chunk in chunks:
        for at in range(0, len(chunk), _CHUNK):
            yield from cutter.add(chunk[at : at + _CHUNK])
    yield from cutter.add("", final=True)


def is_end(text: str, match: re.Match[str]) -> bool:
    """Whether the marks found in `text` end a sentence that begins at its first character."""
    mark, end = match[0][0], match.end()
    if mark == "\n":
        return bool(_BLANK_LINE.match(text, match.start()) or _ITEM.match(text, match.start()))
    if mark in "。！？" or _BLANK_LINE.match(text, end):
        return True
    follows = _NEXT.match(text, end)
    word = (follows[1] or "") if follows else ""
    if mark in "!?":
        return not (word[:1].islower() and match[0][-1] in "\"'”’»)")
    if word[:1].islower() and not word[1:2].isupper():
        return False
    return mark == "…" or len(match[0]) > 1 or _dot_ends(text[max(0, match.start() - 24) : match.start() + 1], word)


def _dot_ends(head: str, word: str) -> bool:
    """Whether the dot that closes `head` ends a sentence before the next `word`."""
    last = _LAST_WORD.search(head)
    if not last:
        return True
    written, before = last[1], head[: last.start()]
    small = written.lower()
    if written in _INSIDE or small in _INSIDE_SMALL or (small == "al" and before.endswith("et ")):
        return False
    if word[:1].isdigit() and (small in _BEFORE_FIGURE or _BEFORE_MORE.search(head)):
        return False
    starts = word in STARTERS or not word
    last_words = before.split()[-1:]
    if written == "Dr":  # Oak Dr. ends, Dr. No does not
        return starts and bool(last_words) and last_words[0][:1].isupper() and last_words[0] not in STARTERS
    if len(word) == 1 and takes_letter(written, last_words[0] if last_words else "", word):
        return False
    if (small in _EITHER and written != "Dr") or written == "St" or _INITIALS.fullmatch(written):
        return starts
    if written.isdigit():
        return bool(before.strip())
    if len(written) == 1 and written.isupper() and last_words and last_words[0].lower() in LETTERED:
        return True  # Grade A. Plan B.
    if written == "I" and before.rstrip()[-1:].islower():
        return starts
    if len(written) == 1 and written.isupper():
        return starts and word != "I" and (written != "I" or before.rstrip()[-1:].islower())
    return True


# Words that begin a clause: the second best place to cut.
_JOINING = frozenset(
    "and but or nor so yet because that which who whom whose while when where whereas if although though since unless "
    "until before after as than whether".split()
)


def pieces(items: Sequence[Spoken], limit: int, size: Callable[[Spoken], int]) -> Iterator[list[Spoken]]:
    """Cut the tokens of a sentence into pieces of at most `limit` (in the unit of `size`, e.g. symbols).

    A piece ends at a mark where there is one in its last two thirds, else before a joining word there, else at any
    token. Nothing is dropped or reordered; a single token larger than `limit` is a piece of its own. Linear.
    """
    piece: list[Spoken] = []
    sizes: list[int] = []
    total = 0
    for item in items:
        amount = size(item)
        while piece and total + amount > limit:
            cut = _best_cut(piece, sizes, item, limit)
            yield piece[:cut]
            total -= sum(sizes[:cut])
            piece, sizes = piece[cut:], sizes[cut:]
        piece.append(item)
        sizes.append(amount)
        total += amount
    if piece:
        yield piece


def _best_cut(piece: list[Spoken], sizes: list[int], following: Spoken, limit: int) -> int:
    """How many tokens of `piece` to say before the break; cuts in the first third would leave scraps."""
    joining = 0
    follows = [*piece[1:], following]
    left = sum(sizes)
    for cut in range(len(piece), 0, -1):
        if left * 3 < limit:
            break
        if piece[cut - 1].mark:
            return cut
        if not joining and follows[cut - 1].words[:1] and follows[cut - 1].words[0] in _JOINING:
            joining = cut
        left -= sizes[cut - 1]
    return joining or len(piece)
