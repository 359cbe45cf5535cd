"""Back ends by name, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from portavoz import ops
from portavoz.errors import BackendError, MissingExtra
from portavoz.ops.base import Ops


def test_the_default_is_the_oracle() -> None:
    assert type(ops.open()) is Ops
    assert ops.open("numpy").name == "numpy"


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(BackendError, match="there is no back end 'abacus': choose one of mlx, numpy, torch"):
        ops.open("abacus")


def test_an_option_that_a_back_end_has_not_is_one_sentence() -> None:
    with pytest.raises(BackendError, match="the back end 'numpy' has no option 'device': it has none"):
        ops.open("numpy", device="cuda")
    with pytest.raises(BackendError, match="the back end 'torch' has no option 'compiled': it has device, dtype"):
        ops.open("torch", compiled=True)


@pytest.mark.parametrize(
    ("installed", "first"), [(("torch", "mlx"), "torch"), (("mlx",), "mlx"), ((), "numpy")], ids=str
)
def test_the_preferred_back_end_is_one_that_is_installed(
    installed: set[str], first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in installed else None)
    assert ops.preferred() == first


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ops.BACKENDS, "abacus", ops.Entry("abacus:AbacusOps", "no_such_package_here", "beads"))
    with pytest.raises(MissingExtra, match=r"pip install 'portavoz\[beads\]'"):
        ops.open("abacus")


def test_the_words_need_numpy_and_nothing_else() -> None:
    """In a new process, as a user has it: shapes in signatures cost no package."""
    code = "import sys, portavoz.ops.profiler, portavoz.ops.wrapper, portavoz.weights.audit, portavoz.blocks.hifigan;"
    heavy = "{'torch', 'jaxtyping', 'beartype', 'onnxruntime', 'safetensors'} & set(sys.modules)"
    run = subprocess.run([sys.executable, "-c", f"{code} print(sorted({heavy}))"], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr
