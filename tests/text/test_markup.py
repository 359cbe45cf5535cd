"""Marked-up text is read as what it shows, each word keeps its place in the input, and only certain markup is seen."""

from __future__ import annotations

import pytest

from portavoz.errors import InputError
from portavoz.text import markup
from portavoz.text.chunks import split_text
from portavoz.text.normalize import Spoken

SHOWN = [
    ("markdown", "See [our docs](https://example.com/x) first.", "see our docs first."),
    ("markdown", "![a red fox](fox.png) sat", "a red fox sat."),
    ("markdown", "# Setting up\n\nInstall it", "setting up. install it."),
    ("markdown", "- [x] Buy milk\n- [ ] Call Bob", "buy milk. call bob."),
    ("markdown", "1. Mix\n2. Bake", "one, mix. two, bake."),
    ("markdown", "* one\n* two", "one. two."),
    ("markdown", "This is **very** *nice* and ~~not~~ `fine`.", "this is very nice and not fine."),
    ("markdown", "| Name | Age |\n|---|---|\n| Ann | 9 |", "name, age. ann, nine."),
    ("markdown", "> A quote\n\nText", "a quote. text."),
    ("markdown", "Fish &amp; chips \\*here\\*", "fish and chips here."),
    ("markdown", "```sh\nls now\npwd now\n```", "l s now. p w d now."),
    ("markdown", "---\ntitle: x\n---\nBody text", "body text."),
    ("html", "<b>x</b> &nbsp; is bold", "x is bold."),
    ("html", "<h1>News</h1><p>Rain today</p>", "news. rain today."),
    ("html", "<ul><li>Eggs</li><li>Milk</li></ul>", "eggs. milk."),
    ("html", "one<br>two", "one. two."),
    ("html", "Tom &amp; Jerry&#39;s &lt;5", "tom and jerry's less than five."),
    ("html", "<style>p{}</style><script>x()</script>Text", "text."),
    ("html", "<table><tr><td>a pen</td><td>$2</td></tr></table>", "a pen, two dollars."),
    ("html", "10<sup>2</sup> is H<sub>2</sub>O", "ten squared is h two o."),
    ("html", '<a href="https://a.b/c">a link</a>', "a link."),
    ("html", "<p>Not closed <i>ever", "not closed ever."),
    ("html", "&ldquo;Hi&rdquo; &mdash; he left", "hi, he left."),
    ("ssml", "<speak>Hello there.</speak>", "hello there."),
    ("ssml", "<speak><p>One</p><p>Two</p></speak>", "one. two."),
    ("ssml", "<speak><s>One</s><s>Two</s></speak>", "one. two."),
    ("ssml", '<speak>A <sub alias="doctor">Dr</sub> came.</speak>', "a doctor came."),
    ("ssml", '<speak><say-as interpret-as="digits">123</say-as></speak>', "one two three."),
    (
        "ssml",
        '<speak><say-as interpret-as="cardinal">1984</say-as></speak>',
        "one thousand nine hundred and eighty four.",
    ),
    ("ssml", '<speak><say-as interpret-as="ordinal">3</say-as></speak>', "third."),
    ("ssml", '<speak><say-as interpret-as="characters">ABC</say-as> is</speak>', "a b c is."),
    (
        "ssml",
        '<speak><say-as interpret-as="date" format="dmy">3/4/2024</say-as></speak>',
        "april third twenty twenty four.",
    ),
    ("ssml", '<speak><phoneme alphabet="ipa" ph="kæt">dog</phoneme></speak>', "[[K AE1 T]]."),
    ("ssml", "<speak>a &amp; b &lt; c</speak>", "a and b less than c."),
    (
        "ssml",
        '<?xml version="1.0"?>\n<speak version="1.1" xmlns="http://www.w3.org/2001/10/synthesis">Hi</speak>',
        "hi.",
    ),
]


def placed(text: str, kind: str) -> list[Spoken]:
    document = markup.read(text, kind)
    return [w for s in document.segments for chunk in split_text(s.text) for w in s.place(chunk).words]


def said(text: str, kind: str) -> str:
    """The words with their marks; a piece without a mark ends in a full stop."""
    out: list[str] = []
    for segment in markup.read(text, kind).segments:
        for chunk in map(segment.place, split_text(segment.text)):
            out += [" ".join(w.words) + w.mark for w in chunk.words]
            out[-1] = out[-1].rstrip(",.?!") + chunk.symbols[-1]
    return " ".join(out)


