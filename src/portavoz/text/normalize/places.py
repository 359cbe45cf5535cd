"""Places in shortened form: states after their towns, ZIP codes, points of the compass in addresses."""

from __future__ import annotations

import re

from . import numbers
from .rules import Part, Rules, after, before, pairs, previous

PLACES = Rules("place")  # at a letter
ZIPS = Rules("place")  # at a figure

STATES = pairs(
    "AL alabama; AK alaska; AZ arizona; AR arkansas; CA california; CO colorado; CT connecticut; DE delaware; "
    "FL florida; GA georgia; HI hawaii; ID idaho; IL illinois; IN indiana; IA iowa; KS kansas; KY kentucky; "
    "LA louisiana; ME maine; MD maryland; MA massachusetts; MI michigan; MN minnesota; MS mississippi; MO missouri; "
    "MT montana; NE nebraska; NV nevada; NH new hampshire; NJ new jersey; NM new mexico; NY new york; "
    "NC north carolina; ND north dakota; OH ohio; OK oklahoma; OR oregon; PA pennsylvania; RI rhode island; "
    "SC south carolina; SD south dakota; TN tennessee; TX texas; UT utah; VT vermont; VA virginia; WA washington; "
    "WV west virginia; WI wisconsin; WY wyoming; PR puerto rico"
)
_DOTTED = pairs(
    "Ala alabama; Ariz arizona; Ark arkansas; Calif california; Colo colorado; Conn connecticut; Del delaware; "
    "Fla florida; Ga georgia; Ill illinois; Ind indiana; Kan kansas; Kans kansas; Ky kentucky; La louisiana; "
    "Md maryland; Mass massachusetts; Mich michigan; Minn minnesota; Miss mississippi; Mo missouri; Mont montana; "
    "Neb nebraska; Nebr nebraska; Nev nevada; Okla oklahoma; Ore oregon; Pa pennsylvania; Penn pennsylvania; "
    "Tenn tennessee; Tex texas; Va virginia; Vt vermont; Wash washington; Wis wisconsin; Wyo wyoming; Me maine; "
    "Ont ontario; Que quebec; Phila philadelphia; Alta alberta; Sask saskatchewan; Man manitoba"
)
_INITIALS = pairs(
    "N.Y new york; N.J new jersey; N.C north carolina; S.C south carolina; N.H new hampshire; N.M new mexico; "
    "N.D north dakota; S.D south dakota; R.I rhode island; W.Va west virginia"
)
# Read so wherever they have a dot and a capital: no other words are written like them.
_SURE = frozenset(
    "Ariz Calif Conn Fla Kans Mich Minn Okla Tenn Tex Wyo Phila Nebr Colo Neb Nev Wis Ont Que Sask".split()
)
_NO_TOWN = frozenset("yes no well oh fine so okay ok hey hi hello now then right sure please thanks and".split())
_COMPASS = pairs(
    "N north; S south; E east; W west; NE northeast; NW northwest; SE southeast; SW southwest; "
    "N.E northeast; N.W northwest; S.E southeast; S.W southwest"
)
_STREET = (
    r"(?:St|Ave|Av|Blvd|Rd|Ln|Dr|Pl|Ct|Ter|Cir|Hwy|Pkwy|Way|Street|Avenue|Road|Lane|Drive|Boulevard|Court|Place|Terrace"
    r"|Circle|Highway|Parkway|Broadway|Square|Sq)(?![a-z])"
)
_ROUTE = r"(?:(?:Hwy|Highway|Route|Rte|Rt|Interstate)\.? |(?<![A-Za-z])(?:I|US|SR)-)"
_ZIP = r"\d{5}(?:-\d{4})?(?!\d)"


