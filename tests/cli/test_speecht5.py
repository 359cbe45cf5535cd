"""The command of a user with the real checkpoint, on a folder that the reference wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import soundfile

import portavoz
from portavoz.audio.limit import soft_limit
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.families.speecht5.validation import StoppingCriteria
from portavoz.weights import file

TEXT = "Dr. Smith paid $3.50."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    """A folder that the reference wrote, and an x-vector beside it."""
    folder = tmp_path_factory.mktemp("speecht5") / "tts"
    reference = checkpoints.written(folder, prob_bias=-2.2, max_speech_positions=900)
    np.save(folder.parent / "x.npy", checkpoints.voice())
    return folder, reference


def spoken(made: tuple[Path, Reference], here: Path, *options: str) -> np.ndarray:
    """What the command writes, run as a process of its own."""
    folder, speaker = made[0], made[0].parent / "x.npy"
    command = [sys.executable, "-W", "error", "-m", "portavoz", "say", TEXT, "--voice", str(folder)]
    env = {**os.environ, "PORTAVOZ_CACHE": str(here / "cache")}
    done = subprocess.run(
        [*command, "--speaker", str(speaker), "-o", "a.wav", *options],
        cwd=here,
        env=env,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.splitlines()[-1].startswith("portavoz: a.wav: ")  # before it, that so short a speech is none
    samples, rate = soundfile.read(here / "a.wav", dtype="float32")
    assert rate == 16000 and np.abs(samples).max() > 0.05
    return samples


@pytest.mark.parametrize(
    "options",
    [
        (),
        pytest.param(("--runtime", "onnx"), marks=pytest.mark.slow),
        pytest.param(("--runtime", "openvino"), marks=pytest.mark.slow),
    ],
    ids="".join,
)
def test_say_makes_the_wave_of_the_references_generate_speech(
    made: tuple[Path, Reference], tmp_path: Path, options: tuple[str, ...]
) -> None:
    folder, reference = made
    samples = spoken(made, tmp_path, *options)
    assert (tmp_path / "cache").exists() == bool(options)  # what is compiled is kept, else nothing is

    # The reference, with its own tokenizer on the words that are spoken, and the masks of seed 0.
    from transformers import SpeechT5Tokenizer

    ids = SpeechT5Tokenizer.from_pretrained(folder)("Doctor Smith paid three dollars and fifty cents.").input_ids
    masks = portavoz.load(folder).model.model.masks(0, 900)
    said = reference.generate(np.array(ids), checkpoints.voice(), masks=masks, stop=StoppingCriteria())
    assert 3 < len(said.stops) < 10 * len(ids)  # its stop flag ended it
    assert len(samples) == len(said.wave)
    assert np.abs(samples - soft_limit(said.wave)).max() < 1.01 / 2**15  # a file has 16 bits


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_eight_bits(made: tuple[Path, Reference], tmp_path: Path, runtime: str) -> None:
    """Random weights say nothing about quality: it runs, it ends, and the second time it finds what was compiled."""
    options = ("--runtime", runtime, "--precision", "int8")
    first = spoken(made, tmp_path, *options)
    entries = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(first) <= 900 * 2 * 16
    assert np.array_equal(spoken(made, tmp_path, *options), first)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == entries


def test_the_vocoder_may_be_elsewhere(run, made: tuple[Path, Reference], tmp_path: Path) -> None:
    import shutil

    folder, _ = made
    shutil.copytree(folder, tmp_path / "bare", ignore=shutil.ignore_patterns("vocoder"))
    speaker, vocoder = str(folder.parent / "x.npy"), str(folder / "vocoder")
    done = run("say", "Hi.", "--voice", "bare", "--speaker", speaker, "--vocoder", vocoder, "--json")
    report = json.loads(done.out)
    assert (report["voice"], report["runtime"], report["rate"]) == ("bare", "eager", 16000)


def test_warnings_are_printed(run, made: tuple[Path, Reference]) -> None:
    folder = made[0]
    done = run("say", "Hi 日本.", "--voice", str(folder), "--speaker", f"{folder.parent / 'x.npy'}:1")
    assert done.code == 0
    assert "warning: '日本.' could not be read and was left out" in done.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "no speaker: this model needs a speaker embedding of 12 numbers"),
        (["--speaker", "none.npy"], "--speaker none.npy: there is no such file"),
        (["--speaker", "short.npy"], "short.npy: (3,), this model wants an embedding of 12 numbers"),
        (["--speaker", "pickle.npy"], "Python objects, which run code when they are read"),
        (["--speaker", "x.npy", "--speed", "2"], "speed is 2: SpeechT5 does not support `speed`"),
        (["--speaker", "x.npy", "--timestamps", "srt"], "the speecht5 family has no word times"),
        (["--speaker", "x.npy", "--runtime", "abacus"], "runtime 'abacus'"),
        (["--speaker", "x.npy", "--precision", "int2"], "precision 'int2'"),
        (["--speaker", "x.npy", "--vocoder", "nowhere"], "'nowhere': there is no such folder"),
        (["--speaker", "x.npy", "--threads", "0"], "threads is 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals(refused, made: tuple[Path, Reference], options: list[str], said: str) -> None:
    np.save("short.npy", np.ones(3))
    np.save("x.npy", checkpoints.voice())
    np.save("pickle.npy", np.array([{}]), allow_pickle=True)
    before = sorted(os.listdir())
    assert said in refused("say", "Hello.", "--voice", str(made[0]), *options)
    assert sorted(os.listdir()) == before


def test_the_doctor_looks_at_a_checkpoint(run, made: tuple[Path, Reference], tmp_path: Path) -> None:
    done = run("doctor", "--voice", str(made[0]), "--json")
    report = json.loads(done.out)
    assert done.code == 0 and report["healthy"]
    assert [step["name"] for step in report["stages"]] == ["voice", "text", "ids", "memory", "mel", "wave"]
    ill = shutil.copytree(made[0], tmp_path / "ill")
    tensors, about = file.read(ill / "vocoder" / "model.safetensors")
    file.write(
        ill / "vocoder" / "model.safetensors", {k: v if k == "scale" else 0 * v for k, v in tensors.items()}, about
    )
    done = run("doctor", "--voice", str(ill), "--backend", "numpy", "--json")
    assert done.code == 1
    assert not json.loads(done.out)["stages"][-1]["ok"]


def test_a_checkpoint_is_evaluated_like_any_voice(run, made: tuple[Path, Reference]) -> None:
    Path("one.txt").write_text("Hi.", encoding="utf-8")
    done = run(
        "evaluate",
        str(made[0]),
        "--text",
        "one.txt",
        "--only",
        "real_time_factor",
        "--json",
        "--speaker",
        str(made[0].parent / "x.npy"),
    )
    (column,) = json.loads(done.out)["columns"]
    assert column["family"] == "speecht5" and set(column["figures"]) == {"real_time_factor"}


def test_a_vocoder_for_a_voice_that_has_its_own(refused, tiny: Path) -> None:
    said = refused("say", "Hi.", "--voice", str(tiny), "--vocoder", "x")
    assert "vocoder 'x': the compact family has its own; leave it out" in said
