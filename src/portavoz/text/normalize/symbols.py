"""Signs: what is said (& @ + = < > …), what only makes a pause, emoji and Greek letters by their Unicode names."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from ..unicode_fold import PARAGRAPH
from . import numbers
from .rules import Part, Rules, begins_word, pairs, spell

SYMBOLS = Rules("symbol")
OPERATORS = Rules("symbol")  # at a letter


class Pause(NamedTuple):
    """Signs up to `end` that are not said: the pause they make, and whether they open what comes next."""

    end: int
    mark: str
    opens: bool = False


_STRENGTH = {"": 0, ",": 1, ".": 2, "!": 3, "?": 4}
SIGNS = pairs(
    "& and; @ at; + plus; = equals; < less than; > greater than; % percent; / slash; \\ backslash; # hash; "
    "* asterisk; ^ caret; ~ tilde; _ underscore; $ dollar; £ pound; € euro; ¥ yen; ¢ cents; ₹ rupee; ° degrees; "
    "§ section; × times; ÷ divided by; − minus; ± plus or minus; ≠ is not equal to; √ square root of; "
    "≤ is less than or equal to; ≥ is greater than or equal to; ≈ is approximately; ∞ infinity; ™ trademark; "
    "® registered; © copyright; ¶ paragraph; → arrow; ← left arrow; † dagger; ‡ double dagger; ‰ per mille; "
    "º degrees; ª a; ⁿ to the power of n; ∑ sum; ∫ integral; ∂ partial; ∈ is in; ∩ intersection; ∪ union; ⇒ implies; "
    "¬ not; ∀ for all; ∃ there exists; ✓ check mark; ✔ check mark; ₽ ruble; ♥ heart; ★ star; ☆ star"
)
_MARKS = {**dict.fromkeys(",;:", ","), ".": ".", "…": ".", "!": "!", "?": "?", "|": ",", "•": ",", "—": ",", "–": ","}
_MARKS |= {"‽": "?", "·": "", "‣": ",", "▪": ",", "●": ",", "■": ",", "¡": "", "¿": "", "`": "", "″": "", "′": ""}
_OPENING = "([{¿¡"
_CLOSING = ")]}"
_RUN = re.compile(r"([-=*#~_–—+<>|/\\^`.…])\1{0,63}")


def stronger(one: str, other: str) -> str:
    """The mark that wins where several meet: ? before ! before . before , before none."""
    return one if _STRENGTH[one] >= _STRENGTH[other] else other


@SYMBOLS.rule(r"\[\[ ?([A-Za-z]{1,2}[0-2]?(?: [A-Za-z]{1,2}[0-2]?){0,63}) ?\]\]", begins="[")
def _inline(m: re.Match[str]) -> list[Part]:
    """An inline pronunciation is one word, handed on as it is."""
    return [Part(m.end(), (f"[[{m[1].upper()}]]",))]


@SYMBOLS.rule(r"([-−–+±~≈])(?=[$£€¥₹]? ?\.?\d)", begins="-−–+±~≈")
def _sign(m: re.Match[str]) -> str | None:
    """The sign of a number; between two numbers a hyphen or dash means "to", an isolated one is left to others."""
    text, start, sign = m.string, m.start(), m[1]
    said = {"-": "minus", "−": "minus", "–": "minus", "+": "plus", "±": "plus or minus"}.get(sign, "about")
    if sign in "−+±" or text[max(0, start - 3) : start] in ("UTC", "GMT"):
        return said
    if text[m.end()] == " " or not begins_word(text, start):
        return None
    return None if start > 1 and text[start - 1] in "'\"" and text[start - 2].isdigit() else said


@SYMBOLS.rule(r"(?<=\d)\*\*(?=\d)|&&(?!&)", begins="*&")
def _programmed(m: re.Match[str]) -> str:
    return "and" if m[0] == "&&" else "to the power of"


@SYMBOLS.rule(r"<=|>=|!=|==|\+/-|<->|-->|->|=>|<-|<--", begins="<>!=+-")
def _pairs(m: re.Match[str]) -> str:
    return {
        **{"<=": "is less than or equal to", ">=": "is greater than or equal to", "!=": "is not equal to"},
        **{"==": "equals", "+/-": "plus or minus"},
    }.get(m[0], "arrow")


@SYMBOLS.rule(r"§§", begins="§")
def _sections(m: re.Match[str]) -> str:
    return "sections"


@SYMBOLS.rule(r"#(?=[0-9A-F]{6}(?![\w])|[0-9a-f]{6}(?![\w]))", begins="#")
def _color(m: re.Match[str]) -> list[Part] | None:
    """#FF0000, a color: letters and figures one by one."""
    code = m.string[m.end() : m.end() + 6]
    if code.isalpha() and code.islower():
        return None
    return [
        Part(
            m.end() + 6, ("hash", *(w for c in code for w in (numbers.digits(c) if c.isdigit() else spell(c)).split()))
        )
    ]


