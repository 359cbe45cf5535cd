"""Which markup a text has, where there can be no doubt; else "plain"."""

from __future__ import annotations

import re

# (kind, what was seen, pattern); the first that is found decides. A "<" or a "*" alone is no markup.
_TAGS = (
    "a|abbr|b|blockquote|body|br|code|div|em|font|h[1-6]|head|hr|html|i|img|kbd|li|mark|ol|p|pre|q|s|samp|section|small|"
    "span|strong|sub|sup|table|tbody|td|th|thead|tr|u|ul"
)
_SIGNS = (
    ("ssml", "its <speak> element", re.compile(r"\s*(?:<\?xml[^>]{0,200}\?>\s*)?<speak[\s>]")),
    ("html", "its doctype", re.compile(r"\s*<(?:!doctype html|html)[\s>]", re.IGNORECASE)),
    ("markdown", "a heading of a document", re.compile(r"(?:\A|\n)#{1,6} [^\n]{1,200}\n+(?=[^\n])")),
    ("markdown", "a fenced block of code", re.compile(r"(?:\A|\n)(`{3,}|~{3,})[^\n`]{0,60}\n[\s\S]{0,4000}?\n\1")),
    (
        "markdown",
        "a link",
        re.compile(
            r"!?\[[^\[\]\n]{1,200}\]\((?:(?:[a-z]+://|/|\.{1,2}/|#|mailto:)[^\s()]{0,400}"
            r"|[\w./-]{1,200}\.(?:md|html?|pdf))(?: \"[^\"\n]{0,200}\")?\)"
        ),
    ),
    ("markdown", "a picture", re.compile(r"!\[[^\[\]\n]{0,200}\]\([^\s()]{1,400}(?: \"[^\"\n]{0,200}\")?\)")),
    ("markdown", "a quotation", re.compile(r"(?:\A|\n)> [A-Za-z\"“][^\n]{8,}")),
    ("markdown", "a list with boxes", re.compile(r"(?:\A|\n) {0,3}[-*+] \[[ xX]\] \S")),
    ("markdown", "a list", re.compile(r"(?:\A|\n)(?: {0,3}([-*+]) \S[^\n]{0,400}\n){1,200} {0,3}\1 \S")),
    ("markdown", "a numbered list", re.compile(r"(?:\A|\n)1[.)] \S[^\n]{0,400}\n{1,2}2[.)] \S")),
    ("markdown", "a table", re.compile(r"\n *\|?(?: *:?-{3,}:? *\|){1,40}(?: *:?-{3,}:? *)?(?=\n|\Z)")),
    (
        "html",
        "an HTML element",
        re.compile(rf"<({_TAGS})(?:\s[^<>]{{0,400}})?>[\s\S]{{0,4000}}?</\1\s*>", re.IGNORECASE),
    ),
    ("html", "a line break", re.compile(r"<(?:br|hr)\s*/?>", re.IGNORECASE)),
    (
        "html",
        "a character entity",
        re.compile(
            r"&(?:nbsp|amp|lt|gt|quot|apos|[lr][sd]quo|[mn]dash|hellip|copy|reg|trade|euro|pound|yen|cent|sect|deg"
            r"|times|divide|plusmn|frac(?:12|14|34)|middot|bull|[lr]aquo"
            r"|[A-Za-z](?:acute|grave|circ|tilde|uml|cedil|ring)|#\d{2,6}|#x[\da-fA-F]{2,6});"
        ),
    ),
    ("markdown", "strong emphasis", re.compile(r"(?<![\w*])\*\*[A-Za-z][^*\n]{0,200}[\w.!?]\*\*(?!\w)")),
)
_LOOK = 20_000  # characters looked at


def recognize(text: str) -> tuple[str, str]:
    """("markdown", "a link"): the kind and what showed it; ("plain", "") where nothing is certain."""
    head = text[:_LOOK]
    for kind, seen, pattern in _SIGNS:
        if pattern.search(head) if kind != "ssml" and seen != "its doctype" else pattern.match(head):
            return kind, seen
    return "plain", ""
