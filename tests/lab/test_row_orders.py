"""Rows of a batch in another order: a way of writing it, or a fault where the order is wanted later."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from portavoz.lab.compare import compare
from portavoz.lab.forcing.noise_floor import traced
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.trace.recorder import record


class Guided(torch.nn.Module):
    """Two layers on a batch with and without its condition, guided."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(6, 10), torch.nn.Linear(10, 4)

    def forward(self, x: torch.Tensor, *, without_first: bool = False, guided_so: bool = False) -> torch.Tensor:
        rows = torch.cat([x * 0, x] if without_first else [x, x * 0])
        a, b = self.second(F.relu(self.first(rows))).chunk(2)
        yes, no = (b, a) if guided_so else (a, b)
        return 1.5 * yes - 0.5 * no


torch.manual_seed(0)
MODEL, X = Guided(), torch.randn(1, 7, 6)


def program(**how: bool) -> TorchProgram:
    return TorchProgram(lambda: MODEL(X, **how), modules={"": MODEL})


@pytest.mark.parametrize("live", [True, False])
def test_rows_in_another_order_throughout_are_no_fault(live: bool) -> None:
    port = program(without_first=True, guided_so=True)
    verdict = compare(traced(program()), port) if live else compare(program(), record(port))
    assert verdict.answer == "PASS", verdict.faults


@pytest.mark.parametrize("live", [True, False])
def test_rows_that_are_wanted_in_order_later_are_named_where_they_are_first_exchanged(live: bool) -> None:
    port = program(without_first=True)
    verdict = compare(traced(program()), port) if live else compare(program(), record(port))
    assert [fault.id for fault in verdict.faults] == ["edge:first"]
