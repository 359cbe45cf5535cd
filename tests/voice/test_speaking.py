"""A voice speaks: the same sound however it is asked for, words in their places."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from speeches import SHORT, TEXT, same

import portavoz
from portavoz.errors import InputError
from portavoz.text.lexicon import Lexicon
from portavoz.voice import Voice


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


def test_a_name_in_other_capitals_is_the_same_speaker(voice: Voice) -> None:
    assert np.array_equal(voice.speak(SHORT, speaker="SECOND").samples, voice.speak(SHORT, speaker="second").samples)


def test_speech_is_saved_to_a_file_object(voice: Voice) -> None:
    import io

    from portavoz.audio.files import read

    said, file = voice.speak(SHORT), io.BytesIO()
    said.save(file)
    file.seek(0)
    assert len(read(file).samples) == len(said.samples)
    closed = io.BytesIO()
    closed.close()
    for wrong, sentence in (
        (io.StringIO(), "open it in binary mode"), (5, "cannot save to type int"), (closed, "open it for writing"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=sentence):
            said.save(wrong)  # pyright: ignore[reportArgumentType]
    for format in ("doc", 3):
        with pytest.raises(InputError, match=f"^format {format!r}, wanted one of wav"):
            said.save(io.BytesIO(), format=format)  # pyright: ignore[reportArgumentType]


def test_description_and_names(voice: Voice, tiny: Path) -> None:
    about = voice.describe()
    assert (about["name"], about["runtime"], about["folder"]) == ("tiny", "onnx", str(tiny))
    assert voice.speakers == ("first", "second")


def test_values_are_frozen(voice: Voice) -> None:
    word = voice.speak(SHORT).words[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        word.text = "other"  # pyright: ignore[reportAttributeAccessIssue]
