"""Text → chunks, and a chunk → the numbers that a Piper voice reads, each with the symbol that it is of."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from ...errors import InputError
from ...text import espeak
from ...text.chunks import AFTER_PARAGRAPH, AFTER_SENTENCE, TextChunk, split_text
from ...text.lexicon import Lexicon
from ...text.normalize import Spoken
from ...text.split import sentences
from .config import BEGIN, END, PAD, PiperConfig
from .ipa import ipa

LIMIT = 180  # of our symbols in a piece: some ten seconds
LETTERS = 240  # of IPA or of the text


class Numbers(NamedTuple):
    """What the graph reads, which symbol of the chunk each number is of, and the phonemes that the voice has not."""

    ids: list[int]
    owner: list[int]
    unknown: tuple[str, ...]


def split(text: str | Iterable[str], c: PiperConfig, lexicon: Lexicon | None) -> Iterator[TextChunk]:
    """The text in pieces. Raises InputError for a lexicon that the voice cannot use, BackendError without espeak-ng."""
    if c.english:
        return _noted(split_text(text, lexicon=lexicon, limit=LIMIT, secondary=True), c)
    if lexicon is not None:
        raise InputError(
            f"lexicon: it is written in English phonemes, and the voice speaks {c.language or 'letters'}; leave it out"
        )
    if c.kind == "text":
        return _noted(_letters(text), c)
    espeak.program(c.language)
    return _noted(espeak.split_text(text, c.language, limit=LETTERS), c)


def _noted(chunks: Iterable[TextChunk], c: PiperConfig) -> Iterator[TextChunk]:
    """The chunks, with a sentence for what the voice has no number for."""
    for chunk in chunks:
        unknown = numbers(chunk, c).unknown if chunk.symbols else ()
        notes = tuple(f"the voice has no phoneme {one!r}: it was left out" for one in unknown)
        yield replace(chunk, notes=(*chunk.notes, *notes)) if notes else chunk


def _letters(text: str | Iterable[str]) -> Iterator[TextChunk]:
    """Chunks of a text's own characters, words by blanks."""
    for sentence in sentences(text):
        held: list[list[Spoken]] = [[]]
        size = 0
        for word, start in _words(sentence.text, sentence.start):
            if held[-1] and size + len(word) + 1 > LETTERS:
                held, size = [*held, []], 0
            held[-1].append(Spoken(word, start, start + len(word), (word,), ""))
            size += len(word) + 1
        for number, words in enumerate(held, 1):
            last = number == len(held)
            silence = AFTER_PARAGRAPH if sentence.paragraph_end else AFTER_SENTENCE
            symbols, owner = ["^"], [-1]
            for index, word in enumerate(words):
                blank = [" "] if index + 1 < len(words) else []
                symbols += [*word.source, *blank]
                owner += [index] * len(word.source) + [-1] * len(blank)
            yield TextChunk(tuple(symbols), tuple(owner), tuple(words), (), (), silence if last else 0.0)


def _words(text: str, offset: int) -> Iterator[tuple[str, int]]:
    at = 0
    for word in text.split():
        at = text.index(word, at)
        yield word, offset + at
        at += len(word)


def spelled(chunk: TextChunk, c: PiperConfig) -> list[tuple[str, int]]:
    """(phonemes as written, symbol) of a chunk."""
    if c.english:
        return ipa(chunk, british=c.british)
    return [(symbol, i) for i, symbol in enumerate(chunk.symbols) if i]


def numbers(chunk: TextChunk, c: PiperConfig) -> Numbers:
    """A chunk's numbers: the beginning, each phoneme and a blank after it, the end."""
    pad = c.ids[PAD]
    ids, owner = [*c.ids[BEGIN], *pad], [0] * (len(c.ids[BEGIN]) + len(pad))
    unknown: dict[str, None] = {}
    for text, symbol in spelled(chunk, c):
        for written in _known(text, c):
            found = c.ids.get(written)
            if found is None:
                unknown[written] = None
                continue
            ids += [*found, *pad]
            owner += [symbol] * (len(found) + len(pad))
    ids += c.ids[END]
    owner += [len(chunk.symbols) - 1] * len(c.ids[END])
    return Numbers(ids, owner, tuple(unknown))


def _known(text: str, c: PiperConfig) -> Iterator[str]:
    """The phonemes of a text one by one, as the voice writes them; capitals become small where it has none."""
    if text in c.ids or text in c.replaced:
        yield from c.replaced.get(text, (text,))
        return
    for letter in unicodedata.normalize("NFD", text):
        plain = letter if letter in c.ids or letter in c.replaced or c.kind != "text" else letter.casefold()
        yield from c.replaced.get(plain, (plain,))
