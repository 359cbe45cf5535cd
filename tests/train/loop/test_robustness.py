"""Interruption, lack of memory, losses that are not finite, and stopping early."""

from __future__ import annotations

import copy
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from portavoz.errors import JobError, WeightError
from portavoz.interrupts import Interrupted
from portavoz.train.config import TrainConfig
from portavoz.train.data import toy
from portavoz.train.loop import checkpoint, guards, logging
from portavoz.train.loop.trainer import Trainer
from portavoz.weights import file


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return toy.make(tmp_path_factory.mktemp("toy"), count=16)


def config(corpus, **more):
    values = {"corpus": str(corpus), "model": "minimal", "steps": 6, "batch": 4, "every": 3, "warmup": 2, "frames": 8}
    return TrainConfig.from_dict({**values, **more})


ADVERSARIAL = {"adversarial": 1.0, "features": 2.0}


@pytest.mark.parametrize("part", ["acoustic", "vocoder"])
def test_gradients_in_pieces_are_those_of_the_batch(corpus, tmp_path, part):
    extra = {"losses": {"ssim": 0.5, "mel_l2": 0.5} if part == "acoustic" else {"features": 2.0, "adversarial": 1.0}}
    gradients = {}
    for pieces in (1, 3, 4):
        trainer = Trainer(
            config(corpus, part=part, accumulate=pieces, discriminator_channels=1, **extra), tmp_path / str(pieces)
        )
        found = trainer._gradients(trainer.task.rows(0))
        gradients[pieces] = {k: t.grad.clone() for k, t in trainer.tensors.items()}, found
    whole, losses = gradients[1]
    for pieces in (3, 4):
        other, found = gradients[pieces]
        assert found["loss"] == pytest.approx(losses["loss"], rel=1e-5)
        for path, gradient in whole.items():
            # Signs of differences that are nearly nothing turn with the order of a sum.
            apart = torch.linalg.vector_norm(other[path] - gradient) / torch.linalg.vector_norm(gradient)
            assert float(apart) < (1e-4 if part == "acoustic" else 1e-2), path


def test_a_bound_on_frames_cuts_batches(corpus, tmp_path):
    trainer = Trainer(config(corpus, most_frames=200), tmp_path)
    rows = trainer.task.rows(0)
    pieces = trainer._split(rows)
    assert [row for piece in pieces for row in piece] == rows
    assert len(pieces) > 1
    assert all(trainer.task.cost(piece) <= 200 or len(piece) == 1 for piece in pieces)


def test_where_memory_runs_out_the_batch_is_computed_in_smaller_pieces(corpus, tmp_path):
    said = []
    plain = Trainer(config(corpus), tmp_path / "plain")
    plain.train_step()
    tight = Trainer(config(corpus), tmp_path / "tight", say=said.append)
    losses = tight.task.losses

    def narrow(rows, whole, *, step):
        if len(rows) > 1:
            torch.empty(1 << 60, dtype=torch.uint8)
        return losses(rows, whole, step=step)

    tight.task.losses = narrow
    tight.train_step()
    assert tight.pieces == 4
    assert said == [f"step 0: out of memory, continuing with batches in {n} pieces" for n in (2, 4)]
    for path, tensor in plain.tensors.items():
        assert torch.allclose(tensor, tight.tensors[path], atol=1e-4), path
    tight.save()
    assert Trainer(config(corpus), tmp_path / "tight").pieces == 4


def test_one_utterance_that_does_not_fit_is_an_error(corpus, tmp_path):
    trainer = Trainer(config(corpus), tmp_path)
    trainer.task.losses = lambda rows, whole, *, step: torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(JobError, match="one utterance alone does not fit"):
        trainer.train_step()


def test_another_error_is_not_taken_for_memory(corpus, tmp_path):
    trainer = Trainer(config(corpus), tmp_path)

    def broken(rows, whole, *, step):
        raise RuntimeError("shapes")

    trainer.task.losses = broken
    with pytest.raises(RuntimeError, match="shapes"):
        trainer.train_step()


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_and_names_the_batch(corpus, tmp_path, where):
    trainer = Trainer(config(corpus, every=1), tmp_path)
    trainer.train_step()
    trainer.save()
    losses = trainer.task.losses

    def wrong(rows, whole, *, step):
        found = losses(rows, whole, step=step)
        times = torch.tensor(float("nan" if where == "loss" else 1.0))
        found["loss"] = found["loss"] * times
        if where == "gradient":
            found["loss"].register_hook(lambda g: g * float("inf"))
        return found

    trainer.task.losses = wrong
    before = {k: t.detach().clone() for k, t in trainer.tensors.items()}
    names = [row.id for row in trainer.task.rows(1)]
    with pytest.raises(JobError) as refused:
        trainer.run()
    assert all(name in str(refused.value) for name in names)
    assert ("loss 'loss' is nan" if where == "loss" else "norm is") in str(refused.value)
    assert all(torch.equal(t, before[k]) for k, t in trainer.tensors.items())
    assert Trainer(config(corpus, every=1), tmp_path).step == 1


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


