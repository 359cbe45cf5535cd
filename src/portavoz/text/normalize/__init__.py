"""Written English to spoken words: "Dr. Smith paid $3.50" → "doctor smith paid three dollars and fifty cents".

The text is folded (`folded`) and read from left to right; at each place the rules of the rooms beside this one are
tried in order (`reading`). Every pattern is bounded, so that time is proportional to length for any text. Each token
keeps the slice of the text it was written in. Marks belong to a slice too: closing marks and separate dashes to the
token before them, opening quotes and brackets to the token after them. So the slices cover everything but blanks, in
order and without overlap. Only what cannot be read (another script, a broken character, a text of nothing but
marks) has no words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..unicode_fold import BLANKS, FoldedText, fold
from .abbreviations import STARTERS, UNFINISHED
from .letters import is_loud, plain
from .reading import read_at
from .rules import after
from .symbols import pause_at, stronger


@dataclass(frozen=True, slots=True)
class Spoken:
    """One written token and how it is read.

    `source` is ``text[start:end]``; `words` are lower-case letters and apostrophes ("[[HH AH0 L OW1]]", an inline
    pronunciation, is one word), empty when it could not be read; `mark` is the pause after it: "" "," "." "?" "!".
    `letters` are the places in `words` where "a" is the name of the letter and not the article. `rule` says which rule
    read it, as "money.money"; empty for a word that is read as it stands.
    """

    source: str
    start: int
    end: int
    words: tuple[str, ...]
    mark: str
    letters: tuple[int, ...] = ()
    rule: str = ""


@dataclass(slots=True)
class _Draft:
    start: int
    end: int
    words: tuple[str, ...]
    mark: str = ""
    rule: str = ""


def normalize(text: str, markup: str = "auto") -> str:
    """The spoken words of `text`, joined by blanks, marks attached: "hello, world!".

    markup: as `portavoz.text.markup.read` has it; what the text shows is read. Raises InputError for SSML that is not
    well formed.
    """
    from ..markup import read

    joined: list[str] = []
    for segment in read(text, markup).segments:
        joined += _said(str(segment.text))
    return " ".join(joined)


def _said(text: str) -> list[str]:
    out: list[str] = []
    for token in spoken(text):
        if token.words:
            out += token.words
            out[-1] += token.mark
        elif token.mark and out:
            bare = out[-1].rstrip(",.?!")
            out[-1] = bare + stronger(out[-1][len(bare) :], token.mark)
    return out


def spoken(text: str, offset: int = 0) -> list[Spoken]:
    """The tokens of `text` in order; time and memory are proportional to its length.

    Their places count from `offset`, where `text` is a part of a longer one.
    """
    folded = fold(text)
    return _placed(text, folded, _drafts(folded.text), offset)


_LETTERED = "abbreviation.lettered"  # a letter follows that begins no sentence: Ave. A
# Most words of most texts: small letters, and small letters after a blank.
_SIMPLE = re.compile(r"[a-z]{2,40}(?= [a-z])")


def _drafts(text: str) -> list[_Draft]:
    drafts: list[_Draft] = []
    loud, lead, here = is_loud(text), -1, 0
    cased = text.lstrip("\"'([{ ")[:1].isupper()
    while here < len(text):
        if text[here] == " ":
            here += 1
            continue
        begins = "a" <= text[here] <= "z" and (here == 0 or text[here - 1] == " ")
        if begins and (simple := _SIMPLE.match(text, here)) and plain(simple[0]):
            drafts.append(_Draft(here if lead < 0 else lead, simple.end(), (simple[0],)))
            lead, here = -1, simple.end() + 1
            continue
        parts = read_at(text, here, loud=loud)
        if parts:
            for part in parts:
                drafts.append(_Draft(here if lead < 0 else lead, part.end, part.words, part.mark, part.rule))
                lead, here = -1, part.end
            if text[here - 1] == "." and drafts[-1].rule != _LETTERED and _closes(text, here, drafts[-1].words):
                drafts[-1].mark = "."
            continue
        pause = pause_at(text, here)
        end, mark, opens = pause if pause else (here + 1, "", False)
        if mark == "." and text[here] == "." and end == here + 1 and drafts:
            mark = _full_stop(text, here, drafts, cased=cased)
        if drafts and mark:
            drafts[-1].mark = stronger(drafts[-1].mark, mark)
        if drafts and lead < 0 and not opens:
            drafts[-1].end = end
        elif lead < 0:
            lead = here
        here = end
    if lead >= 0 and drafts:
        drafts[-1].end = len(text)
    elif lead >= 0:
        drafts.append(_Draft(lead, len(text), (), "."))
    return drafts


_GOES_ON = re.compile(r" [a-z](?![A-Z])")


def _full_stop(text: str, here: int, drafts: list[_Draft], *, cased: bool) -> str:
    """The mark of one dot: none where a text with capitals goes on in small letters, a comma after a list's "1."."""
    if cased and _GOES_ON.match(text, here + 1):
        return ""
    written = text[drafts[-1].start : here]
    begins = len(drafts) == 1 or drafts[-2].mark in (".", "!", "?")
    return "," if begins and written.isdecimal() and len(written) < 4 and text[here + 1 : here + 3].strip() else "."


def _closes(text: str, end: int, words: tuple[str, ...]) -> bool:
    """Whether the dot of an abbreviation also ends the sentence."""
    rest = text[end : end + 4].lstrip("\"')]} ")
    if not rest and end + 4 >= len(text):
        return True
    return after(text, end) in STARTERS and " ".join(words) not in UNFINISHED


def _placed(text: str, folded: FoldedText, drafts: list[_Draft], offset: int) -> list[Spoken]:
    """Drafts back on the written text; what was folded away goes with the token before it."""
    spans: list[list[int]] = []
    kept: list[_Draft] = []
    for draft in drafts:
        start, end = folded.at[draft.start], folded.at[draft.end]
        if kept and start < spans[-1][1]:  # two tokens out of one character (a ligature cut in two)
            kept[-1].words += draft.words
            kept[-1].mark = stronger(kept[-1].mark, draft.mark)
            spans[-1][1] = max(spans[-1][1], end)
            continue
        spans.append([start, max(end, start + 1)])
        kept.append(draft)
    return list(_covered(text, spans, kept, offset))


def _covered(text: str, spans: list[list[int]], drafts: list[_Draft], offset: int) -> Iterator[Spoken]:
    if not drafts:
        if bare := text.strip(BLANKS):
            start = text.index(bare[0])
            yield Spoken(bare, offset + start, offset + start + len(bare), (), ".")
        return
    spans[0][0] = len(text) - len(text.lstrip(BLANKS))
    for index, (draft, (start, end)) in enumerate(zip(drafts, spans)):
        until = spans[index + 1][0] if index + 1 < len(spans) else len(text)
        end = max(end, start + len(text[start:until].rstrip(BLANKS)))
        end = start + len(text[start : min(end, until)].rstrip(BLANKS))
        words, letters = draft.words, ()
        if "A" in words:
            letters = tuple(at for at, word in enumerate(words) if word == "A")
            words = tuple("a" if word == "A" else word for word in words)
        yield Spoken(text[start:end], offset + start, offset + end, words, draft.mark, letters, draft.rule)
