"""Loops: teacher-forced steps, solvers of equations, free runs and what they decide."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from portavoz.lab import tap
from portavoz.lab.align.matching import Pairing
from portavoz.lab.compare import compare, forced, mirrored
from portavoz.lab.forcing.loops import free, summary
from portavoz.lab.forcing.noise_floor import traced
from portavoz.lab.forcing.teacher_forcing import Forcing
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.report.text import lines, to_dict
from portavoz.lab.trace.recorder import record

STEPS, WIDTH = 10, 6


class Solver(nn.Module):
    """Flow matching by Euler's method, with guidance: every method may be replaced by one with a fault in it."""

    steps, rate = STEPS, 0.7

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.start, self.mean = torch.randn(1, 8, WIDTH), torch.randn(1, 8, WIDTH)
        self.into, self.out = nn.Linear(2 * WIDTH + 1, 16), nn.Linear(16, WIDTH)

    def times(self) -> torch.Tensor:
        return 1 - torch.cos(torch.linspace(0, 1, self.steps + 1) * math.pi / 2)

    def field(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        both, mean = torch.cat([x, x]), torch.cat([self.mean, torch.zeros_like(self.mean)])
        late = t.reshape(1, 1, 1).expand(2, 8, 1)
        return tap("field", self.out(torch.tanh(self.into(torch.cat([both, mean, late], -1)))))

    def guided(self, known: torch.Tensor, blank: torch.Tensor, step: int) -> torch.Tensor:
        return (1 + self.rate) * known - self.rate * blank

    def stride(self, times: torch.Tensor, i: int) -> torch.Tensor:
        return times[i + 1] - times[i]

    def forward(self) -> torch.Tensor:
        x, times = tap("state", self.start), tap("times", self.times())
        for i in range(len(times) - 1):
            tap("t", times[i])
            change = tap("velocity", self.guided(*self.field(x, times[i]).chunk(2), i))
            x = tap("state", x + self.stride(times, i) * change)
        return x


def solver(**parts: Any) -> TorchProgram:
    """A solver with some of its parts replaced."""
    made = Solver().eval()
    for name, part in parts.items():
        setattr(made, name, part)
    return TorchProgram(made, name="solver")


FAULTS: dict[str, tuple[dict[str, Any], str, str, list[int]]] = {
    "linear for cosine": ({"times": lambda: torch.linspace(0, 1, STEPS + 1)}, "value:times", "linear", [0]),
    "32 steps": ({"steps": 32}, "shape:times", "32 cosine steps where 10 cosine ones", [0]),
    "sign of guidance": (
        {"guided": lambda known, blank, i: 0.3 * known + 0.7 * blank}, "value:velocity", "opposite sign",
        list(range(STEPS)),
    ),
    "rate of guidance": (
        {"guided": lambda known, blank, i: 1.5 * known - 0.5 * blank}, "value:velocity", "rate of 0.5 where 0.7",
        list(range(STEPS)),
    ),
    "halves exchanged": (
        {"guided": lambda known, blank, i: 1.7 * blank - 0.7 * known}, "value:velocity", "halves exchanged",
        list(range(STEPS)),
    ),
    "guidance off from step 7": (
        {"guided": lambda known, blank, i: 1.7 * known - 0.7 * blank if i < 7 else known}, "value:velocity",
        "guidance at a rate of 0 ", [7, 8, 9],
    ),
    "a stride of 1/10": (
        {"stride": lambda times, i: torch.tensor(0.1)}, "value:state", "a step of 0.1", list(range(1, STEPS + 1)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FAULTS))
@pytest.mark.parametrize("method", ["forced", "mirrored"])
def test_a_fault_in_a_solver_is_named_with_its_steps_and_its_cause(name: str, method: str) -> None:
    parts, wanted, cause, steps = FAULTS[name]
    if method == "forced":
        verdict = forced(traced(solver()), solver(**parts))
    else:
        verdict = mirrored(solver(), record(solver(**parts)))
    first = verdict.faults[0]
    assert first.id == wanted, lines(verdict)
    assert first.calls == steps or name == "32 steps"
    assert any(word in first.cause for word in cause.split("|")), first.cause


def test_a_faultless_solver_passes_and_its_schedule_is_verified() -> None:
    verdict = compare(solver(), solver(), free_running=True)
    report = to_dict(verdict)
    assert verdict.answer == "PASS" and all(row["same"] for row in report["free_running"]), lines(verdict)
    assert report["verified"]["schedule"].startswith("t, times")
    assert f"up to {STEPS + 1} calls" in report["verified"]["steps"]
    assert report["verified"]["order of joined inputs"].startswith(f"{STEPS} inputs")
    assert not any("--free" in what for what in report["not_tested"])
    assert any("--free" in what for what in to_dict(compare(solver(), solver()))["not_tested"])


# Free runs


class Speaker(nn.Module):
    """A loop that says a token a step until it has had enough."""

    def __init__(self, enough: float) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.table, self.next, self.enough = nn.Embedding(9, WIDTH), nn.Linear(WIDTH, 9), enough

    def forward(self) -> torch.Tensor:
        token, weight, said = torch.tensor([[3]]), torch.tensor(0.0), []
        for step in range(40):
            scores = tap("scores", self.next(self.table(token) * math.cos(step)))
            token = tap("token", scores.argmax(-1))
            weight = weight + torch.sigmoid(scores).mean()
            said.append(token)
            if bool(tap("done", weight > self.enough)):
                break
        return torch.cat(said, 1).float()


def test_a_loop_that_ends_elsewhere_shows_in_a_free_run_only() -> None:
    port = TorchProgram(Speaker(6.0))
    short = compare(TorchProgram(Speaker(4.0)), port, free_running=True)
    assert short.answer == "FAIL" and short.faults[0].id == "value:done", lines(short)
    rows = {row.name: row for row in short.free}
    assert rows["done"].kind == "decision" and rows["scores"].kind == "number"
    assert rows["done"].first == rows["token"].calls[0] - 1 and rows["token"].calls[1] > rows["token"].calls[0]
    assert rows["scores"].first is None and "came" in summary(short.free)
    same = compare(TorchProgram(Speaker(4.0)), TorchProgram(Speaker(4.0)), free_running=True)
    assert same.answer == "PASS" and summary(same.free) == ""
    assert any(line.startswith("run freely: ") and "as often" in line for line in lines(same))


def test_what_only_a_free_run_decides_is_never_pass() -> None:
    """A state behind the last tap: forced, every step is the reference's; free, the port drifts."""

    def program(drift: float) -> Callable[[], torch.Tensor]:
        torch.manual_seed(2)
        layer, ends = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)

        def run() -> torch.Tensor:
            x = torch.ones(1, 1, WIDTH)
            for _ in range(6):
                x = tap("x", torch.tanh(layer(x))) * drift
                tap("end", (ends(x) > 0.2).long())
            return ends(x)

        return run

    verdict = compare(TorchProgram(program(1.0)), TorchProgram(program(1.0)), free_running=True)
    assert verdict.answer == "PASS"
    rows = free(TorchProgram(program(1.0)), record(TorchProgram(program(1.001))))
    assert next(row for row in rows if row.name == "x").first == 1 and "'x' leaves" in summary(rows)


def test_a_trace_without_floors_is_compared_too() -> None:
    reference, port = record(solver()), record(solver(rate=0.7))
    assert all(row.same for row in free(reference, port))
    assert np.isfinite(free(reference, port)[0].worst)


def test_a_named_value_that_only_the_file_came_to_is_handed_on() -> None:
    """A loop that the plain run left earlier goes on with the file's numbers, so that it decides as the file did."""
    numbers = torch.arange(6.0).reshape(1, 6)
    trace = record(TorchProgram(lambda: tap("heard", numbers)))
    key = next(key for key, unit in trace.units.items() if unit.kind == "value" and "heard" in key)
    seen: list[Any] = []
    TorchProgram(lambda: seen.append(tap("heard", 2 * numbers))).run(Forcing(Pairing(layers={}, units={}), trace, {}))
    assert key in trace.units and torch.equal(seen[0], numbers)
