"""``portavoz weights audit``, ``convert --layout``, ``diff`` and ``repair``: what they say, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import desks
import numpy as np
import pickles
import pytest

Arrays = dict[str, Any]
UP = "upsampler.0.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint in the folder that commands run in."""
    return desks.speecht5(tmp_path / "ours")


def test_audit_of_a_whole_checkpoint(run, folder: Path) -> None:
    done = run("weights", "audit", "ours")
    said = done.out.decode()
    assert (done.code, done.err) == (0, "")
    assert said.count("OK: nothing is wrong as far as the file alone can tell") == 2
    assert "ours: speecht5's model, 117 of 117 tensors found" in said
    assert "ours/vocoder: speecht5's vocoder, 42 of 42 tensors found" in said
    assert "conv1d kernels, declared torch: 18 torch (out in k); known: 18 by declared shape" in said
    assert run("weights", "audit", "ours/model.safetensors", "--family", "speecht5", "--against", "ours").code == 0


def test_a_file_with_one_kernel_in_the_other_order_is_reported_exactly_so(run, folder: Path) -> None:
    file = folder / "vocoder" / "model.safetensors"
    odd = "resblocks.1.convs2.0.weight"
    desks.spoiled(file, Path("odd.safetensors"), lambda held: desks.turned(file, held, [odd]))
    done = run("weights", "audit", "odd.safetensors", "--family", "speecht5", "--config", "tiny")
    said = done.out.decode()
    assert done.code == 1
    assert "conv1d kernels, declared torch: 17 torch (out in k), 1 mlx (out k in); known: 18 by declared shape" in said
    assert "conv_transpose1d kernels, declared torch: 2 torch (in out k); known: 2 by declared shape" in said
    assert (
        f"FAULT layout: {odd}: this conv1d kernel is in mlx's order (out k in), known by declared shape, not in "
        "torch's (out in k), as the file declares; 19 kernels are"
    ) in said
    assert "1 fault, 1 with a certain remedy" in said

    told = json.loads(run("weights", "audit", "odd.safetensors", "--against", "ours", "--json").out)
    assert told["schema"] == 1 and told["ok"] is False
    (part,) = told["parts"]
    assert part["layout"]["kernels"] == {"conv1d": {"torch": 17, "mlx": 1}, "conv_transpose1d": {"torch": 2}}
    assert [(f["kind"], f["path"], f["certain"]) for f in part["faults"]] == [("layout", odd, True)]
    rows = {row["path"]: row for row in part["tensors"]}
    assert rows[odd]["layout"] == "mlx" and rows[odd]["verdict"] == "equal"
    assert rows[odd]["crc"] == rows[odd]["reference"]["crc"]


def test_a_transpose_is_seen_by_the_checksum_and_by_nothing_else(run, folder: Path) -> None:
    name = "speecht5.encoder.wrapped_encoder.layers.0.attention.q_proj.weight"

    def change(held: Arrays) -> None:
        held[name] = held[name].T

    desks.spoiled(folder / "model.safetensors", Path("m.safetensors"), change)
    told = json.loads(run("weights", "audit", "m.safetensors", "--against", "ours", "--json").out)
    row = next(row for row in told["parts"][0]["tensors"] if row["path"] == name)
    assert [row[k] for k in ("shape", "dtype", "min", "max")] == [
        *([32, 32], "F32"), row["reference"]["min"], row["reference"]["max"],
    ]  # fmt: skip
    assert row["mean"] == pytest.approx(row["reference"]["mean"], rel=1e-12)
    assert row["crc"] != row["reference"]["crc"] and row["verdict"] == "is transposed"


def test_there_and_back_is_the_same_file(run, folder: Path) -> None:
    for part, count, size in (("model", 117, 0.2), ("vocoder", 42, 0.1)):
        file = folder / ("model.safetensors" if part == "model" else "vocoder/model.safetensors")
        done = run("weights", "convert", str(file), "mlx.safetensors", "--layout", "mlx")
        assert (done.code, done.err) == (0, f"portavoz: mlx.safetensors: {count} tensors, {size} MB\n")
        assert Path("mlx.safetensors").read_bytes() != file.read_bytes()
        back = run("weights", "convert", "mlx.safetensors", "back.safetensors", "--layout", "torch", "--config", "tiny")
        assert "byte for byte what it was made from" in back.err
        assert Path("back.safetensors").read_bytes() == file.read_bytes()


