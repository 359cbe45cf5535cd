"""The letter A and the article a are two words: plan A, 9 a.m., an A; a plan."""

from __future__ import annotations

from .rules import after, before, previous

# What has letters for names: plan A, vitamin A; and what an A of school follows.
LETTERED = frozenset(
    "plan plans grade grades vitamin vitamins option options type types class group groups section team schedule "
    "exhibit appendix block side part hepatitis point points level terminal gate unit room building figure item answer "
    "answers choice column row size series letter letters an product sector step case line lines model version zone "
    "ward platform entrance exit phase stage category table annex form formula string note key major minor influenza "
    "flu blood protein factor variable set event player person company firm user node site city town state vertex "
    "angle straight serie camera channel track bus route train wing floor apartment apt suite".split()
)
_AFTER_LETTER = frozenset("is was and or are equals minus plus through in of has to for with goes comes on".split())
_OPERATORS = frozenset("<>=+*/^×÷≤≥≠≈→²³")


def names_letter(text: str, start: int, end: int) -> bool:
    """Whether a lonely "a" or "A" is the name of the letter, and not the article."""
    follows = text[end : end + 1]
    touches = text[start - 1 : start] if start else ""
    then = text[end : end + 2].lstrip(" ")[:1]
    quoted = touches in ("'", '"', "(", "[") and follows in ("'", '"', ")", "]", ",", ".")
    if (
        quoted
        or touches.isdigit()
        or follows.isdigit()
        or touches in ("/", "&", "-", "+", "=")
        or follows in ("/", "&")
    ):
        return True
    if follows == "-" and text[start] == "A" and not touches:
        return text[end + 1 : end + 2].isalpha()
    if follows in (",", ".", ";", ":", "!", "?", ")", '"', "'", ""):
        return text[start] == "A" or start > 0 or follows in (")", ".")
    if then in _OPERATORS or (start > 1 and text[start - 2] in _OPERATORS):
        return True
    word, written, noun = before(text, start), previous(text, start), after(text, end)
    if word in LETTERED and (text[start] == "A" or noun in _AFTER_LETTER):
        return written[-1:] not in ".!?," or word == "an"
    if (
        text[start] == "A"
        and noun in _AFTER_LETTER
        and not (noun in ("to", "for", "with", "in", "on", "of") and not word)
    ):
        return True
    if text[start] == "A" and len(noun) == 1 and noun.isupper() and noun != "I":
        return True
    if not word or written[-1:] in '.!?:"':
        return False
    if word in ("and", "or", "to", "through", "than", "not") and _letter_before(text, start):
        return True
    # In the middle of a sentence the article has no capital, but in a title.
    return text[start] == "A" and not noun[:1].isupper() and written[:1].islower()


def _letter_before(text: str, start: int) -> bool:
    """B and A."""
    words = text[max(0, start - 12) : start].split()
    return len(words) > 1 and len(words[-2].strip("\"',")) == 1 and words[-2].strip("\"',").isupper()
