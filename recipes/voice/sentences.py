"""The texts of the bundled voice's corpus: WordNet's quoted examples, made sentences, very short phrases.

Every text is already normalised (plain lower-case words, each in the teacher's dictionary, and the marks
``, . ? !``), so that the teacher has one way to read it. Choice and order are pinned by a seed: any
prefix of the plan is a fair sample, and the held-out sentences stand early in it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from num2words import num2words

WORDNET = Path("/usr/share/wordnet")
LEXICON = Path("/usr/share/festival/dicts/cmu/cmudict-0.4.out")
PHRASES = Path(__file__).with_name("phrases.txt")
SEED = 20_261_121
HELD_OUT = 200
MADE = 400
SHORT = 300
BASE = 4500
JOINED_SHARE = 0.12
EVERY_HELD_OUT = 6

# Five slots of ten words: the judge's closed grammar, and never a training text.
MATRIX: tuple[tuple[str, ...], ...] = (
    ("peter", "kathy", "lucy", "alan", "rachel", "william", "steven", "thomas", "doris", "nina"),
    ("wants", "sees", "gives", "sold", "kept", "found", "made", "buys", "lost", "painted"),
    ("two", "three", "four", "five", "seven", "eight", "nine", "twelve", "fifteen", "sixty"),
    ("small", "old", "dark", "thin", "green", "cheap", "pretty", "heavy", "white", "broken"),
    ("desks", "chairs", "tables", "toys", "spoons", "windows", "flowers", "houses", "rings", "boxes"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance of the plan: its number in the plan, its text, and whether training may see it."""

    id: str
    text: str
    split: Literal["train", "held_out"]


def known_words(path: Path = LEXICON) -> frozenset[str]:
    """The words of the teacher's own dictionary (lower case)."""
    found = re.findall(r'^\("([a-z\']+)"', path.read_text(encoding="latin-1"), flags=re.MULTILINE)
    return frozenset(found)


def tidy(example: str) -> str:
    """An example as plain lower-case words and inner commas; empty when it has anything else in it."""
    text = re.sub(r"\s*(?:[;:]|--)\s*", ", ", example.strip().rstrip(".,?!;: "))
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text)
    words = text.split()
    # Capitals inside a word, or a word of capitals, are abbreviations: how they are read is the teacher's guess.
    if any(re.search(r"[A-Z]", w[1:]) or (len(w.strip(",")) == 1 and w.strip(",") not in "aAIO") for w in words):
        return ""
    text = text.lower()
    return text if re.fullmatch(r"[a-z']+(?:,? [a-z']+)*", text) else ""


def bare(word: str) -> str:
    """A word without its possessive ending, as the teacher's dictionary has it."""
    return word[:-2] if word.endswith("'s") else word


def wordnet_examples(known: frozenset[str], *, folder: Path = WORDNET) -> list[str]:
    """All different quoted examples of 5 to 14 known words, in a fixed order."""
    found: dict[str, None] = {}
    for name in ("data.adj", "data.adv", "data.noun", "data.verb"):
        for row in (folder / name).read_text(encoding="utf-8").splitlines():
            for example in re.findall(r'"([^"]+)"', row.partition("|")[2]):
                text = tidy(example)
                words = text.replace(",", "").split()
                if 5 <= len(words) <= 14 and all(w in known or bare(w) in known for w in words):
                    found[text] = None
    return list(found)


def spell(number: int, *, kind: str = "cardinal") -> str:
    """A number in plain words: 1984 as a year is ``nineteen eighty four``."""
    return re.sub(r"[-,]", " ", num2words(number, to=kind)).replace("  ", " ")


DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("january february march april may june july august september october november december").split()
NAMES = ("anna", "robert", "maria", "james", "helen", "george", "susan", "mark", "julia", "henry", "sarah", "daniel")
THINGS = ("apples", "bread", "milk", "coffee", "sugar", "paper", "water", "salt", "cheese", "eggs", "soap", "tea")
PLACES = ("london", "boston", "paris", "the station", "the office", "the school", "the market", "chicago", "berlin")
LETTERS = tuple("bcdefghijklmnopqrstuvwxyz")
OPENINGS = ("well", "yes", "no", "so", "now", "however", "of course", "in fact", "on the other hand", "thank you")
QUESTIONS = (
    "where is {place}", "how much does the {thing} cost", "did {name} go to {place}", "what time is it in {city}",
    "who told {name} about it", "why would you want {number} of them", "can you help {name} with the {thing}",
    "is there any {thing} left", "when will {name} be back", "which of these is for {name}",
    "would it be better if we left at {clock}", "have they been to {place} before", "could i have some {thing}, please",
)  # fmt: skip
STATEMENTS = (
    "{name} was born on {month} {ordinal}, {year}", "the meeting is on {day} at {clock}",
    "it costs {dollars} dollars and {cents} cents", "the train to {place} leaves at {clock}",
    "we need {thing}, {thing2}, {thing3}, and {thing4}", "there were {big} people at {place}",
    "the price rose by {small} percent in {year}", "call {digits}", "it weighs {small} point {digit} pounds",
    "{opening}, {name} will see you on {day}", "my name is {name}, and this is {name2}",
    "the word begins with {letter}, {letter2}, and {letter3}", "it is {small} degrees outside",
    "chapter {small} begins on page {hundred}", "he has lived in {city} since {year}",
    "this is for you, and that is for them", "the {ordinal} of {month} is a {day}",
    "she was {ordinal}, and he was {ordinal2}", "between {clock} and {clock2}, nobody was there",
    "if it were up to me, we would all be at {place} by now", "from {city} to {place} it is {hundred} miles",
    "{name} said that he had been there, but that they had not", "{opening}, that is what it was for",
    "you have {small} new messages", "turn left in {hundred} yards, then turn right", "room {hundred}, please",
)  # fmt: skip
GREETINGS = (
    "good morning, {name}", "hello, {name}, how are you", "good evening, and welcome to {place}", "goodbye, {name}",
    "nice to meet you, {name}", "happy birthday, {name}", "see you on {day}, {name}", "thank you very much, {name}",
)  # fmt: skip


def fillings(rng: random.Random) -> dict[str, str]:
    """One draw for every slot of the templates."""
    things, letters, names = rng.sample(THINGS, 4), rng.sample(LETTERS, 3), rng.sample(NAMES, 2)
    clocks = [f"{spell(rng.randint(1, 12))} {rng.choice(('thirty', 'fifteen', 'forty five', 'ten', 'oh five'))}"
              for _ in range(2)]  # fmt: skip
    return {
        "place": rng.choice(PLACES),
        "city": rng.choice(("london", "boston", "paris", "chicago", "berlin")),
        "day": rng.choice(DAYS),
        "month": rng.choice(MONTHS),
        "opening": rng.choice(OPENINGS),
        "ordinal": spell(rng.randint(1, 31), kind="ordinal"),
        "ordinal2": spell(rng.randint(1, 31), kind="ordinal"),
        "year": spell(rng.randint(1600, 2090), kind="year"),
        "number": spell(rng.randint(2, 99)),
        "small": spell(rng.randint(2, 99)),
        "hundred": spell(rng.randint(100, 999)),
        "big": spell(rng.choice((rng.randint(1000, 9999), rng.randint(10_000, 900_000), rng.randint(1, 90) * 10**6))),
        "dollars": spell(rng.randint(2, 400)),
        "cents": spell(rng.randint(2, 99)),
        "digit": spell(rng.randint(1, 9)),
        "digits": " ".join(rng.choice(("oh", *map(spell, range(10)))) for _ in range(rng.randint(3, 7))),
        "name": names[0],
        "name2": names[1],
        **{"clock": clocks[0], "clock2": clocks[1]},
        **{f"thing{i + 1 if i else ''}": thing for i, thing in enumerate(things)},
        **{f"letter{i + 1 if i else ''}": letter for i, letter in enumerate(letters)},
    }


