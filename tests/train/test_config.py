"""What a training is told: unknown keys are named with the nearest, changes reach where they point."""

from __future__ import annotations

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
    assert (c.steps, c.device, c.logs) == (7, "mps", ["tensorboard"])
    assert named(c.model).hidden == 64
    assert named(c.model).decoder_layers == named("small").decoder_layers
    assert c.weights() == {"mel": 1.0, "mel_l2": 1.0, "ssim": 0.5, "duration": 1.0, "pitch": 0.1, "energy": 0.1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("step=7", "did you mean steps"),
        ("losses.durations=1", "no 'durations'; did you mean duration"),
        ("losses.stft=1", "there is no 'stft'"),
        ("steps=many", "steps is 'many', wanted int"),
        ("steps=true", "steps is True, wanted int"),
        ("steps=0", "from 1 up"),
        ("part=encoder", "can be trained"),
        ("precision=int8", "choose one of float32, bfloat16"),
        ("logs=[wandbs]", "did you mean wandb"),
        ("start=slt grow=slt", "both set"),
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


def test_every_recipe_can_be_read(root: Path):
    for path in [*root.glob("recipes/*.yaml"), *root.glob("recipes/voice/*.yaml")]:
        values = yaml.safe_load(path.read_text())
        config = TrainConfig.read(path)
        assert config.steps == values["steps"]
        if config.model != "start":
            named(config.model)
