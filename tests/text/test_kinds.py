"""Every kind of thing that people write: a table beside each rule file, `kinds/<kind>.tsv`, written and said.

A kind is known when its table is met.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from portavoz.text import normalize
from portavoz.text.chunks import explain, split_text
from portavoz.text.normalize import spoken

TABLES = {
    path.stem: [
        tuple(line.replace("\\n", "\n").split("\t")) for line in path.read_text(encoding="utf-8").splitlines() if line
    ]
    for path in sorted((Path(__file__).parent / "kinds").glob("*.tsv"))
}
READ = [kind for kind in TABLES if kind != "letter_a"]


@pytest.mark.parametrize("kind", READ)
def test_a_kind_is_read_as_a_careful_person_would(kind: str) -> None:
    wrong = [f"{text!r}: {said!r}, wanted {want!r}" for text, want in TABLES[kind] if (said := normalize(text)) != want]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_has_enough_pairs_and_no_double(kind: str) -> None:
    assert len(TABLES[kind]) >= 12
    assert len({text for text, _ in TABLES[kind]}) == len(TABLES[kind])


@pytest.mark.parametrize(("text", "sounds"), TABLES["letter_a"])
def test_the_article_and_the_letter_are_two_words(text: str, sounds: str) -> None:
    heard = [
        chunk.symbols[i]
        for chunk in split_text(text)
        for i in range(1, len(chunk.symbols) - 1)
        if chunk.symbols[i] in ("AH0", "EY1") and {chunk.owner[i - 1], chunk.owner[i + 1]} == {-1}
    ]
    assert heard == sounds.split()


def test_each_token_says_which_rule_read_it_and_where_its_sounds_are_from() -> None:
    text = "He reads the $20 bill at 9 a.m. on 10/14, [[K AE1 T]] blorptive."
    told = list(explain(text))
    assert [each.token.source for each in told] == [text[each.token.start : each.token.end] for each in told]
    rules = {each.token.source: each.token.rule for each in told}
    assert rules["$20"] == "money.money"
    assert rules["9 a.m."] == "date.half_day"
    assert rules["10/14,"] == "date.month_and_day"
    assert rules["reads"] == ""
    said = {one.word: (tag, one.source) for each in told for one, tag in zip(each.said, each.tags)}
    assert said["reads"] == ("VBZ", "context")
    assert said["bill"] == ("NN", "dictionary")
    assert said["[[K AE1 T]]"][1] == "inline"
    assert said["blorptive"][1] == "letters"


def test_every_rule_file_of_a_kind_is_named_by_its_rules() -> None:
    found = {
        token.rule.partition(".")[0]
        for table in TABLES.values()
        for text, _ in table
        for token in spoken(text)
        if token.rule
    }
    assert len(found) >= 18
