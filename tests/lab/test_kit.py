"""A kit: the same numbers in every layout, the same bytes every time; a port by it passes, a fault in it is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import kit_port
import numpy as np
import pytest
from kit_port import Port
from probes import CONFIGS, compact

from portavoz.errors import InputError
from portavoz.lab.compare import compare
from portavoz.lab.forcing.noise_floor import write as traced
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.kit import kit
from portavoz.lab.report.text import first_line, lines
from portavoz.lab.report.verdict import Verdict
from portavoz.lab.trace.reader import read
from portavoz.lab.trace.recorder import record
from portavoz.ops.base import COMPOSITE_OPS, LEAF_OPS, STRUCTURAL_OPS
from portavoz.weights.layout import relayout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compact family's kit, weights as MLX has them."""
    folder = tmp_path_factory.mktemp("kits") / "mlx"
    kit.write("compact", folder, layout="mlx")
    return folder


def judged(made: Path, trace: Path) -> tuple[Verdict, list[kit.Progress]]:
    opened = kit.open_kit(made)
    verdict = compare(opened.subject, read(trace))
    return verdict, kit.progress(opened, verdict)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_bytes_every_time_and_the_same_numbers_in_each_layout(made: Path, tmp_path: Path) -> None:
    about = kit.write("compact", tmp_path / "torch")
    kit.write("compact", tmp_path / "again", layout="mlx")
    first, again, torch = files(made), files(tmp_path / "again"), files(tmp_path / "torch")
    assert first == again
    goldens = [name for name in first if name.startswith("goldens/") or name == "inputs.safetensors"]
    assert len(goldens) == 5 and all(first[name] == torch[name] for name in goldens)
    mine, theirs = (kit_port.opened(folder / "weights.safetensors")[0] for folder in (made, tmp_path / "torch"))
    moved = 0
    for name, a in mine.items():
        role = about["tensors"][name]["role"]
        assert np.array_equal(relayout(a, role, "mlx", "torch"), theirs[name])
        moved += not np.array_equal(a.ravel(), theirs[name].ravel())
    assert moved >= 10
    assert sum(p.stat().st_size for p in made.rglob("*")) < 3e6


def test_every_word_has_its_vectors(made: Path) -> None:
    units = list(read(made / "goldens" / "0-words.trace").units.values())
    assert {unit.op for unit in units} == {*LEAF_OPS, *STRUCTURAL_OPS, *COMPOSITE_OPS}
    assert len({unit.key for unit in units}) == len(units) >= 90
    first = [unit.shapes["in0"] for unit in units if "in0" in unit.shapes]
    assert sum(shape[0] == 1 for shape in first) >= 20 and sum(len(s) > 1 and s[1] == 1 for s in first) >= 10


def test_a_port_that_follows_the_page_passes_stage_after_stage(made: Path, tmp_path: Path) -> None:
    port = Port(made)
    assert port.check_weights() == []
    port.every_word()
    verdict, stages = judged(made, port.dump(tmp_path / "words.trace"))
    assert verdict.answer == "UNDECIDABLE" and [s.judged for s in stages][1:] == [0, 0, 0]
    assert kit.settle(verdict, stages[:1]).answer == "PASS", lines(verdict)

    # One stage alone starts from the golden's own values.
    alone, golden = Port(made), kit_port.opened(made / "goldens" / "2-decode.trace")[0]
    alone.vocode(golden["mel#0:out"])
    verdict, stages = judged(made, alone.dump(tmp_path / "vocode.trace"))
    assert [s.done for s in stages] == [False, False, False, True] and not verdict.faults, lines(verdict)
    assert kit.settle(verdict, stages).reason == "missing, or partial: words, encode, decode"

    whole = Port(made)
    whole.everything()
    verdict, stages = judged(made, whole.dump(tmp_path / "port.trace"))
    assert verdict.answer == "PASS" and all(s.done for s in stages), lines(verdict)
    assert kit.settle(verdict, stages).reason == "every unit of words, encode, decode, vocode passed"
    assert verdict.largest_clean < 8


def word(name: str, body: Callable[..., object]) -> Callable[[Port], None]:
    """A fault in one word of the port, which is given its original first."""

    def edit(port: Port) -> None:
        own = port.words[name]
        port.words[name] = lambda *args, **named: body(own, *args, **named)

    return edit


def tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Port], None]:
    """A fault in one tensor of the port."""

    def edit(port: Port) -> None:
        port.w = {**port.w, name: change(port.w[name])}

    return edit