@SYMBOLS.rule(
    r"\*(?=\d\d(?![\d*.,%]))|<3(?=$|[.!?,)]| [A-Z]| you\b)"
    r"|--(?=[a-z][a-z0-9-]{1,30}(?:[ .,;:=)]|$))|-(?=[A-Za-z](?![\w'’-]))",
    begins="*<-",
)
def _typed(m: re.Match[str]) -> list[Part] | None:
    """*69 at a telephone, a heart <3, the options --help and -v of a program."""
    text, start = m.string, m.start()
    word = text[max(0, start - 24) : start].split()[-1:]
    if text[start - 1 : start] not in ("", " ", '"', "(") or (not word and m[0] != "*"):
        return None
    if m[0] == "<3" and word[0] in ("I", "We", "we", "i"):
        return [Part(m.end(), ("heart",))]
    if m[0][0] != "*" and (len(word[0]) < 2 or not word[0].strip("\"'(,;:").isalpha()):
        return None
    if m[0] == "--" and "--" in text[m.end() : m.end() + 80]:
        return None  # a remark between dashes
    return [Part(m.end(), tuple({"*": "star", "<3": "heart", "--": "dash dash"}.get(m[0], "dash").split()))]


@SYMBOLS.rule(r"#(?=\d)", begins="#")
def _hash(m: re.Match[str]) -> str:
    return "number"


@SYMBOLS.rule(r"\*(?= ?\d)|×(?= ?\d)|/(?= \d)", begins="*×/")
def _product(m: re.Match[str]) -> str | None:
    text, start = m.string, m.start()
    left = text[:start][-2:].rstrip(" ")[-1:]
    if not left.isdigit():
        return None
    return "divided by" if m[0] == "/" else "times"


# How an old sign is printed, which is no part of it: "heavy black heart"; circles and squares have colors.
_PRINTED = re.compile(r"^(?!.*(?:CIRCLE|SQUARE))(?:WHITE |BLACK |HEAVY )+")


@OPERATORS.rule(r"[xX](?= [$£€]?\d)")
def _times_or_by(m: re.Match[str]) -> str | None:
    """3 x 4 = 12 is a product, 5 x 7 in. and 4m x 5m are the sides of something."""
    if not _FACTOR.search(m.string[max(0, m.start() - 8) : m.start()]):
        return None
    return "times" if _EQUALS.match(m.string, m.end()) else "by"


_FACTOR = re.compile(r"\d[½¼¾]? ?(?:[a-z]{1,3}\.?|['\"′″])? ?$")
_EQUALS = re.compile(r" [$£€]?[\d.,]{1,12}(?: ?[-+x*/] ?[\d.,]{1,12}){0,3} (?:=|is|equals|makes)(?![a-z])")


def said_symbol(text: str, start: int) -> Part | None:
    """A single sign that has a name: from the table, or an emoji, an arrow, a Greek letter by its Unicode name."""
    c = text[start]
    if c in "$£€" and text[start - 1 : start] == " " and text[start + 1 : start + 2] in (" ", "", ",", "."):
        said = SIGNS[c] + "s"
    elif c.isascii():
        said = SIGNS.get(c, "")
    elif c.isdigit() or unicodedata.category(c) == "No":
        return _circled(text, start)
    elif "\U0001f1e6" <= c <= "\U0001f1ff":
        return _flag(text, start)
    elif c in SIGNS:
        said = SIGNS[c]
    elif unicodedata.category(c)[0] == "S" and not "─" <= c <= "▟":
        said = _by_name(_PRINTED.sub("", unicodedata.name(c, "")) if "☀" <= c <= "➿" else unicodedata.name(c, ""))
    else:
        return None
    return Part(start + 1, tuple(said.split())) if said else None


def _circled(text: str, start: int) -> Part | None:
    """① and ❷: the number, with a pause before another one."""
    value = unicodedata.numeric(text[start], -1)
    if value < 0 or value != int(value):
        return None
    following = text[start + 1 : start + 2]
    listed = bool(following) and not following.isascii() and unicodedata.category(following) == "No"
    return Part(start + 1, tuple(numbers.cardinal(int(value)).split()), "," if listed else "")


