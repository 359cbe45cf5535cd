"""Markdown (CommonMark with tables) to the text that it shows, by markdown-it-py, which `rich` brings.

The parser tells lines, not characters: each piece of text is looked for in the source behind the last one, where it
stands as it is but for escapes and entities.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .segments import CELL, Builder, Segment

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT = re.compile(r"\A---\n(?:[^\n]*\n){0,100}?(?:---|\.\.\.)\n")
_BOX = re.compile(r"\[[ xX]\] ")
_LINES = frozenset("paragraph_close heading_close list_item_open list_item_close tr_close hr".split())


class _Writer:
    def __init__(self, text: str, cursor: int) -> None:
        self.text, self.cursor, self.out = text, cursor, Builder()

    def place(self, content: str) -> None:
        """Write `content` with its place in the source."""
        found = self.text.find(content, self.cursor)
        if found < 0:
            self.out.add(content, self.cursor, self.cursor)
            return
        self.out.add(content, found)
        self.cursor = found + len(content)

    def block(self, token: Token, before: str) -> None:
        """One token of the document; `before` is the type of the one before it."""
        if token.type == "inline":
            self.inline(token.children or (), item=before == "paragraph_open")
        elif token.type in ("fence", "code_block"):
            self.out.line(self.cursor)
            for line in token.content.splitlines():
                self.place(line)
                self.out.line(self.cursor)
        elif token.type == "list_item_open" and token.info:
            self.out.line(self.cursor)
            self.place(token.info)
            self.out.add(CELL, self.cursor, self.cursor)
        elif token.type in ("td_close", "th_close"):
            self.out.add(CELL, self.cursor, self.cursor)
        elif token.type == "html_block":
            self.html(token.content)
        elif token.type in _LINES:
            self.out.line(self.cursor)

    def inline(self, children: Sequence[Token], *, item: bool = False) -> None:
        """The text of a paragraph, a heading or a cell."""
        for index, child in enumerate(children):
            if child.type == "text":
                box = _BOX.match(child.content) if item and index == 0 else None
                self.place(child.content[box.end() if box else 0 :])
            elif child.type == "code_inline":
                self.place(child.content)
            elif child.type == "text_special":
                found = self.text.find(child.markup, self.cursor)
                found = self.cursor if found < 0 else found
                self.cursor = found + len(child.markup)
                self.out.add(child.content, found, self.cursor)
            elif child.type == "softbreak":
                self.out.add(" ", self.cursor, self.cursor)
            elif child.type == "hardbreak" or (child.type == "html_inline" and child.content.startswith("<br")):
                self.out.line(self.cursor)
            elif child.type == "image":
                self.inline(child.children or ())

    def html(self, content: str) -> None:
        """A block of HTML, read as such."""
        from .html import segment

        found = max(self.text.find(content, self.cursor), self.cursor)
        inner = segment(content)
        for run, after in zip(inner.runs, [*(r.at for r in inner.runs[1:]), len(str(inner.text))]):
            self.out.add(str(inner.text)[run.at : after], found + run.start, found + run.end, shown=run.shown)
        self.cursor = found + len(content)
        self.out.line(self.cursor)


def segment(text: str) -> Segment:
    """The text that `text` shows: no URLs of links, no signs of emphasis; lines of a list are sentences."""
    from markdown_it import MarkdownIt

    front = _FRONT.match(text)
    start = front.end() if front else 0
    writer, before = _Writer(text, start), ""
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable("text_join").parse(text[start:]):
        writer.block(token, before)
        before = token.type
    return writer.out.segment()
