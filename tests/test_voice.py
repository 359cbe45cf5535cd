"""A voice speaks: the same sound however it is asked for, words in their places, errors that say what to do."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

import portavoz
from portavoz.audio.measures import measure
from portavoz.errors import BackendError, InputError
from portavoz.flow import MelSpec, Wave
from portavoz.text.lexicon import Lexicon
from portavoz.train.data.pitch import tracks
from portavoz.voice import Voice

TEXT = "Dr. Smith paid $3.50, and left. Why did she go? Nobody knows!\n\nA second paragraph, with a (bracketed) word."
SHORT = "Good morning, everyone."


@pytest.fixture(scope="module")
def voice(tiny: Path) -> Voice:
    return portavoz.load(tiny)


@pytest.fixture(scope="module")
def bundled() -> Voice:
    return portavoz.load()


def same(a: portavoz.Speech, b: portavoz.Speech) -> bool:
    return a.samples.shape == b.samples.shape and bool(np.array_equal(a.samples, b.samples)) and a.words == b.words


def test_speech_is_mono_float32_of_speech_length(voice: Voice) -> None:
    speech = voice.speak(TEXT)
    assert speech.samples.dtype == np.float32
    assert speech.samples.ndim == 1
    assert speech.rate == voice.rate == 22050
    assert speech.duration == len(speech.samples) / 22050
    assert 5 < speech.duration < 60
    assert np.abs(speech.samples).max() <= 1.0
    assert np.sqrt(np.mean(speech.samples**2)) > 1e-4


def test_speak_is_the_stream_joined(voice: Voice) -> None:
    pieces, whole = list(voice.stream(TEXT)), voice.speak(TEXT)
    assert len(pieces) > 4
    assert np.array_equal(np.concatenate([p.samples for p in pieces]), whole.samples)
    assert tuple(w for p in pieces for w in p.words) == whole.words


def test_stream_says_words_no_later_than_they_sound(voice: Voice) -> None:
    given = 0.0
    for piece in voice.stream(TEXT):
        assert all(word.start >= given for word in piece.words)
        given += piece.duration


def test_stream_reads_no_further_than_it_must(voice: Voice) -> None:
    asked = []

    def lines():
        for number in range(1000):
            asked.append(number)
            yield f"This is sentence number {number}. "

    stream = voice.stream(lines())
    next(stream)
    assert len(asked) < 10
    stream.close()


@pytest.mark.parametrize("size", [1, 7, 64])
def test_text_may_come_in_chunks(voice: Voice, size: int) -> None:
    chunks = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    assert same(voice.speak(chunks), voice.speak(TEXT))


def test_many_threads_say_the_same(voice: Voice) -> None:
    texts = [f"Sentence {number}, said by a thread. {TEXT[: 10 * number]}" for number in range(8)]
    alone = [voice.speak(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(voice.speak, texts * 3))
    assert all(same(a, b) for a, b in zip(alone * 3, together))


def test_words_cover_the_text_in_order(voice: Voice) -> None:
    speech = voice.speak(TEXT)
    assert [w.text for w in speech.words] == TEXT.split()
    assert [w.mark for w in speech.words][:6] == ["", "", "", ",", "", "."]
    at = 0.0
    for word in speech.words:
        assert at <= word.start < word.end <= speech.duration
        assert word.phonemes
        assert word.phonemes[0].start == word.start
        assert word.phonemes[-1].end == word.end
        assert all(a.end == pytest.approx(b.start) or a.end < b.start for a, b in zip(word.phonemes, word.phonemes[1:]))
        at = word.end


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


@pytest.mark.parametrize("speed", [0.1, 0.3, 1.0, 10.0])
@pytest.mark.parametrize("pauses", [0.0, 10.0, 100.0])
def test_no_speed_or_pause_is_too_much_for_the_model(voice: Voice, speed: float, pauses: float) -> None:
    marks = ", ".join("abcdefghijk") + ". " + "one, two; three: four - five " * 3
    assert voice.speak(marks, speed=speed, pauses=pauses).words


def test_durations_may_be_changed(voice: Voice) -> None:
    plain = voice.speak(SHORT)
    seen = []

    def twice(symbols, frames):
        seen.append((symbols, frames))
        return frames * 2

    assert same(voice.speak(SHORT, durations=lambda symbols, frames: frames), plain)
    assert len(voice.speak(SHORT, durations=twice).samples) == 2 * len(plain.samples)
    assert len(seen) == 1
    symbols, frames = seen[0]
    assert symbols[0] == "^"
    assert len(symbols) == len(frames)
    assert frames.sum() * 256 == len(plain.samples)


@pytest.mark.parametrize("wrong", [lambda s, f: f[1:], lambda s, f: f * 0.5, lambda s, f: -f])
def test_wrong_durations_are_refused(voice: Voice, wrong) -> None:
    with pytest.raises(InputError, match="durations: got"):
        voice.speak(SHORT, durations=wrong)


def test_warnings_tell_what_was_guessed_and_left_out(voice: Voice) -> None:
    speech = voice.speak("The blarquistle said привет to me. The blarquistle again.")
    assert speech.warnings == (
        "'blarquistle' is in no dictionary: pronounced from its spelling",
        "'привет' could not be read and was left out",
    )
    assert voice.speak(SHORT).warnings == ()


@pytest.mark.parametrize("text", ["Привет. Hello.", "Hello. Привет.", "Hello привет."])
def test_nothing_is_left_out_in_silence(voice: Voice, text: str) -> None:
    assert [w for w in voice.speak(text).warnings if "ривет" in w]


def test_lexicon_changes_a_pronunciation(voice: Voice) -> None:
    speech = voice.speak("a tomato", lexicon=Lexicon({"tomato": "T AH0 M AA1 T OW0"}))
    assert [p.symbol for p in speech.words[-1].phonemes] == ["T", "AH0", "M", "AA1", "T", "OW0"]


def test_speakers_differ_and_go_by_name_or_number(voice: Voice) -> None:
    first, second = voice.speak(SHORT, speaker="first"), voice.speak(SHORT, speaker="second")
    assert same(first, voice.speak(SHORT))
    assert same(second, voice.speak(SHORT, speaker=1))
    assert not same(first, second)
    for wrong in ("third", 2, -1):
        with pytest.raises(InputError, match="has first, second; choose one"):
            voice.speak(SHORT, speaker=wrong)


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


def test_a_pitch_that_cannot_be_is_refused(voice: Voice) -> None:
    with pytest.raises(InputError, match="trained without a pitch of its own"):
        voice.speak(SHORT, pitch=2)
    with pytest.raises(InputError, match="from -24 to 24"):
        voice.speak(SHORT, pitch=99)


def test_seed_is_the_same_sound(voice: Voice) -> None:
    assert same(voice.speak(SHORT, seed=7), voice.speak(SHORT, seed=7))


@pytest.mark.parametrize("backend", ["torch", "numpy"])
@pytest.mark.parametrize("speaker", ["first", "second"])
def test_runtimes_say_the_same(tiny: Path, voice: Voice, backend: str, speaker: str) -> None:
    eager = portavoz.load(tiny, runtime="eager", backend=backend)
    a, b = voice.speak(TEXT, speaker=speaker), eager.speak(TEXT, speaker=speaker)
    assert a.samples.shape == b.samples.shape
    assert np.abs(a.samples - b.samples).max() <= 1e-4
    assert a.words == b.words


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_bundled_voice_says_the_same_on_every_runtime(bundled: Voice, backend: str) -> None:
    eager = portavoz.load(runtime="eager", backend=backend)
    a, b = bundled.speak(TEXT), eager.speak(TEXT)
    assert a.samples.shape == b.samples.shape
    # The graph of the vocoder computes in eight bits, and no back end does.
    assert np.linalg.norm(a.samples - b.samples) <= 0.1 * np.linalg.norm(b.samples)


def test_threads_inside_a_stage_change_nothing_audible(tiny: Path, voice: Voice) -> None:
    two = portavoz.load(tiny, threads=2)
    assert np.abs(two.speak(SHORT).samples - voice.speak(SHORT).samples).max() <= 1e-5


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_saves_every_format(voice: Voice, tmp_path: Path, format: str) -> None:
    speech = voice.speak(SHORT)
    speech.save(tmp_path / f"sound.{format}")
    speech.save(str(tmp_path / "named"), format)
    for path in (tmp_path / f"sound.{format}", tmp_path / "named"):
        heard, rate = soundfile.read(path)
        assert rate == speech.rate
        assert abs(len(heard) / rate - speech.duration) < 0.1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["named", f"sound.{format}"]
    with pytest.raises(InputError, match="wanted one of wav, flac, ogg, mp3"):
        speech.save(tmp_path / "sound.doc")


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


@pytest.mark.parametrize("text", ["", " \n\t ", ".", "?!… — ,", "привет мир", "你好", "\0", "\ud800", "\u200b\ufeff"])
def test_nothing_to_say_is_said(voice: Voice, text: str) -> None:
    with pytest.raises(InputError, match="there is nothing to say"):
        voice.speak(text)
    with pytest.raises(InputError, match="there is nothing to say"):
        voice.speak([text])


@pytest.mark.parametrize("text", ["😀", "Hello\0 there", "Hello \ud800 there.", "\ufeffHello.", "5", "a", "x" * 200])
def test_odd_texts_are_spoken(voice: Voice, text: str) -> None:
    assert voice.speak(text).words


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"speed": 0}, "speed is 0"),
        ({"speed": -1.0}, "speed is -1"),
        ({"speed": float("nan")}, "speed is nan"),
        ({"speed": float("inf")}, "speed is inf"),
        ({"speed": 10.5}, "speed is 10.5"),
        ({"pauses": -0.1}, "pauses is -0.1"),
        ({"pauses": float("nan")}, "pauses is nan"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"speed": "fast"}, "speed is 'fast': give a number from 0.1 to 10"),
        ({"pitch": None}, "pitch is None"),
        ({"lexicon": "nowhere.txt"}, "nowhere.txt: the lexicon cannot be read"),
        ({"lexicon": 3}, "lexicon is a int: give the file's path, or a Lexicon"),
        ({"speaker": "nobody"}, "speaker 'nobody'"),
    ],
)
def test_wrong_manners_are_refused_at_once(voice: Voice, wrong: dict, said: str) -> None:
    # Before the first piece is asked for.
    with pytest.raises(InputError, match=said):
        voice.stream(SHORT, **wrong)


@pytest.mark.parametrize("text", [None, 5, b"bytes", ["Hello.", 5], [b"bytes"]])
def test_text_that_is_no_text_is_refused(voice: Voice, text: object) -> None:
    with pytest.raises(InputError, match="text"):
        voice.speak(text)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"voice": "nobody"}, InputError, "there is no such folder"),
        ({"voice": "a\0b"}, InputError, "there is no such folder"),
        ({"runtime": "abacus"}, BackendError, "runtime 'abacus'"),
        ({"backend": "abacus"}, BackendError, "no back end 'abacus'"),
        ({"runtime": "onnx", "backend": "torch"}, BackendError, "takes no backend"),
        ({"precision": "int3"}, BackendError, "precision 'int3'"),
        ({"threads": 0}, InputError, "threads is 0"),
        ({"threads": 1_000_000}, InputError, "from 1 to 256"),
    ],
)
def test_wrong_options_are_refused(tiny: Path, options: dict, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        portavoz.load(**{"voice": tiny, **options})


def test_a_speakers_name_is_no_voices(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").symlink_to(tiny)
    monkeypatch.setenv("PORTAVOZ_VOICES", str(tmp_path))
    said = "second is a speaker of mine: give mine as the voice and second as the speaker"
    with pytest.raises(InputError, match=said):
        portavoz.load("second")


def test_a_name_in_other_capitals_is_the_same_speaker(voice: Voice) -> None:
    assert np.array_equal(voice.speak(SHORT, speaker="SECOND").samples, voice.speak(SHORT, speaker="second").samples)


def test_speech_is_saved_to_a_file_object(voice: Voice) -> None:
    import io

    from portavoz.audio.files import read

    said, file = voice.speak(SHORT), io.BytesIO()
    said.save(file)
    file.seek(0)
    assert len(read(file).samples) == len(said.samples)
    for wrong, sentence in ((io.StringIO(), "open it in binary mode"), (5, "cannot save to a int")):
        with pytest.raises(InputError, match=sentence):
            said.save(wrong)  # pyright: ignore[reportArgumentType]


def test_description_and_names(voice: Voice, tiny: Path) -> None:
    about = voice.describe()
    assert (about["name"], about["runtime"], about["folder"]) == ("tiny", "onnx", str(tiny))
    assert voice.speakers == ("first", "second")


def test_values_are_frozen(voice: Voice) -> None:
    word = voice.speak(SHORT).words[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        word.text = "other"  # pyright: ignore[reportAttributeAccessIssue]


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
