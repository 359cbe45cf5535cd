"""Whether a measure or a sum stands before its noun, and is said in the singular: a five dollar bill."""

from __future__ import annotations

import re

from .rules import before

_NEXT = re.compile(r"[ -]([A-Za-z]{2,24})")
_BEFORE = frozenset(
    "a an the this that these those my your his her its our their another each every one any no new old two three four "
    "five six seven eight nine ten several many few some extra small big large single whole full initial annual "
    "monthly weekly daily first second last next".split()
)
# After a sum or a measure these never begin the noun that it belongs to.
_NO_NOUN = frozenset(
    "a an the this that these those my your his her its our their of in on at to for from with by per and or but nor "
    "so as than if when while because since until before after is are was were be been has have had do does did will "
    "would can could may might must should not isn't aren't wasn't weren't more less fewer off out up down over under "
    "away ago later earlier each apiece total now then today tomorrow yesterday here there too also again already "
    "still just only even about around i you he she it we they who which what where why how us him them me worth north "
    "south east west tall wide long deep high thick heavy old and/or into onto through across along behind ahead above "
    "below short spent went goes said says made makes paid earned got came comes left it's that's every extra cash "
    "altogether instead back please maximum minimum either plus minus times took felt ran fell rose grew began seemed "
    "cheaper faster slower longer shorter higher lower larger smaller bigger further farther closer against between "
    "among within without during toward towards".split()
)
# What is named by its sum, with or without an article: "$400 million deal".
_PRICED = frozenset(
    "deal plan contract lawsuit fine loan fund investment grant budget settlement prize jackpot question donation bond "
    "takeover acquisition merger mortgage bailout".split()
)
# What comes in sizes: of these also the plural stands after a measure, and no article need be before it.
_SIZED = frozenset(
    "wind gust speed limit zone bag box bottle can jar pack packet sack crate tank bucket weight plate dumbbell "
    "barbell battery bulb cable charger adapter motor engine truck trailer boat wall fence pole ladder rope board "
    "plank pipe screen monitor tv laptop drive disk card stick file shift delay dose tablet pill capsule shot serving "
    "portion steak burger bill note coin fine ticket coupon voucher check bet bonus prize fee fare toll rebate tip "
    "meal lunch dinner shirt shoe pot pan lens gun rifle cartridge nail screw bolt hose beam tile tree turkey cake "
    "pizza baby dog fish bomb missile mortgage subscription membership penalty deposit resistor capacitor signal "
    "network connection plan contract stamp sandwich watch jug barrel keg drum patch strip cord tape".split()
)
_PREPOSED = frozenset("the a an this that his her its my your our their each every another new old".split())


_AGAIN = re.compile(r" \d[\d.]{0,4} ?[A-Za-z]{1,3} [a-z]{3}")


def _sized(noun: str) -> bool:
    bare = noun.removesuffix("s")
    return bare in _SIZED or (noun.endswith("ies") and noun[:-3] + "y" in _SIZED) or noun.removesuffix("es") in _SIZED


def modifies(text: str, end: int, start: int) -> bool:
    """Whether ``text[start:end]`` stands before its noun: a determiner, a number or an adjective before it, and a word
    after it that can be a noun: "the $20 bill", "a new $40 million stadium"; not "the $20 in my pocket"."""
    word, match = before(text, start), _NEXT.match(text, end)
    if match and match[1] in _PRICED and not match[1].endswith("s"):
        return True
    if match and _sized(match[1]) and text[match.end() : match.end() + 1] not in ("'", "-"):
        return True
    if word not in _BEFORE:
        return False
    if _AGAIN.match(text, end) and word in _PREPOSED:  # a 5V 2A charger
        return True
    if text[end : end + 3] in ("-a-", " a-"):
        return True
    if not match or match[1].lower() in _NO_NOUN or match[1].endswith("ly"):
        return False
    # "every $100 spent": a participle after a sum; "these 5 km were": plural forms are caught by the list above.
    if not match[1][0].islower():
        return word in _PREPOSED and (text[end] == "-" or match[1].isupper())
    return not (match[1].endswith("ed") and match[1] not in ("bed", "seed", "shed", "breed", "speed"))
