"""text → pieces in the tokenizer's characters: the front end of a model that reads letters.

What is written becomes what is said ("$3.50" → "three dollars and fifty cents"); a word that is read as it stands
keeps its capital, which such a model has learned. What the tokenizer does not know is reported, never an <unk>.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ...errors import InputError
from ...text.chunks import AFTER_PARAGRAPH, AFTER_SENTENCE, TextChunk
from ...text.normalize import Spoken, spoken
from ...text.split import Sentence, pieces, sentences
from ...text.unicode_fold import fold
from .config import SpeechT5Config
from .tokenizer import Tokenizer
from .validation import StoppingCriteria

SHORTEST = 8  # ids in a piece
LONGEST = 200  # ids in a piece: a sentence or two, as in training; attention wanders in longer ones


@dataclass(slots=True)
class Token:
    """A written token and the characters that are said for it, with its mark."""

    spoken: Spoken
    text: str
    mark: str

    def __len__(self) -> int:
        return len(self.text) + len(self.mark) + 1


def limit(c: SpeechT5Config, stop: StoppingCriteria | None = None) -> int:
    """The most ids in a piece: within the text's positions, and with as many steps as the stop rule may want."""
    steps_each = (stop or StoppingCriteria()).maxlenratio / c.reduction_factor
    return min(LONGEST, c.max_text_positions, int(c.max_speech_positions / max(steps_each, 1e-6)))


def read(text: str | Iterable[str], tokenizer: Tokenizer, *, limit: int) -> Iterator[TextChunk]:
    """Read `text`, a string or chunks of one, in pieces of at most `limit` ids with "▁" and eos, lazily.

    `symbols` of a TextChunk are characters; `tokenizer.ids` of their text are the piece's. What could not be read, and
    characters that are not in the vocabulary, are told with the next piece, or after the last in one without symbols.
    Raises InputError for a limit that no word fits in.
    """
    if limit < SHORTEST:
        raise InputError(f"a piece of text may have {limit} ids here: a model that speaks holds at least {SHORTEST}")
    return _read(text, tokenizer, limit - 2)


def _read(text: str | Iterable[str], tokenizer: Tokenizer, most: int) -> Iterator[TextChunk]:
    unread: list[str] = []
    notes: list[str] = []
    given = False
    for sentence in sentences(text):
        cut = _cut(_tokens(sentence, tokenizer, most, unread, notes), most)
        for number, piece in enumerate(cut, 1):
            last = number == len(cut)
            silence = AFTER_PARAGRAPH if sentence.paragraph_end else AFTER_SENTENCE
            known = tokenizer.spelled("." if last else ",")[0]
            yield _reading(piece, known, silence if last else 0.0, unread, notes)
            given, unread, notes = True, [], []
    if given and (unread or notes):
        yield TextChunk((), (), (), (), tuple(unread), 0.0, tuple(notes))


def _cut(tokens: list[Token], most: int) -> list[list[Token]]:
    """Pieces of at most `most` characters."""
    sizes, rest = iter(tokens), iter(tokens)
    cut = pieces([token.spoken for token in tokens], most, lambda _: len(next(sizes)))
    return [[next(rest) for _ in piece] for piece in cut]


def _tokens(sentence: Sentence, tokenizer: Tokenizer, most: int, unread: list[str], notes: list[str]) -> list[Token]:
    """The sentence's tokens as they are spelled; what could not be read goes to `unread` and `notes`."""
    out: list[Token] = []
    for token in spoken(sentence.text):
        # A pronunciation in phonemes says nothing to a model that reads letters.
        said = [] if any(word.startswith("[[") for word in token.words) else written(token, first=not out)
        text, lost = tokenizer.spelled(" ".join(said))
        notes += [n for c in lost if (n := f"{c!r} is not in the tokenizer's vocabulary and was left out") not in notes]
        mark = tokenizer.spelled(token.mark)[0]
        if not any(c.isalnum() for c in text):
            unread += [] if lost else [token.source]
            if out and mark and not out[-1].mark:
                out[-1].mark = mark
            continue
        moved = replace(token, start=token.start + sentence.start, end=token.end + sentence.start)
        parts = list(_parts(text, most - 2))
        out += [Token(replace(moved, mark=""), part, "") for part in parts[:-1]] + [Token(moved, parts[-1], mark)]
    return out


def _parts(text: str, most: int) -> Iterator[str]:
    """A token's words cut at blanks (a number of a hundred figures is longer than a piece), else anywhere."""
    while len(text) > most:
        blank = text.rfind(" ", 0, most + 1)
        cut = blank if blank > 0 else most
        yield text[:cut]
        text = text[cut:].lstrip()
    yield text


def _reading(tokens: list[Token], mark: str, pause: float, unread: list[str], notes: list[str]) -> TextChunk:
    """One piece; `mark` ends it where the text has none."""
    symbols: list[str] = []
    owner: list[int] = []
    for index, token in enumerate(tokens):
        ends = token.mark or ("" if index + 1 < len(tokens) else mark)
        between = " " if index + 1 < len(tokens) else ""
        symbols += [*token.text, *ends, *between]
        owner += [index] * len(token.text) + [-1] * len(ends + between)
    words = tuple(token.spoken for token in tokens)
    return TextChunk(tuple(symbols), tuple(owner), words, (), tuple(unread), pause, tuple(notes))


def written(token: Spoken, *, first: bool = False) -> list[str]:
    """A token's words with the capitals they were written with; names of letters are capitals, LOUD words are not.

    A word that replaces what was written ("Dr." → "Doctor") takes its capital; `first`: so does a number that
    begins a sentence.
    """
    folded, at = fold(token.source).text, 0
    spelled = len(token.words) > 1 and all(len(word) == 1 for word in token.words)
    begins = next((c for c in folded if c.isalnum()), "")
    out: list[str] = []
    for number, word in enumerate(token.words):
        found = folded.lower().find(word, at) if folded.isascii() else -1
        seen = folded[found : found + len(word)] if found >= 0 else ""
        at = found + len(word) if found >= 0 else at
        replaced = not seen and number == 0 and (begins.isupper() or (first and begins.isdigit()))
        loud = len(seen) > 1 and seen.isupper()
        out.append(word.upper() if spelled else word.capitalize() if replaced or loud else seen or word)
    return out
