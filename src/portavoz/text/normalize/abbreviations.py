"""Shortened words: what they stand for, and which of them end a sentence."""

from __future__ import annotations

import re

from .dates import MONTHS, WEEKDAYS
from .rules import Part, Rules, after, before, begins_word, pairs, previous

SHORT = Rules("abbreviation")  # at a letter

# Words that begin a sentence after an abbreviation or an initial that could also stand inside one.
STARTERS = frozenset(
    "I A An The This That These Those It He She They We You In On At By For From With And But Or So If When While "
    "After Before As Then There Here His Her Its Their Our My Your What Who Why How Where However Although Though "
    "Because Since Some Many Most All No Not Now To Is Are Was Were Do Does Did Please Yes "
    # Words that nobody is called by, as requests and reports begin with them.
    "Come Go Bring Write Take Call Wait Look Read Buy Get Make Let Let's Use Try Ask Tell Give Keep Stop Turn Meet "
    "Put Say See Send Show Stay Eat Drink Run Walk Sit Stand Open Close Check Add Mix Stir Serve Pay Press Click Enter "
    "Visit Listen Watch Remember Imagine Consider Note Nobody Everybody Everyone Someone Anyone Nothing Everything "
    "Something Each Every Both Few Several Other Others Another Such Only Even Just Still Yet Also Again "
    "Once Soon Later "
    "Today Tomorrow Yesterday Tonight Never Always Often Sometimes Perhaps Maybe Prices People Two Three Four Five Six "
    "Seven Eight Nine Ten Half Hurry Stop Nothing Neither Either Instead Meanwhile Finally Next Last First Second Can "
    "Could Will Would Should May Might Must Have Has Had I'm I'll I've It's He's She's That's There's They're We're "
    "You're Don't Didn't Isn't Wasn't Can't Won't Under Over About Between During Until Unless Whether Within Without "
    "Despite Besides Dinner Lunch Breakfast Doors Tickets Food Ok Okay Thanks Thank Sorry Well Oh Hi Hello Good".split()
)

