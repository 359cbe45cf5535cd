"""A training's folder: created, locked by one training at a time, on a full disk."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from portavoz.errors import InputError, JobError
from portavoz.flow import MelSpec
from portavoz.train import run_directory
from portavoz.train.config import TrainConfig
from portavoz.train.data import toy
from portavoz.train.data.features import Cut, Features
from portavoz.train.voice.train_voice import train

HOLD = """
import sys
from pathlib import Path
from portavoz.train import run_directory
with run_directory.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.make(tmp_path_factory.mktemp("toy"), count=9)


def config(corpus: Path) -> TrainConfig:
    values = {"corpus": str(corpus), "model": "minimal", "steps": 1, "batch": 2, "every": 1}
    return TrainConfig.from_dict(values)


def test_a_second_training_in_one_folder_is_refused(corpus: Path, tmp_path: Path) -> None:
    with (
        run_directory.held(tmp_path),
        pytest.raises(JobError, match="another training is writing here; wait until it ends"),
    ):
        train(config(corpus), tmp_path)
    assert train(config(corpus), tmp_path) == tmp_path / "acoustic.safetensors"


def test_processes_of_one_training_do_not_refuse_each_other(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with run_directory.held(tmp_path):
        train(config(corpus), tmp_path)


def test_what_a_dead_process_held_is_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(JobError), run_directory.held(tmp_path):
            pass
        holder.kill()
    with run_directory.held(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_refused(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "some.yaml").write_text("corpus: x\n")
    with pytest.raises(InputError, match=r"some.yaml: this is a file, wanted a folder"):
        train(config(corpus), tmp_path / "some.yaml")
    with pytest.raises(InputError, match=r"below: cannot be made \(Not a directory\)"):
        train(config(corpus), tmp_path / "some.yaml" / "below")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1536, "1.5 KiB"),
        (300_000, "293 KiB"),
        (5e9, "4.7 GiB"),
        (2e16, "18190 TiB"),
    ],
)
def test_amounts(size: float, words: str) -> None:
    assert run_directory.amount(size) == words


def test_a_disk_that_fills_up_while_features_are_made(tmp_path: Path) -> None:
    folder = toy.make(tmp_path / "corpus", count=6)
    cuts = [Cut(path) for path in sorted((folder / "wavs").glob("*.wav"))]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(JobError) as refused:
            Features(folder, cuts, MelSpec())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = str(refused.value)
    assert said.startswith(f"{folder / 'features'}: cannot be written (File too large), mels and waves of 6 recordings")
    assert not list((folder / "features").glob("*.part"))
    made = Features(folder, cuts, MelSpec())
    size, unit = said.partition("take about ")[2].split(";")[0].split()
    promised = float(size) * {"KiB": 1 << 10, "MiB": 1 << 20}[unit]
    assert promised == pytest.approx(made.mels.nbytes + made.waves.nbytes, rel=0.5)
