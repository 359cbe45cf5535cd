"""Words of letters: acronyms spelled or read, names in mixed capitals, words that touch figures, plain words."""

from __future__ import annotations

import re
from functools import lru_cache

from . import abbreviations, chat
from .abbreviations import STARTERS
from .contractions import BARE
from .headlines import nation
from .letter_a import LETTERED, names_letter
from .rules import Part, after, before, pairs, spell
from .units import unit_at
from .word_kinds import ODD, SHAPE, kinds_of

LONGEST = 40  # letters of one spoken word; a longer row is cut, so that no single token grows without bound

_WORD = re.compile(rf"[A-Za-z]{{1,{LONGEST}}}(?:'[A-Za-z]{{1,20}}){{0,3}}")
_INITIALS = re.compile(r"(?:[A-Za-z]\.){1,12}(?:[A-Za-z](?![\w']))?(?:'s)?")
_DEGREES = re.compile(r"(Ph\.? ?D|Ed\.D|B\.Sc|M\.Sc|M\.Eng|Ps\.D|D\.Phil|LL\.[BMD])(?:\.|(?![A-Za-z]))('s)?")
_SPEED = re.compile(r"(?:km|m|mi)/(?:hr|h|s)(?![A-Za-z²])")
_SUFFIX = re.compile(r"(\+\+|\+|#|-)(?![\w+#-])")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PLAIN_AFTER = frozenset(' ,;:!?\n"-–—()')

# Read as words, though short or in their capitals no English syllables.
_READ = frozenset(
    "NASA NATO AIDS SCUBA OPEC FIFA UEFA SWAT NAFTA ASCII RAM ROM PIN SIM COVID SARS MERS ASEAN AWOL CAPTCHA FEMA "
    "LAN WAN YOLO FOMO ZIP COBOL LIDAR OSHA DOS BIOS CAD SAAS POTUS SCOTUS FLOTUS GIF IKEA LEGO JSON YAML AJAX IMAX "
    "GATT TED JAVA CRISPR CERN SATA CAT PET GUI MIDI OLED SCSI JPEG MPEG UNIX FIDE ABBA ANOVA EULA ICAO IATA".split()
)
# Spelled, though they look like words.
_SPELLED = frozenset(
    "UCLA AARP ACLU IAEA UAE USA AFAIK ASAP FAQ UFO ICU IOU ATM AAA IPO IQ IT UI UX AI API URL URI UK EU UN US HIV EOF "
    "OEM IPA IOC CIA EPA EOD ETA NBA VIP AMA APA ADA CEO COO CFO CTO CIO NGO DIY SEO USB OBE MBE IDE AKA RIP FYI FAA "
    "MIA SEIU NAACP UNHCR USPS NYSE YMCA YWCA FBI IBM NSA IRS GOP UCL USDA IEEE ESOP AOL ECU EEO UEA OAU "
    "MOU OED".split()
)
# Short words that are only loud when written in capitals; other capitals of up to three letters are spelled.
_LOUD = frozenset(
    "THE AND FOR NOT YOU ARE BUT ALL ANY CAN HAD HER WAS ONE OUR OUT DAY GET HAS HIM HIS HOW MAN NEW NOW OLD SEE TWO "
    "WAY BOY DID ITS LET PUT SAY SHE TOO USE DAD MOM MUM NO YES SO OF TO IN ON AT BY AN AS BE DO GO HE IF IS ME MY OR "
    "UP WE OFF OWN WHY TRY RUN BIG BAD FUN BUY FREE EAT GOD HOT RED SIT TOP WIN YET END FAR FEW HEY HA AH OH WOW TEN "
    "SIX BOX CAR DOG JOB LAW LOT MEN SET SUN TAX TEA WAR YEAR AIR ARM ART ASK BAG BED BIT CUT DIE DRY EAR EGG EYE FAT "
    "FIT FLY GUN GUY HIT ICE KEY KID LEG LIE LOW MAP MIX OIL PAY RAW SAD SEA SKY SON AGO AID WHO DON AIN ISN MAX PRO "
    "BUS TIP WINS JOY HUG BYE COW CRY DUE FIX FOG FOX GUM HAT JAM JAR JAW LIP MUD NAP NUT ODD OWE PIE PIG POT RID ROB "
    "ROW RUB RUG SEW SHY SIR SKI TIE TIN TOE TOY TUG WAX WET WIG ZOO LATE MAY AGE ADD".split()
)
_SAME = pairs(
    "OK okay; YoY year over year; QoQ quarter over quarter; MoM month over month; NaOH n A o h; HCl h c l; KCl k c l; "
    "AgCl A g c l; HBr h b r; CaO c A o; MgO m g o; ZnO z n o; KBr k b r; TiN t i n; GaAs g A A s; WiFi wifi; "
    "PhD p h d; PhDs p h d's; LaTeX latex; TeX tech; WWI world war one; WWII world war two; NaCl n A c l; IBAN i b A n"
)
# Words that a rule looks at, though they look like any other: the short way around is not for them.
_SPECIAL = (
    frozenset(BARE) | chat.SPELLED | frozenset(chat.WORDS) | abbreviations.PLAIN | frozenset("a vi xi xii vii".split())
)
_NOT_SPELLED = frozenset("hmm shh psst pfft brr nth mmm grr tsk pst zzz mm hm sh mhm".split())
_NAMES = re.compile(r"(?:Mc|Mac|Fitz|De|Di|Du|La|Le|Van|Von|O')[A-Z][a-z]{1,20}(?:'s)?")
_LEADING = re.compile(r"'(?:tis|twas|twere|twill|em|cause|til|till|bout|cuz|n)(?![A-Za-z])", re.IGNORECASE)
_PLURAL = re.compile(r"(file|name|item|person|student|word|year|day|author|user|member|option|number|[a-z]{3,20})\(s\)")


