"""The guards, with scripted sensors and clocks."""

from __future__ import annotations

import os
import signal
import types

import pytest
import torch

from portavoz.errors import JobError
from portavoz.train.loop import guards


class Machine:
    """A clock that moves when somebody sleeps or `work`s, and a sensor that follows a script."""

    def __init__(self, degrees=None, share=None):
        self.now, self.degrees, self.share, self.slept = 0.0, degrees, share, 0.0

    def sensor(self):
        return self.degrees(self) if self.degrees else None

    def throttle(self):
        return self.share(self) if self.share else None

    def sleep(self, seconds):
        self.now += seconds
        self.slept += seconds

    def guard(self, limit=85.0):
        return guards.Heat(limit, sensor=self.sensor, throttle=self.throttle, clock=lambda: self.now, sleep=self.sleep)

    def work(self, heat, seconds, each=0.5):
        """Steps of `each` seconds for so long; gives what the guard said."""
        said, until = [], self.now + seconds
        while self.now < until:
            self.now += each
            said.append(heat())
        return [line for line in said if line]


def test_a_hot_machine_rests_until_it_is_cooler():
    machine = Machine(degrees=lambda m: 90 - m.slept / 5)
    said = machine.work(machine.guard(), 15)
    assert said == ["90 °C: rested 70 s"]
    assert machine.work(machine.guard(), 30) == []


def test_a_cool_machine_and_a_guard_without_limit_never_rest():
    machine = Machine(degrees=lambda m: 84.9)
    assert machine.work(machine.guard(), 100) == []
    hot = Machine(degrees=lambda m: 120)
    assert hot.work(hot.guard(limit=0), 100) == []


def test_a_sensor_that_never_falls_does_not_stop_for_ever():
    machine = Machine(degrees=lambda m: 99)
    assert machine.work(machine.guard(), 10)
    assert machine.slept == pytest.approx(guards.LONGEST_REST)


def test_a_rest_ends_when_somebody_wants_to_stop():
    machine = Machine(degrees=lambda m: 99)
    heat = machine.guard()
    machine.now += 10
    assert heat(lambda: machine.slept >= 12.5) == "99 °C: rested 12 s"
    assert machine.slept == 12.5


def test_a_mac_rests_while_its_speed_is_limited():
    machine = Machine(share=lambda m: 0.5 if m.slept < 40 else 1.0)
    assert machine.work(machine.guard(), 15) == ["50% of full speed: rested 40 s"]


def test_without_sensors_its_own_speed_tells():
    machine = Machine()
    heat = machine.guard()
    assert machine.work(heat, 60, each=0.5) == []
    assert machine.work(heat, 30, each=1.0) == []  # slow, but not for a minute
    assert machine.work(heat, 30, each=0.5) == []
    said = machine.work(heat, 100, each=1.0)
    assert len(said) == 1
    assert "of its own best speed: rested 60 s" in said[0]


QUIET = "Note: No thermal warning level has been recorded\n"
LIMITED = "CPU Power notify\n\tCPU_Scheduler_Limit \t= 100\n\tCPU_Available_CPUs \t= 12\n\tCPU_Speed_Limit \t= "


@pytest.mark.parametrize(
    ("report", "share"), [(QUIET + LIMITED + "63\n", 0.63), (LIMITED + "100\n", 1.0), (QUIET * 2, None), ("", None)]
)
def test_reports_of_pmset(report, share):
    assert guards.speed_limit(report) == share


def test_a_signal_asks_once_and_then_acts_as_before():
    before, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with guards.Signals() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.stop == "SIGTERM"
        assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGINT) is interrupt


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with guards.Signals() as asked:
            os.kill(os.getpid(), signal.SIGINT)
            assert not asked.stop
    finally:
        signal.signal(signal.SIGINT, before)


def test_memory_errors_are_known_on_every_device():
    assert guards.out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert guards.out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    assert guards.out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as real:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert guards.out_of_memory(real.value)
    assert not guards.out_of_memory(RuntimeError("shape mismatch"))


def test_memory_is_measured():
    assert guards.memory(torch.device("cpu"))["process"] > 50


def test_a_full_disk_is_noticed_before_writing(tmp_path):
    guards.room(tmp_path, 1)
    with pytest.raises(JobError, match="free space"):
        guards.room(tmp_path, 1e12)


def test_a_small_model_on_a_full_disk_is_told_in_small_units(tmp_path, monkeypatch):
    monkeypatch.setattr(guards.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=100_000))
    with pytest.raises(JobError, match="98 KiB free, a checkpoint needs 205 KiB and"):
        guards.room(tmp_path, 0.2)
