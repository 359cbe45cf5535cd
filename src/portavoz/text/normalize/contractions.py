"""Contractions written without their apostrophe (dont, theyre), and words shortened by one (gov't, int'l)."""

from __future__ import annotations

import re

from .rules import Rules, before, pairs

CONTRACTIONS = Rules("contraction")  # at a letter

_WRITTEN = (
    "dont can't:cant won't:wont isnt arent wasnt werent hasnt havent hadnt doesnt didnt couldnt shouldnt "
    "wouldnt mustnt "
    "neednt aint mightnt"
)
BARE: dict[str, str] = {
    (word := entry.partition(":")[2] or entry): entry.partition(":")[0] if ":" in entry else f"{word[:-1]}'t"
    for entry in _WRITTEN.split()
}
BARE |= pairs(
    "theyre they're; youre you're; theyve they've; youve you've; weve we've; ive i've; im i'm; hes he's; shes she's; "
    "whats what's; thats that's; theres there's; heres here's; wheres where's; whos who's; hows how's; youll you'll; "
    "theyll they'll; itll it'll; thatll that'll; youd you'd; theyd they'd; wouldve would've; couldve could've; "
    "shouldve should've; mustve must've; mightve might've; yall y'all; oclock o'clock; maam ma'am; lets let's; "
    "whered where'd; howd how'd; whatll what'll; wholl who'll; werent weren't"
)
_NOUNS = frozenset("a an the his her their its our my your this that no".split())
SHORTENED = pairs(
    "gov't government; govt government; int'l international; nat'l national; dep't department; sec'y secretary; "
    "ass'n association; cont'd continued; rec'd received; req'd required; gov'ts governments; add'l additional; "
    "prof'l professional; reg'd registered; approx'ly approximately; comm'n commission; cont'l continental; "
    "env't environment; equip't equipment; manuf'r manufacturer; mem'l memorial; pub'n publication; "
    "sup't superintendent"
)


@CONTRACTIONS.rule(r"[A-Za-z]{2,12}'[a-z]{1,3}(?![\w'])")
def _shortened(m: re.Match[str]) -> str | None:
    return SHORTENED.get(m[0].lower())


@CONTRACTIONS.rule(r"[A-Za-z][a-z]{1,8}(?![\w'’]|-[A-Za-z])")
def _bare(m: re.Match[str]) -> str | None:
    """Dont, theyre; but "the cant of a roof", "his wont", and a verb in "she lets go"."""
    said = BARE.get(m[0].lower())
    if said is None:
        return None
    word = before(m.string, m.start())
    if m[0].lower() in ("cant", "wont") and (word in _NOUNS or word in ("is", "was", "were", "are")):
        return None
    if m[0].lower() == "lets" and word and m.string[: m.start()].rstrip()[-1:] not in ".!?,;:\"'":
        return None
    return said