# Never the end of a sentence: something follows that they belong to.
TITLES = pairs(
    "Mr mister; Mrs missus; Ms miz; Messrs messieurs; Mmes mesdames; Prof professor; Rev reverend; Hon honorable; "
    "Gen general; Col colonel; Capt captain; Cpt captain; Lt lieutenant; Sgt sergeant; Maj major; Cpl corporal; "
    "Pvt private; Cmdr commander; Adm admiral; Sen senator; Rep representative; Gov governor; Pres president; "
    "Fr father; Msgr monsignor; Mt mount; Supt superintendent; Insp inspector; Amb ambassador; Atty attorney; "
    "Cllr councillor; Drs doctors; Profs professors; Gens generals; Sens senators; Reps representatives; "
    "Revs reverends; Assoc associate; Asst assistant; Brig brigadier; Ens ensign; Dep deputy; Det detective"
)
# After these words, dotted, the sentence goes on even before a word that often begins one (Dr. No).
UNFINISHED = frozenset(TITLES.values()) | {"doctor", "saint", "for example", "that is", "number", "versus", "compare"}
# Before a number: said so only when a figure (or a roman numeral) follows.
NUMBERED = pairs(
    "no number; nos numbers; vol volume; vols volumes; ch chapter; chap chapter; fig figure; figs figures; "
    "sec section; p page; pp pages; art article; eq equation; ver version; v version; pt part; ext extension; "
    "tel telephone; rm room; op opus; bk book; ca circa; c circa; apt apartment; par paragraph; ed edition; "
    "est established; b born; d died; para paragraph; paras paragraphs; cl clause; rt route; rte route; bldg building; "
    "ste suite; hwy highway; ll lines; nn notes; cols columns; app appendix; arts articles; chs chapters; "
    "mk mark; rev revision; secs sections; eqs equations; exs examples; vv verses; lv level; lvl level; lvls levels"
)
# Anywhere, in any case; most may end a sentence.
_ANYWHERE = pairs(
    "vs versus; etc et cetera; cf compare; viz namely; approx approximately; al al; inc incorporated; ltd limited; "
    "corp corporation; bros brothers; dept department; univ university; assn association; assoc association; "
    "est established; govt government; intl international; natl national; max maximum; min minimum; avg average; "
    "misc miscellaneous; incl including; excl excluding; esp especially; jr junior; sr senior; esq esquire; "
    "ave avenue; blvd boulevard; rd road; ln lane; hwy highway; pkwy parkway; sq square; apt apartment; ste suite; "
    "bldg building; temp temperature; tel telephone; mgr manager; asst assistant; dist district; hrs hours; "
    "mins minutes; secs seconds; yrs years; lbs pounds; oz ounces; ft feet; tbsp tablespoon; tsp teaspoon; ed editor; "
    "eds editors; trans translated; repr reprinted; vol volume; fig figure; appt appointment; co company; ph phone; "
    "orig originally; resp respectively; wt weight; qty quantity; dir director; pl place; ct court; mfg manufacturing; "
    "mtn mountain; rte route; eq equation; attn attention; neg negative; pos positive; acct account; accts accounts; "
    "mtg meeting; mtgs meetings; pkg package; pkgs packages; mgmt management; cont continued; contd continued; "
    "pct percent; pts points; para paragraph; paras paragraphs; intro introduction; depts departments; "
    "bldgs buildings; rt route; hosp hospital; inst institute; lib library; mag magazine; prob probably; "
    "prev previous; ref reference; refs references; rep representative; reqd required; sched schedule; sgt sergeant; "
    "subj subject; supp supplement; tech technical; vet veterinarian; wkly weekly; yrly yearly; terr terrace; "
    "cir circle; apts apartments; admin administration; amt amount; amts amounts; bal balance; cert certificate; "
    "chem chemistry; comm committee; conf conference; const constitution; diam diameter; econ economics; "
    "elem elementary; equiv equivalent; ext extension; gen general; hist history; ins insurance; lang language; "
    "lat latitude; lit literally; math math; med medical; obj objective; opp opposite; par paragraph; phys physics; "
    "prof professor; psych psychology; pub publisher; rcpt receipt; recd received; sec second; sp species; "
    "spec specification; stat statistics; std standard; supt superintendent; tbsps tablespoons; tsps teaspoons; "
    "usu usually; var variety; veg vegetables; vols volumes; wks weeks; mos months; bks books; hdqrs headquarters; "
    "hq headquarters"
)
# Without a dot these are shortened all the same (British use).
_BARE = pairs(
    "Mr mister; Mrs missus; Ms miz; Prof professor; Ltd limited; Jr junior; vs versus; etc et cetera; Blvd boulevard; "
    "approx approximately; dept department; Dept department; mtg meeting; mtgs meetings; pkg package; pkgs packages; "
    "mgmt management; Mgmt management; acct account; accts accounts; pct percent; qty quantity; govt government; "
    "Govt government; bldg building; Bldg building; mfg manufacturing; intl international; appt appointment; "
    "appts appointments; attn attention; Attn attention; blvd boulevard; amt amount; depts departments; yrs years; "
    "hrs hours; mins minutes; secs seconds; lbs pounds; avg average; incl including; excl excluding; dist district; "
    "assn association; Assn association; corp corporation; Corp corporation; Inc incorporated; mgr manager; "
    "Mgr manager; wknd weekend; pkwy parkway; ltd limited; mkt market; mktg marketing; pymt payment; pmt payment; "
    "recd received; reqd required; rcpt receipt; sched schedule; Drs doctors; mdse merchandise; dtd dated; ctr center; "
    "Ctr center; tel telephone"
)
# Words that a rule looks at without a dot behind them.
KEYS = frozenset(_BARE) | frozenset(
    "Gen St Dr Ave Rd Ln Hwy Pkwy aka AKA Jan Feb Mar Apr May Jun Jul Aug Sept Sep Oct Nov Dec Mon Tue Tues Wed Thu "
    "Thur Thurs Fri Sat Sun v et Et".split()
)
# Plain small words that a rule looks at.
PLAIN = frozenset(_BARE) | frozenset("no p c v sec art pt op ext st".split())
_DOTTED = pairs("e.g for example; i.e that is; a.k.a also known as; n.b nota bene; w.r.t with respect to")


@SHORT.rule(r"(e\.g|i\.e|a\.k\.a|n\.b|w\.r\.t|E\.g|I\.e|N\.B)(?:\.|(?=[ ,]))")
def _latin(m: re.Match[str]) -> str:
    return _DOTTED[m[1].lower()]


@SHORT.rule(r"([Aa])\.?[Kk]\.?[Aa]\.?(?![A-Za-z])|[Ee]t al\.")
def _also(m: re.Match[str]) -> str:
    return "also known as" if m[1] else "et al"