def test_diff(run, folder: Path) -> None:
    def change(held: Arrays) -> None:
        held["conv_pre.bias"] *= 2
        held["new"] = held.pop("conv_post.bias")

    file = folder / "vocoder" / "model.safetensors"
    desks.spoiled(file, Path("b.safetensors"), change)
    done = run("weights", "diff", str(file), "b.safetensors")
    assert done.code == 1
    lines = done.out.decode().splitlines()
    assert lines[0] == "40 tensors equal, 0 equal to rounding, 1 different"
    assert f"conv_pre.bias: is {file}'s times 2" in lines and "only in b.safetensors: new" in lines
    assert run("weights", "diff", str(file), str(file)).code == 0
    assert json.loads(run("weights", "diff", str(file), str(file), "--json").out)["equal"] == 42


def test_repair(run, refused, folder: Path) -> None:
    file = folder / "vocoder" / "model.safetensors"

    def change(held: Arrays) -> None:
        desks.turned(file, held, [UP])
        held["conv_pre.weight"] = held["conv_pre.weight"][:, :, ::-1]

    desks.spoiled(file, Path("v.safetensors"), change)
    done = run("weights", "repair", "v.safetensors", "--against", str(folder / "vocoder"))
    assert (done.code, done.out) == (0, f"conv_pre.weight: flipped\n{UP}: layout\n".encode())
    assert done.err == "portavoz: v_fixed.safetensors: 2 repairs, 42 of 42 tensors equal the reference's\n"
    assert run("weights", "audit", "v_fixed.safetensors", "--against", "ours/vocoder").code == 0
    assert run("weights", "diff", "v_fixed.safetensors", str(file)).out.startswith(b"42 tensors equal")
    assert "a repair is written only if it equals the reference" in refused("weights", "repair", "v.safetensors")
    said = refused("weights", "repair", "v_fixed.safetensors", "--against", "ours/vocoder")
    assert "nothing is wrong with it" in said


def test_refusals_are_one_line(refused, run, folder: Path) -> None:
    np.savez("w.npz", a=np.ones(3))
    desks.written(Path("bare.safetensors"), {"a": np.ones(3, np.float32)})
    pickles.archive(Path("w.bin"), pickles.state(), {"0": np.arange(6, dtype=np.float32).tobytes()})
    audit = ("weights", "audit")
    assert "the following arguments are required: FILE" in refused(*audit)
    assert "the following arguments are required: B" in refused("weights", "diff", "a")
    assert "no.safetensors: there is no such file or folder" in refused(*audit, "no.safetensors")
    assert "not a readable safetensors file" in refused(*audit, "w.npz", "--family", "compact")
    assert "the family of these weights is unknown" in refused(*audit, "bare.safetensors")
    assert "give --config NAME or FILE" in refused(*audit, "bare.safetensors", "--family", "compact")
    assert "no such file and no such name" in refused(
        *audit, "bare.safetensors", "--family", "compact", "--config", "x"
    )
    assert "give --config NAME or FILE" in refused(*audit, "bare.safetensors", "--family", "speecht5")
    convert = "portavoz weights convert w.bin w.safetensors --trust-pickle"
    assert convert in refused(*audit, "w.bin", "--family", "compact")
    assert convert in refused("weights", "diff", "w.bin", "bare.safetensors")
    desks.compact(Path("c.safetensors"))
    assert "is a compact checkpoint, wanted a speecht5 one" in refused(*audit, "ours", "--against", "c.safetensors")
    assert "has no part model, which ours has" in refused(*audit, "ours", "--against", "ours/vocoder")
    assert "change the ending" in refused("weights", "convert", "ours", "o.bin", "--layout", "mlx")
    assert "change the ending" in refused("weights", "repair", "ours", "--against", "ours", "-o", "o.bin")
    vocoder = ("ours/vocoder", "--against", "ours/vocoder/config.json")
    assert "not UTF-8" in refused(*audit, "ours", "--config", "w.bin")
    assert "no weight_map in it" in refused(*audit, *vocoder)
    assert "cannot be read: there is no such file" in refused("weights", "diff", "ours", "no.safetensors")
    assert "the folder" in refused("weights", "convert", "ours", "nowhere/o.safetensors", "--layout", "mlx")
    assert "there is no layout" in refused("weights", "convert", "ours", "o.safetensors", "--layout", "tensorflow")
    assert "a pickle is a program" in refused("weights", "convert", "w.bin", "o.safetensors", "--layout", "mlx")
    assert not Path("o.safetensors").exists()


