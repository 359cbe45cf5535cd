"""The open trace: what is written is read again, whoever wrote it; every damage is one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from probes import compact

from portavoz.errors import InputError
from portavoz.lab import tap
from portavoz.lab.compare import forced, mirrored
from portavoz.lab.forcing.noise_floor import write
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.report.text import to_dict
from portavoz.lab.trace.reader import read
from portavoz.lab.trace.recorder import FileSink, Selection, record
from portavoz.lab.trace.trace import ENTRY, Trace

UNITS = [{"key": "net.a#0", "word": "linear"}, {"key": "net.b#0", "word": "relu"}]
X = np.arange(6, dtype=np.float32).reshape(1, 2, 3)


def written(
    path: Path, tensors: dict[str, Any], units: Any = UNITS, *, header: Any = None, metadata: Any = None
) -> Path:
    """A trace as a stranger's twenty lines would write it: no library, only bytes."""
    index, body = {}, b""
    for name, a in tensors.items():
        kind = {"f": "F32", "i": "I64"}[a.dtype.kind] if isinstance(a, np.ndarray) else a[0]
        raw = a.tobytes() if isinstance(a, np.ndarray) else a[2]
        shape = list(a.shape) if isinstance(a, np.ndarray) else a[1]
        index[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    told = {"format": "portavoz-trace", "version": 1, "units": units} if header is None else header
    meta = {ENTRY: json.dumps(told)} if metadata is None else metadata
    head = json.dumps({"__metadata__": meta, **index}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + body)
    return path


GOOD = {"net.a#0:in0": X, "net.a#0:out": X, "net.b#0:out": X}


def test_a_file_written_by_hand_is_read(tmp_path: Path) -> None:
    trace = read(written(tmp_path / "t.trace", GOOD))
    assert list(trace.units) == ["net.a#0", "net.b#0"]
    assert trace.units["net.a#0"].shapes == {"in0": (1, 2, 3), "out": (1, 2, 3)}
    assert (trace.array("net.b#0", "out") == X).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tensors": {**GOOD, "net.a#0:in0": ("BF16", [1, 2, 3], bytes(12))}}, "holds BF16 numbers"),
        ({"tensors": {**GOOD, "net.a#0:in0": ("F32", [1, 2, 3], bytes(12))}}, "has 12 bytes, wanted 24"),
        ({"tensors": {**GOOD, "net.a:in0": X}}, "is not the name of a tensor"),
        ({"tensors": GOOD, "units": [*UNITS, UNITS[0]]}, "the unit net.a#0 is listed twice"),
        ({"tensors": GOOD, "units": [*UNITS, {"key": "net.c#0"}]}, "none of its tensors is there"),
        ({"tensors": GOOD, "units": UNITS[:1]}, "net.b#0 has tensors, but is not in the header's list"),
        ({"tensors": GOOD, "units": ["no call number"]}, "wanted 'path#call'"),
        ({"tensors": GOOD, "metadata": {}}, "the header is missing"),
        ({"tensors": GOOD, "metadata": {ENTRY: "{"}}, "is not JSON"),
        ({"tensors": GOOD, "header": {"format": "other"}}, "the header says"),
        ({"tensors": GOOD, "header": {"format": "portavoz-trace", "version": 9}}, "version 9"),
        ({"tensors": GOOD, "header": {"format": "portavoz-trace", "version": 1}}, "no list of 'units'"),
        (
            {
                "tensors": GOOD,
                "header": {"format": "portavoz-trace", "version": 1, "units": UNITS, "layers": {"a": {"weight": 1}}},
            },
            "a fingerprint in the header cannot be read",
        ),
    ],
)
def test_damage_is_one_sentence(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    path = written(tmp_path / "t.trace", **change)
    with pytest.raises(InputError) as caught:
        read(path)
    assert sentence in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_tensor_that_is_there_twice(tmp_path: Path) -> None:
    path = written(tmp_path / "t.trace", {**GOOD, "net.b#1:out": X})
    path.write_bytes(path.read_bytes().replace(b"net.b#1:out", b"net.b#0:out"))
    with pytest.raises(InputError, match=r"net\.b#0:out is there twice"):
        read(path)


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_truncated_file(keep: int, tmp_path: Path) -> None:
    path = written(tmp_path / "t.trace", GOOD)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"cut off|truncated in its header"):
        read(path)


