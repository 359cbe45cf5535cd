"""The commands that report: text, voices, show, doctor, bench."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import voices

from portavoz.cli import checkout
from portavoz.families.compact.config import MINIMAL, CompactConfig
from portavoz.inspect import system_info
from portavoz.weights import file


def test_text_shows_how_it_is_read(run) -> None:
    done = run("text", "Dr. Smith paid $3.50.")
    lines = done.out.decode().splitlines()
    assert lines[0] == "doctor smith paid three dollars and fifty cents."
    assert lines[1].startswith("  D AA1 K T ER0 | S M IH1 TH | P EY1 D | TH R IY1 | ")
    assert len(lines) == 2


def test_text_as_json(run) -> None:
    report = json.loads(run("text", "The blarquistle. Привет!", "--json").out)
    assert list(report) == ["words", "phonemes", "unknown", "unread", "markup", "tokens"]
    assert report["words"] == "the blarquistle."
    assert report["phonemes"][:3] == ["DH", "AH0", " "]
    assert report["phonemes"][-1] == "."
    assert report["unknown"] == ["blarquistle"]
    assert report["unread"] == ["Привет!"]


@pytest.mark.parametrize("text", ["", "привет", "?!", "\ud800"])
def test_text_of_nothing_is_no_error(run, text: str) -> None:
    report = json.loads(run("text", text, "--json").out)
    assert (report["words"], report["phonemes"], report["unknown"]) == ("", [], [])
    assert report["unread"] == ([text] if text else [])
    assert run("text", text).code == 0


def test_text_takes_files_pipes_and_a_lexicon(run) -> None:
    Path("mine.txt").write_text("hello B AY1\n", encoding="utf-8")
    Path("in.txt").write_text("Hello.", encoding="utf-8")
    by_file = json.loads(run("text", "--file", "in.txt", "--lexicon", "mine.txt", "--json").out)
    assert by_file["phonemes"] == ["B", "AY1", "."]
    assert json.loads(run("text", "-", "--json", stdin=b"Hello.").out)["words"] == "hello."


def test_text_warns_of_what_it_guessed(run) -> None:
    shown = run("text", "The blarquistle. Привет!").out.decode()
    assert "in no dictionary, read from their spelling: blarquistle\n" in shown
    assert "left out: Привет!\n" in shown


def test_voices(run) -> None:
    rows = json.loads(run("voices", "--json").out)
    assert "heart" in [row["name"] for row in rows]
    for row in rows:
        assert list(row) == ["name", "folder", "family", "language", "rate", "speakers", "bytes"]
        assert row["bytes"] == sum(
            f.stat().st_size for f in Path(row["folder"]).iterdir() if f.suffix in (".onnx", ".safetensors")
        )
    assert run("voices").out.decode().splitlines()[0].startswith(rows[0]["name"])


def test_own_voices_go_by_their_name(run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAVOZ_VOICES", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    copied = voices.copied(tiny, tmp_path / "mine" / "anna")
    shown = run("voices")
    assert "\nanna " in shown.out.decode() and f"your own voices folder: {tmp_path / 'mine'}\n" in shown.err
    assert run("say", "Hello.", "--voice", "anna", "-o", "a.wav").code == 0
    assert json.loads(run("voices", "--json").out)[-1]["folder"] == str(copied)


def test_show_a_voice(run, tiny: Path) -> None:
    about = json.loads(run("show", str(tiny), "--json").out)
    tensors, _ = file.read(tiny / "model.safetensors")
    constants = [f"{half}.{name}" for half in ("acoustic.decoder", "vocoder") for name in ("mean", "scale")]
    assert about["name"] == "tiny"
    assert about["parameters"] == sum(row["parameters"] for row in about["layers"])
    assert about["parameters"] == sum(a.size for name, a in tensors.items() if name not in constants)
    assert about["multiply_adds"] == sum(row["multiply_adds"] for row in about["layers"])
    rows = {row["path"]: row for row in about["layers"]}
    frames, mels, hidden = about["counted_for"]["frames"], MINIMAL.mel.mels, MINIMAL.hidden
    assert rows["acoustic.decoder.out"] == {
        "path": "acoustic.decoder.out",
        "kind": "linear",
        "parameters": hidden * mels + mels,
        "multiply_adds": frames * hidden * mels,
    }
    assert [stage["name"] for stage in about["stages"]] == ["encode", "decode", "vocode"]
    assert about["stages"][0]["inputs"] == ["ids [batch, symbols]", "speaker [batch]"]
    assert about["card"]["licence"] == "none"


def test_show_is_readable(run, tiny: Path) -> None:
    shown = run("show", str(tiny)).out.decode()
    assert "speakers    first, second\n" in shown
    assert "acoustic.decoder.out" in shown
    assert all(len(line) <= 140 for line in shown.splitlines() if not line.startswith(("stage", "folder")))


def test_show_a_family(run) -> None:
    about = json.loads(run("show", "compact", "--json").out)
    sizes = {name: found["parameters"] for name, found in about["configurations"].items()}
    assert list(sizes) == ["minimal", "small", "production", "natural"]
    assert sizes["minimal"] < sizes["small"] < sizes["production"]
    assert CompactConfig.from_dict(about["configurations"]["minimal"]["config"]) == MINIMAL
    assert [stage["name"] for stage in about["stages"]] == ["encode", "decode", "vocode"]
    shown = run("show", "compact").out.decode()
    assert shown.startswith("family      compact\n")
    assert "\nnatural, block by block " in shown and "\nacoustic.encoder" in shown
    assert "\n    [1, 64, " in shown


def test_show_speecht5(run) -> None:
    about = json.loads(run("show", "speecht5", "--json").out)
    sizes = about["configurations"]
    assert sizes["base"]["parameters"] == 144_431_684 + 12_656_257
    assert sizes["tiny"]["multiply_adds"] < sizes["base"]["multiply_adds"] / 1000
    assert sizes["base"]["counted_for"] == {"symbols": 60, "steps": 50}
    assert [stage["name"] for stage in about["stages"]] == ["encode", "step", "postnet", "vocode"]
    assert about["tree"]["configuration"] == "base"
    rows = {row["path"]: row for row in about["tree"]["rows"]}
    assert rows[""]["parameters"] == 144_431_684 and rows["vocoder"]["parameters"] == 12_656_257
    path = "speecht5.decoder.wrapped_decoder.layers.*.encoder_attn.q_proj"
    assert rows[path] == {
        "path": path,
        "twins": 6,
        "takes": [[1, 1, 768]],
        "makes": [[1, 1, 768]],
        "parameters": 6 * (768 * 768 + 768),
        "multiply_adds": 50 * 6 * 768 * 768,
    }
    assert rows["vocoder"]["takes"] == [[1, 100, 80]] and rows["vocoder"]["makes"] == [[1, 25600]]


def test_show_a_checkpoint(run, tmp_path: Path) -> None:
    reference = checkpoints.written(tmp_path / "folder")
    about = json.loads(run("show", str(tmp_path / "folder"), "--json").out)
    numbers = sum(p.numel() for part in (reference.model, reference.vocoder) for p in part.parameters())
    assert about["parameters"] == numbers
    rows = {row["path"] for row in about["layers"]}
    assert {"speecht5.encoder.wrapped_encoder.layers.0.feed_forward.output_dense", "vocoder.conv_pre"} <= rows
    assert about["config"]["hidden_size"] == reference.config.hidden_size


def test_show_a_name_on_the_hub(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the local cache; the vocoder is a checkpoint of its own there, as for `say`."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    checkpoints.written(tmp_path / "folder")
    for name, source in (("speecht5_hifigan", tmp_path / "folder" / "vocoder"), ("speecht5_tts", tmp_path / "folder")):
        base, commit = tmp_path / "hub" / f"models--someone--{name}", "1" * 40
        (base / "refs").mkdir(parents=True)
        (base / "refs" / "main").write_text(commit, encoding="utf-8")
        (base / "snapshots").mkdir()
        source.rename(base / "snapshots" / commit)
    about = json.loads(run("show", "someone/speecht5_tts", "--json").out)
    assert about["family"] == "speecht5" and "vocoder.conv_pre" in {row["path"] for row in about["layers"]}


def test_doctor_finds_a_healthy_voice_healthy(run, tiny: Path) -> None:
    done = run("doctor", "--voice", str(tiny), "--json")
    report = json.loads(done.out)
    assert done.code == 0
    assert report["healthy"] is True
    assert [s["name"] for s in report["stages"]] == ["voice", "text", "phonemes", "durations", "mel", "wave"]
    assert all(s["ok"] and s["seconds"] >= 0 and s["megabytes"] > 10 for s in report["stages"])
    assert report["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(report["extras"]) == set(system_info.EXTRAS)
    assert report["extras"]["torch"]["installed"] is True
    shown = run("doctor", "--voice", str(tiny), "--runtime", "eager", "--backend", "numpy").out.decode()
    assert shown.count("✓ ") >= 6
    assert "✗" not in shown


@pytest.mark.parametrize(("name", "step"), [("decode.onnx", "voice"), ("voice.json", "voice")])
def test_doctor_names_what_is_ill(run, tiny: Path, tmp_path: Path, name: str, step: str) -> None:
    voice = voices.copied(tiny, tmp_path / "ill")
    (voice / name).write_bytes((voice / name).read_bytes()[:-50])
    done = run("doctor", "--voice", str(voice), "--json")
    last = json.loads(done.out)["stages"][-1]
    assert done.code == 1
    assert (last["name"], last["ok"]) == (step, False)
    assert name in last["says"]
    assert "✗ voice" in run("doctor", "--voice", str(voice)).out.decode()


def test_doctor_notices_silence(run, tiny: Path, tmp_path: Path) -> None:
    """The files are as they were made, and yet nothing is heard."""
    voice = voices.copied(tiny, tmp_path / "mute")
    tensors, metadata = file.read(voice / "model.safetensors")
    bins = len(tensors["vocoder.head.bias"]) // 2
    tensors["vocoder.head.bias"] = np.repeat(np.float16([-30, 0]), bins)  # the logarithm of a magnitude, then a phase
    file.write(voice / "model.safetensors", tensors, metadata)
    files = json.loads((voice / "voice.json").read_text(encoding="utf-8"))["files"]
    files["model.safetensors"]["sha256"] = hashlib.sha256((voice / "model.safetensors").read_bytes()).hexdigest()
    voices.edited(voice, files=files)
    done = run("doctor", "--voice", str(voice), "--backend", "numpy", "--json")
    assert done.code == 1
    assert json.loads(done.out)["stages"][-1]["says"].startswith("wave: silence")


CPUINFO = {
    "flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 amx_tile amx_int8": {"avx2", "avx512", "bf16", "amx"},
    "flags\t\t: fpu sse2": set(),
    "Features\t: fp asimd i8mm bf16 sve": {"neon", "i8mm", "bf16"},
}


@pytest.mark.parametrize("line", CPUINFO)
def test_processor_features_are_read(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    text = f"processor\t: 0\nmodel name\t: Some CPU\n{line}\n"
    monkeypatch.setattr(system_info, "cpuinfo", lambda: text)
    found = system_info.features()
    assert found is not None
    assert {name for name, there in found.items() if there} == CPUINFO[line]
    assert system_info.system()["processor"] == "Some CPU"


def test_processor_features_of_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "hw.optional.neon: 1\nhw.optional.arm.FEAT_BF16: 1\nhw.optional.arm.FEAT_I8MM: 0\nhw.optional.avx2_0: 0\n"
    monkeypatch.setattr(system_info, "cpuinfo", lambda: "")
    monkeypatch.setattr(system_info, "said", lambda *command: said)
    found = system_info.features()
    assert found is not None
    assert {name for name, there in found.items() if there} == {"neon", "bf16"}


def test_what_cannot_be_asked_is_not_guessed(run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_info, "cpuinfo", lambda: "")
    monkeypatch.setattr(system_info, "said", lambda *command: None)
    assert system_info.features() is None
    assert "features   cannot be asked here\n" in run("doctor", "--voice", str(tiny)).out.decode()


def test_extras_are_those_of_the_project(root: Path) -> None:
    text = (root / "pyproject.toml").read_text(encoding="utf-8").split("[project.optional-dependencies]")[1]
    names = set(re.findall(r"^(\w+) = \[", text.split("\n[")[0], re.MULTILINE))
    assert {*system_info.EXTRAS, "dev"} == names
    page = (root / "docs" / "guide" / "install.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one benchmark."""
    folder = tmp_path / "checkout"
    (folder / "bench").mkdir(parents=True)
    (folder / "bench" / "one.py").write_text('"""How fast is one?"""\nimport sys\nsys.exit(len(sys.argv))\n')
    (folder / "bench" / "_common.py").write_text('"""Not one."""\n')
    monkeypatch.setattr(checkout, "folder", lambda name: folder / name)
    return folder


def test_bench_lists_and_runs(run, refused, scripts: Path) -> None:
    assert run("bench").out.decode() == "one          How fast is one?\n"
    assert run("bench", "one", "--json", "out.json").code == 3
    assert "there is no benchmark 'two'; choose one of one" in refused("bench", "two")


def test_scripts_need_a_checkout(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "__file__", "/nowhere/a/b/c/checkout.py")
    assert "run this in a source checkout" in refused("bench")
