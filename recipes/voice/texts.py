"""The texts of the corpus, written as people write: WordNet's quoted examples, made sentences, short phrases.

Choice and order are pinned by a seed: any beginning of the plan is a fair sample, and the held-out sentences stand
early in it. Nothing here is read aloud by more than one rule: the voice's own front end reads every text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

WORDNET = Path("/usr/share/wordnet")
PHRASES = Path(__file__).with_name("phrases.txt")
SEED = 20_261_129
HELD_OUT = 200
EVERY = 6  # one held-out text in so many, until they are used up

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = tuple(
    "January February March April May June July August September October November December".split()
)  # fmt: skip
NAMES = (
    "Anna", "Robert", "Maria", "James", "Helen", "George", "Susan", "Mark", "Julia", "Henry", "Sarah", "Daniel",
    "Emily", "Thomas", "Laura", "Peter", "Nina", "William", "Rachel", "David", "Kate", "Michael", "Alice", "John",
    "Mrs. Taylor", "Mr. Brown", "Dr. Wilson", "Professor Green", "Aunt Mary", "Captain Harris",
)  # fmt: skip
THINGS = (
    "apples", "bread", "milk", "coffee", "sugar", "paper", "water", "salt", "cheese", "eggs", "soap", "tea", "oranges",
    "candles", "flour", "butter", "stamps", "batteries", "towels", "honey", "rice", "onions", "a map", "a new lamp",
)  # fmt: skip
PLACES = (
    "London", "Boston", "Paris", "Chicago", "Berlin", "Toronto", "California", "New York", "the station", "the office",
    "the library", "the market", "the river", "the airport", "the hospital", "the old bridge", "Washington", "Mexico",
)  # fmt: skip
VERBS = ("asked", "said", "answered", "whispered", "shouted", "cried", "replied", "laughed", "wondered")
OPENINGS = (
    "Well", "Yes", "No", "So", "Now", "However", "Of course", "In fact", "On the other hand", "Thank you", "Sorry",
    "After all", "By the way", "For example", "In the end", "Unfortunately", "To be honest", "As far as I know",
)  # fmt: skip
QUESTIONS = (
    "Where is {place}?", "How much does the {thing} cost?", "Did {name} go to {place}?", "What time is it in {place}?",
    "Who told {name} about it?", "Why would you want {small} of them?", "Can you help {name} with the {thing}?",
    "Is there any {thing} left?", "When will {name} be back?", "Which of these is for {name}?", "Are you sure?",
    "Would it be better if we left at {clock}?", "Have they been to {place} before?",
    "Could I have some {thing}, please?",
    "Do you want {thing}, {thing2}, or {thing3}?", "Was it {name} or {name2}?", "You said {day}, didn't you?",
    "Isn't that what {name} wanted?", "How far is it from here to {place}?", "What happened in {year}?",
    "Does {name} know that {name2} is here?", "Shall we meet on {day} at {clock}?", "Really, {name}?",
    "How are you today, {name}?", "Has anyone seen my keys?", "Will it rain on {day}?", "May I come in?",
    "Can you read the {ordinal} line on page {hundred}?", "Why not?", "Who is it, and what does he want?",
)  # fmt: skip
STATEMENTS = (
    "{name} was born on {month} {date}, {year}.", "The meeting is on {day} at {clock}.",
    "It costs ${dollars}.{cents}.", "The train to {place} leaves at {clock}.",
    "There are {hundred} pages in this book.",
    "We need {thing}, {thing2}, {thing3}, and {thing4}.", "There were {big} people at {place}.",
    "The price rose by {small}% in {year}.", "Call {digits} before {clock}.", "It weighs {small}.{digit} pounds.",
    "{opening}, {name} will see you on {day}.", "My name is {name}, and this is {name2}.",
    "It is {small} degrees outside.", "Chapter {small} begins on page {hundred}.",
    "He has lived in {place} since {year}.",
    "This is for you, and that is for them.", "The {ordinal} of {month} is a {day}.",
    "She was {ordinal}, and he was {ordinal2}.", "Between {clock} and {clock2}, nobody was there.",
    "If it were up to me, we would all be at {place} by now.", "From {place} to {place2} it is {hundred} miles.",
    "{name} said that he had been there, but that they had not.", "{opening}, that is what it was for.",
    "\"I don't know,\" {verb} {name}.", "\"Come in,\" {verb} {name}, \"and close the door.\"",
    "{name} {verb}: \"We can't stay here until {day}.\"", "\"Where have you been?\" {verb} {name}.",
    "\"It's {clock} already!\" {verb} {name}.", "First {thing}, then {thing2}, and finally {thing3}.",
    "{opening}, I'm not sure that {name} would agree with you, but we could ask her on {day}.",
    "They've sold {hundred} of them; the other {small} are still in {place}.",
    "When {name} came back from {place}, the {thing} were gone, and so was {name2}.",
    "I'd rather wait for {name} (she'll be here at {clock}) than go to {place} alone.",
    "Room {hundred} is on the {ordinal} floor, next to the stairs.", "The answer is {small}, not {small2}.",
    "We'll leave {place} at {clock}, and we should be in {place2} by {clock2}.",
    "{name}, {name2}, and their neighbours from {place} arrived on {month} {date}.",
    "You can't miss it: turn left at {place}, and it's the {ordinal} house on the right.",
    "It was neither {name} nor {name2} who had paid for the {thing}.",
)  # fmt: skip
EXCLAMATIONS = (
    "Good morning, {name}!", "Happy birthday, {name}!", "What a beautiful day!", "Watch out, {name}!", "Stop that!",
    "I can't believe it's already {day}!", "How wonderful to see you, {name}!", "{name} won {big} dollars!",
    "Don't forget the {thing}!", "That's not fair!", "Hurry up, the train leaves at {clock}!", "Welcome to {place}!",
    "Look at all the {thing}!", "Never again!", "We did it, {name}!", "{opening}, that's amazing!", "Leave me alone!",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One text of the plan: its id, the text, and whether training may see it."""

    id: str
    text: str
    split: Literal["train", "held_out"]


