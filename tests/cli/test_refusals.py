"""What cannot be said, read or written is one sentence and exit code 2, and leaves no file behind."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import voices

FILES = ("encode.onnx", "decode.onnx", "vocode.onnx", "model.safetensors")


@pytest.fixture
def refused_to_say(refused, tiny: Path) -> Callable[..., str]:
    """Refused, and nothing is written."""

    def call(*args: str, voice: Path = tiny, stdin: bytes = b"") -> str:
        before = sorted(os.listdir())
        said = refused("say", "--voice", str(voice), *args, stdin=stdin)
        assert sorted(os.listdir()) == before
        return said

    return call


@pytest.mark.parametrize("text", ["", " \t\n", "...", "?!", "привет", "你好，世界", "\0", "\ud800", "\u200b", "—"])
def test_texts_without_a_word(refused_to_say, text: str) -> None:
    assert "there is nothing to say" in refused_to_say("--", text)
    stdin = text.encode("utf-8", "replace") if text != "\ud800" else b""
    if text != "\ud800":
        assert "there is nothing to say" in refused_to_say("-", stdin=stdin)


def test_emoji_are_spoken(run, tiny: Path) -> None:
    done = run("say", "😀", "--voice", str(tiny), "--json")
    assert json.loads(done.out)["words"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--speed", "0"], "speed is 0.0: give a number from 0.1 to 10"),
        (["--speed", "-1"], "speed is -1.0"),
        (["--speed", "nan"], "speed is nan"),
        (["--speed", "inf"], "speed is inf"),
        (["--pauses", "-1"], "pauses is -1.0"),
        (["--speaker", "nobody"], "speaker 'nobody': the voice tiny has first, second"),
        (["--speaker", "7"], "speaker 7: the voice tiny has first, second"),
        (["--runtime", "abacus"], "runtime 'abacus'"),
        (["--backend", "abacus"], "there is no back end 'abacus'"),
        (["--runtime", "onnx", "--backend", "torch"], "takes no backend"),
        (["--precision", "int2"], "precision 'int2'"),
        (["--threads", "0"], "threads is 0"),
        (["--format", "doc"], "format 'doc', wanted one of wav, flac, ogg, mp3"),
        (["--format", "raw"], "--format raw: bare samples go to standard output only"),
        (["-o", "sound"], "'sound': neither an ending nor a format, wanted one of"),
        (["-o", "sound.doc"], "format 'doc', wanted one of"),
        (["-o", "-", "--json"], "standard output carries the sound"),
        (["-o", "-", "--play"], "standard output carries the sound"),
        (["-o", "-", "--timestamps", "srt"], "standard output carries the sound"),
        (["-o", "-", "--stream", "--format", "mp3"], "takes wav or raw while it is spoken"),
        (["--plot", "picture.doc"], "a picture's name ends with .png"),
        (["--lexicon", "nowhere.txt"], "nowhere.txt: the lexicon cannot be read"),
    ],
)
def test_options(refused_to_say, options: list[str], said: str) -> None:
    assert said in refused_to_say("Hello.", *options)


@pytest.mark.parametrize("voice", ["nobody", ".", "a\0b"])
def test_unknown_voices(refused, voice: str) -> None:
    says = "the folder has neither a voice.json" if voice == "." else "there is no such folder"
    assert says in refused("say", "Hello.", "--voice", voice)
    assert says in refused("show", voice)


def test_lexicon_with_a_mistake(refused_to_say) -> None:
    Path("mine.txt").write_text("hello HH QQ\n", encoding="utf-8")
    assert "mine.txt, line 1" in refused_to_say("Hello.", "--lexicon", "mine.txt")


def test_input_files(refused_to_say, tmp_path: Path) -> None:
    assert "nowhere.txt: cannot be read (No such file" in refused_to_say("--file", "nowhere.txt")
    assert "cannot be read (Is a directory)" in refused_to_say("--file", str(tmp_path))
    assert "cannot hold a NUL" in refused_to_say("--file", "a\0b")
    Path("empty.txt").write_bytes(b"")
    assert "there is nothing to say" in refused_to_say("--file", "empty.txt")


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "Grüße".encode("latin-1"), "Hi.".encode("utf-16")]
)
def test_files_that_are_not_utf8(refused_to_say, content: bytes) -> None:
    Path("in.txt").write_bytes(content)
    assert "in.txt: not UTF-8 text (byte 0x" in refused_to_say("--file", "in.txt")
    assert "standard input: not UTF-8 text" in refused_to_say("-", stdin=content)


def test_a_late_bad_byte_keeps_the_old_file(refused_to_say) -> None:
    Path("out.wav").write_bytes(b"old")
    Path("in.txt").write_bytes(b"This is fine. " * 800 + b"\xff")
    assert "not UTF-8" in refused_to_say("--file", "in.txt", "-o", "out.wav", "--timestamps", "srt", "--speed", "10")
    assert Path("out.wav").read_bytes() == b"old"


def test_outputs(refused_to_say, tmp_path: Path) -> None:
    Path("file.txt").write_text("", encoding="utf-8")
    Path("folder.wav").mkdir()
    assert "the folder" in refused_to_say("Hello.", "-o", "nowhere/out.wav")
    assert "Not a directory" in (said := refused_to_say("Hello.", "-o", "file.txt/out.wav")) or "the folder" in said
    assert "this is a folder" in refused_to_say("Hello.", "-o", "folder.wav")
    assert "this is a folder" in refused_to_say("Hello.", "-o", str(tmp_path), "--format", "wav")
    assert "cannot hold a NUL" in refused_to_say("Hello.", "-o", "a\0b.wav")
    assert "this is a device" in refused_to_say("Hello.", "-o", "/dev/full", "--format", "wav")


def full(*args: str, voice: Path, folder: Path, most: int, **streams) -> subprocess.CompletedProcess[str]:
    """Run with a disk that is full after `most` bytes of each file."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "portavoz", "say", *args, "--voice", str(voice)],
        cwd=folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        stderr=subprocess.PIPE,
        text=True,
        **streams,
    )


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_a_full_disk(tiny: Path, tmp_path: Path, format: str) -> None:
    out = tmp_path / f"out.{format}"
    out.write_bytes(b"old")
    done = full("One, two, three, four, five. " * 8, "-o", out.name, voice=tiny, folder=tmp_path, most=20_000)
    assert done.returncode == 2
    assert done.stderr.startswith(f"portavoz: {out.name}: cannot be written (File too large); free space")
    assert done.stderr.count("\n") == 1
    assert out.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [out.name]