@PLACES.rule(r"([A-Z]{2})(?![A-Za-z'’&\d]|\.[A-Z])")
def _state(m: re.Match[str]) -> str | None:
    """Austin, TX 78701; Portland, OR."""
    said = STATES.get(m[1])
    if not said:
        return None
    text, start = m.string, m.start()
    coded = bool(re.match(rf",? {_ZIP}", text[m.end() : m.end() + 14]))
    comma = text[max(0, start - 2) : start] == ", "
    town = re.search(r"([A-Z][a-z.]{1,24}|[A-Z]{2}),? $", text[max(0, start - 28) : start])
    if coded and (comma or town):
        return said
    ended = (
        text[m.end() : m.end() + 1] in ("", ",", ".", ";", ":", ")", "?", "!", "\n") or after(text, m.end()).islower()
    )
    known = bool(town) and comma and town[1].lower() not in _NO_TOWN and not town[1].isupper() if town else False
    return said if known and ended else None


@PLACES.rule(r"(N\.Y|N\.J|N\.C|S\.C|N\.H|N\.M|N\.D|S\.D|R\.I|W\.Va)\.")
def _initials(m: re.Match[str]) -> str | None:
    comma = m.string[max(0, m.start() - 2) : m.start()] == ", " or m.string[m.start() - 1 : m.start()] == "-"
    return _INITIALS[m[1]] if comma else None


@PLACES.rule(r"([A-Z][a-z]{1,4})\.")
def _dotted(m: re.Match[str]) -> str | None:
    """Tampa, Fla.; (D-Minn.)."""
    said = _DOTTED.get(m[1])
    if not said:
        return None
    text, start = m.string, m.start()
    town = bool(re.search(r"[A-Z][a-z.]{1,24}, $", text[max(0, start - 28) : start]))
    party = bool(re.search(r"\([DRI]-$", text[max(0, start - 3) : start]))
    posted = m[1] == "Wash" and after(text, m.end())[:1].isupper()
    return said if town or party or posted or m[1] in _SURE else None


@PLACES.rule(r"([NSEW]{1,2}|[NS]\.[EW])(\.?)(?= (?:[A-Z][a-z]|\d{1,3}(?:st|nd|rd|th)))")
def _before_street(m: re.Match[str]) -> str | None:
    """100 W. Oak Ln., 12 N Main St."""
    said = _COMPASS.get(m[1])
    numbered = m[2] and re.match(
        r" \d{1,3}(?:st|nd|rd|th) ?(?:St|Ave|Street|Avenue)(?![a-z])", m.string[m.end() : m.end() + 16]
    )
    if said and numbered:
        return said  # W. 42nd St.
    if not said or not re.fullmatch(r"\d{1,6}[A-Z]?", previous(m.string, m.start())):
        return None
    return said if m[2] or street_ahead(m.string, m.end()) else None


def street_ahead(text: str, start: int) -> bool:
    """Whether a few words and a kind of street follow: Oak Ln."""
    return bool(_AHEAD.match(text, start, start + 64))


_AHEAD = re.compile(rf"(?: [\w'’.-]{{1,24}}){{1,4}}? ?{_STREET}")


@PLACES.rule(r"(NE|NW|SE|SW|N\.E|N\.W|S\.E|S\.W|[NSEW])(\.?)(?![\w&'’])")
def _after_street(m: re.Match[str]) -> str | None:
    """Pennsylvania Ave. NW."""
    street = re.search(rf"(?:{_STREET}\.?,?|{_ROUTE}\d{{1,3}}) $", m.string[max(0, m.start() - 16) : m.start()])
    return _COMPASS.get(m[1]) if street else None


@ZIPS.rule(r"(\d{5})(?:-(\d{4}))?(?![\d-]|[.,]\d)")
def _zip(m: re.Match[str]) -> list[Part] | None:
    """The code after a state, figure by figure."""
    word = previous(m.string, m.start()).rstrip(",")
    stated = word in STATES or word.rstrip(".") in _DOTTED
    if not stated and before(m.string, m.start()) not in ("zip", "zipcode", "postcode"):
        return None
    first = tuple(numbers.digits(m[1]).split())
    if not m[2]:
        return [Part(m.end(), first)]
    return [Part(m.end(1) + 1, first, ","), Part(m.end(), tuple(numbers.digits(m[2]).split()))]
