"""`portavoz say --backend ttnn`: the golden executor speaks, and says that it is no card."""

from __future__ import annotations

from pathlib import Path

import checkpoints
import numpy as np
import pytest
import soundfile

from portavoz.cli.main import main

GOLDEN = "portavoz: ttnn, schedule {}: no card, the golden executor computes each operation in PyTorch"


def said(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """The exit code of `say`, and what stood on standard error."""
    code = main(["say", *options])
    return code, capsys.readouterr().err


def test_the_bundled_voice_speaks_through_golden_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds = []
    for backend in ("ttnn", "torch"):
        out = str(tmp_path / f"{backend}.wav")
        code, err = said(capsys, "Hi.", "--backend", backend, "-o", out)
        assert code == 0 and ("golden executor" in err) == (backend == "ttnn")
        assert backend == "torch" or err.startswith(GOLDEN.format("bfloat16"))
        sounds.append(soundfile.read(out, dtype="float32")[0])
    ours, theirs = sounds
    assert len(ours) == len(theirs) and 0 < np.linalg.norm(ours - theirs) < np.linalg.norm(theirs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SpeechT5 that the reference wrote, and an x-vector in it."""
    made = tmp_path_factory.mktemp("speecht5") / "tts"
    checkpoints.written(made, prob_bias=-2.2, max_speech_positions=900)
    np.save(made / "x.npy", checkpoints.voice())
    return made


def test_a_checkpoint_speaks_on_one_device_and_on_a_mesh(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds = []
    for n, more in enumerate(([], ["--mesh", "1x2"])):
        out = str(tmp_path / f"{n}.wav")
        given = ["Yes.", "--voice", str(folder), "--speaker", str(folder / "x.npy"), "--backend", "ttnn", "-o", out]
        code, err = said(capsys, *given, *more)
        assert code == 0, err
        assert err.startswith(GOLDEN.format("bfloat16"))
        assert ("on a mesh of 1 × 2 devices" in err) == (n == 1)
        sounds.append(soundfile.read(out, dtype="float32")[0])
    one, two = sounds
    assert len(one) == len(two) and 0 < np.linalg.norm(one - two) < 0.1 * np.linalg.norm(one)


BAD = [
    (["--backend", "ttnn", "--mesh", "1x3"], "a mesh of 1 × 3 devices does not divide"),
    (["--backend", "ttnn", "--mesh", "two"], "mesh 'two': give rows and columns from 1 up, such as 1x2"),
    (["--backend", "torch", "--mesh", "1x2"], "the back end 'torch' has no option 'mesh'"),
    (["--mesh", "1x2"], "mesh needs a back end that has one: give backend 'ttnn' too, or leave it out"),
    (["--backend", "ttnn", "--schedule", "quick"], "there is no ttnn schedule 'quick': choose bfloat16, fast, float32"),
    (["--backend", "ttnn", "--device", "card"], "golden"),
    (
        ["--backend", "ttnn", "--schedule", "short.toml"],
        " along T, the largest bucket has room for 32 (short.toml, buckets, T = [32]): add a longer one there",
    ),
]


@pytest.mark.parametrize(("options", "what"), BAD)
def test_what_cannot_be_is_one_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    options: list[str], what: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("short.toml").write_text("[buckets]\nT = [32]\n")
    text = "The birch canoe slid on the smooth pl."
    code, err = said(capsys, text, "--voice", str(folder), "--speaker", str(folder / "x.npy"), *options)
    assert "buckets" not in what or "stage encode has " in err
    last = err.splitlines()[-1]
    assert code == 2 and what in last and "Traceback" not in err, err
    assert not Path("say.wav").exists()
