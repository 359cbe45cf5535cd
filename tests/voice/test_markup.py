"""SSML, HTML and Markdown as they sound."""

from __future__ import annotations

import numpy as np
import pytest

from portavoz.errors import InputError
from portavoz.voice import Voice


def test_breaks_of_ssml_are_exact_to_a_sample(voice: Voice) -> None:
    def samples(inner: str) -> int:
        return len(voice.speak(f"<speak>{inner}</speak>", markup="ssml", pauses=2.0, speed=0.9).samples)

    none = samples('One.<break time="0s"/>Two.')
    assert samples('One.<break time="1.25s"/>Two.') - none == round(1.25 * 22050)
    assert samples('One.<break time="300ms"/>Two.<break time="500ms"/>') - none == round(0.3 * 22050) + 11025
    assert samples('<break time="40ms"/>One.<break time="0s"/>Two.') - none == 882


def test_markup_moves_rate_and_speaker_and_words_keep_their_places(voice: Voice) -> None:
    text = '<speak>Good morning. <prosody rate="50%">Good morning.</prosody></speak>'
    speech = voice.speak(text)
    assert [text[w.char_start : w.char_end] for w in speech.words] == [w.text for w in speech.words]
    quick, slow = (speech.words[i + 1].end - speech.words[i].start for i in (0, 2))
    assert slow > 1.5 * quick
    assert any("read as ssml" in warning for warning in speech.warnings)
    assert not voice.speak("Good morning.", markup="plain").warnings
    with pytest.raises(InputError, match="'nobody'"):
        voice.speak('<speak>a <voice name="nobody">b</voice></speak>')
    with pytest.raises(InputError, match="markup is 'rtf'"):
        voice.stream("a", markup="rtf")


def test_html_and_markdown_sound_as_what_they_show(voice: Voice) -> None:
    plain = voice.speak("See our docs.", markup="plain")
    for text in ("See [our docs](https://example.com).", "<p>See <b>our</b> docs.</p>"):
        assert np.array_equal(voice.speak(text).samples, plain.samples)
