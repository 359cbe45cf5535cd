"""Keys of a keyboard: Ctrl+C, Cmd-Shift-4, Alt+F4, Esc."""

from __future__ import annotations

import re
from string import ascii_letters, digits

from . import numbers
from .rules import Rules, pairs, spell

KEYS = Rules("key")  # at a letter

_NAMED = pairs(
    "Ctrl control; ctrl control; CTRL control; Cmd command; cmd command; CMD command; Alt alt; alt alt; ALT alt; "
    "Opt option; Shift shift; shift shift; Win windows; Fn function; Esc escape; ESC escape; Del delete; DEL delete; "
    "Ins insert; PgUp page up; PgDn page down; PrtSc print screen; Tab tab; Enter enter; Return return; Space space; "
    "Home home; End end; Option option; Command command; Control control; Backspace backspace; Delete delete; Escape "
    "escape"
)
BEGINNINGS = frozenset("Ctrl ctrl CTRL Cmd cmd CMD Alt alt ALT Opt Shift Win Fn Option Command Control".split())
ALONE = frozenset("Ctrl ctrl CTRL Cmd Esc PgUp PgDn PrtSc".split())
_KEY = rf"(?:{'|'.join(sorted(_NAMED, key=len, reverse=True))}|F\d{{1,2}}|[A-Za-z]|\d)"


@KEYS.rule(rf"(?:{'|'.join(BEGINNINGS)})(?: ?\+ ?{_KEY}|-{_KEY}){{1,3}}(?![\w'’])")
def _together(m: re.Match[str]) -> str | None:
    """Ctrl+C: control c; "alt-J" and "Win-5" are names of other things."""
    if m[0][0] in "aW" and "+" not in m[0]:
        return None
    return " ".join(_key(key.strip()) for key in re.split(r"[+-]", m[0]))


@KEYS.rule(rf"(?:{'|'.join(sorted(ALONE, key=len, reverse=True))})(?![\w'’]|\.\w)")
def _alone(m: re.Match[str]) -> str:
    return _NAMED[m[0]]


def _key(written: str) -> str:
    if written in _NAMED:
        return _NAMED[written]
    return f"{spell(written.rstrip(digits))} {numbers.number(written.lstrip(ascii_letters))}"