def read_word(text: str, start: int, *, loud: bool) -> list[Part]:
    """What is said of the letters (or the apostrophe of 'tis) at `start`; `loud` when the whole text is in capitals."""
    if text[start] == "'":
        match = _LEADING.match(text, start)
        return [Part(match.end(), (match[0].lower() if len(match[0]) > 2 else "n",))] if match else []
    match = _WORD.match(text, start)
    if not match:
        return []
    word, end = match[0], match.end()
    following = text[end : end + 1]
    if len(word) == 1 and word in "aA":
        if following == "." and text[start : start + 3] not in ("a.k", "A.K") and (said := _initials_at(text, start)):
            return said
        if following in _AFTER_A and (said := _special(text, start, end, loud=loud)):
            return said
        return [Part(end, ("A" if names_letter(text, start, end) else "a",))]
    simple = plain(word)
    if simple and following == " " and text[end + 1 : end + 2].islower():
        return [Part(end, (word,))]
    unusual = not simple or len(word) < 6 or (following and following not in _PLAIN_AFTER)
    if following and following in "-–" and word[0].isupper():
        unusual = True
    if unusual and (special := _special(text, start, end, loud=loud)):
        return special
    if "'" not in word and _spelled_beside(word, text[max(0, start - 1) : start] + following):
        return [Part(end, tuple(spell(word).split()))]
    return [Part(end, tuple(_said(word, text, start, loud=loud).split()))]


@lru_cache(maxsize=50_000)
def plain(word: str) -> bool:
    """Whether a word in small letters is read as it stands whatever is beside it, but for figures and signs."""
    return len(word) > 1 and word.isalpha() and word.islower() and word not in _SPECIAL and not ODD.search(word)


def _spelled_beside(word: str, beside: str) -> bool:
    """Whether letters are spelled because of the characters that touch them: MP3, B2B, AT&T."""
    short = word.isupper() and len(word) < 4 and word not in _READ
    return (short and "&" in beside) or (bool(_FIGURE.search(beside)) and (short or not _vowel(word)))


def _special(text: str, start: int, end: int, *, loud: bool) -> list[Part] | None:
    """Everything that looks at more than the word itself."""
    word, following = text[start:end], text[end : end + 1]
    if following == "/" and (speed := _SPEED.match(text, start)):
        unit = unit_at(text, start)
        return [Part(speed.end(), tuple(unit.many.split()))] if unit else None
    if word[0] in "PEBMDL" and (degree := _DEGREES.match(text, start)):
        own = degree[2] or ""
        letters = "".join(c for c in degree[0].removesuffix(own) if c.isalpha())
        return [Part(degree.end(), tuple((spell(letters) + own).split()))]
    for rules in kinds_of(word, text[end : end + 3].translate(SHAPE), loud):
        if said := rules.at(text, start):
            return said
    if following == "." and (said := _initials_at(text, start)):
        return said
    if said := _graded(text, start, end):
        return said
    if following == "(" and (plural := _PLURAL.match(text, start)):
        return [Part(plural.end(), (plural[1] + "s",))]
    return None


_AFTER_A = tuple("./+#-kK")


def _initials_at(text: str, start: int) -> list[Part] | None:
    """U.S., J. R. R. Tolkien, a.m."""
    initials = _INITIALS.match(text, start)
    if not initials or not _initials(text, start, initials.end()):
        return None
    own = initials[0].endswith("'s")
    said = spell("".join(c for c in initials[0].removesuffix("'s") if c.isalpha())) + ("'s" if own else "")
    return [Part(initials.end(), tuple(said.split()), "", "letters.initials")]