def test_training_stops_early_with_the_best(corpus, tmp_path):
    trainer = Trainer(config(corpus, steps=50, every=2, patience=2), tmp_path)
    judged = iter([3.0, 2.0, 2.5, 2.1])
    trainer.task.validate = lambda: {"loss": next(judged)}
    kept = {}
    path = trainer.run(lambda row: kept.setdefault(row["step"], copy.deepcopy(trainer.result())))
    assert trainer.step == 8
    tensors, metadata = file.read(path)
    assert metadata["step"] == "4"
    assert all(np.array_equal(a, kept[4][k]) for k, a in tensors.items())
    again = Trainer(config(corpus, steps=50, every=2, patience=2), tmp_path)
    assert (again.best, again.stale) == (2.0, 2)
    assert again.run() == path


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


def test_between_two_looks_it_tells_how_far_it_is(corpus, tmp_path, monkeypatch):
    ticks = []
    Trainer(config(corpus, steps=2, every=9), tmp_path / "seldom").run(tick=ticks.append)
    assert ticks == [{"step": 0}]
    monkeypatch.setattr(logging, "TICK", 0.0)
    ticks.clear()
    Trainer(config(corpus), tmp_path / "often").run(tick=ticks.append)
    assert [row["step"] for row in ticks] == [0, 1, 2, 4, 5]
    assert all(row["train_loss"] > 0 and row["memory_process"] > 0 and row["seconds_left"] >= 0 for row in ticks[1:])
    rows = [json.loads(line) for line in (tmp_path / "often" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 6]


def test_a_vocoder_without_anything_to_judge_it_by_says_so_once(corpus, tmp_path):
    said = []
    trainer = Trainer(config(corpus, part="vocoder", steps=2, every=1, frames=48), tmp_path, say=said.append)
    longest = max(u.length for u in trainer.corpus.split("held_out"))
    assert longest <= 192
    trainer.run()
    assert said == [
        f"no held-out recording is longer than 192 frames (4 times frames), the longest has {longest}: no held_loss, "
        "no best.safetensors, no stop by patience"
    ]


def test_the_log_forgets_what_is_made_again(corpus, tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 3}\n{"step": 999}\n{"st')
    Trainer(config(corpus, steps=3), tmp_path).run()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3]
    assert rows[0]["memory_process"] > 0
    assert rows[0]["steps_per_second"] > 0


def test_tensorboard_has_the_numbers_too(corpus, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Trainer(config(corpus, logs=["tensorboard"]), tmp_path).run()
    read = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    values = read.Scalars("held/loss")
    assert [v.step for v in values] == [row["step"] for row in rows] == [3, 6]
    assert [v.value for v in values] == pytest.approx([row["held_loss"] for row in rows])


def test_samples_are_heard_and_seen(corpus, tmp_path):
    for part in ("acoustic", "vocoder"):
        Trainer(config(corpus, part=part, steps=1, every=1, samples=1), tmp_path / part).run()
        names = sorted(p.name for p in (tmp_path / part / "samples").iterdir())
        assert names == ["00000001-0000.png", "00000001-0000.wav"]


def test_samples_of_ids_with_slashes_and_dots(tmp_path):
    folder = toy.make(tmp_path / "toy", count=6)
    index = folder / "index.jsonl"
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    for line in lines:
        line["id"] = f"ann/take.{line['id']}"
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    Trainer(config(folder, steps=1, every=1, samples=1), tmp_path / "out").run()
    first = next(line["id"] for line in lines if line["split"] == "held_out").replace("/", "-")
    names = sorted(p.name for p in (tmp_path / "out" / "samples").iterdir())
    assert names == [f"00000001-{first}.png", f"00000001-{first}.wav"]


def test_a_tight_process_makes_its_batches_smaller(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(guards, "resident", lambda: 500.0)
    trainer = Trainer(config(corpus, memory=400, batch=2, steps=20, every=20), tmp_path)
    trainer.run()
    assert trainer.pieces == 2


@pytest.mark.parametrize("settings", [{"recompute": True}, {"recompute": True, "part": "vocoder"}])
def test_working_activations_out_again_changes_no_number(corpus, tmp_path, settings):
    plain = {k: v for k, v in settings.items() if k != "recompute"}
    a, b = Trainer(config(corpus, **plain), tmp_path / "a"), Trainer(config(corpus, **settings), tmp_path / "b")
    for _ in range(2):
        a.train_step()
        b.train_step()
    assert all(torch.equal(t, b.tensors[k]) for k, t in a.tensors.items())


@pytest.mark.parametrize("part", ["acoustic", pytest.param("vocoder", marks=pytest.mark.slow)])
def test_sixteen_bits_learn_nearly_the_same(corpus, tmp_path, part):
    losses = {}
    for precision in ("float32", "bfloat16"):
        trainer = Trainer(config(corpus, part=part, precision=precision), tmp_path / precision)
        trainer.run()
        assert all(t.dtype == torch.float32 for t in trainer.tensors.values())
        losses[precision] = trainer.averaged()["loss"]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.03)


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
