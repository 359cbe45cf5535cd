"""Addresses: e-mail, web, files and paths, handles and hashtags, said letter-true with their dots and slashes."""

from __future__ import annotations

import re
import unicodedata

from . import numbers
from .letters import word_of_letters
from .rules import Part, Rules, pairs, spell

WEB = Rules("web")  # where a word begins: at a letter, a figure, "@", "#", "/", "~" or "."

_LABEL = r"[A-Za-z0-9][A-Za-z0-9-]{0,62}"
_ENDINGS = (
    "com|org|net|edu|gov|mil|int|io|co|ai|app|dev|info|biz|tv|fm|eu|uk|de|fr|es|nl|ch|at|be|ca|au|nz|jp|cn|ru|br|pl|se|ly"
    "|gg|gl|xyz|cc|dk|fi|cz|kr|za|mx|pt|gr|hu|ro|ua|tr|us|online|shop|site|tech|cloud|blog"
)
_FILES = (
    "pdf|txt|md|csv|tsv|json|xml|html|htm|css|js|ts|py|rb|rs|go|java|cpp|sh|exe|zip|tar|gz|jpg|jpeg|png|gif|svg|mp3|mp4"
    "|wav|flac|ogg|mov|avi|doc|docx|xls|xlsx|ppt|pptx|yaml|yml|toml|ini|cfg|log|sql|bin|iso|onnx|epub|bat|dll"
)
_REST = r"[A-Za-z0-9/?#&=%._~+:;,@!$*'()-]"
_TAIL = re.compile(r"[.,;:!?'()*]{1,64}$")
_TOKEN = re.compile(r"[A-Za-z]{1,40}|\d{1,24}|.")
_HUMP = re.compile(r"[A-Z]{2,40}(?![a-z])|[A-Z]?[a-z]{1,40}|[A-Z]")
_SIGNS = pairs(
    ". dot; / slash; - dash; _ underscore; : colon; ? question mark; = equals; & and; # hash; % percent; + plus; "
    "~ tilde; @ at; \\ backslash; $ dollar"
)
_SHORT_WORDS = frozenset("me my go to at in on us we is it by of or no so up do be an as a i if he ad ok hi".split())
_LETTERS = frozenset("usr api url faq usb gui ssh uri utf".split())
_PART = 8  # words after which a long address is cut at its next sign, so that no token grows without bound


def _address(text: str, start: int, end: int) -> list[Part]:
    parts: list[Part] = []
    words: list[str] = []
    for token in _TOKEN.finditer(text, start, end):
        written = token[0]
        if written[0].isalnum():
            words += _name(written)
        else:
            words += (_SIGNS.get(written) or unicodedata.name(written, "").lower()).replace("-", " ").split()
        if len(words) >= _PART and not written[0].isalnum():
            parts.append(Part(token.end(), tuple(words)))
            words = []
    return [*parts, Part(end, tuple(words))] if words else parts


def _name(written: str) -> list[str]:
    """The words of a piece between signs."""
    if written[0].isdigit():
        if len(written) < 3:
            return numbers.number(written).split()
        year = len(written) == 4 and "1900" <= written <= "2035"
        return (numbers.year(int(written)) if year else numbers.digits(written)).split()
    words: list[str] = []
    for hump in _HUMP.findall(written):
        short = hump.lower() in _LETTERS or (len(hump) < 3 and hump.lower() not in _SHORT_WORDS)
        words += (spell(hump) if short else word_of_letters(hump)).split()
    return words


def _trimmed(m: re.Match[str]) -> list[Part]:
    """The address without the marks of the sentence it ends."""
    tail = _TAIL.search(m[0][-64:])
    return _address(m.string, m.start(), m.end() - (len(tail[0]) if tail else 0))


@WEB.rule(rf"(?:mailto:)?[A-Za-z0-9][A-Za-z0-9._%+-]{{0,63}}@{_LABEL}(?:\.{_LABEL}){{1,6}}")
def _mail(m: re.Match[str]) -> list[Part]:
    return _trimmed(m)


@WEB.rule(rf"(?:[a-z]{{2,8}}://|www\.[A-Za-z0-9]){_REST}{{1,400}}")
def _url(m: re.Match[str]) -> list[Part]:
    return _trimmed(m)


@WEB.rule(
    rf"{_LABEL}(?:\.{_LABEL}){{0,5}}\.(?:{_ENDINGS})(?![A-Za-z0-9]|\.[A-Za-z])(?::\d{{1,5}})?(?:/{_REST}{{0,400}})?"
)
def _domain(m: re.Match[str]) -> list[Part]:
    return _trimmed(m) if "/" in m[0] else _address(m.string, m.start(), m.end())


@WEB.rule(
    rf"{_LABEL}(?:\.{_LABEL}){{0,5}}\.(?:me|it|to|so|in|is|no|sh|ws|fyi|news|page|link|club|live|store)/{_REST}{{1,400}}"
)
def _domain_and_path(m: re.Match[str]) -> list[Part]:
    """youtu.be/x, t.me/x: endings that are words as well."""
    return _trimmed(m)


@WEB.rule(
    rf"[A-Za-z0-9_-]{{1,64}}(?:\.[A-Za-z0-9_-]{{1,32}}){{0,3}}\.(?:{_FILES}|{_FILES.upper()})(?![A-Za-z0-9]|\.[A-Za-z])"
)
def _file(m: re.Match[str]) -> list[Part]:
    return _address(m.string, m.start(), m.end())


@WEB.rule(r"(?:~|\.{1,2})?/(?:[A-Za-z0-9_.-]{1,64}/){0,12}\.?[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}", begins="~./")
def _path(m: re.Match[str]) -> list[Part]:
    return _trimmed(m)


@WEB.rule(r"(?:(ASP|ADO|VB)|(?<![\w.]))\.NET(?![\w])", begins="AV.")
def _framework(m: re.Match[str]) -> str:
    """.NET and ASP.NET, named as if they were domains."""
    return f"{spell(m[1])} dot net" if m[1] else "dot net"


@WEB.rule(r"[A-Za-z]:\\[A-Za-z0-9_.\\-]{0,200}")
def _drive(m: re.Match[str]) -> list[Part]:
    return _trimmed(m)


@WEB.rule(r"[@#](?=[A-Za-z0-9_]{0,30}[A-Za-z])[A-Za-z0-9_]{1,64}", begins="@#")
def _handle(m: re.Match[str]) -> list[Part]:
    """@name and #topic: the topic's words apart where capitals show them."""
    first, *rest = _address(m.string, m.start() + 1, m.end())
    return [Part(first.end, ("at" if m[0][0] == "@" else "hashtag", *first.words)), *rest]


@WEB.rule(r"[A-Za-z][A-Za-z0-9]{0,30}(?:_{1,2}[A-Za-z0-9]{1,30}){1,8}")
def _identifier(m: re.Match[str]) -> list[Part]:
    """snake_case: the words of a name in a program, the line between them unsaid."""
    words = [word for piece in m[0].split("_") if piece for token in _TOKEN.findall(piece) for word in _name(token)]
    return [Part(m.end(), tuple(words))]