@pytest.mark.parametrize(("kind", "text", "wanted"), SHOWN)
def test_markup_is_read_as_what_it_shows(kind: str, text: str, wanted: str) -> None:
    assert said(text, kind) == wanted


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, text, _ in SHOWN])
def test_words_stand_in_the_input_in_order(kind: str, text: str) -> None:
    last = 0
    for word in placed(text, kind):
        assert last <= word.start < word.end <= len(text)
        written = iter(text[word.start : word.end])
        if "&" not in text[word.start : word.end] and "<sup>" not in text:
            assert all(c in written for c in word.source)  # signs of markup may stand between them
        last = word.end


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("See [docs](https://a.b).", "markdown"),
        ("# One\n\ntext", "markdown"),
        ("- [x] done", "markdown"),
        ("- a\n- b", "markdown"),
        ("<b>x</b> &nbsp;", "html"),
        ("Tom &amp; Jerry", "html"),
        ("line<br/>line", "html"),
        ("  <speak>Hi</speak>", "ssml"),
        ("a < b and c > d", "plain"),
        ("5 * 3 * 2", "plain"),
        ("he said *no*", "plain"),
        ("#1 in the world", "plain"),
        ("see [1] (and [2])", "plain"),
        ("f(x)[0](y)", "plain"),
        ("- a dash\nand more", "plain"),
        ("R&D and AT&T; done", "plain"),
        ("I <3 you", "plain"),
        ("if a<b then b>a", "plain"),
        ("2**3 and 3**2", "plain"),
        ("the <name> of it", "plain"),
    ],
)
def test_only_certain_markup_is_recognized(text: str, kind: str) -> None:
    document = markup.read(text)
    assert document.kind == kind
    assert bool(document.notes) == (kind != "plain")


def test_breaks_and_manners_of_ssml() -> None:
    text = (
        '<speak><break time="1s"/>One<break time="250ms"/><break time="250ms"/>two '
        '<prosody rate="80%" pitch="+2st">three <voice name="slt">four</voice></prosody><break strength="none"/>five'
        "</speak>"
    )
    segments = list(markup.read(text, "ssml").segments)
    assert [(s.text.strip(), s.pause, s.exact, s.rate, s.pitch, s.speaker) for s in segments] == [
        ("", 1.0, True, 1.0, 0.0, None),
        ("One,", 0.5, True, 1.0, 0.0, None),
        ("two,", 0.0, False, 1.0, 0.0, None),
        ("three,", 0.0, False, 0.8, 2.0, None),
        ("four,", 0.0, True, 0.8, 2.0, "slt"),
        ("five", None, False, 1.0, 0.0, None),
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("<speak>a & b</speak>", "line 1, column .*not well-formed"),
        ("<speak>open", "line 1"),
        ("<p>x</p>", "<p>; SSML is a <speak>"),
        ('<!DOCTYPE speak [<!ENTITY a "b">]><speak>&a;</speak>', "document type"),
        ('<speak><break time="soon"/>x</speak>', "'soon' of a break"),
        ('<speak><break strength="huge"/>x</speak>', "'huge'"),
        ('<speak><prosody rate="-200%">x</prosody></speak>', "rate '-200%'"),
        ('<speak><prosody pitch="up">x</prosody></speak>', "pitch 'up'"),
        ("<speak><sub>x</sub></speak>", "<sub> has no alias"),
        ('<speak><phoneme ph="k¤t">x</phoneme></speak>', "'¤'"),
        ('<speak><phoneme alphabet="x-sampa" ph="k">x</phoneme></speak>', "x-sampa"),
        ("", "no element found"),
    ],
)
def test_bad_ssml_is_refused_in_one_sentence(text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        markup.read(text, "ssml")


def test_what_is_ignored_is_noted() -> None:
    document = markup.read('<speak><emphasis>x</emphasis><w>y</w><prosody volume="loud">z</prosody></speak>', "ssml")
    assert len(document.notes) == 3
    with pytest.raises(InputError, match="'rtf'"):
        markup.read("x", "rtf")


def test_plain_text_stays_lazy_and_markup_in_pieces_is_joined() -> None:
    def endless():
        while True:
            yield "The owl sat. "

    (segment,) = markup.read(endless()).segments
    assert next(split_text(segment.text)).words[0].source == "The"
    assert markup.read(iter(["<speak>Hel", "lo</speak>"])).segments[0].text == "Hello"