@SHORT.rule(r"St(\.|(?=[ ,;!?]|$))")
def _saint_or_street(m: re.Match[str]) -> str | None:
    """St. Peter, but Main St. and 42 Wall St. New York."""
    text, start, end = m.string, m.start(), m.end()
    name = previous(text, start)
    street = bool(re.fullmatch(r"[A-Z][a-z]{1,23}|\d{1,4}(?:st|nd|rd|th)", name)) and name not in STARTERS
    follows = after(text, end)
    if not m[1]:
        return "street" if street else "saint" if follows[:1].isupper() and begins_word(text, start) else None
    if not follows[:1].isupper():
        return "street"
    addressed = _addressed(text, start) or follows in STARTERS or follows in _COMPASS
    return "street" if street and addressed else "saint"


@SHORT.rule(r"Dr(\.|(?= [A-Z]))")
def _doctor_or_drive(m: re.Match[str]) -> str:
    """Dr. Smith, but 12 Oak Dr."""
    named = after(m.string, m.end())[:1].isupper()
    capital = bool(re.fullmatch(r"[A-Z][a-z]{1,23}", previous(m.string, m.start())))
    follows = after(m.string, m.end())
    named = named and follows not in STARTERS
    street = capital and previous(m.string, m.start()) not in STARTERS
    return "drive" if street and (not named or _addressed(m.string, m.start())) and m[1] else "doctor"


def _addressed(text: str, start: int) -> bool:
    """Whether a house number or an ordinal stands one or two words before: 42 Wall St."""
    return any(word[0].isdigit() for word in text[max(0, start - 32) : start].split()[-3:])


@SHORT.rule(r"(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)(?:\.|(?= \d)|(?<=\d ...)(?![\w'-]))")
def _month(m: re.Match[str]) -> str:
    return MONTHS[m[0]]


_DAY_BEFORE = frozenset(
    "on and or every each next last this by until till from to through thru before after since m monday tuesday "
    "wednesday thursday friday saturday mon tue tues wed thu thurs fri sat p.m a.m pm am".split()
)
_COMPASS = frozenset("N S E W NE NW SE SW".split())
_DATED = re.compile(r",? ?(?:the )?(?:\d|Jan|Feb|Mar|Apr|May|Ju[nl]|Aug|Sep|Oct|Nov|Dec)|[,)–-]| & ")


@SHORT.rule(
    r"(Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun)(\.|(?=,? \d|,? (?:Jan|Feb|Mar|Apr|May|Ju[nl]|Aug|Sep|Oct|Nov|Dec)))"
)
def _weekday(m: re.Match[str]) -> str | None:
    """Mon. and Tues. anywhere; Sun., Sat. and Wed. are words as well and need a date after them."""
    word = before(m.string, m.start())
    if m[1] in ("Sun", "Sat", "Wed") and m[2] and not (_DATED.match(m.string, m.end()) or word in _DAY_BEFORE):
        return None
    return WEEKDAYS[m[1] + "."]


@SHORT.rule(r"Gen\.?(?= (?:[XYZ]|Alpha)(?![\w-]))")
def _generation(m: re.Match[str]) -> str:
    return "generation"


@SHORT.rule(r"v\.(?= [A-Z])")
def _against(m: re.Match[str]) -> str | None:
    """Smith v. Jones."""
    return "versus" if previous(m.string, m.start())[:1].isupper() else None


@SHORT.rule(r"v(?=\d)")
def _version(m: re.Match[str]) -> str | None:
    return "version" if begins_word(m.string, m.start()) else None


@SHORT.rule(r"(Ave|Av|Bldg|Apt|Ste|Rm|Rte|Hwy|Fig|Sec|Pt|Lot|App|Vol|Bk|Ex)\.(?= [A-Z](?![\w'’]))")
def _lettered(m: re.Match[str]) -> list[Part] | None:
    """Ave. A, Bldg. C; but a new sentence may begin with a letter after Park Ave."""
    if not takes_letter(m[1], previous(m.string, m.start()), m.string[m.end() + 1]):
        return None
    said = NUMBERED.get(m[1].lower()) or _ANYWHERE.get(m[1].lower()) or {"Av": "avenue", "Ex": "example"}[m[1]]
    return [Part(m.end(), tuple(said.split()))]


LETTERED_PLACES = frozenset("Ave Av Bldg Apt Ste Rm Rte Hwy Fig Sec Pt Lot App Vol Bk Ex".split())
_BEFORE_STREET = frozenset("Take Near Off Along Up Down Toward Towards Past Into Onto Between Cross".split())
_NAMED_STREET = re.compile(r"[A-Z][a-z]{1,23}|\d{1,3}(?:st|nd|rd|th)")


