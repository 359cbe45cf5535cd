"""HTML to the text that it shows: elements of a line's own end a sentence, entities are characters."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser

from .segments import CELL, Builder, Segment

_BLOCKS = frozenset(
    "address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol optgroup option p pre "
    "section summary table tbody tfoot thead tr ul".split()
)
_HIDDEN = frozenset("head script style template noscript svg math iframe object select textarea title".split())
_RAISED = {"sup": dict(zip("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")), "sub": dict(zip("0123456789", "₀₁₂₃₄₅₆₇₈₉"))}


class _Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.out, self._hidden, self._raised = Builder(), list[str](), list[str]()
        self._pre = 0
        self._starts = [0]
        for line in text.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._text = text

    @property
    def _at(self) -> int:
        line, column = self.getpos()
        return self._starts[line - 1] + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag in _BLOCKS:
            self.out.line(self._at)
        elif tag in ("td", "th"):
            self._cell()
        elif tag in _RAISED:
            self._raised.append(tag)
        elif tag == "img" and (shown := dict(attrs).get("alt")):
            self.out.add(f" {shown} ", self._at, self._at + len(self.get_starttag_text() or ""))
        self._pre += tag == "pre"

    def _cell(self) -> None:
        if self.out.parts and self.out.parts[-1].strip():
            self.out.add(CELL, self._at, self._at)

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag == self._hidden[-1]:
                self._hidden.pop()
        elif tag in _BLOCKS:
            self.out.line(self._at)
        if tag in self._raised:
            self._raised.remove(tag)
        self._pre = max(0, self._pre - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._raised and data.isdigit():
            data = "".join(_RAISED[self._raised[-1]][c] for c in data)
        if not self._pre:
            data = data.replace("\n", " ").replace("\r", " ").replace("\t", " ")
        self.out.add(data, self._at)

    def handle_entityref(self, name: str) -> None:
        self._reference(f"&{name}")

    def handle_charref(self, name: str) -> None:
        self._reference(f"&#{name}")

    def _reference(self, written: str) -> None:
        end = self._at + len(written)
        closed = self._text.startswith(";", end)
        if not self._hidden:
            self.out.add(unescape(written + ";" * closed), self._at, end + closed)


def segment(text: str) -> Segment:
    """The text that `text`, a page or a piece of one, shows; browsers forgive, and so does this."""
    reader = _Reader(text)
    reader.feed(text)
    reader.close()
    return reader.out.segment()