def examples(folder: Path = WORDNET) -> list[str]:
    """WordNet's different quoted examples of 4 to 18 plain words, in a fixed order, with a capital and no last mark."""
    found: dict[str, None] = {}
    for name in ("data.adj", "data.adv", "data.noun", "data.verb"):
        for row in (folder / name).read_text(encoding="utf-8", errors="replace").splitlines():
            for example in re.findall(r'"([^"]+)"', row.partition("|")[2]):
                text = re.sub(r"\s*(?:[;:]|--)\s*", ", ", example.strip().rstrip(".,;: "))
                words = text.split()
                capitals = any(re.search("[A-Z]", word[1:]) for word in words)
                if 4 <= len(words) <= 18 and re.fullmatch(r"[A-Za-z' ,?!-]+", text) and not capitals:
                    found[text[0].upper() + text[1:]] = None
    return list(found)


def ordinal(number: int) -> str:
    """21 → 21st."""
    last = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"


def fillings(rng: random.Random) -> dict[str, str]:
    """One draw for every slot of the templates."""
    things, names, places = rng.sample(THINGS, 4), rng.sample(NAMES, 2), rng.sample(PLACES, 2)
    clocks = [f"{rng.randint(1, 12)}:{rng.choice(('00', '05', '10', '15', '30', '45'))}" for _ in range(2)]
    big = rng.choice((rng.randint(1000, 9999), rng.randint(10_000, 900_000), rng.randint(1, 90) * 10**6))
    return {
        **{"place": places[0], "place2": places[1], "name": names[0], "name2": names[1]},
        **{"day": rng.choice(DAYS), "month": rng.choice(MONTHS), "opening": rng.choice(OPENINGS)},
        **{"ordinal": ordinal(rng.randint(1, 31)), "ordinal2": ordinal(rng.randint(1, 31))},
        **{"date": str(rng.randint(1, 28)), "year": str(rng.randint(1600, 2090)), "verb": rng.choice(VERBS)},
        **{"small": str(rng.randint(2, 99)), "small2": str(rng.randint(2, 99)), "hundred": str(rng.randint(100, 999))},
        **{"big": f"{big:,}", "dollars": str(rng.randint(2, 400)), "cents": f"{rng.randint(1, 99):02d}"},
        **{"digit": str(rng.randint(1, 9)), "digits": f"{rng.randint(200, 999)}-{rng.randint(1000, 9999)}"},
        **{"clock": clocks[0], "clock2": clocks[1]},
        **{f"thing{i + 1 if i else ''}": thing for i, thing in enumerate(things)},
    }


def made(count: int, rng: random.Random) -> list[str]:
    """Different made sentences: numbers, dates, money, times, lists, dialogue, questions, exclamations."""
    kinds = [*QUESTIONS * 2, *STATEMENTS * 2, *EXCLAMATIONS]
    found: dict[str, None] = {}
    for _ in range(100 * count):
        found[rng.choice(kinds).format(**fillings(rng))] = None
        if len(found) == count:
            break
    return list(found)


def short() -> list[str]:
    """Very short texts, with a capital."""
    phrases = " ".join(PHRASES.read_text(encoding="utf-8").split())
    texts = dict.fromkeys(t.strip() for t in re.findall(r"[^.?!]+[.?!]", phrases))
    return [text[0].upper() + text[1:] for text in texts]


def finished(source: Iterator[str], rng: random.Random) -> Iterator[str]:
    """Examples with their last mark; one in four joined to the next, one in twelve in three parts."""
    for text in source:
        draw = rng.random()
        for _ in range(2 if draw < 0.08 else 1 if draw < 0.25 else 0):
            more = next(source, "and so on")
            link = rng.choice((", and ", ", but ", ", ", ", ", " because ", ", while "))
            text = text.rstrip("?!").rstrip() + link + more[0].lower() + more[1:]
        yield text if text[-1] in "?!" else text + rng.choices(".?!", (86, 7, 7))[0]


def plan(count: int, *, seed: int = SEED) -> list[Line]:
    """The corpus in order: 54 % WordNet's examples, 40 % made sentences, 6 % short ones, held-out ones early."""
    every = examples()
    random.Random(f"{seed}/examples").shuffle(every)
    held_out = [f"{text.rstrip('?!')}." for text in every[:HELD_OUT]]
    rng = random.Random(f"{seed}/examples/marks")
    source = finished(iter(every[HELD_OUT:]), rng)
    others = made(round(count * 0.4), random.Random(f"{seed}/made")) + short()
    texts = others + [text for text, _ in zip(source, range(count - len(others)))]
    random.Random(f"{seed}/order").shuffle(texts)
    return list(interleave(list(dict.fromkeys(texts)), held_out))


def interleave(texts: Sequence[str], held_out: Sequence[str]) -> Iterator[Line]:
    """One held-out text before every few others, numbered from 1."""
    number, waiting = 0, iter(held_out)
    for position, text in enumerate(texts):
        if position % (EVERY - 1) == 0 and (kept := next(waiting, None)) is not None:
            number += 1
            yield Line(f"{number:06d}", kept, "held_out")
        number += 1
        yield Line(f"{number:06d}", text, "train")
