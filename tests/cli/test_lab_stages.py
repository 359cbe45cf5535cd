"""`portavoz lab swap`, `precision` and `signals`: what they print in both forms, their exit codes, what they refuse."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file

from portavoz.weights import file

TEXT = ("--text", "One lab.")


# swap


def damaged(tiny: Path, to: Path, name: str, by: float) -> Path:
    tensors, metadata = file.read(tiny / "model.safetensors")
    tensors[name] = tensors[name] + np.float32(by)
    file.write(to, tensors, metadata)
    return to


def test_a_clean_port_and_a_damaged_file(run: Any, tiny: Path, tmp_path: Path) -> None:
    voice = str(tiny)
    clean = run("lab", "swap", f"{voice}@numpy", f"{voice}@torch", *TEXT)
    lines = clean.out.decode().splitlines()
    assert clean.code == 0 and lines[0].startswith(f"No stage of {voice}@torch differs by more than 0.0001 from")
    assert [line.split()[0] for line in lines[4:]] == ["ids", "memory", "durations", "mel", "wave"]
    wrong = damaged(tiny, tmp_path / "wrong.safetensors", "acoustic.decoder.out.bias", 0.5)
    found = run("lab", "swap", voice, str(wrong), *TEXT, "--json", "--wave", "heard")
    report = json.loads(found.out)
    assert found.code == 1 and "17 sounds in heard" in found.err
    assert report["faults"] == [{"stage": "decode", "before": "mel", "behind": "durations"}]
    assert report["sentence"].startswith(f"The fault is in the stage decode of {wrong}, after durations and before mel")
    assert {Path(path).name for path in report["waves"]} == {path.name for path in (tmp_path / "heard").iterdir()}
    assert soundfile.info(tmp_path / "heard" / "mel-port-first.wav").samplerate == 22050
    one = run("lab", "swap", voice, str(wrong), *TEXT, "--at", "mel")
    assert one.code == 1 and one.out.decode().startswith(
        f"The fault is in {wrong}, before mel: with the reference up to"
    )


PROGRAM = """
import torch
from portavoz.lab import tap

def run(gain=1.0):
    mel = tap("mel", torch.linspace(-1, 1, 4096) * gain)
    return tap("wave", torch.sin(40 * mel))

def louder():
    return run(1.5)

def mute():
    return None