def takes_letter(short: str, word: str, letter: str) -> bool:
    """Whether the letter behind "`word` `short`." belongs to it: "Take Ave. A", but not "Park Ave. A man"."""
    if short not in LETTERED_PLACES or letter == "I":
        return False
    named = _NAMED_STREET.fullmatch(word.rstrip(","))
    return short not in ("Ave", "Av") or not named or named[0] in STARTERS | _BEFORE_STREET


@SHORT.rule(r"([A-Za-z]{1,7})\.? ?(?=[#\d]|[IVXLC]{1,6}(?![A-Za-z])|[ivxlc]{1,8}(?![A-Za-z'.]))")
def _numbered(m: re.Match[str]) -> list[Part] | None:
    """No. 5, pp. 10, Vol. II, fig. 3; without the dot only when it cannot be a word ("pp 10")."""
    said = NUMBERED.get(m[1].lower())
    dotted, apart = "." in m[0], m[0].endswith((" ", "."))
    if (
        not said
        or not (apart or m[1].lower() == "lv")
        or not (
            dotted
            or m[1].lower() in ("pp", "nos", "vol", "ch", "fig", "figs", "apt", "ext", "lv", "lvl", "hwy", "rte", "mk")
        )
    ):
        return None
    if m[1] == "Rev" and not m.string[m.end()].isdigit():
        return None
    figure = m.string[m.end()].isdigit() or (said in ("page", "pages") and dotted and m.string[m.end()].islower())
    if (not figure and (not dotted or (said == "number" and not _ROMAN_NUMBER.match(m.string, m.end())))) or (
        len(m[1]) == 1 and not (figure and m[1].islower())
    ):
        return None
    return [Part(m.start() + len(m[0].rstrip()), (said,))]


@SHORT.rule(r"([Ss]q|[Cc]u|[Ff]l)\. ?(ft|mi|in|yd|m|km|oz)(?:\.|(?![A-Za-z]))")
def _area(m: re.Match[str]) -> str:
    """Price per sq. ft.: without a number it is one, but for what is plural anyway."""
    return f"{_AREAS[m[1].lower()]} {_SIDES[m[2]]}"


_AREAS = {"sq": "square", "cu": "cubic", "fl": "fluid"}
_SIDES = pairs("ft foot; mi mile; in inch; yd yard; m meter; km kilometer; oz ounce")


_ROMAN_NUMBER = re.compile(r"[IVX]{2,6}(?![A-Za-z])")


@SHORT.rule(r"([A-Za-z]{2,7})\.")
def _dotted(m: re.Match[str]) -> str | None:
    word = m[1]
    if word in TITLES and (word != "Fr" or after(m.string, m.end())):
        return TITLES[word]
    said = _ANYWHERE.get(word.lower())
    if said is None or (word.isupper() and len(word) > 2):
        return None
    if word.lower() == "est" and after(m.string, m.end()).islower():
        return "estimated"
    if word == "ed" and before(m.string, m.start()).endswith(("st", "nd", "rd", "th")):
        return "edition"
    if word.lower() in _WORDS_TOO and not _inside(m):
        return None
    return _FOLLOWED.get(word.lower(), said) if word[0].isupper() and after(m.string, m.end())[:1].isupper() else said


# Also plain words, or too short to be sure: shortened only where the sentence goes on after the dot.
_WORDS_TOO = frozenset(
    "al ex ed trans est min max temp art dir resp ct pl ph sq prob cont intro spec mag lib ins gen bal pub stat sec "
    "obj hist conf elem prev tech admin neg pos cir lat lang dep sched ref refs rep par ext math chem const comm cert "
    "med lit phys psych var veg sp vet opp equiv inst econ contd std hosp terr supp subj usu wks mos app".split()
)
# Another meaning before a name: Ft. Worth.
_FOLLOWED = {"ft": "fort"}


def _inside(m: re.Match[str]) -> bool:
    follows = m.string[m.end() : m.end() + 2]
    return follows[:1] in (",", ";", ":", ")") or (follows[:1] == " " and not follows[1:].isupper() and follows != " ")


@SHORT.rule(r"[A-Za-z]{2,6}(?![\w'.-])")
def _bare(m: re.Match[str]) -> str | None:
    """Mr Jones; Oak Ave and Abbey Rd after their names."""
    if m[0] in ("Ave", "Rd", "Ln", "Hwy", "Pkwy") and previous(m.string, m.start())[:1].isupper():
        return _ANYWHERE[m[0].lower()]
    return _BARE.get(m[0])
