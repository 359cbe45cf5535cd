"""`portavoz lab compare FAMILY --reference BACKEND`: one back end beside another."""

from __future__ import annotations

import json
from typing import Any

import mlx.core as mx
import pytest

from portavoz.ops.mlx import MlxOps

PROBES = {"compact": ["istft", "hifigan", "source_filter"], "speecht5": ["tiny"]}


@pytest.mark.parametrize("family", PROBES)
def test_mlx_beside_torch_passes(run: Any, family: str) -> None:
    done = run("lab", "compare", family, "--config", "tiny", "--backend", "mlx", "--reference", "torch", "--seeds", "1")
    said = done.out.decode()
    assert done.code == 0
    assert [line for line in said.splitlines() if line.startswith(family)][:1] == [
        f"{family}, {PROBES[family][0]}, seed 0"
    ]
    assert said.count("PASS: every unit within 16 floors") == len(PROBES[family])


def test_a_wrong_word_is_named_in_the_report(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MlxOps, "gelu", lambda self, x, approximate=False: x * mx.sigmoid(1.702 * x))
    done = run("lab", "compare", "compact", "--backend", "mlx", "--reference", "numpy", "--seeds", "1", "--json")
    report = json.loads(done.out)
    assert done.code == 1 and report["pass"] is False
    assert (report["family"], report["reference"], report["backend"]) == ("compact", "numpy", "mlx")
    assert [run["probe"] for run in report["runs"]] == PROBES["compact"]
    wrong = {one["id"] for one in report["runs"][0]["faults"]}
    assert wrong and all(name.startswith("leaf:") and "/gelu." in name for name in wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--config", "base"), "--reference torch compares back ends on the family's tiny probes"),
        (("--seeds", "0"), "--seeds 0: give whole numbers from 1 up"),
        (("--backend", "abacus"), "there is no back end 'abacus'"),
    ],
)
def test_what_is_refused(refused: Any, options: tuple[str, ...], words: str) -> None:
    assert words in refused("lab", "compare", "compact", "--reference", "torch", *options)


def test_a_family_without_a_probe_is_refused(refused: Any) -> None:
    assert "lab compare abacus: give a port too, or a family alone" in refused(
        "lab", "compare", "abacus", "--reference", "torch"
    )
