"""Checkpoints in several files: read as one, or refused with the name of what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from portavoz.errors import WeightError
from portavoz.weights import file, shards

TENSORS = {f"layer.{i}.weight": np.full((2, 3), i, np.float32) for i in range(5)}
NAMES = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five tensors in three files."""
    places = {key: NAMES[i // 2] for i, key in enumerate(TENSORS)}
    for name in NAMES:
        file.write(tmp_path / name, {k: v for k, v in TENSORS.items() if places[k] == name}, {"format": "pt"})
    about = {"metadata": {"total_size": 120}, "weight_map": places}
    (tmp_path / shards.INDEX).write_text(json.dumps(about), encoding="utf-8")
    return tmp_path


def index(folder: Path, **changes: object) -> None:
    """Change places in the index; None takes a tensor out."""
    path = folder / shards.INDEX
    places = {**json.loads(path.read_text(encoding="utf-8"))["weight_map"], **changes}
    path.write_text(json.dumps({"weight_map": {k: v for k, v in places.items() if v is not None}}), encoding="utf-8")


@pytest.mark.parametrize("name", ["", shards.INDEX])
def test_shards_are_read_as_one(folder: Path, name: str) -> None:
    tensors, metadata = shards.read(folder / name)
    assert list(tensors) == list(TENSORS)
    assert all(np.array_equal(tensors[key], value) for key, value in TENSORS.items())
    assert metadata == {"format": "pt"}
    assert [path.name for path in shards.files(folder)] == [shards.INDEX, *NAMES]


def test_transformers_own_shards(tmp_path: Path) -> None:
    from transformers import T5Config, T5EncoderModel

    model = T5EncoderModel(T5Config(vocab_size=20, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4))
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    tensors, metadata = shards.read(tmp_path)
    assert file.layout(metadata) == "torch"
    state = model.state_dict()
    assert {*tensors} <= {*state}  # a tied tensor is stored once
    assert all(np.array_equal(value, state[key].numpy()) for key, value in tensors.items())


def test_one_file_is_preferred(folder: Path) -> None:
    file.write(folder / shards.SINGLE, {"only": np.ones(1)}, {})
    assert list(shards.read(folder)[0]) == ["only"]
    assert shards.files(folder) == [folder / shards.SINGLE]


def test_a_shard_that_is_missing(folder: Path) -> None:
    (folder / NAMES[1]).unlink()
    with pytest.raises(WeightError, match=rf"{NAMES[1]}: model.safetensors.index.json lists this shard, it is not"):
        shards.read(folder)


def test_a_key_in_no_shard(folder: Path) -> None:
    index(folder, **{"layer.9.weight": NAMES[0]})
    with pytest.raises(WeightError, match=rf"layer.9.weight: .* says it is in {NAMES[0]}, it is not there"):
        shards.read(folder)


def test_a_key_that_the_index_does_not_know_or_places_elsewhere(folder: Path) -> None:
    index(folder, **{"layer.1.weight": None})
    with pytest.raises(WeightError, match=r"layer.1.weight: in .* says it is nowhere"):
        shards.read(folder)
    index(folder, **{"layer.1.weight": NAMES[2]})
    with pytest.raises(WeightError, match=r"layer\.1\.weight"):
        shards.read(folder)


def test_shards_of_two_layouts(folder: Path) -> None:
    file.write(folder / NAMES[2], {"layer.4.weight": TENSORS["layer.4.weight"]}, {"format": "mlx"})
    with pytest.raises(WeightError, match=rf"{NAMES[2]}: another layout than the shards before it"):
        shards.read(folder)


@pytest.mark.parametrize(
    "place", ["../x.safetensors", "/etc/x.safetensors", "a\\x.safetensors", "x.bin", 5, "a\0b", ""]
)
def test_an_index_stays_in_its_folder(folder: Path, place: object) -> None:
    index(folder, **{"layer.0.weight": place})
    with pytest.raises(WeightError, match=r"layer.0.weight is said to be in .*, wanted a safetensors file beside"):
        shards.read(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"weight_map": {}}', '{"weight_map": []}', "[" * 100_000])
def test_an_index_that_is_none(folder: Path, text: str) -> None:
    (folder / shards.INDEX).write_text(text, encoding="utf-8")
    with pytest.raises(WeightError, match=r"model.safetensors.index.json: (cannot be read|no weight_map)"):
        shards.read(folder)


def test_folders_without_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match=r"neither model.safetensors nor model.safetensors.index.json is there"):
        shards.read(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(WeightError, match=r"a pickle can run code .* portavoz weights convert .* --trust-pickle"):
        shards.read(tmp_path)
