"""A back end is one file and its facts: somebody else's, installed by an entry point, is like our own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docs_pages
import numpy as np
import pytest

from portavoz import ops
from portavoz.errors import BackendError, MissingExtra, WeightError
from portavoz.ops import layouts
from portavoz.ops.base import Ops
from portavoz.train.config import TrainConfig
from portavoz.weights.cursor import Weights
from portavoz.weights.layout import relayout

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
ENTRIES = """[portavoz.backends]
abacus = abacus_ops:AbacusOps
broken = abacus_ops:NotThere
frameless = abacus_frameless:FramelessOps
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on Python's path with the back end of docs/backends.md, and two that cannot be loaded."""
    place = docs_pages.installed(tmp_path_factory.mktemp("plugin"), "backends.md", "abacus_ops.py", ENTRIES)
    (place / "abacus_frameless.py").write_text("from no_such_framework import Ops\n")
    return place


@pytest.fixture
def abacus(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(plugin))
    back = ops.open("abacus")
    yield back
    layouts.AXES.pop("abacus", None)
    sys.modules.pop("abacus_ops", None)


def portavoz(*args: Any, plugin: Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{plugin}:{SOURCE}", "OMP_NUM_THREADS": "1"}
    environment |= {"PORTAVOZ_CACHE": str(cwd / "cache"), "HOME": str(cwd)}
    command = [sys.executable, "-m", "portavoz", *map(str, args)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def test_it_is_found_and_its_facts_are_on_its_class(abacus: Ops) -> None:
    assert ops.names()[:3] == ["torch", "mlx", "numpy"] and "abacus" in ops.names()
    kind = ops.backend("abacus")
    assert (kind.name, kind.layout, kind.float64, kind.trains) == ("abacus", "abacus", False, False)
    assert kind.devices() == ["abacus:0 ten wires"]
    assert "abacus" in ops.layout_names() and ops.preferred() == "torch"
    assert ops.open("abacus", beads=7).beads == 7


def test_a_model_gives_it_every_tensor_with_path_and_role(abacus: Ops) -> None:
    w = Weights.fresh(abacus)
    conv = w.conv1d("a.conv", 3, 4, 5)
    w.linear("b", 4, 2)
    assert abacus.roles == {"a.conv.weight": "conv1d", "a.conv.bias": "", "b.weight": "linear", "b.bias": ""}
    assert conv.weight.shape == (5, 3, 4)


def test_its_layout_works_there_and_back(abacus: Ops) -> None:
    rng = np.random.default_rng(0)
    kernel, x = rng.normal(size=(4, 3, 5)), rng.normal(size=(2, 9, 3))
    there = relayout(kernel, "conv1d", "torch", "abacus")
    assert there.shape == (5, 3, 4)
    assert np.array_equal(relayout(there, "conv1d", "abacus", "torch"), kernel)
    plain = Weights({"c.weight": kernel, "c.bias": np.zeros(4)}, Ops()).conv1d("c", 3, 4, 5)
    stored = Weights({"c.weight": there, "c.bias": np.zeros(4)}, abacus, layout="abacus").conv1d("c", 3, 4, 5)
    assert np.array_equal(plain(x), stored(x))
    with pytest.raises(WeightError, match=r"pass layout='abacus'"):
        Weights({"c.weight": there, "c.bias": np.zeros(4)}, abacus).conv1d("c", 3, 4, 5)


def test_errors_name_it(abacus: Ops) -> None:
    with pytest.raises(BackendError, match="the back end 'abacus' has no option 'device': it has beads"):
        ops.open("abacus", device="cuda")
    with pytest.raises(BackendError, match="the back end 'abacus' computes no gradients"):
        abacus.gradients(lambda: 0, {})
    with pytest.raises(BackendError, match="there is no back end 'slide-rule': choose one of abacus,"):
        ops.open("slide-rule")
    with pytest.raises(BackendError, match="'broken': abacus_ops:NotThere is not a subclass of Ops with this name"):
        ops.open("broken")
    with pytest.raises(MissingExtra, match=r"'frameless' needs the package 'no_such_framework': pip install no_such"):
        ops.open("frameless")


def test_it_does_not_train(abacus: Ops) -> None:
    pytest.importorskip("torch")
    from portavoz.errors import SpecError
    from portavoz.ops.torch import TorchOps
    from portavoz.train.tasks.cross_backend import CrossBackendModel

    TrainConfig(corpus="toy", backend="abacus")
    with pytest.raises(SpecError, match="the back end 'abacus' computes no gradients"):
        CrossBackendModel("abacus", Weights.fresh(TorchOps()), lambda w: None)
    with pytest.raises(SpecError, match="backend 'slide-rule': choose one of torch, mlx"):
        TrainConfig(corpus="toy", backend="slide-rule")


def test_it_speaks_and_is_compared(plugin: Path, tmp_path: Path) -> None:
    portavoz("say", "Hello.", "--backend", "abacus", "-o", "a.wav", plugin=plugin, cwd=tmp_path)
    portavoz("say", "Hello.", "--backend", "numpy", "-o", "n.wav", plugin=plugin, cwd=tmp_path)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "n.wav").read_bytes()
    args = ("lab", "compare", "compact", "--backend", "abacus", "--reference", "torch", "--seeds", "1", "--json")
    report = json.loads(portavoz(*args, plugin=plugin, cwd=tmp_path).stdout)
    assert report["pass"] and report["backend"] == "abacus" and report["runs"]
    done = portavoz("say", "Hello.", "--backend", "slide-rule", "-o", "a.wav", plugin=plugin, cwd=tmp_path, code=2)
    assert "choose one of abacus" in done.stderr and "Traceback" not in done.stderr


def test_its_layout_is_one_of_the_command_line(plugin: Path, tmp_path: Path) -> None:
    portavoz("lab", "kit", "compact", "-o", "kit", "--layout", "abacus", plugin=plugin, cwd=tmp_path)
    assert json.loads((tmp_path / "kit" / "kit.json").read_text())["layout"] == "abacus"
    done = portavoz("weights", "audit", "x.safetensors", "--layout", "beads", plugin=plugin, cwd=tmp_path, code=2)
    assert "there is no layout 'beads': choose one of torch, mlx, abacus" in done.stderr


def test_no_list_of_back_ends_stands_elsewhere() -> None:
    """Outside ops two back ends are never named side by side; the exceptions are no lists of them."""
    two = re.compile(r"""[\[({]["'](torch|mlx|numpy)["'], ?["'](?!\1)(torch|mlx|numpy)["']""")
    places = [p for p in (SOURCE / "portavoz").rglob("*.py") if p.parent.name != "ops"]
    assert [p for p in places if two.search(p.read_text(encoding="utf-8"))] == []
