"""Checkpoints: whole after any fault of the writer, refused where the settings differ, resumed bit by bit."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from trainings import config

from portavoz.errors import JobError, WeightError
from portavoz.train.loop import checkpoint
from portavoz.train.loop.trainer import Trainer

ADVERSARIAL = {"adversarial": 1.0, "features": 2.0}


@pytest.mark.parametrize(
    "settings", [{}, {"losses": ADVERSARIAL, "discriminator_channels": 1, "discriminators_from": 0.4}]
)
def test_a_vocoder_with_discriminators_resumes_bit_by_bit(corpus, tmp_path, settings):
    settings = {"part": "vocoder", **settings}
    whole = Trainer(config(corpus, **settings), tmp_path / "whole")
    whole.run()
    first = Trainer(config(corpus, **settings), tmp_path / "cut")
    for _ in range(4):
        first.train_step()
    first.save()
    second = Trainer(config(corpus, **settings), tmp_path / "cut")
    second.run()
    assert second.step == 6
    assert all(torch.equal(t, second.tensors[k]) for k, t in whole.tensors.items())
    if settings.get("losses"):
        assert whole.adversary.steps == second.adversary.steps == 4
        state = second.discriminators.state_dict()
        assert all(torch.equal(t, state[k]) for k, t in whole.discriminators.state_dict().items())


def test_flipped_bits_are_found(tmp_path):
    arrays = {"weights": {"a": np.arange(1000, dtype=np.float32)}}
    checkpoint.save(tmp_path, 1, arrays, {})
    path = checkpoint.save(tmp_path, 2, arrays, {}, state={"best": 1.5})
    assert checkpoint.load(path).state == {"best": 1.5}
    raw = bytearray(path.read_bytes())
    raw[-100] ^= 4
    path.write_bytes(raw)
    with pytest.raises(WeightError, match="damaged"):
        checkpoint.load(path)
    assert checkpoint.newest(tmp_path, {}).step == 1


def test_differences_have_dotted_keys_and_new_settings_a_default():
    old, new = {"model": {"hidden": 64, "heads": 2}, "steps": 5}, {"model": {"hidden": 96, "heads": 2}, "steps": 9}
    assert checkpoint.differences(old, new) == ["model.hidden: 64 → 96"]
    assert checkpoint.differences({"batch": 16, **old}, {**old, "batch": 16}) == []


def test_a_path_in_the_trainings_own_folder_may_move(tmp_path):
    settings = {"predicted_by": "runs/a/acoustic/acoustic.safetensors", "batch": 4}
    checkpoint.save(tmp_path, 1, {"weights": {"a": np.ones(1, np.float32)}}, settings)
    moved = {**settings, "predicted_by": "/else/b/acoustic/acoustic.safetensors"}
    assert checkpoint.newest(tmp_path, moved, derived=["predicted_by"]).step == 1
    with pytest.raises(JobError, match="predicted_by: 'runs/a"):
        checkpoint.newest(tmp_path, moved)
    with pytest.raises(JobError, match=r"predicted_by: 'acoustic/acoustic\.safetensors' → ''"):
        checkpoint.newest(tmp_path, {**settings, "predicted_by": ""}, derived=["predicted_by"])


def test_what_nobody_wrote_is_the_default(corpus, tmp_path):
    Trainer(config(corpus), tmp_path).save()
    with pytest.raises(JobError, match=r"\(losses.pitch: 0.1 → 0.5\)"):
        Trainer(config(corpus, losses={"pitch": 0.5}), tmp_path)
    assert Trainer(config(corpus, losses={"mel": 1}), tmp_path).step == 0


SAVE = """
import sys
from pathlib import Path
import numpy as np
from portavoz.train.loop import checkpoint
def save(folder, step):
    checkpoint.save(Path(folder), step, {"weights": {"a": np.full(100_000, step, np.float32)}}, {"c": 1})
save(sys.argv[1], 0)
sys.stdin.readline()
for step in (2, 3):
    save(sys.argv[2], step)
"""


@pytest.mark.slow
@pytest.mark.parametrize("call", ["openat", "write", "fsync", "rename", "unlink"])
@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC", "signal=KILL"])
def test_a_fault_at_any_call_of_the_writer_leaves_a_valid_checkpoint(tmp_path, call, fault):
    """The writer, all of it imported, waits until strace holds it; its Nth call goes wrong, for every N there is."""
    (tmp_path / "warm").mkdir()
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        checkpoint.save(folder, 1, {"weights": {"a": np.ones(100_000, np.float32)}}, {"c": 1})
        writer = subprocess.Popen(
            [sys.executable, "-c", SAVE, str(tmp_path / "warm"), str(folder)],
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        status = Path(f"/proc/{writer.pid}/syscall")
        while not status.read_text().startswith("0 "):  # until it reads standard input
            time.sleep(0.05)
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={number}"]
        strace = subprocess.Popen(["strace", "-p", str(writer.pid), *inject], stderr=subprocess.PIPE, text=True)
        assert "attached" in strace.stderr.readline()
        writer.communicate("go\n")
        traced = strace.communicate()[1]
        left = checkpoint.newest(folder, {"c": 1})
        assert left is not None, (call, fault, number, traced)
        assert np.all(left.groups["weights"]["a"] == left.step)
        if "INJECTED" not in traced and "SIGKILL" not in traced:
            assert left.step == 3  # there was no such call any more
            break
    assert number > 2