def made_sentences(count: int, rng: random.Random) -> list[str]:
    """Different made sentences: numbers, dates, money, times, lists, letters, questions, greetings."""
    kinds = [(t, "?") for t in QUESTIONS] + [(t, ".") for t in STATEMENTS * 2] + [(t, "!") for t in GREETINGS]
    found: dict[str, None] = {}
    for _ in range(100 * count):
        template, mark = rng.choice(kinds)
        found[template.format(**fillings(rng)) + mark] = None
        if len(found) == count:
            break
    return list(found)


def short_texts(count: int, known: frozenset[str], rng: random.Random) -> list[str]:
    """Very short texts: those of phrases.txt, filled up with single dictionary words of WordNet's index."""
    phrases = " ".join(PHRASES.read_text(encoding="utf-8").split())
    texts = list(dict.fromkeys(t.strip() for t in re.findall(r"[^.?!]+[.?!]", phrases)))[:count]
    nouns = [row.split(" ", 1)[0] for row in (WORDNET / "index.noun").read_text().splitlines() if row[0] != " "]
    pool = [w for w in nouns if w in known and 3 <= len(w) <= 9 and f"{w}." not in texts]
    return texts + [f"{w}." for w in rng.sample(pool, max(count - len(texts), 0))]


def marked(text: str, rng: random.Random) -> str:
    """The text with its last mark: mostly a full stop, sometimes a question or exclamation mark."""
    draw = rng.random()
    return text + ("?" if draw < 0.06 else "!" if draw < 0.12 else ".")


def wordnet_texts(count: int, examples: Iterator[str], rng: random.Random) -> list[str]:
    """`count` texts from the examples; a share of them two examples joined by a comma."""
    texts: list[str] = []
    for example in examples:
        joined = rng.random() < JOINED_SHARE
        text = f"{example}, {next(examples, 'and so on')}" if joined else example
        if len(text.split()) <= 26:
            texts.append(marked(text, rng))
        if len(texts) == count:
            break
    return texts


def matrix_sentences(count: int = 100, *, slots: Sequence[Sequence[str]] = MATRIX, seed: int = SEED) -> list[str]:
    """Different sentences of the closed grammar, without marks: ``peter wants two small desks``."""
    rng = random.Random(f"{seed}/matrix")
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(rng.choice(slot) for slot in slots)] = None
    return list(found)


def plan(count: int, *, seed: int = SEED) -> list[Line]:
    """The corpus in order: held-out sentences among the first, the rest a mixture of all kinds.

    A longer plan of the same seed begins with the shorter one: beyond `BASE` there are only more WordNet texts.
    """
    known = known_words()
    examples = wordnet_examples(known)
    random.Random(f"{seed}/examples").shuffle(examples)
    held_out = [f"{text}." for text in examples[:HELD_OUT]]
    made = made_sentences(MADE, random.Random(f"{seed}/made"))
    short = short_texts(SHORT, known, random.Random(f"{seed}/short"))
    base = BASE - HELD_OUT - len(made) - len(short)
    more = wordnet_texts(max(base, base + count - BASE), iter(examples[HELD_OUT:]), random.Random(f"{seed}/wordnet"))
    mixture = made + short + more[:base]
    random.Random(f"{seed}/order").shuffle(mixture)
    texts = dict.fromkeys(text for text in mixture + more[base:] if text not in set(held_out))
    return list(interleave(list(texts), held_out))[:count]


def interleave(texts: Sequence[str], held_out: Sequence[str]) -> Iterator[Line]:
    """One held-out sentence before every few training texts, numbered from 1."""
    number, waiting = 0, iter(held_out)
    for position, text in enumerate(texts):
        if position % (EVERY_HELD_OUT - 1) == 0 and (kept := next(waiting, None)) is not None:
            number += 1
            yield Line(f"{number:06d}", kept, "held_out")
        number += 1
        yield Line(f"{number:06d}", text, "train")