def _graded(text: str, start: int, end: int) -> list[Part] | None:
    """A+, C#, C++, D-."""
    suffix = _SUFFIX.match(text, end)
    if not suffix or end - start != 1 or not text[start].isupper():
        return None
    sign = suffix[0].replace("#", "sharp").replace("+", " plus").replace("-", "minus")
    if sign == "minus" and text[start] not in "ABCDEF":
        return None
    return [Part(suffix.end(), (spell(text[start]), *sign.split()), "", "letters.graded")]


def _initials(text: str, start: int, end: int) -> bool:
    """U.S., J. R. R. Tolkien and a single initial; not the last word of "Plan B." or "It was I."."""
    if end - start > 2:
        return True
    follows = after(text, end)
    if text[start].isupper() and text[start] != "I" and follows.islower():
        return True  # E. coli
    if not text[start].isupper() or not follows[:1].isupper() or follows in STARTERS:
        return False
    if before(text, start) in LETTERED:  # Grade A. Plan B.
        return False
    return text[start] != "I" or not before(text, start).islower() or before(text, start) == ""


def _vowel(word: str) -> bool:
    return not _VOWELS.isdisjoint(word)


_VOWELS = frozenset("aeiouAEIOU")
_FIGURE = re.compile(r"[0-9]")
# Before "As" these show that it is a grade.
_GRADES = frozenset("straight all got earned of mostly four five six".split())


def _said(word: str, text: str, start: int, *, loud: bool) -> str:
    end = start + len(word)
    if word in _SAME:
        return _SAME[word]
    bare = word.removesuffix("'s")
    own = word[len(bare) :]
    if word == "As" and before(text, start) in _GRADES:
        return "a's"
    if bare in ("US", "WHO") and (said := nation(text, start, end, loud=loud)):
        return said + own
    if len(bare) > 1 and bare.isupper():
        return _capitals(bare, loud=loud) + own
    if len(bare) > 2 and bare[-1] == "s" and bare[:-1].isupper():
        return _capitals(bare[:-1], loud=False) + ("s" if bare[:-1] in _READ else "'s")
    if not (word.islower() or word[1:].islower()) and not _NAMES.fullmatch(word):
        return " ".join(hump.lower() if "'" in hump else word_of_letters(hump) for hump in _HUMP.split(word))
    lower = word.lower()
    if 1 < len(bare) <= 5 and "'" not in word and not _vowel(lower) and "y" not in lower and lower not in _NOT_SPELLED:
        return spell(lower)
    return lower


def word_of_letters(letters: str) -> str:
    """A word by itself, as in an address: read, or spelled where it has no vowel or is a known acronym."""
    if letters.isupper() and len(letters) > 1:
        return _capitals(letters, loud=False)
    lower = letters.lower()
    return lower if _vowel(lower) or "y" in lower else spell(lower)


def _capitals(word: str, *, loud: bool) -> str:
    """NASA is read, FBI is spelled, STOP is only loud."""
    if word in _READ or "'" in word:
        return word.lower()
    if (word in _SPELLED and not (loud and word in ("IT", "ICE", "AIDS"))) or not (_vowel(word) or "Y" in word):
        return spell(word)
    if word in _LOUD or loud or len(word) > 4:
        return word.lower()
    return word.lower() if len(word) == 4 and _english(word) else spell(word)


_ONSET = "(?:SCR|SHR|SPL|SPR|STR|THR|[BCFGPS]L|[BCDFGPTW]R|[CGPSTW]H|S[CKMNPTW]|TW|DW|QU|KN|[BCDFGHJKLMNPRSTVWYZ])"
_CODA = "(?:CK|CT|CH|FF|FT|L[DFKLMPT]|MB|MP|N[CDGKNST]|R[BDFGKLMNPRT]|[CGPST]H|S[KPST]|W[DN]|ZZ|[BDFGKLMNPRSTWXZ])S?"
_SYLLABLES = re.compile(
    rf"{_ONSET}?[AEIOUY]{{1,2}}(?:{_CODA}E?)?"
    rf"|{_ONSET}?[AEIOUY]{{1,2}}[BCDFGHKLMNPRSTVWXZ]{{1,2}}[AEIOUY]{{1,2}}(?:{_CODA})?"
)


def _english(word: str) -> bool:
    """Whether four capitals could be one or two English syllables: STOP, but not ISBN. Five nearly always are."""
    return bool(_SYLLABLES.fullmatch(word))


def is_loud(text: str) -> bool:
    """Whether the text is written in capitals throughout, so that they do not mean acronyms."""
    words = re.findall(r"[A-Za-z]{2,40}", text)
    capitals = sum(word.isupper() for word in words)
    return (
        capitals > 1
        and capitals * 10 >= len(words) * 8
        and any(
            word in _LOUD
            or len(word) > 4
            or (len(word) == 4 and word not in _READ and word not in _SPELLED and _english(word))
            for word in words
        )
    )