def test_a_pickle_goes_straight_into_another_layout(run, folder: Path) -> None:
    import torch

    vocoder = folder / "vocoder"
    held = {name: torch.from_numpy(a) for name, a in desks.arrays(vocoder / "model.safetensors").items()}
    torch.save(held, vocoder / "pytorch_model.bin")
    command = ("weights", "convert", "ours/vocoder/pytorch_model.bin", "mlx.safetensors", "--layout", "mlx")
    told = json.loads(run(*command, "--trust-pickle", "--json").out)
    assert told["metadata"]["layout"] == "mlx" and told["metadata"]["converted_from"] == "pytorch_model.bin"
    assert run("weights", "audit", "mlx.safetensors", "--against", "ours/vocoder").code == 0
    assert (
        run("weights", "convert", "mlx.safetensors", "t.safetensors", "--layout", "torch", "--config", "tiny").code == 0
    )
    assert run("weights", "diff", "t.safetensors", "ours/vocoder/model.safetensors").code == 0


def test_metadata_that_tells_nonsense_is_only_metadata(run, refused, folder: Path) -> None:
    for before in ("no JSON", "[]", '{"metadata": 3, "sha256": 4}', "{}"):
        held = desks.arrays(folder / "vocoder" / "model.safetensors")
        desks.written(Path("m.safetensors"), held, {"format": "pt", "before": before})
        chosen = ("--layout", "mlx", "--config", "tiny", "--family", "speecht5")
        done = run("weights", "convert", "m.safetensors", "o.safetensors", *chosen, "--json")
        assert done.code == 0, done
        assert json.loads(done.out)["restored"] is False
    desks.written(Path("c.safetensors"), {"a": np.ones(1, np.float32)}, {"family": "compact", "config": "{"})
    assert "the configuration in its metadata is not JSON" in refused("weights", "audit", "c.safetensors")


def test_every_verb_takes_a_voice_by_its_name_as_the_reference(run, refused, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORTAVOZ_VOICES", str(tmp_path / "voices"))
    (voice := tmp_path / "voices" / "mine").mkdir(parents=True)
    model, odd = desks.compact(voice / "model.safetensors"), ["vocoder.blocks.0.depthwise.weight"]
    about = {
        "format": 1,
        "name": "mine",
        "family": "compact",
        "speakers": ["mine"],
        "files": {"model.safetensors": {"sha256": "", "bytes": 0}},
    }
    (voice / "voice.json").write_text(json.dumps({**about, "config": desks.MINIMAL.to_dict()}))
    desks.spoiled(model, Path("odd.safetensors"), lambda held: desks.turned(model, held, odd))
    against = ("--against", "mine")
    assert run("weights", "audit", "odd.safetensors", *against).code == 1
    assert run("weights", "repair", "odd.safetensors", *against, "-o", "fixed.safetensors").code == 0
    assert run("weights", "convert", "odd.safetensors", "o.safetensors", "--layout", "mlx", "--fix", *against).code == 0
    for name in ("fixed", "o"):
        assert run("weights", "audit", f"{name}.safetensors", *against).code == 0
    assert "nobody: there is no such file" in refused("weights", "audit", "odd.safetensors", "--against", "nobody")
