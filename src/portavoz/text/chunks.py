"""The whole front end: text → pieces of symbols that a model can say, lazily, sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ..errors import InputError
from .alphabet import BLANK, START
from .g2p import G2P, Said
from .lexicon import Lexicon, Phonemes
from .normalize import Spoken, spoken
from .normalize.symbols import stronger
from .split import Sentence, pieces, sentences

LIMIT = 180  # symbols a piece: some ten seconds of speech, what a model hears in training
SHORTEST = 16
# Seconds of silence to add; the voice itself pauses a little at every mark.
AFTER_SENTENCE, AFTER_PARAGRAPH = 0.25, 0.6


@dataclass(frozen=True, slots=True)
class TextChunk:
    """One piece that a model speaks at once.

    `symbols` start with ``^`` and end in a mark; `owner` says of each symbol which of `words` it belongs to, −1 for
    ``^`` and gaps. `unknown` are words that were pronounced from their spelling, `unread` written tokens that nothing
    could be said for (other scripts). `pause` is the silence in seconds to add behind this piece; `notes` are
    sentences for the listener.
    """

    symbols: tuple[str, ...]
    owner: tuple[int, ...]
    words: tuple[Spoken, ...]
    unknown: tuple[str, ...]
    unread: tuple[str, ...]
    pause: float
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Unit:
    """A written token and what is said for it, short enough for one piece."""

    spoken: Spoken
    said: list[Phonemes]
    unknown: list[str]

    def __len__(self) -> int:
        return sum(len(phonemes) + 1 for phonemes in self.said)


def split_text(
    text: str | Iterable[str], *, lexicon: Lexicon | None = None, limit: int = LIMIT, secondary: bool = False
) -> Iterator[TextChunk]:
    """Read `text`, a string or chunks of one, in pieces of at most `limit` symbols.

    Lazy: only the sentence at hand is in memory. `start` and `end` of the words count from the start of the whole
    text. Tokens that cannot be read are reported with the next piece; those that follow the last piece with one
    that has no symbols; text of nothing else gives no TextChunk. secondary: keep secondary stress (digit 2), which
    not every voice has learned; without it 2 becomes 1 or 0. Raises InputError for a bad inline
    pronunciation, and for a `limit` below 16.
    """
    if limit < SHORTEST:
        raise InputError(f"limit is {limit} symbols: a piece needs at least {SHORTEST}; the default is {LIMIT}")
    return _split(text, G2P(lexicon), limit, secondary)


def _split(text: str | Iterable[str], g2p: G2P, limit: int, secondary: bool) -> Iterator[TextChunk]:
    unread: list[str] = []
    given = False
    for sentence in sentences(text):
        units, unheard = _units(sentence, g2p, limit, secondary)
        unread += unheard
        for chunk in _pieces(units, sentence, limit, tuple(unread)):
            yield chunk
            given, unread = True, []
    if given and unread:
        yield TextChunk((), (), (), (), tuple(unread), 0.0)


@dataclass(frozen=True, slots=True)
class Explained:
    """A written token, its words with their phonemes and where those came from, and each word's part of speech."""

    token: Spoken
    said: tuple[Said, ...]
    tags: tuple[str, ...]


def explain(text: str | Iterable[str], *, lexicon: Lexicon | None = None) -> Iterator[Explained]:
    """How each token of `text` is read: `token.rule` names the rule, each `Said` its source. Lazy, as `split_text`."""
    g2p = G2P(lexicon)
    for sentence in sentences(text):
        words = _Words.of(spoken(sentence.text, sentence.start))
        said, tags = iter(words.said(g2p)), iter(g2p.tags(words.words, words.marks, words.capitals))
        for token in words.tokens:
            heard = tuple(next(said) for _ in token.words)
            yield Explained(token, heard, tuple(next(tags) for _ in token.words))


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of a sentence's tokens, side by side with their marks, letters' names and capitals."""

    tokens: list[Spoken]
    words: list[str]
    marks: list[str]
    names: list[bool]
    capitals: list[bool]

    @classmethod
    def of(cls, tokens: list[Spoken]) -> _Words:
        """All words of `tokens`."""
        words = [word for token in tokens for word in token.words]
        marks = [m for token in tokens for m in [""] * (len(token.words) - 1) + [token.mark] * bool(token.words)]
        names = [name for token in tokens for name in _names(token)]
        capitals = [capital for at, token in enumerate(tokens) for capital in _capitals(token, first=at == 0)]
        return cls(tokens, words, marks, names, capitals)

    def said(self, g2p: G2P) -> list[Said]:
        """Their phonemes."""
        return g2p(self.words, self.marks, self.names, self.capitals)


def _units(sentence: Sentence, g2p: G2P, limit: int, secondary: bool) -> tuple[list[_Unit], list[str]]:
    """The sentence's tokens with their sounds, and those that cannot be said."""
    tokens = spoken(sentence.text, sentence.start)
    said = iter(_Words.of(tokens).said(g2p))
    units: list[_Unit] = []
    unread: list[str] = []
    for token in tokens:
        heard = [next(said) for _ in token.words]
        sounds = [one for one in heard if one.phonemes]
        if sounds:
            units += _fitting(token, sounds, limit, secondary)
            continue
        unread.append(token.source)
        if units:
            units[-1].spoken = replace(units[-1].spoken, mark=stronger(units[-1].spoken.mark, token.mark))
    return units, unread