def test_what_is_not_there_or_not_a_trace(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "nowhere.trace")
    (tmp_path / "text").write_text("this is a text file, and rather longer than eight bytes")
    with pytest.raises(InputError, match="not a trace file"):
        read(tmp_path / "text")


def test_a_streamed_trace_says_what_a_trace_in_memory_says(tmp_path: Path) -> None:
    subject = compact(ops="numpy")
    write(subject, tmp_path / "a.trace")
    again, whole = read(tmp_path / "a.trace"), record(subject)
    assert list(again.units) == list(whole.units) and again.layers == whole.layers
    for key, unit in whole.units.items():
        assert again.units[key].facts == json.loads(json.dumps(unit.facts))
        for place in unit.shapes:
            a, b = again.array(key, place), whole.array(key, place)
            assert a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    assert again.floors and forced(again, compact()).answer == "PASS"
    assert mirrored(compact(ops="numpy"), again).answer == "PASS"
    write(subject, tmp_path / "b.trace")
    assert (tmp_path / "a.trace").read_bytes() == (tmp_path / "b.trace").read_bytes()


def test_a_short_probe_is_small(tmp_path: Path) -> None:
    write(compact(ops="numpy"), tmp_path / "a.trace", floors=False)
    assert (tmp_path / "a.trace").stat().st_size < 4e6


def test_tensors_go_to_disk_as_they_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held: list[int] = []
    put = FileSink.put

    def wrapped(self: FileSink, info: Any, arrays: Any) -> None:
        put(self, info, arrays)
        held.append(len(self.trace.arrays))

    monkeypatch.setattr(FileSink, "put", wrapped)
    write(compact(ops="numpy"), tmp_path / "a.trace", floors=False)
    assert len(held) > 50 and max(held) == 0


class Loop(torch.nn.Module):
    """A loop of some steps, with a draw in each, that writes in place afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.step = torch.nn.Linear(3, 3)

    def forward(self) -> torch.Tensor:
        x = torch.ones(1, 2, 3)
        for _ in range(7):
            x = self.step(x) + 0.1 * torch.randn(1, 2, 3)
            x = tap("state", x)
            x *= 0.5
        return x


def looped(seed: int = 0) -> TorchProgram:
    torch.manual_seed(seed)
    return TorchProgram(Loop(), name="loop")


def test_sampling_and_globs() -> None:
    assert [k for k in record(looped(), selection=Selection(every=3)).units if k.startswith("step")] == [
        "step#0",
        "step#3",
        "step#6",
    ]
    assert list(record(looped(), selection=Selection(globs=("st*",), last=2)).units) == [
        "step#5",
        "step#6",
        "state#5",
        "state#6",
    ]
    assert set(record(looped(), selection=Selection(globs=("state*",))).units) == {f"state#{i}" for i in range(7)}


def test_what_a_program_writes_in_place_later_does_not_reach_the_trace() -> None:
    trace = record(looped())
    for i in range(6):
        following = trace.array(f"step#{i + 1}", "in0")
        assert np.allclose(trace.array(f"state#{i}", "out") * 0.5, following)


def test_draws_are_recorded_and_replayed() -> None:
    trace = record(looped())
    # The generator has gone on, so the second run draws other numbers, and is given the first one's.
    verdict = forced(trace, looped())
    assert verdict.answer == "PASS" and trace.units["#0/randn.3"].kind == "random"
    report = to_dict(verdict)
    assert report["verified"]["noise"].startswith("7 draws were the reference's")
    assert "the port's own random numbers: it was given the reference's" in report["not_tested"]
    free = record(looped(), selection=Selection(globs=("#0/randn*",)))
    assert not np.array_equal(free.array("#0/randn.3", "out"), record(looped(5)).array("#0/randn.3", "out"))


def test_tap_is_free_when_nobody_looks() -> None:
    x = object()
    assert tap("anything", x) is x


def test_a_trace_in_memory_holds_copies() -> None:
    trace = record(compact(ops="numpy"))
    assert isinstance(trace, Trace) and all(a.flags.owndata for a in trace.arrays.values())


def test_a_value_that_is_called_as_a_layer_is_refused() -> None:
    layer = torch.nn.Linear(3, 3)
    subject = TorchProgram(lambda: tap("layer", layer(torch.ones(1, 3))), modules={"layer": layer})
    with pytest.raises(InputError, match=r"layer#0: a layer and a named value have this name"):
        record(subject)
