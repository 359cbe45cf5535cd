"""Pickled checkpoints: converted number for number; more than tensors is refused, and nothing of it runs."""

from __future__ import annotations

import builtins
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pickles
import pytest
import torch

from portavoz.errors import InputError, WeightError
from portavoz.weights import convert as room
from portavoz.weights import file, shards
from portavoz.weights.convert import convert


def converted(source: Path, **options: Any) -> dict[str, np.ndarray]:
    convert(source, source.with_suffix(".safetensors"), trust_pickle=True, **options)
    return file.read(source.with_suffix(".safetensors"))[0]


def refusal(source: Path) -> str:
    """Why a file is not converted; nothing may be left of the attempt."""
    before = sorted(os.listdir(source.parent))
    with pytest.raises(WeightError) as problem:
        convert(source, source.with_suffix(".safetensors"), trust_pickle=True)
    assert sorted(os.listdir(source.parent)) == before
    message = str(problem.value)
    assert message.startswith(f"{source}: ")
    assert "Traceback" not in message and "\n" not in message
    return message


def test_every_number_of_every_kind(tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = torch.randn(5, 6)
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
    state = {str(k): (10 * torch.randn(3, 4)).to(k) for k in [*kinds, torch.int8, torch.bool]}
    state |= {"u8": torch.arange(7, dtype=torch.uint8), "none": torch.zeros(0, 3), "one": torch.tensor(7)}
    state |= {"base": base, "turned": base.t(), "window": base[1:4, 2:5], "tied": base, "every": base[::2, ::3]}
    state["parameter"] = torch.nn.Parameter(torch.randn(2, 2))
    torch.save(state, tmp_path / "w.bin")
    found = converted(tmp_path / "w.bin")
    assert sorted(found) == sorted(state)
    for name, value in state.items():
        value = value.detach().float() if value.dtype == torch.bfloat16 else value.detach()
        assert np.array_equal(found[name], value.numpy()), name
        assert found[name].shape == tuple(value.shape)


def test_a_module_with_everything_around_it(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Conv1d(3, 4, 3), torch.nn.BatchNorm1d(4))
    torch.save(module.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"model_type": "speecht5"}', encoding="utf-8")
    done = convert(
        tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors", trust_pickle=True, metadata={"note": "é"}
    )
    about = done["metadata"]
    assert about["family"] == "speecht5" and about["layout"] == "torch" and about["note"] == "é"
    assert about["converted_from"] == "pytorch_model.bin" and len(about["sha256"]) == 64
    assert done["tensors"] == 7 and done["bytes"] == (tmp_path / "model.safetensors").stat().st_size
    # What reads a checkpoint in the reference reads ours.
    from safetensors.torch import load_file

    module.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)


def test_without_trust_it_stays_closed(tmp_path: Path) -> None:
    pickles.archive(tmp_path / "w.bin", pickles.calling(os.system, f"touch {tmp_path}/run"))
    with pytest.raises(WeightError, match="a pickle is a program that runs when it is opened; with --trust-pickle"):
        convert(tmp_path / "w.bin", tmp_path / "w.safetensors")
    assert os.listdir(tmp_path) == ["w.bin"]


def hostile(function: Callable[..., Any], *args: object) -> Callable[[Path], bytes]:
    return lambda folder: pickles.calling(function, *(a.format(folder) if isinstance(a, str) else a for a in args))


def nested(folder: Path) -> bytes:
    """getattr(OrderedDict, "__init__").__globals__ and the like begin with getattr."""
    return pickles.calling(getattr, pickles.Call(__import__, "os"), "system")


def rewritten(folder: Path) -> bytes:
    """A tensor that was checked, then moved far beyond its storage."""
    change = pickle.dumps({"offset": 1 << 40, "size": (1 << 30,)}, protocol=2)[2:-1]
    return pickles.state(after=change + b"b")


def protocol4(folder: Path) -> bytes:
    return pickle.dumps({"w": pickles.Call(os.system, f"touch {folder}/run")}, protocol=4)


