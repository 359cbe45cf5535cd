"""The lab on Chatterbox: parity with chatterbox-tts unit by unit, and planted faults found at their place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import chatterbox_models as models
import numpy as np
import pytest

from portavoz.cli.main import main
from portavoz.families.chatterbox.pipeline import made_voice
from portavoz.lab.compare import forced
from portavoz.lab.selftest.fault_injection import FaultTarget, catalogue, judge_one, planted, target
from portavoz.weights import file

FAULTS = {fault.name: fault for fault in catalogue("chatterbox")}
SAMPLE = ["a square matrix transposed", "the last step of the flow too long"]


@pytest.fixture(scope="module")
def ground() -> FaultTarget:
    return target("chatterbox", "tiny")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FAULTS if name not in SAMPLE])
def test_a_planted_fault_is_named_first(ground: FaultTarget, name: str) -> None:
    outcome = judge_one(ground, FAULTS[name], "forced")
    assert outcome.detected
    assert outcome.exact, outcome.named


@pytest.mark.parametrize("name", SAMPLE)
def test_some_planted_faults_are_named_first(ground: FaultTarget, name: str) -> None:
    test_a_planted_fault_is_named_first(ground, name)


def test_a_port_without_a_fault_passes(ground: FaultTarget) -> None:
    verdict = forced(ground.trace, planted(ground, []))
    assert verdict.answer == "PASS", [fault.id for fault in verdict.faults]


@pytest.mark.slow
@pytest.mark.parametrize("sides", [("--reference", "chatterbox"), ("--backend", "mlx", "--reference", "torch")])
def test_the_command_compares_every_stage(sides: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "compare", "chatterbox", "--config", "tiny", *sides, "--seeds", "1"]) == 0
    assert "PASS: every unit within" in capsys.readouterr().out


DAMAGED = {
    "flow.encoder.after_norm.weight": "encode",
    "flow.decoder.estimator.final_proj.weight": "flow",
    "mel2wav.conv_post.bias": "vocode",
}


@pytest.mark.slow
def test_stages_are_exchanged_at_tokens_mu_and_mel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fault of the encoder is told from one of the decoder, beside the reference and beside our own."""
    right, text = models.published(tmp_path / "right"), ("--text", "One lab.")
    made_voice(models.config(), 0).save(right / "conds.safetensors")
    assert main(["lab", "swap", f"{right}@chatterbox", f"{right}@torch", *text]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[4:]] == ["ids", "tokens", "mu", "mel", "wave"]
    for name, stage in DAMAGED.items():
        port = tmp_path / stage
        shutil.copytree(right, port)
        tensors, metadata = file.read(right / "s3gen.safetensors")
        changed = {**tensors, name: tensors[name] * np.float32(1.5)}
        file.write(port / "s3gen.safetensors", changed, metadata)
        assert main(["lab", "swap", str(right), str(port), *text, "--json"]) == 1
        report = json.loads(capsys.readouterr().out)
        assert [fault["stage"] for fault in report["faults"]] == [stage]