def _flag(text: str, start: int) -> Part:
    """Two regional letters make a flag: "flag f r"."""
    letters = [chr(ord(c) - 0x1F1E6 + ord("a")) for c in text[start : start + 2] if "\U0001f1e6" <= c <= "\U0001f1ff"]
    return Part(start + len(letters), ("flag", *letters))


def _by_name(name: str) -> str:
    words = re.findall(r"[a-z]+|\d+", name.lower())
    return " ".join(numbers.number(word) if word.isdigit() else word for word in words)


def greek(c: str) -> str | None:
    """The name of a Greek letter, "alpha"; None for anything else."""
    name = unicodedata.name(c, "")
    if not name.startswith("GREEK ") or " LETTER " not in name:
        return None
    return name.split(" LETTER ")[1].split(" WITH ")[0].split()[-1].lower().replace("lamda", "lambda")


def pause_at(text: str, start: int) -> Pause | None:
    """Signs at `start` that are not said; None when the character is no such sign."""
    c = text[start]
    if c == PARAGRAPH:
        return Pause(start + 1, ".")
    run = _RUN.match(text, start)
    end = run.end() if run else start + 1
    if end - start > 2 and c not in ".…":
        return Pause(end, ".")  # a drawn line
    if c == "." or c == "…":
        return _dots(text, start, end)
    if c in _OPENING:
        apart = start > 0 and text[start - 1] in " \n" and not _numbered(text, start)
        return Pause(start + 1, "," if apart else "", opens=True)
    if c in _CLOSING:
        opened = text.rfind(_OPENING[_CLOSING.index(c)], max(0, start - 64), start)
        touching = opened > 0 and (text[opened - 1].isalnum() or text[opened - 1] == ")" or _numbered(text, opened))
        return Pause(start + 1, "," if text[end : end + 1] == " " and not touching else "")
    if c == '"' or c == "'":
        return Pause(start + 1, "", opens=start == 0 or text[start - 1] in " \n([{-–—\"'")
    if c in "-–—":
        return _dash(text, start, end)
    if c in "*_~#`":
        return _drawn(text, start, end)
    if c in _MARKS:
        return Pause(start + 1, _MARKS[c])
    return Pause(start + 1, "") if _silent(c) else None


_NUMBERED = re.compile(
    r"(?:Eqs?|eqs?|[Ee]quations?|[Ss]ections?|[Cc]lauses?|[Pp]aragraphs?|[Rr]ules?|[Ss]teps?|§)\.? $"
)


def _numbered(text: str, start: int) -> bool:
    """Whether a bracket holds the number of what is named before it: Eq. (3)."""
    return text[start - 1] == " " and bool(_NUMBERED.search(text[max(0, start - 12) : start]))


def _silent(c: str) -> bool:
    return not c.isascii() and (unicodedata.category(c)[0] == "P" or "─" <= c <= "▟") and c not in SIGNS


def _dots(text: str, start: int, end: int) -> Pause | None:
    """A full stop; several dots are a hesitation where the sentence goes on in small letters."""
    follows = text[end : end + 2].lstrip(" \"'")[:1]
    if end - start > 1 or text[start] == "…":
        return Pause(end, "," if follows.islower() else ".")
    touching = start > 0 and text[start - 1].isalnum() and text[end : end + 1].isalnum()
    if touching and text[end].islower() and text[start - 1].islower():
        return None
    return Pause(end, "" if start == 0 or (text[start - 1] in " \n" and text[end : end + 1].isalnum()) else ".")


def _dash(text: str, start: int, end: int) -> Pause:
    """A dash, two hyphens or a hyphen between blanks is a short pause; a hyphen inside a word is none."""
    apart = start > 0 and text[start - 1] == " " and text[end : end + 1] in (" ", "")
    long = text[start] == "—" or end - start > 1 or (text[start] == "–" and (apart or text[end : end + 1].isalpha()))
    return Pause(end, "," if long or apart else "", opens=start == 0)


def _drawn(text: str, start: int, end: int) -> Pause | None:
    """Emphasis (*so*), headings (# so) and lines: not said where they touch a word or begin a text."""
    follows, precedes = text[end : end + 1], text[start - 1 : start]
    if start == 0 and follows in (" ", "") and text[start] in "*#":
        return Pause(end, "", opens=True)
    if text[start] == "#" or (text[start] == "~" and end - start == 1):
        return None
    if follows not in (" ", "") or precedes not in (" ", ""):
        return Pause(end, "", opens=precedes in (" ", "") and follows != "")
    return None
