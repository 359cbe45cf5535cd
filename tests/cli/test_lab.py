"""`portavoz lab compare`: the report in both forms, its exit code, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portavoz.families.speecht5.checkpoint import parse
from portavoz.families.speecht5.config import TINY
from portavoz.families.speecht5.reference.transformers import Reference

QUICK = ("lab", "compare", "speecht5", "--steps", "4", "--seeds", "1")


def test_a_comparison_that_passes(run: Any) -> None:
    done = run(*QUICK)
    lines = done.out.decode().splitlines()
    assert done.code == 0
    assert lines[0] == "speecht5, tiny, seed 0" and lines[1].startswith("PASS")
    assert "speecht5 on torch compared with transformers, seed 0" in done.err


def test_the_report_as_json_from_a_file_on_numpy(run: Any, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"model": TINY.to_dict(), "vocoder": TINY.vocoder_dict()}))
    done = run(*QUICK, "--config", "c.json", "--backend", "numpy", "--json")
    report = json.loads(done.out)
    assert done.code == 0 and report["pass"] is True
    assert (report["family"], report["reference"], report["backend"]) == ("speecht5", "transformers", "numpy")
    (found,) = report["runs"]
    assert found["probe"] == "c.json" and found["verdict"] == "PASS" and found["coverage"] == 1


def test_a_difference_is_exit_code_1_and_named(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from portavoz.families.speecht5 import decoder

    build = decoder.decoder_layer

    def broken(*given: Any) -> Any:
        layer = build(*given)
        layer.cross_attn.scale *= 1.5
        return layer

    monkeypatch.setattr(decoder, "decoder_layer", broken)
    done = run(*QUICK)
    assert done.code == 1
    assert "encoder_attn" in done.out.decode().splitlines()[1]


def test_folders_that_the_reference_wrote(run: Any, refused: Any, tmp_path: Path) -> None:
    reference = Reference.fresh(TINY, 3)
    reference.model.save_pretrained(tmp_path / "model")
    reference.vocoder.save_pretrained(tmp_path / "vocoder")
    assert run(*QUICK, "--weights", "model", "--vocoder", "vocoder").code == 0
    assert "voice 'nowhere': there is no such folder" in refused(*QUICK, "--weights", "nowhere")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--config", "huge"), "choose one of tiny, base"),
        (("--reference", "mine"), "has no reference 'mine'"),
        (("--backend", "abacus"), "there is no back end 'abacus'"),
        (("--steps", "0"), "whole numbers from 1 up"),
        (("--vocoder", "x"), "beside --weights"),
    ],
)
def test_what_is_refused(refused: Any, options: tuple[str, ...], words: str) -> None:
    assert words in refused(*QUICK, *options)


def test_a_checkpoints_configuration_finds_its_vocoders(run: Any, tmp_path: Path) -> None:
    """A model with other than 80 mels says nothing about its vocoder, whose config.json is where folders have it."""
    for place, values in ((tmp_path, TINY.to_dict()), (tmp_path / "vocoder", TINY.vocoder_dict())):
        place.mkdir(exist_ok=True)
        (place / "config.json").write_text(json.dumps(values))
    done = run(*QUICK, "--config", "config.json", "--json")
    assert done.code == 0 and json.loads(done.out)["pass"] is True
    (tmp_path / "vocoder" / "config.json").unlink()
    assert parse(TINY.to_dict(), tmp_path).vocoder.model_in_dim == 16  # the published one, on this model's bands


def test_a_configuration_that_is_no_json(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{")
    assert "cannot be read as JSON" in refused(*QUICK, "--config", "c.json")
    (tmp_path / "c.json").write_text("[1]")
    assert "give the values of a configuration" in refused(*QUICK, "--config", "c.json")
