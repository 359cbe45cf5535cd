"""A larger model that begins as a smaller one: the same sound at step 0, and a head start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from portavoz.errors import SpecError
from portavoz.families.compact.config import MINIMAL
from portavoz.train.config import TrainConfig
from portavoz.train.loop.trainer import Trainer

WIDE = {"hidden": 64, "heads": 4, "inner": 72, "duration_channels": 64, "encoder_layers": 2, "decoder_layers": 3}
LARGE = {**MINIMAL.to_dict(), **WIDE, "istft": {"channels": 60, "inner": 100, "layers": 2}}


def config(corpus, **more):
    values = {"corpus": str(corpus), "model": "minimal", "steps": 30, "batch": 4, "every": 30, "warmup": 2, "frames": 8}
    return TrainConfig.from_dict({**values, **more})


@pytest.fixture(scope="module", params=["acoustic", "vocoder"])
def small(request, corpus, tmp_path_factory):
    trainer = Trainer(config(corpus, part=request.param), tmp_path_factory.mktemp("small"))
    return request.param, trainer.run(), trainer


def test_what_is_grown_says_the_same_and_its_copies_part_ways(small, corpus, tmp_path):
    part, path, first = small
    grown = Trainer(config(corpus, part=part, model=LARGE, grow=str(path)), tmp_path)
    u = first.corpus.utterances[1]
    with first.averaged_weights.applied():
        before = first.task.sample(u).mel if part == "acoustic" else first.task.sample(u).wave
        held = first.task.validate()
    after = grown.task.sample(u).mel if part == "acoustic" else grown.task.sample(u).wave
    assert np.abs(after - before).max() <= 1e-5 * max(1.0, np.abs(before).max())
    assert grown.task.validate()["loss"] == pytest.approx(held["loss"], rel=1e-5)
    for _ in range(3):
        grown.train_step()
    copies = grown.tensors["acoustic.encoder.embedding.weight" if part == "acoustic" else "vocoder.embed.weight"]
    one, two = (copies[:, :32], copies[:, 32:]) if part == "acoustic" else (copies[:20], copies[20:40])
    assert not torch.allclose(one, two, atol=1e-6)


def test_it_needs_fewer_steps_than_from_scratch(small, corpus, tmp_path):
    part, path, _ = small
    settings = {"part": part, "model": LARGE, "steps": 20, "every": 20}
    grown = Trainer(config(corpus, grow=str(path), **settings), tmp_path / "grown")
    scratch = Trainer(config(corpus, **settings), tmp_path / "scratch")
    scratch.run()
    for _ in range(10):
        grown.train_step()
    assert grown.task.validate()["loss"] < scratch.task.validate()["loss"]


def test_a_grown_training_resumes_where_it_was(small, corpus, tmp_path):
    part, path, _ = small
    first = Trainer(config(corpus, part=part, model=LARGE, grow=str(path)), tmp_path)
    first.train_step()
    first.save()
    again = Trainer(config(corpus, part=part, model=LARGE, grow=str(path)), tmp_path)
    assert again.step == 1
    assert all(torch.equal(t, again.tensors[k]) for k, t in first.tensors.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": 48}, "hidden grows from 32 to 48: wanted a multiple, such as 64"),
        ({"heads": 2}, "set heads to 4"),
        ({"inner": 16}, "inner would shrink"),
        ({"kernel": 5}, "kernel differs"),
        ({"vocoder": "hifigan"}, "vocoder differs"),
    ],
)
def test_what_cannot_grow_is_refused(small, corpus, tmp_path, change, message):
    part, path, _ = small
    with pytest.raises(SpecError, match=message):
        Trainer(config(corpus, part=part, model={**LARGE, **change}, grow=str(path)), tmp_path)


def test_pitch_and_energy_are_added_unheard_and_learnt(corpus, tmp_path):
    first = Trainer(config(corpus), tmp_path / "plain")
    path = first.run()
    both = {**MINIMAL.to_dict(), "pitch": True, "energy": True}
    added = Trainer(config(corpus, model=both, grow=str(path)), tmp_path / "added")
    u = first.corpus.utterances[1]
    with first.averaged_weights.applied():
        before = first.task.mel(u)
    assert np.array_equal(added.task.mel(u), before)
    rows = []
    added.run(rows.append)
    assert rows[-1]["held_pitch"] < 1.0
    assert added.result()["acoustic.pitch.tell.weight"].any()
    with pytest.raises(SpecError, match="pitch would be dropped"):
        Trainer(config(corpus, grow=str(tmp_path / "added" / "acoustic.safetensors")), tmp_path / "dropped")