ATTACKS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "os.system": (hostile(os.system, "touch {}/run"), "system, and only tensors are read"),
    "protocol 4": (protocol4, "system, and only tensors are read"),
    "builtins.eval": (hostile(eval, "open('{}/run', 'w')"), "it asks for __builtin__.eval"),
    "builtins.exec": (hostile(exec, "open('{}/run', 'w')"), "exec, and only tensors are read"),
    "open": (hostile(builtins.open, "{}/run", "w"), "open, and only tensors are read"),
    "subprocess": (hostile(subprocess.Popen, ["touch", "run"]), "Popen, and only tensors are read"),
    "socket": (hostile(socket.create_connection, ("127.0.0.1", 9)), "it asks for socket.create_connection"),
    "import": (hostile(__import__, "this"), "__import__, and only tensors are read"),
    "nested": (nested, "getattr, and only tensors are read"),
    "numpy": (hostile(np.fromfile, "/etc/passwd"), "it asks for numpy"),
    "torch.load": (hostile(torch.load, "other.bin"), "it asks for torch.serialization.load"),
    "dotted": (lambda _: b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.", "only tensors are read"),
    "rewritten": (rewritten, "it changes a tensor after making it"),
    "call a storage": (lambda _: b"\x80\x02" + pickles.FLOAT.encode() + b")R.", "its pickle is damaged (TypeError"),
    "extension": (lambda _: b"\x80\x02\x82\x01.", "its pickle is damaged (ValueError"),
    "huge memo": (lambda _: b"\x80\x02}r\xff\xff\xff\x7f.", "memory"),
    "huge text": (lambda _: b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x.", "its pickle is damaged"),
    "no end": (lambda _: b"\x80\x02}", "its pickle is damaged (EOFError"),
    "deep": (lambda _: b"\x80\x02" + b"(" * 200_000, "its pickle is damaged"),
    "not a dict": (lambda _: pickle.dumps([1, 2]), "it does not hold a state dict"),
    "no tensor": (lambda _: pickle.dumps({"step": 5}), "its entry 'step' is not a tensor; save the state dict alone"),
    "numbers as names": (lambda _: pickles.state().replace(b"X\x06\0\0\0weight", b"K\x05"), "its entry '5' is not"),
    "empty": (lambda _: b"", "its pickle is damaged (EOFError"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_pickles_that_are_more_than_tensors(tmp_path: Path, name: str) -> None:
    make, said = ATTACKS[name]
    message = refusal(pickles.archive(tmp_path / "w.bin", make(tmp_path)))
    assert said in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"size": (2, 4)}, "a tensor of the size (2, 4) is said to lie in a storage of 6 numbers"),
        ({"size": (1 << 40, 1 << 40)}, "is said to lie in a storage of 6 numbers"),
        ({"size": (1 << 60,), "stride": (1,)}, "which cannot be"),
        ({"size": (-2, 3)}, "which cannot be"),
        ({"offset": 1}, "is said to lie in a storage"),
        ({"offset": -1}, "which cannot be"),
        ({"stride": (1 << 40, 1)}, "is said to lie in a storage"),
        ({"size": (1 << 30, 6), "stride": (0, 1)}, "is said to lie in a storage"),
        ({"size": (6,), "stride": (1, 1)}, "not made of a storage, a size and a stride"),
        ({"size": (1,) * 9, "stride": (1,) * 9}, "not made of a storage, a size and a stride"),
        ({"count": 7}, "the storage '0' is said to have 7 numbers, the archive has 24 bytes"),
        ({"count": 1 << 62}, "the archive has 24 bytes"),
        ({"count": -6}, "the archive has 24 bytes"),
        ({"key": "1"}, "the storage '1' is not in the archive"),
        ({"key": "../../../../etc/passwd"}, "the storage '../../../../etc/passwd' is not in the archive"),
        ({"kind": "torch ComplexFloatStorage"}, "it asks for torch.ComplexFloatStorage"),
        ({"kind": "collections OrderedDict"}, "a storage in it is of a kind that is not known here"),
        ({"rebuild": "torch._utils _rebuild_sparse_tensor"}, "it asks for torch._utils._rebuild_sparse_tensor"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_numbers_that_lie(tmp_path: Path, numbers: dict[str, Any], said: str) -> None:
    assert said in refusal(pickles.archive(tmp_path / "w.bin", pickles.state(**numbers)))


def test_the_writer_of_these_files_can_also_tell_the_truth(tmp_path: Path) -> None:
    numbers = np.arange(6, dtype=np.float32)
    path = pickles.archive(tmp_path / "w.bin", pickles.state(), {"0": numbers.tobytes()})
    assert np.array_equal(converted(path)["weight"], numbers.reshape(2, 3))
    assert np.array_equal(torch.load(path, weights_only=True)["weight"].numpy(), numbers.reshape(2, 3))


def test_names_are_only_names(tmp_path: Path) -> None:
    """A tensor may be called anything; no path is ever made of it."""
    found = converted(pickles.archive(tmp_path / "w.bin", pickles.state(name="../../evil\n")))
    assert list(found) == ["../../evil\n"]
    assert sorted(os.listdir(tmp_path)) == ["w.bin", "w.safetensors"]


def test_a_small_file_does_not_become_a_huge_one(tmp_path: Path) -> None:
    shared = torch.zeros(100_000)
    torch.save({str(i): shared for i in range(20)}, tmp_path / "w.bin")
    assert "its tensors would be 8000000 bytes, far more than are in the archive" in refusal(tmp_path / "w.bin")


def test_archives_that_lie(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    bomb = pickles.archive(path, pickles.state(), {"0": bytes(1 << 22)}, kind=zipfile.ZIP_DEFLATED)
    assert "is compressed, which torch.save never does" in refusal(bomb)

    claim = bytearray(pickles.archive(path, pickles.state()).read_bytes())
    entry = claim.index(b"PK\x01\x02", claim.index(b"PK\x01\x02") + 46)
    for at in (20, 24):  # the second entry's sizes, in the directory only
        claim[entry + at : entry + at + 4] = struct.pack("<I", 0x7FFFFFFF)
    path.write_bytes(claim)
    assert "its entries claim more bytes than the file has" in refusal(path)

    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a/data.pkl", pickles.state())
        out.writestr("b/data.pkl", pickles.state())
    assert "it holds 2 data.pkl, wanted 1" in refusal(path)
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("readme", "nothing")
    assert "it holds 0 data.pkl" in refusal(path)

    with zipfile.ZipFile(pickles.archive(path, pickles.state()), "a") as out, pytest.warns(UserWarning, match="Dup"):
        out.writestr("model/data.pkl", pickles.calling(os.system, "true"))
    assert "two of its entries have one name" in refusal(path)

    with zipfile.ZipFile(path, "w") as out:
        out.writestr("model/data.pkl", pickles.state())
        out.writestr("model/byteorder", "big")
        out.writestr("model/data/0", bytes(24))
    assert "big-endian" in refusal(path)


def test_damaged_files(tmp_path: Path) -> None:
    whole = pickles.archive(tmp_path / "w.bin", pickles.state()).read_bytes()
    for cut in (5, 40, len(whole) // 2, len(whole) - 1):
        (tmp_path / "w.bin").write_bytes(whole[:cut])
        assert "it is not a whole zip file" in refusal(tmp_path / "w.bin")
    flipped = bytearray(whole)
    flipped[whole.index(bytes(24)) + 3] ^= 1
    (tmp_path / "w.bin").write_bytes(flipped)
    assert "Bad CRC-32" in refusal(tmp_path / "w.bin")
    for content in (b"", b"\x80\x02}q\x00.", b"\x89PNG\r\n", b"not a checkpoint"):
        (tmp_path / "w.bin").write_bytes(content)
        assert "it is not the zip file that PyTorch writes since 1.6" in refusal(tmp_path / "w.bin")


def test_the_format_before_zip(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "w.bin", _use_new_zipfile_serialization=False)
    assert "open and save it with a newer PyTorch" in refusal(tmp_path / "w.bin")


def test_any_damage_ends_in_a_refusal_or_in_tensors(tmp_path: Path) -> None:
    """The child's own reading, in this process: many files with some bytes changed, cut or moved."""
    import importlib.util
    import io

    spec = importlib.util.spec_from_file_location("unpickle", Path(room.__file__).with_name("unpickle.py"))
    assert spec is not None and spec.loader is not None
    child = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(child)
    torch.save({"a": torch.randn(2, 3), "b": torch.nn.Parameter(torch.ones(4))}, tmp_path / "w.bin")
    with zipfile.ZipFile(tmp_path / "w.bin") as whole:
        data = next(whole.read(n) for n in whole.namelist() if n.endswith("data.pkl"))
    plain, random = (tmp_path / "w.bin").read_bytes(), np.random.default_rng(0)
    outcomes = {"refused": 0, "read": 0}
    for number in range(1500):
        source = bytearray(data if number % 2 else plain)
        for _ in range(int(random.integers(1, 4))):
            at = int(random.integers(len(source)))
            source[at : at + int(random.integers(0, 3))] = random.bytes(int(random.integers(0, 3)))
        if number % 2:
            pickles.archive(tmp_path / "x.bin", bytes(source), {"0": bytes(24), "1": bytes(16)})
            source = bytearray((tmp_path / "x.bin").read_bytes())
        try:
            archive = child.Archive(io.BytesIO(source), len(source))
            child.write(archive, archive.tensors(), {}, io.BytesIO())
            outcomes["read"] += 1
        except child.Refused:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 50, outcomes


CONFINED = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("unpickle", {script!r})
child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(child)
import os, socket, subprocess
if not {watched}:
    sys.addaudithook = lambda hook: None
child.confine({{"seconds": 5, "memory": 1 << 30, "output": 1 << 16}})
try:
    {attempt}
except child.Refused as problem:
    print("refused", problem)
except (OSError, MemoryError) as problem:
    print("limit", type(problem).__name__)
else:
    print("done")
"""


@pytest.mark.parametrize(
    "attempt",
    [
        "open('run', 'w')",
        "os.open('run', os.O_CREAT | os.O_WRONLY)",
        "socket.socket()",
        "subprocess.run(['touch', 'run'])",
        "bytearray(1 << 31)",
    ],
)
@pytest.mark.parametrize("watched", [True, False], ids=["hook", "limits"])
def test_the_child_has_given_up_what_it_does_not_need(tmp_path: Path, attempt: str, watched: bool) -> None:
    """Twice over: by the hook of the interpreter, and by the limits of the system."""
    script = str(Path(room.__file__).with_name("unpickle.py"))
    code = CONFINED.format(script=script, attempt=attempt, watched=watched)
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    wanted = "refused" if watched and "bytearray" not in attempt else "limit"
    assert done.stdout.startswith(wanted), (done.stdout, done.stderr)
    assert os.listdir(tmp_path) == []


def test_the_child_stops_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "unpickle.py"
    script.write_text("while True: pass\n", encoding="utf-8")
    torch.save({"w": torch.ones(2)}, tmp_path / "w.bin")
    real = subprocess.run
    monkeypatch.setattr(room, "__file__", str(tmp_path / "convert.py"))
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: real(*a, **{**k, "timeout": 0.5}))
    assert "reading it took too long and was stopped" in refusal(tmp_path / "w.bin")
    script.write_text("import os; os.kill(os.getpid(), 9)\n", encoding="utf-8")
    assert "(signal 9)" in refusal(tmp_path / "w.bin")
    said = 'import sys; print(\'odd\\n{"refused": "reasons"}\\nodd\', file=sys.stderr); sys.exit(2)'
    script.write_text(said, encoding="utf-8")
    assert "not converted, because reasons; fetch it" in refusal(tmp_path / "w.bin")
    script.write_text("raise SystemError('odd')\n", encoding="utf-8")
    assert "reading it failed (SystemError: odd)" in refusal(tmp_path / "w.bin")


def test_safetensors_and_shards_become_one_file(tmp_path: Path) -> None:
    parts = {"a.safetensors": {"x": np.ones(2, np.float32)}, "b.safetensors": {"y": np.zeros(3, np.float32)}}
    for name, tensors in parts.items():
        file.write(tmp_path / name, tensors, {"layout": "mlx"})
    places = {"x": "a.safetensors", "y": "b.safetensors"}
    (tmp_path / shards.INDEX).write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    done = convert(tmp_path, tmp_path / "whole.safetensors")
    assert done["tensors"] == 2 and done["metadata"]["layout"] == "mlx"
    assert sorted(file.read(tmp_path / "whole.safetensors")[0]) == ["x", "y"]


def test_targets_and_sources_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights are written as .safetensors"):
        convert(tmp_path / "w.bin", tmp_path / "w.bin")
    with pytest.raises(WeightError, match="there is no such file"):
        convert(tmp_path / "w.bin", tmp_path / "w.safetensors", trust_pickle=True)
    pickles.archive(tmp_path / "w.bin", pickles.state())
    with pytest.raises(InputError, match="the folder"):
        convert(tmp_path / "w.bin", tmp_path / "no" / "w.safetensors", trust_pickle=True)


@pytest.mark.parametrize("form", ["pickle", "safetensors"])
def test_a_lone_surrogate_in_metadata_or_a_name_leaves_a_file_that_can_be_read(tmp_path: Path, form: str) -> None:
    tensors = {"w": torch.ones(2), "n\udc80": torch.zeros(1)} if form == "pickle" else {"w": torch.ones(2)}
    source = tmp_path / ("model.pt" if form == "pickle" else "model.safetensors")
    if form == "pickle":
        torch.save(tensors, source)
    else:
        file.write(source, {"w": np.ones(2, np.float32)}, {"about": "a\ud800b"})
    (tmp_path / "config.json").write_text('{"model_type": "speech\\ud800"}', encoding="utf-8")
    about = convert(source, tmp_path / "out.safetensors", trust_pickle=True, metadata={"note\udc80": "\udfff"})
    found, metadata = file.read(tmp_path / "out.safetensors")
    assert metadata["note\\udc80"] == "\\udfff"
    assert metadata["family"] == "speech\\ud800"
    assert len(found) == about["tensors"] == len(tensors)
