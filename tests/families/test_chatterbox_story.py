"""What real ports of Chatterbox got wrong in their files, found by `portavoz weights audit` and undone by `repair`.

The files are tiny and random, with the names of the published ones. What is wrong in code (an invented gain between
flow and vocoder) is in the lab's catalogue: test_chatterbox_lab.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chatterbox_models as models
import numpy as np
import pytest

from portavoz.cli.main import main
from portavoz.families.chatterbox import names
from portavoz.weights import file

GEN = "s3gen.safetensors"
Tensors = dict[str, Any]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.published(tmp_path_factory.mktemp("story") / "reference")


def kernels(tensors: Tensors, prefix: str) -> list[str]:
    """Names of one-dimensional convolutions' kernels, or of their directions, that are no length of weight norm."""
    return [k for k, v in tensors.items() if k.startswith(prefix) and v.ndim == 3 and "original0" not in k]


def one_kernel(tensors: Tensors) -> int:
    name = "flow.decoder.estimator.mid_blocks.0.0.block1.block.0.weight"
    tensors[name] = tensors[name].transpose(0, 2, 1)
    return 1


def all_but_one(tensors: Tensors) -> int:
    found = [k for k in kernels(tensors, "mel2wav.") if ".ups." not in k and tensors[k].shape[1] != tensors[k].shape[2]]
    for name in found[1:]:
        tensors[name] = tensors[name].transpose(0, 2, 1)
    return len(found) - 1


def turned_the_other_way(tensors: Tensors) -> int:
    found = kernels(tensors, "mel2wav.ups.")
    for name in found:
        tensors[name] = tensors[name].transpose(0, 2, 1)
    return len(found)


def without_the_estimator(tensors: Tensors) -> int:
    found = [k for k in tensors if k.startswith("flow.decoder.estimator.")]
    for name in found:
        tensors[name.replace(".estimator.", ".", 1)] = tensors.pop(name)
    return len(found)


def stored_transposed(tensors: Tensors) -> int:
    name = "flow.encoder.encoders.0.feed_forward.w_1.weight"
    tensors[name] = tensors[name].T
    return 1


def square_ones_transposed(tensors: Tensors) -> int:
    found = [
        k
        for k, v in tensors.items()
        if k.startswith("flow.encoder.encoders.") and v.ndim == 2 and v.shape[0] == v.shape[1]
    ]
    for name in found:
        tensors[name] = tensors[name].T
    return len(found)


@pytest.mark.parametrize(
    ("change", "seen_alone"),
    [
        pytest.param(one_kernel, True, marks=pytest.mark.slow),
        (all_but_one, True),
        pytest.param(turned_the_other_way, True, marks=pytest.mark.slow),
        pytest.param(without_the_estimator, True, marks=pytest.mark.slow),
        pytest.param(stored_transposed, True, marks=pytest.mark.slow),
        (square_ones_transposed, False),  # by shape, mean and range they are what they should be
    ],
)
def test_a_ports_file_is_audited_and_repaired(
    change: Callable[[Tensors], int],
    seen_alone: bool,
    reference: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = tmp_path / "port"
    shutil.copytree(reference, port)
    tensors = dict(file.read(port / GEN)[0])
    wrong = change(tensors)
    file.write(port / GEN, {k: np.ascontiguousarray(v) for k, v in tensors.items()}, {"format": "pt"})
    assert main(["weights", "audit", str(port / GEN)]) == int(seen_alone)
    capsys.readouterr()
    assert main(["weights", "audit", str(port), "--against", str(reference), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert sum(len(part["faults"]) for part in report["parts"]) >= 1
    fixed = tmp_path / "fixed.safetensors"
    assert main(["weights", "repair", str(port / GEN), "--against", str(reference / GEN), "-o", str(fixed)]) == 0
    assert f"{wrong} repairs, " in capsys.readouterr().err
    # The fixed file is the reference's: what is read from it is the same, tensor by tensor.
    config = models.config("tiny")
    ours, theirs = (names.folded(file.read(path)[0], config) for path in (fixed, reference / GEN))
    for name, value in theirs.items():
        if name in ours:
            assert np.array_equal(ours[name], value), name


def test_a_faultless_folder_has_every_tensor_of_its_three_files_accounted_for(
    reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "audit", str(reference)]) == 0
    said = capsys.readouterr().out
    assert said.count("OK: nothing is wrong") == 3
    assert main(["weights", "audit", str(reference), "--part", "s3gen"]) == 0
    assert capsys.readouterr().out.count("OK: nothing is wrong") == 1
    assert main(["weights", "audit", str(reference), "--part", "vocoder"]) == 2
    assert "t3, s3gen, voice" in capsys.readouterr().err


def test_gpt2s_matrices_are_in_out_and_one_that_is_not_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Turbo's T3 is stored as GPT-2's library has it; a port that turned one matrix of each kind, a square one too."""
    right = models.published(tmp_path / "right", "tiny-turbo")
    t3 = "t3_turbo_v1.safetensors"
    assert main(["weights", "audit", str(right / t3)]) == 0
    assert "OK" in capsys.readouterr().out
    shutil.copytree(right, tmp_path / "port")
    tensors, metadata = file.read(right / t3)
    wrong = ("tfmr.h.0.mlp.c_fc.weight", "tfmr.h.1.attn.c_proj.weight")
    file.write(
        tmp_path / "port" / t3,
        {k: np.ascontiguousarray(v.T) if k in wrong else v for k, v in tensors.items()},
        metadata,
    )
    given = [str(tmp_path / "port" / t3), "--against", str(right / t3)]
    assert main(["weights", "audit", *given]) == 1
    said = capsys.readouterr().out
    assert all(f"transposed: {name}" in said for name in wrong)
    assert main(["weights", "repair", *given, "-o", str(tmp_path / "fixed.safetensors")]) == 0
    fixed = file.read(tmp_path / "fixed.safetensors")[0]
    for name in tensors:
        np.testing.assert_array_equal(fixed[name], tensors[name])


def test_a_port_that_made_linear_layers_of_gpt2s_matrices_is_read_as_it_is() -> None:
    config, raw = models.config("tiny-turbo"), models.raw("t3", "tiny-turbo")
    linear = {k: v.T if names.GPT2.fullmatch(k) else v for k, v in raw.items()}
    ours, theirs = names.folded(linear, config), names.folded(raw, config)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value)