@pytest.mark.parametrize("options", [(), ("--stream",), ("--stream", "--format", "raw")])
def test_a_full_disk_behind_standard_output(tiny: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as sink:
        done = full("Hello.", "-o", "-", *options, voice=tiny, folder=tmp_path, most=1 << 30, stdout=sink)
    assert done.returncode == 2
    assert done.stderr == "portavoz: standard output: cannot be written (No space left on device); send it elsewhere\n"


@pytest.fixture
def broken(tiny: Path, tmp_path: Path) -> Path:
    """A voice to be broken."""
    return voices.copied(tiny, tmp_path / "broken")


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", [cut, flipped, lambda data: b"", None], ids=["cut", "flipped", "empty", "gone"])
def test_damaged_files(refused, refused_to_say, broken: Path, name: str, harm: Callable[[bytes], bytes] | None) -> None:
    path = broken / name
    if harm is None:
        path.unlink()
    else:
        path.write_bytes(harm(path.read_bytes()))
    runtime = "eager" if name == "model.safetensors" else "onnx"
    wanted = f"{name}: cannot be read" if harm is None else f"{name}: damaged, its checksum is not the one"
    assert wanted in refused_to_say("Hello.", "--runtime", runtime, voice=broken)
    assert wanted in refused("show", str(broken))


def test_files_that_never_were_what_they_claim(refused_to_say, broken: Path) -> None:
    """The checksum is right, the content is not."""
    about = json.loads((broken / "voice.json").read_text(encoding="utf-8"))
    for name in FILES:
        (broken / name).write_bytes(b"nothing of the kind")
        about["files"][name]["sha256"] = hashlib.sha256(b"nothing of the kind").hexdigest()
    voices.edited(broken, files=about["files"])
    assert "encode.onnx: not a graph that ONNX Runtime can open" in refused_to_say("Hello.", voice=broken)
    assert "not a readable safetensors file" in refused_to_say("Hello.", "--backend", "numpy", voice=broken)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '"text"', "null", "\ud800"])
def test_descriptions_that_are_not_json(refused_to_say, broken: Path, text: str) -> None:
    (broken / "voice.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert "voice.json" in refused_to_say("Hello.", voice=broken)


@pytest.mark.parametrize("key", ["format", "name", "family", "config", "speakers", "files"])
@pytest.mark.parametrize("value", [None, 5, "text", [], {}, [5], {"a": 5}], ids=str)
def test_descriptions_with_a_wrong_value(refused, refused_to_say, run, broken: Path, key: str, value: object) -> None:
    if (key, value) in (("name", "text"),):
        return
    voices.edited(broken, **{key: value})
    said = refused_to_say("Hello.", voice=broken)
    assert key in said or (key, value) == ("config", {})
    assert refused("show", str(broken))
    assert run("doctor", "--voice", str(broken)).code == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hiden": 32}, "has no hiden: did you mean hidden?"),
        ({"mel": {"mells": 64}}, "has no mel.mells: did you mean mel.mels?"),
        ({"hidden": 33}, "hidden is 33"),
        ({"hidden": "many"}, "hidden"),
        ({"mel": 5}, "mel"),
        ({"alphabet": 2}, "alphabet"),
        ({"vocoder": "none"}, "vocoder is 'none'"),
        ({"longest": -1}, "longest is -1: wanted a whole number from 1 up"),
        ({"hifigan": {"rates": []}}, "hifigan.rates is []: wanted a list"),
        ({"kernel": True}, "kernel is True"),
        ({"speakers": 0}, "speakers"),
        ({"istft": {"layers": 1.5}}, "layers"),
    ],
)
def test_configurations_that_cannot_be(refused_to_say, broken: Path, change: dict[str, object], said: str) -> None:
    config = json.loads((broken / "voice.json").read_text(encoding="utf-8"))["config"]
    voices.edited(broken, config={**config, **change})
    assert said in refused_to_say("Hello.", voice=broken)


def test_a_newer_format_and_another_family(refused_to_say, broken: Path) -> None:
    voices.edited(broken, format=2)
    assert "format 2, this portavoz reads 1" in refused_to_say("Hello.", voice=broken)
    voices.edited(broken, format=1, family="unheard")
    assert "family 'unheard' is not known" in refused_to_say("Hello.", voice=broken)