def _names(token: Spoken) -> list[bool]:
    """For each word whether it is the name of a letter: in "AAA" and "vitamin A", but not in "A cat"."""
    if len(token.words) == 1:
        return [bool(token.letters)]
    spelled = len(token.words) > 1 and all(len(word) == 1 for word in token.words)
    return [at in token.letters or (spelled and word != "a") for at, word in enumerate(token.words)]


def _capitals(token: Spoken, *, first: bool) -> list[bool]:
    """For each word whether it is written with a capital, other than the first of a sentence."""
    if token.source[0].islower() or first:
        return [False] * len(token.words)
    written = token.source.lstrip("\"'“‘([{*_")
    capital = written[:1].isupper() and not written[1:2].isupper()
    return [capital and at == 0 for at in range(len(token.words))]


def _fitting(token: Spoken, sounds: Sequence[Said], limit: int, secondary: bool) -> list[_Unit]:
    """The token as one unit, or as several where it is more than a piece holds (a number of a hundred figures)."""
    most = limit - 2
    if len(sounds) == 1 and len(sounds[0].phonemes) < most and sounds[0].source not in ("letters", "spelled"):
        phonemes = sounds[0].phonemes
        return [_Unit(token, [phonemes if secondary else taught(phonemes)], [])]
    units = [_Unit(token, [], [])]
    for one in sounds:
        phonemes = one.phonemes if secondary else taught(one.phonemes)
        for part in (phonemes[at : at + most] for at in range(0, len(phonemes), most)):
            if len(units[-1]) + len(part) + 1 > limit - 1:
                units.append(_Unit(token, [], []))
            units[-1].said.append(part)
        if one.source in ("letters", "spelled") and len(one.word) > 1:
            units[-1].unknown.append(one.word)
    for unit in units[:-1]:
        unit.spoken = replace(token, mark="")
    return units


def _pieces(units: list[_Unit], sentence: Sentence, limit: int, unread: tuple[str, ...]) -> Iterator[TextChunk]:
    sizes = iter(units)
    cut = list(pieces([unit.spoken for unit in units], limit - 1, lambda _: len(next(sizes))))
    rest = iter(units)
    for number, piece in enumerate(cut, 1):
        ends = number == len(cut)
        silence = AFTER_PARAGRAPH if sentence.paragraph_end else AFTER_SENTENCE
        yield _chunk([next(rest) for _ in piece], "." if ends else ",", unread, silence if ends else 0.0)
        unread = ()


def _chunk(units: Sequence[_Unit], mark: str, unread: tuple[str, ...], pause: float) -> TextChunk:
    """One piece; `mark` ends it where the text has none."""
    symbols, owner = [START], [-1]
    for index, unit in enumerate(units):
        for phonemes in unit.said:
            symbols += [*phonemes, BLANK]
            owner += [index] * len(phonemes) + [-1]
        symbols[-1] = unit.spoken.mark or BLANK
    symbols[-1] = units[-1].spoken.mark or mark
    unknown = tuple(dict.fromkeys(word for unit in units for word in unit.unknown))
    return TextChunk(tuple(symbols), tuple(owner), tuple(unit.spoken for unit in units), unknown, unread, pause)


@lru_cache(maxsize=20_000)
def taught(phonemes: Phonemes) -> Phonemes:
    """`phonemes` with two grades of stress, as teachers do that know no secondary one.

    A secondary stress counts as primary, but not that of a last -y ("company") nor of a first in-, im-, ex- right
    before the primary one ("important").
    """
    if not any(p[-1] == "2" for p in phonemes):
        return phonemes
    vowels = [p for p in phonemes if p[-1] in "012"]
    weak_start = phonemes[0] == "IH2" and vowels[1:2] != [] and vowels[1][-1] == "1"
    last = len(phonemes) - (2 if phonemes[-1] in ("Z", "D") else 1)
    return tuple(
        p if p[-1] != "2" else p[:-1] + ("0" if (i == 0 and weak_start) or (i == last and p == "IY2") else "1")
        for i, p in enumerate(phonemes)
    )
