"""What people type in messages: letters that stand for words (idk, lol), stretched words (sooo), gr8."""

from __future__ import annotations

import re

from .rules import Rules, after, before, pairs, spell

CHAT = Rules("chat")  # at a letter

# Said as letters, though some could be read.
SPELLED = frozenset(
    "idk ttyl lol brb omg btw smh imo imho tbh ftw irl afaik fyi rofl nvm tldr lmk ikr icymi tfw mfw ffs wtf omfg rn "
    "dm dms iirc atm bff gtg ttys hmu jk ily ngl fwiw tbf otoh wip eod eta aka diy faq asap tba tbd rsvp lmao".split()
)
WORDS = pairs(
    "pls please; til till; plz please; thx thanks; tnx thanks; ppl people; msg message; msgs messages; gr8 great; "
    "b4 before; l8r later; m8 mate; ur your; cuz 'cause; bc because; tmrw tomorrow; tmr tomorrow; tomoz tomorrow; "
    "abt about; rly really; srsly seriously; prob probably; probs probably; ofc of course; bday birthday; "
    "congrats congrats; gonna gonna; 2day today; 2moro tomorrow; 2nite tonight; yr year; yrs years; ok okay; k okay; "
    "tho though; thru through; txt text; wknd weekend; bf boyfriend; gf girlfriend; nite night; lil little; w8 wait; "
    "luv love; fav favorite; tysm thank you so much; ty thank you; np no problem; yw you're welcome; sry sorry; "
    "idc i don't care"
)
_READ_AS_THEY_ARE = frozenset("prob k yr yrs ty np".split())  # too short, or words of their own
_STRETCHED = re.compile(r"([a-z])\1{2,39}")
# Words that people stretch: each stretched letter is written once or twice in them.
_COMMON = frozenset(
    "so no yes hello hey hi please way what oh ah good cool love too wow long really very yeah nice sweet much bad "
    "great hmm ugh aw aww argh woah whoa boo yum stop come on why who where now know slow look soon feel sleep see "
    "need free sleepy looking week food room cute big tired bored wait help happy man girl dude bro okay right fine "
    "sure crazy amazing beautiful awesome loud hot cold fast hard all well tell fell small tall wall ball call hate "
    "loser later never ever always more bye goodbye night morning thanks thank you me my him her it this that gorgeous "
    "perfect huge tiny delicious boring haha shh yay nah yep nope dear mom dad mum sis baby god lord goal loved".split()
)
_YOU_BEFORE = frozenset("are r can do did thank love miss see how if for tell will would what when where why".split())
_YOU_AFTER = frozenset("r are have can know want guys think should will were do doing there ok need like see".split())


@CHAT.rule(r"[A-Za-z]{2,12}(?![\w'’]|-[A-Za-z]|\.[A-Za-z]|&)")
def _short(m: re.Match[str]) -> str | None:
    word = m[0].lower()
    if m[0].isupper() and len(word) > 2:  # capitals are left to the acronyms
        return None
    if word in SPELLED:
        return spell(word)
    return WORDS[word] if word in WORDS and word not in _READ_AS_THEY_ARE else None


@CHAT.rule(r"(?:gr8|b4|l8r|m8|w8|2day|2moro|2nite)(?![\w'’])")
def _figures(m: re.Match[str]) -> str | None:
    return WORDS[m[0]]


@CHAT.rule(r"u(?= (?:[a-z]{1,24})\b)|(?<= )u(?=[ ,.!?]|$)|r(?= (?:u|you)\b)")
def _you(m: re.Match[str]) -> str | None:
    """U for you, r for are: only beside words that they stand beside."""
    ahead, then = before(m.string, m.start()), after(m.string, m.end())
    ahead = "" if ahead.endswith(("?", "!")) else ahead
    if m[0] == "r":
        return "are" if ahead in ("", "how", "where", "what", "who", "when", "why") else None
    if then in _YOU_AFTER or (ahead in _YOU_BEFORE and len(then) != 1):
        return "you"
    return None


@CHAT.rule(r"r(?= [a-z]{2,24}\b)")
def _are(m: re.Match[str]) -> str | None:
    return "are" if before(m.string, m.start()) in ("u", "you", "we", "they") else None


@CHAT.rule(
    r"[A-Za-z]{0,24}?([A-Za-z])\1\1[A-Za-z]{0,40}(?![\w'’.])|[A-Za-z]{0,24}?([A-Za-z])\2\2[A-Za-z]{0,40}(?=\.(?:\s|$))"
)
def _stretched(m: re.Match[str]) -> str | None:
    """Sooo, yessss, pleeease: each stretched letter once or twice, whichever is a word."""
    word = m[0].lower()
    if (m[0].isupper() and len(set(word)) == 1) or set(word) <= set("ivxlcdm") or word.startswith("www"):
        return None
    once, twice = _STRETCHED.sub(r"\1", word), _STRETCHED.sub(r"\1\1", word)
    if "hm" in once and set(once) == {"h", "m"}:
        return "hmm"
    return next((found for found in (once, twice) if found in _COMMON), None)