"""


@pytest.mark.usefixtures("with_torch")
def test_programs_with_borders(run: Any, refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger_with_borders.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "stranger_with_borders"
    found = run("lab", "swap", f"{name}:run", f"{name}:louder", "--rate", "16000", "--wave", "w", "--json")
    assert found.code == 1 and json.loads(found.out)["faults"][0]["before"] == "mel"
    assert run("lab", "trace", f"{name}:louder", "-o", "port.trace").code == 0
    only = run("lab", "swap", f"{name}:run", "port.trace", "--rate", "16000")
    assert only.code == 1 and only.out.decode().startswith(
        "The fault is in port.trace, before mel: computed by the reference from the port's mel"
    )
    assert "w: the folder is not empty" in refused("lab", "swap", f"{name}:run", f"{name}:run", "--wave", "w")
    assert "is a trace too" in refused("lab", "swap", "port.trace", "port.trace")
    assert "does not say its rate" in refused("lab", "swap", f"{name}:run", f"{name}:run", "--wave", "other")
    assert "names no border" in refused("lab", "swap", f"{name}:run", f"{name}:mute")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compact",), "the following arguments are required: PORT"),
        (("compact", "nobody"), "there is no such folder"),
        (("compact@abacus", "compact"), "compact@abacus: there is no runtime 'abacus'; choose one of"),
        (("compact", "compact", "--at", "noise"), "there is no border 'noise'"),
        (("compact", "compact", "--limit", "0"), "give a number above 0"),
        (("compact", "nothing:here"), "cannot be imported"),
        (("compact", "compact", "--text", "…"), "there is nothing to say"),
        (("compact", "here.safetensors"), "neither its metadata nor a voice.json beside it"),
    ],
)
def test_what_swap_refuses(refused: Any, words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    save_file({"a": np.zeros(3, np.float32)}, str(tmp_path / "here.safetensors"))
    assert said in refused("lab", "swap", *words)


@pytest.mark.slow
def test_a_speech_checkpoint_in_four_runtimes(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import checkpoints

    monkeypatch.setenv("PORTAVOZ_CACHE", str(tmp_path / "cache"))
    checkpoints.written(tmp_path / "voice", prob_bias=-2.0)
    for port in ("torch", "onnx", "openvino", "eager"):
        found = run("lab", "swap", "voice@transformers", f"voice@{port}", "--text", "One.", "--json")
        report = json.loads(found.out)
        assert found.code == 0, (port, report["sentence"])
    found = run("lab", "swap", "voice@torch", "voice@onnx:int8", "--text", "One.", "--json")
    assert {fault["stage"] for fault in json.loads(found.out)["faults"]} <= {"encode", "decode"}
    tensors, metadata = file.read(tmp_path / "voice" / "vocoder" / "model.safetensors")
    tensors["conv_post.bias"] = tensors["conv_post.bias"] + np.float32(0.5)
    file.write(tmp_path / "vocoder.safetensors", tensors, metadata)
    found = run("lab", "swap", "voice@torch", "vocoder.safetensors", "--text", "One.", "--json")
    assert json.loads(found.out)["faults"] == [{"stage": "vocode", "before": "wave", "behind": "mel"}]


# precision


def test_stages_and_layers(run: Any) -> None:
    stages = run("lab", "precision", "compact", *TEXT, "--as", "bf16", "--backend", "numpy")
    lines = stages.out.decode().splitlines()
    assert stages.code == 0 and "is the most sensitive: in bfloat16 it moves the sound by" in lines[0]
    assert sorted(line.split()[0] for line in lines[3:]) == ["decode", "encode", "vocode"]
    words = ("--layers", "--only", "vocoder.*", "--as", "int8", "--as", "fp16", "--backend", "numpy")
    report = json.loads(run("lab", "precision", "compact", *TEXT, *words, "--json").out)
    assert report["kinds"] == ["int8", "float16"]
    assert {row["kind"] for row in report["rows"]} == {"int8", "float16"}
    assert all(row["unit"].startswith("vocoder.") and row["wave_l2"] > 0 for row in report["rows"])
    few = run("lab", "precision", "compact", *TEXT, *words, "--most", "2").out.decode().splitlines()
    assert len(few) == 6 and few[-1].startswith("… and ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compact", "--only", "vocoder.*"), "--only chooses among layers"),
        (("compact", "--as", "int4"), "invalid choice: 'int4'"),
        (("compact", "--most", "-1"), "a whole number from 0 up"),
        (("compact", "--layers", "--only", "x", "--backend", "numpy"), "no layer of compact matches 'x'"),
        (("compact", "--backend", "abacus"), "there is no back end 'abacus'"),
        (("nobody",), "there is no such folder"),
    ],
)
def test_what_precision_refuses(refused: Any, words: tuple[str, ...], said: str) -> None:
    assert said in refused("lab", "precision", *words)


# signals


def hum(seconds: float, *, rate: int = 22050) -> np.ndarray:
    """Something with a pitch, formants and pauses."""
    t = np.arange(int(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * 120 * k * t + k * k) / k for k in range(1, 20))
    return (0.1 * np.asarray(tone) * (0.6 + 0.4 * np.sin(2 * np.pi * 3.1 * t))).astype(np.float32)


@pytest.fixture
def sounds(run: Any, tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "good.wav", hum(4.0), 22050)
    soundfile.write(tmp_path / "short.wav", hum(2.0), 22050)
    noise = np.random.default_rng(0).standard_normal(4 * 22050)
    soundfile.write(tmp_path / "noise.wav", np.clip(0.5 * noise, -1, 1).astype(np.float32), 22050)
    (tmp_path / "spec.json").write_text(json.dumps({"mels": 20}))
    np.save(tmp_path / "mel.npy", np.random.default_rng(0).uniform(-3.8, 4.2, (20, 345)).astype(np.float32))
    save_file({"mel#0:out": np.load(tmp_path / "mel.npy").T[None].copy()}, str(tmp_path / "mel.safetensors"))
    return tmp_path


def test_sounds(run: Any, sounds: Path) -> None:
    fine = run("lab", "signals", "good.wav", "--reference", "good.wav")
    assert fine.code == 0 and fine.out.decode().splitlines()[0] == "no symptom"
    found = run("lab", "signals", "noise.wav", "--prompt", "good.wav", "--json")
    report = json.loads(found.out)
    assert found.code == 1
    assert {s["name"] for s in report["symptoms"]} >= {"energy above half of Nyquist", "samples at full scale"}
    assert report["not_judged"] == ["seconds"]
    short = json.loads(run("lab", "signals", "short.wav", "--reference", "good.wav", "--json").out)
    assert short["rooms"] == ["tokens or durations"]
    alone = run("lab", "signals", "good.wav")
    assert alone.code == 0 and "not evaluated, for lack of a reference or a prompt: energy above" in alone.out.decode()


@pytest.mark.parametrize("name", ["mel.npy", "mel.safetensors"])
def test_mels_in_either_order_of_axes(run: Any, sounds: Path, name: str) -> None:
    found = run("lab", "signals", "--mel", name, "--spec", "spec.json", "--prompt", "good.wav", "--json")
    report = json.loads(found.out)
    assert found.code == 1 and report["rooms"] == ["decoder"]
    assert {"positive values", "spread over channels"} <= {s["name"] for s in report["symptoms"]}
    figures = {sign["name"]: sign["value"] for sign in report["mel"]}
    assert math.isclose(figures["positive values"], 0.525, abs_tol=0.01)


def test_a_voice_by_itself_and_as_the_reference(run: Any, tiny: Path, sounds: Path) -> None:
    alone = json.loads(run("lab", "signals", "--voice", str(tiny), *TEXT, "--json").out)
    heard = {f"{r['cause']} → {r['effect']}": r["dead"] for r in alone["responses"]}
    assert heard == dict.fromkeys(["text → memory", "memory → mel", "speaker → mel", "mel → wave"], False)
    text = "One lab says four words, and then it goes on to say a few more of them."
    beside = json.loads(run("lab", "signals", "good.wav", "--voice", str(tiny), "--text", text, "--json").out)
    assert "durations of" in next(sign["basis"] for sign in beside["wave"] if sign["name"] == "seconds")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give a sound, a --mel or a --voice"),
        (("good.wav", "--text", "Hello."), "--text needs a voice that speaks it"),
        (("good.wav", "--mel", "mel.npy"), "what its numbers mean is unknown"),
        (("good.wav", "--mel", "good.wav", "--spec", "spec.json"), "a mel's file ends with .npy or .safetensors"),
        (("good.wav", "--mel", "no.npy", "--spec", "spec.json"), "cannot be read: there is no such file"),
        (("good.wav", "--spec", "good.wav"), "not UTF-8"),
        (("no.wav",), "there is no such file"),
        (("--mel", "wide.npy", "--spec", "spec.json"), "wanted [frames, 20] of one utterance"),
        (("good.wav", "--reference", "good.wav", "--prompt", "good.wav"), "not allowed with"),
    ],
)
def test_what_signals_refuses(refused: Any, sounds: Path, words: tuple[str, ...], said: str) -> None:
    np.save(sounds / "wide.npy", np.zeros((3, 4), np.float32))
    assert said in refused("lab", "signals", *words)
