"""The writer in C++ that the docs offer: what it writes is read, judged, and a fault in the program is named."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from portavoz.lab.compare import mirrored
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.report.text import lines
from portavoz.lab.trace.reader import read
from portavoz.lab.trace.trace import ENTRY, FORMAT, VERSION

PROGRAM = r"""
#include "trace.hpp"
#include <cmath>
#include <cstdio>

using Floats = std::vector<float>;

static Floats take(std::FILE *file, std::size_t n) {
    Floats x(n);
    if (std::fread(x.data(), 4, n, file) != n) std::abort();
    return x;
}

static Floats linear(const Floats &x, const Floats &w, const Floats &b, int rows, int in, int out) {
    Floats y(rows * out);
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < out; o++) {
            float sum = b[o];
            for (int i = 0; i < in; i++) sum += x[r * in + i] * w[o * in + i];
            y[r * out + o] = sum;
        }
    return y;
}

int main(int, char **argv) {
    std::FILE *file = std::fopen(argv[1], "rb");
    const Floats x = take(file, 2 * 5 * 4), w = take(file, 6 * 4), b = take(file, 6);
    const Floats v = take(file, 3 * 6), c = take(file, 3);
    portavoz::Trace trace("a \"port\" in C++");
    trace.weights("in", "weight", w.data(), {6, 4}), trace.weights("in", "bias", b.data(), {6});
    trace.weights("out", "weight", v.data(), {3, 6}), trace.weights("out", "bias", c.data(), {3});
    Floats y = linear(x, w, b, 10, 4, 6);
    trace.unit("in#0", "linear", {{"in0", x.data(), {2, 5, 4}}, {"out", y.data(), {2, 5, 6}}});
    Floats z = y;
    for (float &one : z) one = one > 0 ? one : 0.1f * one;
    trace.unit("net#0/leaky_relu.0", "leaky_relu", {{"in0", y.data(), {2, 5, 6}}, {"out", z.data(), {2, 5, 6}}},
               "\"slope\":0.1");
    Floats last = linear(z, v, c, 10, 6, 3);
    trace.unit("out#0", "linear", {{"in0", z.data(), {2, 5, 6}}, {"out", last.data(), {2, 5, 3}}});
    std::vector<std::int64_t> most;
    for (int r = 0; r < 10; r++) {
        std::int64_t best = 0;
        for (int o = 1; o < 3; o++) if (last[r * 3 + o] > last[r * 3 + best]) best = o;
        most.push_back(best);
    }
    trace.value("token#0", most.data(), {2, 5});
    trace.write(argv[2]);
}
"""


def reference() -> tuple[TorchProgram, list[torch.Tensor]]:
    from portavoz.lab import tap

    draw = torch.Generator().manual_seed(0)
    x, *rest = (torch.randn(*shape, generator=draw) for shape in ((2, 5, 4), (6, 4), (6,), (3, 6), (3,)))
    w, b, v, c = rest

    def run() -> None:
        hidden = torch.nn.functional.leaky_relu(torch.nn.functional.linear(x, w, b), 0.1)
        tap("token", torch.nn.functional.linear(hidden, v, c).argmax(-1))

    return TorchProgram(run, tensors={"a.weight": w, "b.weight": v}), [x, *rest]


def dumped(folder: Path, root: Path, source: str) -> Path:
    numbers = reference()[1]
    (folder / "weights.bin").write_bytes(b"".join(t.numpy().astype(np.float32).tobytes() for t in numbers))
    (folder / "port.cpp").write_text(source, encoding="utf-8")
    header = root / "docs" / "examples"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-misleading-indentation", f"-I{header}"]
    subprocess.run(["g++", *flags, "port.cpp", "-o", "port"], cwd=folder, check=True)
    subprocess.run(["./port", "weights.bin", "port.trace"], cwd=folder, check=True)
    return folder / "port.trace"


def test_a_program_in_cpp_passes(root: Path, tmp_path: Path) -> None:
    trace = read(dumped(tmp_path, root, PROGRAM))
    assert trace.producer == 'a "port" in C++' and list(trace.units) == [
        "in#0", "net#0/leaky_relu.0", "out#0", "token#0"
    ]  # fmt: skip
    verdict = mirrored(reference()[0], trace)
    assert verdict.answer == "PASS" and verdict.pairing.coverage == 1, lines(verdict)


def test_faults_in_it_are_named(root: Path, tmp_path: Path) -> None:
    source = PROGRAM
    for right, wrong in (("0.1f * one", "0.01f * one"), ("z, v, c, 10", "z, v, v, 10"), ("o < 3; o++", "o < 2; o++")):
        assert right in source
        source = source.replace(right, wrong)
    verdict = mirrored(reference()[0], read(dumped(tmp_path, root, source)))
    assert [c.id for c in verdict.faults] == ["leaf:/leaky_relu.0", "leaf:b", "value:token"]
    assert "leaky relu 0.01" in verdict.faults[0].cause


@pytest.mark.parametrize("name", ["trace.hpp", "Trace.swift"])
def test_writers_are_of_this_version(root: Path, name: str) -> None:
    text = (root / "docs" / "examples" / name).read_text(encoding="utf-8").replace("\\", "").replace(" ", "")
    assert f'"format":"{FORMAT}","version":{VERSION},"producer":' in text and f'"{ENTRY}"' in text
    assert len(text.splitlines()) <= 200