FIRST = "acoustic.encoder.stack.layers.0"
FAULTS: dict[str, tuple[Callable[[Port], None], str, str, str]] = {
    "no scale": (
        lambda port: setattr(port, "scale", lambda size: 1.0), "edge:acoustic", "encode", "a missing scale",
    ),
    "gelu by tanh": (
        word("gelu", lambda own, x, approximate: own(x, True)), "leaf:words.gelu.plain1", "words", "gelu_tanh",
    ),
    "a kernel read as PyTorch's": (
        tensor("words.conv1d.square.weight", lambda w: w.transpose(0, 2, 1)), "leaf:words.conv1d.square", "words",
        "axes 1 and 2 exchanged",
    ),
    "a transposed matrix": (
        tensor(f"{FIRST}.attention.v.weight", lambda w: w.T), f"leaf:{FIRST}.attention.v", "encode", "transposed",
    ),
    "a dropped bias": (
        tensor("acoustic.decoder.place.bias", lambda b: 0 * b), "leaf:acoustic.decoder.place", "decode", "bias",
    ),
    "no gamma": (
        tensor("vocoder.blocks.0.gamma", np.ones_like), "edge:vocoder.blocks.1.depthwise", "vocode", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_in_it_is_the_first_line(name: str, made: Path, tmp_path: Path) -> None:
    edit, where, stage, cause = FAULTS[name]
    port = Port(made)
    edit(port)
    port.everything()
    verdict, stages = judged(made, port.dump(tmp_path / "port.trace"))
    assert verdict.answer == "FAIL" and first_line(verdict).startswith("FIRST WRONG: ")
    assert verdict.faults[0].id.startswith(where), [c.id for c in verdict.faults]
    assert cause in verdict.faults[0].cause
    assert next(s for s in stages if s.wrong).stage == stage


def test_durations_are_decisions(made: Path, tmp_path: Path) -> None:
    port = Port(made)
    given = kit_port.opened(made / "inputs.safetensors")[0]
    port.encode(given["ids"], given["lengths"], given["speaker"])
    expected = json.loads((made / "expected.json").read_text())
    durations = port.tensors["durations#0:out"]
    assert durations.tolist() == expected["durations"]
    index, place = kit_port.spread(durations)
    assert index.tolist() == expected["index"] and np.allclose(place, expected["place"], atol=1e-6)
    port.tensors["durations#0:out"] = durations + (np.arange(durations.size).reshape(durations.shape) == 3)
    verdict, _ = judged(made, port.dump(tmp_path / "port.trace"))
    assert [c.id for c in verdict.faults] == ["value:durations"]


@pytest.mark.slow
def test_the_other_vocoder(tmp_path: Path) -> None:
    kit.write("compact", tmp_path, config="hifigan")
    opened = kit.open_kit(tmp_path)
    verdict = compare(opened.subject, record(compact(CONFIGS["hifigan"], ops="torch")))
    assert [s.done for s in kit.progress(opened, verdict)] == [False, True, True, True] and not verdict.faults


def test_the_reference_package_as_a_port_of_speecht5(tmp_path: Path) -> None:
    from portavoz.families.speecht5.config import TINY
    from portavoz.families.speecht5.probe import run
    from portavoz.families.speecht5.reference.transformers import Reference, ReferenceStages

    made = tmp_path / "kit"
    about = kit.write("speecht5", made, layout="mlx")
    assert [s["name"] for s in about["stages"]] == ["words", "encode", "first_step", "steps", "postnet", "vocode"]
    assert about["expected"]["stop_step"] != [0, 0] and any(map(any, about["expected"]["fires"]))
    # transformers' own module, with the kit's weights and inputs, writes a trace like anybody else.
    stored, inputs = (kit_port.opened(made / f"{name}.safetensors")[0] for name in ("weights", "inputs"))
    arrays = {k: relayout(a, about["tensors"][k]["role"], "mlx", "torch") for k, a in stored.items()}
    model = Reference.fresh(TINY, 5)
    loaded(model, arrays)
    given = {name: a.copy() for name, a in inputs.items()}
    port = TorchProgram(
        lambda: run(ReferenceStages(model), given, TINY),
        modules={"": model.model, "vocoder": model.vocoder},
    )
    traced(port, tmp_path / "port.trace", floors=False)
    verdict, stages = judged(made, tmp_path / "port.trace")
    assert not verdict.faults and [s.done for s in stages] == [False, True, True, True, True, True], lines(verdict)


def loaded(model: object, arrays: dict[str, np.ndarray]) -> None:
    """The kit's weights in the reference's modules, letter for letter."""
    import torch

    for module, prefix in ((model.model, ""), (model.vocoder, "vocoder.")):  # type: ignore[attr-defined]
        own = module.state_dict()
        named = {k: torch.from_numpy(arrays[prefix + k].copy()) for k in own if prefix + k in arrays}
        assert len(named) > 10
        module.load_state_dict(named, strict=False)


def test_what_is_refused(made: Path, tmp_path: Path) -> None:
    for family, how, sentence in (
        ("abacus", {}, "there is no kit of the family"),
        ("compact", {"layout": "onnx"}, "there is no layout"),
        ("compact", {"config": "huge"}, "choose one of istft, hifigan"),
        ("speecht5", {"config": "base"}, "choose one of tiny"),
    ):
        with pytest.raises(InputError, match=sentence):
            kit.write(family, tmp_path / "x", **how)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="the folder cannot be created"):
        kit.write("compact", tmp_path / "file")
    with pytest.raises(InputError, match="no kit"):
        kit.open_kit(tmp_path)
    (tmp_path / "kit.json").write_text('{"format": "other"}')
    with pytest.raises(InputError, match="make the kit again"):
        kit.open_kit(tmp_path)
    shutil.copytree(made, tmp_path / "copy")
    (tmp_path / "copy" / "weights.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="the kit is damaged"):
        kit.open_kit(tmp_path / "copy")
