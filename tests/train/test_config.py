"""Training settings: unknown keys name the nearest one, and changes reach nested settings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

from portavoz.errors import InputError, SpecError
from portavoz.families.compact.config import named
from portavoz.train.config import TrainConfig


def test_changes_of_the_command_line(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("corpus: x\nmodel: small\nlosses: {ssim: 0.5}\n")
    c = TrainConfig.read(path, ["steps=7", "model.hidden=64", "losses.mel_l2=1", "device=mps", "logs=[tensorboard]"])
    assert (c.steps, c.device, c.logs) == (7, "mps", ("tensorboard",))
    assert named(c.model).hidden == 64
    assert named(c.model).decoder_layers == named("small").decoder_layers
    assert c.weights() == {"mel": 1.0, "mel_l2": 1.0, "ssim": 0.5, "duration": 1.0, "pitch": 0.1, "energy": 0.1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("step=7", "did you mean steps"),
        ("losses.durations=1", "no losses.durations: did you mean losses.duration"),
        ("losses.stft=1", "no losses.stft"),
        ("steps=many", "steps is 'many': wanted a whole number from 1 up"),
        ("steps=true", "steps is True: wanted a whole number"),
        ("steps=0", "from 1 up"),
        ("part=encoder", "part is 'encoder': wanted one of 'acoustic', 'vocoder'"),
        ("precision=int8", "wanted one of 'float32', 'bfloat16'"),
        ("logs=[wandbs]", "wanted a list of 'tensorboard' or 'wandb'"),
        ("start=heart grow=heart", "both set"),
        ("rate=-1", "rate is -1: wanted a number above 0"),
        ("rate=.nan", "rate is nan: wanted a number above 0"),
        ("rate=.inf", "rate is inf"),
        ("rate=fast", "rate is 'fast': wanted a number above 0"),
        ("clip=0", "clip is 0: wanted a number above 0"),
        ("threads=-3", "threads is -3: wanted a whole number from 0"),
        ("seed=-1", "seed is -1: wanted a whole number from 0 to"),
        ("seed=99999999999999999999", "seed is 9+: wanted"),
        ("average=2", "average is 2: wanted a number from 0 up and below 1"),
        ("average=1", "average is 1: wanted"),
        ("cooldown=5", "cooldown is 5: wanted a number from 0 to 1"),
        ("discriminators_from=7", "discriminators_from is 7: wanted a number from 0 to 1"),
        ("warmup=-4", "warmup is -4: wanted a whole number from 0 up"),
        ("patience=-1", "patience is -1: wanted"),
        ("losses.mel=-1", "losses.mel is -1: wanted a number from 0 up"),
        ("losses.mel=loud", "losses.mel is 'loud': wanted a number from 0 up"),
        ("losses=3", "losses is 3: wanted a mapping"),
        ("model=3", "model is 3: wanted a text or a mapping"),
        ("logs=[3]", "logs is \\[3\\]: wanted a list of"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, change, message):
    path = tmp_path / "c.yaml"
    path.write_text("corpus: x\n")
    with pytest.raises(SpecError, match=message):
        TrainConfig.read(path, change.split())


@pytest.mark.parametrize("change", ["steps", "=7", "steps=[1"])
def test_changes_that_cannot_be_read(tmp_path, change):
    path = tmp_path / "c.yaml"
    path.write_text("corpus: x\n")
    with pytest.raises(InputError):
        TrainConfig.read(path, [change])


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", SpecError, "'corpus' is missing; name a folder of recordings, a text that a teacher speaks, or toy"),
        ("- corpus: x\n- steps: 3\n", InputError, r"c.yaml: holds \[\{'corpus': 'x'.*, wanted settings"),
        ("corpus: x\nsteps: [1\nbatch: 2\n", InputError, r"c.yaml line 3: not YAML \(expected ',' or ']'"),
        ("corpus: x\na: b: c\n", InputError, r"c.yaml line 2: not YAML \(mapping values are not allowed here"),
        ("corpus: x\n3: 4\n", SpecError, "c.yaml has no 3: known are corpus"),
    ],
)
def test_files_that_hold_no_configuration(tmp_path, text, error, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(error, match=message):
        TrainConfig.read(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"corpus: x\xff\n")
    with pytest.raises(InputError, match=r"not UTF-8 \(byte 9\)"):
        TrainConfig.read(path)


def test_numbers_are_read_as_people_write_them(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("corpus: x\nrate: 2e-3\nlosses: {ssim: 5e-1}\n")
    c = TrainConfig.read(path, ["weight_decay=1e-3"])
    assert (c.rate, c.weight_decay, c.losses) == (0.002, 0.001, {"ssim": 0.5})
    assert TrainConfig.read(path, ["rate=1"]).rate == 1


def test_every_recipe_can_be_read(root: Path):
    for path in [*root.glob("recipes/*.yaml"), *root.glob("recipes/voice/*.yaml")]:
        values = yaml.safe_load(path.read_text())
        config = TrainConfig.read(path)
        assert config.steps == values["steps"]
        if config.model != "start":
            named(config.model)


def test_the_guide_lists_every_setting(root: Path):
    """`python scripts/settings_page.py` writes the table."""
    page = (root / "docs" / "guide" / "training.md").read_text(encoding="utf-8")
    spec = importlib.util.spec_from_file_location("settings_page", root / "scripts" / "settings_page.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.table() in page
    assert all(row.split("|")[4].strip() for row in script.table().splitlines()), "a setting without a meaning"
