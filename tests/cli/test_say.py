"""`portavoz say`: what it writes and what it tells."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

import portavoz
from portavoz.audio.files import to_pcm16

TEXT = "Dr. Smith paid $3.50. The blarquistle, who said привет, did not; and so it went on, as such things do."


@pytest.fixture
def say(run, tiny: Path):
    """Say with the small voice."""
    return lambda *args, **more: run("say", *args, "--voice", str(tiny), **more)


@pytest.fixture(scope="module")
def speech(tiny: Path) -> portavoz.Speech:
    return portavoz.load(tiny).speak(TEXT)


def heard(path: str | Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


def test_the_file_is_what_the_voice_says(say, speech) -> None:
    done = say(TEXT, "-o", "out.wav")
    assert (done.code, done.out) == (0, b"")
    assert np.array_equal(heard("out.wav"), to_pcm16(speech.samples))
    assert os.listdir() == ["out.wav"]


def test_tells_warnings_and_a_last_line(say, speech) -> None:
    lines = say(TEXT, "-o", "out.wav").err.splitlines()
    assert lines[:-1] == [f"portavoz: warning: {warning}" for warning in speech.warnings]
    assert len(speech.warnings) == 2
    assert lines[-1].startswith(f"portavoz: out.wav: {speech.duration:.2f} s of speech in ")
    assert "(RTF 0." in lines[-1] or "(RTF " in lines[-1]


def test_many_warnings_are_cut_short(say) -> None:
    words = [f"bla{a}qui{b}zle" for a in "bcdf" for b in "ghjk"]
    done = say(" ".join(words), "-o", "out.wav")
    assert done.err.count("warning: ") == 10
    assert "portavoz: 6 more warnings; --json lists them all\n" in done.err
    assert len(json.loads(say(" ".join(words), "-o", "out.wav", "--json").out)["warnings"]) == 16


def test_without_a_name_it_is_say_wav(say) -> None:
    assert say("Hello.").code == 0
    assert say("Hello.", "--format", "flac").code == 0
    assert sorted(os.listdir()) == ["say.flac", "say.wav"]


@pytest.mark.parametrize(("name", "options", "kind"), [
    ("a.wav", (), "WAV"), ("a.flac", (), "FLAC"), ("a.ogg", (), "OGG"), ("a.mp3", (), "MP3"),
    ("a.WAV", (), "WAV"), ("a", ("--format", "flac"), "FLAC"), ("a.wav", ("--format", "ogg"), "OGG"),
])  # fmt: skip
def test_formats(say, name: str, options: tuple[str, ...], kind: str) -> None:
    assert say("Hello there.", "-o", name, *options).code == 0
    assert soundfile.info(name).format in (kind, "MPEG" if kind == "MP3" else kind)


def test_text_from_a_file_and_from_standard_input(say, speech) -> None:
    Path("in.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.replace(" ", "\r\n", 3).encode())
    assert say("--file", "in.txt", "-o", "file.wav").code == 0
    assert say("-", "-o", "pipe.wav", stdin=TEXT.encode()).code == 0
    assert np.array_equal(heard("pipe.wav"), to_pcm16(speech.samples))
    assert np.array_equal(heard("file.wav"), heard("pipe.wav"))


def test_a_text_may_begin_with_a_dash(run, tiny: Path) -> None:
    for text in ("-5 degrees", "-x"):
        assert run("say", "--voice", str(tiny), "--", text).code == 0
    assert run("say", "--voice", str(tiny), "-5").code == 0


def test_json_is_stable(say, speech, tiny: Path) -> None:
    done = say(TEXT, "-o", "out.wav", "--json")
    report = json.loads(done.out)
    assert done.err == ""
    assert list(report) == ["output", "seconds", "rate", "rtf", "words", "warnings", "voice", "runtime"]
    assert report["rtf"] > 0
    assert report == {
        "output": "out.wav",
        "seconds": round(speech.duration, 4),
        "rate": 22050,
        "rtf": report["rtf"],
        "words": len(speech.words),
        "warnings": list(speech.warnings),
        "voice": "tiny",
        "runtime": "onnx",
    }
    eager = json.loads(say("Hello.", "-o", "out.wav", "--json", "--backend", "numpy").out)
    assert eager["runtime"] == "eager"


def test_manners_reach_the_voice(say, tiny: Path) -> None:
    Path("mine.txt").write_text("hello  B AY1\n", encoding="utf-8")
    options = ("--speed", "0.8", "--pauses", "2", "--seed", "3", "--speaker", "second", "--lexicon", "mine.txt")
    assert say("Hello, there. And again.", "-o", "a.wav", *options).code == 0
    assert say("Hello, there. And again.", "-o", "b.wav", *options[:6], "--speaker", "1", *options[8:]).code == 0
    voice = portavoz.load(tiny)
    from portavoz.text.lexicon import Lexicon

    manner = {"speed": 0.8, "pauses": 2.0, "seed": 3, "speaker": "second", "lexicon": Lexicon({"hello": "B AY1"})}
    wanted = to_pcm16(voice.speak("Hello, there. And again.", **manner).samples)
    assert np.array_equal(heard("a.wav"), wanted)
    assert np.array_equal(heard("b.wav"), wanted)


def test_srt_beside_the_sound(say, speech) -> None:
    assert say(TEXT, "-o", "out.flac", "--timestamps", "srt").code == 0
    entries = Path("out.srt").read_text(encoding="utf-8").split("\n\n")
    assert entries.pop() == ""
    shown = []
    for number, entry in enumerate(entries, 1):
        head, times, *lines = entry.split("\n")
        assert head == str(number)
        assert times.count(" --> ") == 1
        assert 1 <= len(lines) <= 2
        assert all(len(line) <= 42 for line in lines)
        shown += " ".join(lines).split()
    assert shown == [word.text for word in speech.words]


def test_json_times_beside_the_sound(say, speech) -> None:
    assert say(TEXT, "-o", "out.wav", "--timestamps", "json").code == 0
    written = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert written["seconds"] == round(speech.duration, 4)
    assert [w["text"] for w in written["words"]] == [w.text for w in speech.words]
    assert [w["start"] for w in written["words"]] == [round(w.start, 4) for w in speech.words]
    assert written["words"][0]["phonemes"][0][0] == "D"


def test_webvtt_stands_beside_the_sound(say) -> None:
    assert say("See https://example.com/a?b=1 & go.", "-o", "out.wav", "--timestamps", "vtt").code == 0
    shown = Path("out.vtt").read_text()
    assert shown.startswith("WEBVTT\n\n00:00:")
    assert "See https://example.com/a?b=1 &amp; go." in shown.replace("\n", " ")


def test_picture(say) -> None:
    assert say("Hello, Dr. Smith.", "-o", "out.wav", "--plot", "out.png").code == 0
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


def test_standard_output_gets_a_whole_file(say, speech) -> None:
    done = say(TEXT, "-o", "-")
    Path("got.wav").write_bytes(done.out)
    assert struct.unpack("<I", done.out[40:44])[0] == 2 * len(speech.samples)
    assert np.array_equal(heard("got.wav"), to_pcm16(speech.samples))
    assert say("Hello.", "-o", "-", "--format", "flac").out.startswith(b"fLaC")
    assert done.err.splitlines()[-1].startswith("portavoz: standard output: ")


def test_standard_output_streams(say, speech) -> None:
    sound = to_pcm16(speech.samples).astype("<i2").tobytes()
    wav, raw = say(TEXT, "-o", "-", "--stream").out, say(TEXT, "-o", "-", "--stream", "--format", "raw").out
    assert raw == sound
    assert wav[44:] == sound
    assert wav[:4] + wav[8:16] == b"RIFFWAVEfmt "
    assert struct.unpack("<IHHIIHH", wav[16:36]) == (16, 1, 1, 22050, 44100, 2, 16)
    assert wav[36:44] == b"data\xff\xff\xff\xff"
    Path("got.wav").write_bytes(wav)
    assert np.array_equal(heard("got.wav"), to_pcm16(speech.samples))


def test_stream_to_a_file_is_a_file(say, speech) -> None:
    assert say(TEXT, "-o", "out.wav", "--stream").code == 0
    assert np.array_equal(heard("out.wav"), to_pcm16(speech.samples))


def player(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_level_and_rate(say, speech) -> None:
    from portavoz.audio.loudness import lufs

    done = say(TEXT, "-o", "fast.wav", "--rate", "48000", "--json")
    assert json.loads(done.out)["rate"] == 48000
    samples, rate = soundfile.read("fast.wav")
    assert rate == 48000 and abs(len(samples) / 48000 - speech.duration) < 0.001
    say(TEXT, "-o", "loud.wav", "--loudness", "-32")
    samples, rate = soundfile.read("loud.wav")
    assert lufs(samples, rate) == pytest.approx(-32, abs=0.1)
    say(TEXT, "-o", "soft.wav", "--gain", "-6")
    assert np.abs(heard("soft.wav") - speech.samples * 32768 * 10**-0.3).max() <= 1


def test_quiet_says_nothing(say) -> None:
    done = say("The blarquistle.", "-o", "out.wav", "--quiet")
    assert (done.code, done.out, done.err) == (0, b"", "")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--gain", "99"), "--gain 99: give decibels from -60 to 40"),
        (("--gain", "nan"), "--gain nan"),
        (("--loudness", "3"), "--loudness 3: give LUFS from -70 to 0"),
        (("--loudness", "-16", "--gain", "3"), "not allowed with"),
        (("--loudness", "-16", "-o", "-", "--stream"), "use --gain"),
        (("--rate", "100"), "--rate: 100 Hz, wanted a sample rate"),
    ],
)
def test_levels_that_cannot_be(refused, options: tuple[str, ...], says: str) -> None:
    assert says in refused("say", "Hello.", *options)


def test_play_keeps_nothing(say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    player(tmp_path / "bin", "aplay", f'/bin/cp "$2" {tmp_path}/played.wav')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    done = say("Hello.", "--play", "--json")
    assert done.code == 0
    assert json.loads(done.out)["output"] is None
    assert len(heard("played.wav")) > 1000
    assert sorted(os.listdir()) == ["bin", "played.wav"]


def test_play_what_is_kept(say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    player(tmp_path / "bin", "play", f'/bin/cp "$2" {tmp_path}/played.flac')
    player(tmp_path / "bin", "aplay", "exit 1")  # cannot play FLAC, so it is not asked
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert say("Hello.", "--play", "-o", "out.flac").code == 0
    assert Path("played.flac").read_bytes() == Path("out.flac").read_bytes()


def test_no_player_is_no_error(say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = say("Hello.", "--play")
    assert done.code == 0
    assert done.err.splitlines()[0].startswith("portavoz: no player here")
    assert os.listdir() == ["say.wav"]


def test_a_player_that_fails_is_no_error(say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    player(tmp_path / "bin", "aplay", "echo no sound card >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    done = say("Hello.", "--play", "-o", "out.wav")
    assert done.code == 0
    assert done.err.splitlines()[-1] == "portavoz: aplay could not play it (no sound card)"
    assert len(heard("out.wav")) > 1000


def test_signals_are_printed_beside_the_sound(say) -> None:
    """The figures of `lab signals`: of the sound alone, or beside a recording of the speaker; in --json too."""
    lines = say("Hello, Dr. Smith.", "-o", "out.wav", "--signals").err.splitlines()
    assert any(line.startswith("portavoz: not evaluated, for lack of a reference or a prompt:") for line in lines)
    found = json.loads(say("Hello, Dr. Smith.", "-o", "other.wav", "--signals", "--json").out)["signals"]
    assert {"symptoms", "rooms", "wave", "not_judged"} <= found.keys()
    assert any(sign["name"] == "energy above half of Nyquist" for sign in found["wave"])


def test_a_stage_that_is_exported_is_announced_once(tmp_path, monkeypatch, capsys) -> None:
    from argparse import Namespace

    from portavoz import families, voice
    from portavoz.cli.options import open_voice
    from portavoz.families.chatterbox.config import CONFIGS
    from portavoz.graph.cache import Cache
    from portavoz.graph.compile import Origin

    origin = Origin.given(families.get("chatterbox"), CONFIGS["tiny"], {})
    monkeypatch.setattr(Origin, "written", lambda self, name, path: path.write_bytes(b"a graph"))
    names = ("voice", "runtime", "backend", "precision", "device", "threads", "vocoder", "schedule", "mesh")

    def told(root: Path, *, quiet: bool) -> str:
        monkeypatch.setattr(
            voice, "load", lambda *_, **__: Namespace(about={}, path=origin.graph("pitch", Cache(root)))
        )
        open_voice(Namespace(**dict.fromkeys(names), quiet=quiet))
        return capsys.readouterr().err

    line = f"portavoz: Chatterbox: exporting the stage pitch; it is kept in {tmp_path / 'a'}\n"
    assert told(tmp_path / "a", quiet=False) == line
    assert told(tmp_path / "a", quiet=False) == ""
    assert told(tmp_path / "b", quiet=True) == ""
