"""The voice that comes with the package: its speakers, speed, pauses, pitch, and no clicks."""

from __future__ import annotations

import numpy as np
import pytest
from speeches import SHORT, TEXT, same

import portavoz
from portavoz.audio.measures import measure
from portavoz.flow import MelSpec, Wave
from portavoz.train.data.pitch import tracks
from portavoz.voice import Voice


@pytest.fixture(scope="module")
def bundled() -> Voice:
    return portavoz.load()


def test_words_sound_where_they_say(bundled: Voice) -> None:
    """The pause that a paragraph makes lies between the words around it."""
    speech = bundled.speak("The first one.\n\nThe second one.")
    end, start = speech.words[2].end, speech.words[3].start
    assert start - end > 0.5
    middle = speech.samples[round((end + 0.1) * speech.rate) : round((start - 0.1) * speech.rate)]
    word = speech.samples[round(speech.words[0].start * speech.rate) : round(end * speech.rate)]
    assert np.sqrt(np.mean(middle**2)) < 0.05 * np.sqrt(np.mean(word**2))


@pytest.mark.parametrize(("speed", "tolerance"), [(2.0, 0.12), (0.5, 0.05), (1.25, 0.05)])
def test_speed_divides_the_duration(bundled: Voice, speed: float, tolerance: float) -> None:
    plain, fast = bundled.speak(TEXT), bundled.speak(TEXT, speed=speed)
    assert fast.duration * speed == pytest.approx(plain.duration, rel=tolerance)
    assert [w.text for w in fast.words] == [w.text for w in plain.words]


def test_pauses_stretch_silence_only(bundled: Voice) -> None:
    none, plain, long = (bundled.speak(TEXT, pauses=p) for p in (0.0, 1.0, 3.0))
    assert none.duration < plain.duration - 0.5 < long.duration - 2.0

    def spoken(speech: portavoz.Speech) -> list[float]:
        return [word.phonemes[0].end - word.phonemes[0].start for word in speech.words]

    # What is rounded off one symbol is carried over to the next: one frame, either way.
    assert spoken(plain) == pytest.approx(spoken(long), abs=1.01 * 300 / 24000)


def height(speech: portavoz.Speech) -> float:
    """The median pitch in Hz."""
    return float(np.exp(np.nanmedian(tracks(speech.samples, MelSpec(rate=speech.rate))[:, 0])))


ROOF = "There was a roof on salaries, and we all knew it."


def test_the_bundled_speakers_are_two_women_and_a_man(bundled: Voice) -> None:
    assert bundled.name == "heart"
    assert bundled.speakers == ("heart", "bella", "eric", "michael")
    assert bundled.rate == 24000
    heights = [height(bundled.speak(ROOF, speaker=name)) for name in bundled.speakers]
    assert all(140 < found < 240 for found in heights[:2]) and all(80 < found < 170 for found in heights[2:])
    assert same(bundled.speak(SHORT), bundled.speak(SHORT, speaker="heart"))


def test_the_bundled_voice_streams_what_it_says(bundled: Voice) -> None:
    pieces, whole = list(bundled.stream(TEXT)), bundled.speak(TEXT)
    assert len(pieces) > 4
    assert np.array_equal(np.concatenate([p.samples for p in pieces]), whole.samples)
    assert tuple(w for p in pieces for w in p.words) == whole.words


def test_the_bundled_speakers_pitch_is_moved(bundled: Voice) -> None:
    plain = bundled.speak(ROOF)
    for asked in (-4.0, -2.0, 2.0, 4.0):
        moved = bundled.speak(ROOF, pitch=asked)
        assert moved.words == plain.words
        assert 0.85 < 12 * np.log2(height(moved) / height(plain)) / asked < 1.15


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_bundled_voice_says_the_same_on_every_runtime(bundled: Voice, backend: str) -> None:
    eager = portavoz.load(runtime="eager", backend=backend)
    a, b = bundled.speak(TEXT), eager.speak(TEXT)
    assert a.samples.shape == b.samples.shape
    # The graph of the vocoder computes in eight bits, and no back end does.
    assert np.linalg.norm(a.samples - b.samples) <= 0.1 * np.linalg.norm(b.samples)


@pytest.mark.parametrize("text", ["Yes.", TEXT, "One, two, three, four, five, six, seven."])
def test_ends_and_joins_do_not_click(bundled: Voice, text: str) -> None:
    speech = bundled.speak(text)
    peak = np.abs(speech.samples).max()
    assert np.abs(speech.samples[[0, -1]]).max() < 0.01 * peak
    found = measure(Wave(speech.samples, speech.rate))
    assert found.clipped == 0
    assert abs(found.dc) < 0.02
    assert found.click.ratio < 22  # the teacher's own speech has 12 to 20: its glottal pulses are sharp
    bend = np.abs(np.diff(speech.samples.astype(np.float64), 2))
    level = 1e-3 * bend.max()
    for join in np.cumsum([len(piece.samples) for piece in bundled.stream(text)])[:-1]:
        around = np.sqrt(np.mean(bend[join - 240 : join + 240] ** 2))
        assert bend[join - 3 : join + 2].max() < 5 * max(around, level)
