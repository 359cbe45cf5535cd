"""Words that are pronouns in small letters and names in capitals: US and WHO, also where all is in capitals."""

from __future__ import annotations

from .rules import after, before

# In a headline of capitals US is the pronoun after these only, and WHO the organization before these.
_US_AFTER = frozenset(
    "GIVE GIVES GAVE TELL TELLS TOLD LET LETS WITH FOR HELP HELPS SHOW SHOWS JOIN TEACH LEAVE LEAVES TAKE TAKES BRING "
    "BRINGS SEND SENDS MAKE MAKES KEEP KEEPS FROM AGAINST ABOUT BETWEEN AROUND NEAR BEHIND OF CALL ASK ASKS LEADS LEAD "
    "CONTACT FOLLOW VISIT MEET SAVE FEED HURT LOVE LOVES TRUST BOTH ALL AMONG AMONGST LIKE FREE SUPPORT CHANGES MADE "
    "SAVED HELPED MEETS SEES SEE HEAR WATCH WANTS NEED NEEDS TO BY ON AT UPON".split()
)
_WHO_BEFORE = frozenset(
    "WARNS SAYS DECLARES REPORTS URGES CONFIRMS APPROVES RECOMMENDS CHIEF OFFICIALS OFFICIAL DIRECTOR EXPERTS CALLS TO "
    "STUDY REPORT DATA ADVISES ISSUES ADDS GUIDELINES".split()
)
# Among small letters WHO is the organization, but for a loud question.
_ASKED = frozenset(
    "is are was were did does do has have had will would can could should am else ever cares knows came wants".split()
)


def nation(text: str, start: int, end: int, *, loud: bool) -> str:
    """What US and WHO are: "u s" and "w h o", or the pronouns; "" leaves it to the table."""
    word, then = before(text, start).upper(), after(text, end)
    if text.startswith("US", start):
        if not loud:
            return ""
        pronoun = word in _US_AFTER and not (then in ("AND", "TO", "ECONOMY") and word == "OF")
        if pronoun and not (word in ("TO", "BY", "ON", "FROM", "OF") and then not in ("", "ALL", "BOTH")):
            return "us"
        return "u s"
    if not loud:
        return "" if then in _ASKED and word != "THE" else "w h o"
    if then in _WHO_BEFORE or (word == "THE" and then != ""):
        return "w h o" if then not in ("TO",) or not word else ""
    return ""
