"""A training that is stopped by a signal or killed goes on where it was."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from trainings import config

from portavoz.errors import JobError
from portavoz.interrupts import Interrupted
from portavoz.train.loop import checkpoint, guards
from portavoz.train.loop.trainer import Trainer
from portavoz.weights import file


def test_a_signal_saves_and_the_rest_equals_an_uninterrupted_training(corpus, tmp_path):
    whole = Trainer(config(corpus), tmp_path / "whole")
    whole.run()
    said = []
    first = Trainer(config(corpus), tmp_path / "cut", say=said.append)
    rows = first.task.rows

    def at_step_two(step):
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return rows(step)

    first.task.rows = at_step_two
    assert first.run() is None
    assert said == ["SIGTERM: step 2 is saved; the same command resumes from there"]
    second = Trainer(config(corpus), tmp_path / "cut")
    assert second.step == 2
    second.run()
    assert all(torch.equal(t, second.tensors[k]) for k, t in whole.tensors.items())
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert steps == [3, 6]


def test_a_signal_whose_checkpoint_cannot_be_written_is_no_success(corpus, tmp_path, monkeypatch):
    said = []
    trainer = Trainer(config(corpus), tmp_path, say=said.append)
    rows = trainer.task.rows

    def at_step_two(step):
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return rows(step)

    def full():
        raise JobError("no room")

    trainer.task.rows = at_step_two
    monkeypatch.setattr(trainer, "save", full)
    with pytest.raises(Interrupted) as caught:
        trainer.run()
    assert caught.value.number == signal.SIGTERM
    assert said == ["SIGTERM: step 2 is not saved: no room"]


def test_a_signal_ends_a_rest(corpus, tmp_path):
    naps = []

    def nap(seconds):
        naps.append(seconds)
        assert len(naps) == 1
        os.kill(os.getpid(), signal.SIGTERM)

    said = []
    trainer = Trainer(config(corpus, heat=80), tmp_path, say=said.append)
    trainer.heat = guards.Heat(80, sensor=lambda: 99.0, sleep=nap, look=0.05)
    assert trainer.run() is None
    # How many steps come before the first look at the sensor is the machine's affair.
    at = f"step {trainer.step}"
    assert said == [f"{at}: 99 °C: rested 0 s", f"SIGTERM: {at} is saved; the same command resumes from there"]
    assert checkpoint.load(checkpoint.found(tmp_path)[-1]).step == trainer.step


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_but_the_interval(corpus, tmp_path):
    """Twenty times killed; in the end the weights are those of a training that was left alone."""
    (tmp_path / "c.yaml").write_text(
        f"corpus: {corpus}\nmodel: minimal\nsteps: 300\nbatch: 2\nevery: 5\nwarmup: 2\nthreads: 1\n"
    )
    command = [sys.executable, "-m", "portavoz", "train", "c.yaml", "--out"]
    subprocess.run([*command, "whole"], cwd=tmp_path, check=True, capture_output=True)
    draw, reached, alive, log = random.Random(0), 0, 0, tmp_path / "cut" / "log.jsonl"
    for _ in range(20):
        before = log.stat().st_mtime_ns if log.exists() else 0
        process = subprocess.Popen([*command, "cut"], cwd=tmp_path, stderr=subprocess.DEVNULL)
        # It writes its log anew when it begins to train: so that it is not killed among its imports.
        while process.poll() is None and (not log.exists() or log.stat().st_mtime_ns == before):
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.8))
        alive += process.poll() is None
        process.kill()
        process.wait()
        last = checkpoint.found(tmp_path / "cut") and checkpoint.load(checkpoint.found(tmp_path / "cut")[-1]).step
        assert (last or 0) >= reached
        reached = last or 0
    assert alive >= 15
    subprocess.run([*command, "cut"], cwd=tmp_path, check=True, capture_output=True)
    a, b = (file.read(tmp_path / name / "acoustic.safetensors")[0] for name in ("whole", "cut"))
    assert all(np.array_equal(a[k], b[k]) for k in a)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_well_when_asked_to_and_goes_on(corpus, tmp_path, number):
    (tmp_path / "c.yaml").write_text(f"corpus: {corpus}\nmodel: minimal\nsteps: 4000\nbatch: 2\nevery: 5\nthreads: 1\n")
    command = [sys.executable, "-m", "portavoz", "train", "c.yaml", "--out", "out"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # the tests' own process may ignore it
    )  # fmt: skip
    while "step 5 of 4000" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    said = process.communicate()[1]
    assert process.returncode == 0
    assert f"{number.name}: step " in said
    reached = checkpoint.load(checkpoint.found(tmp_path / "out")[-1]).step
    done = subprocess.run([*command, f"steps={reached + 5}", "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert json.loads(done.stdout)["resumed"] == reached
