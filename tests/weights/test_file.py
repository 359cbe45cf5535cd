"""Safetensors in and out; everything else is refused with a sentence."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from portavoz.errors import InputError, WeightError
from portavoz.ops.base import Ops
from portavoz.weights import file
from portavoz.weights.cursor import Weights

TENSORS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1, 2], np.int64),
    "h": np.array([0.5], np.float16),
    "s": np.array(3.0, np.float32),
}


def test_tensors_and_metadata_come_back(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    file.write(path, TENSORS, {"layout": "torch", "family": "compact", "note": "é"})
    tensors, metadata = file.read(path)
    assert metadata == {"layout": "torch", "family": "compact", "note": "é"}
    assert sorted(tensors) == sorted(TENSORS)
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype
        assert np.array_equal(tensors[name], array)


def test_a_view_is_written_as_it_reads(tmp_path: Path) -> None:
    file.write(tmp_path / "w.safetensors", {"t": TENSORS["a.weight"].T}, {})
    assert np.array_equal(file.read(tmp_path / "w.safetensors")[0]["t"], TENSORS["a.weight"].T)


def test_bfloat16_is_widened_without_changing_a_number(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    wide = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_file({"w": wide, "n": torch.tensor([1, 2])}, tmp_path / "w.safetensors")
    tensors, _ = file.read(tmp_path / "w.safetensors")
    assert tensors["w"].dtype == np.float32
    assert np.array_equal(tensors["w"], wide.float().numpy())
    assert tensors["n"].tolist() == [1, 2]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match=r"there is no such file; give a .safetensors file"):
        Weights.load(tmp_path / "none.safetensors", Ops())
    with pytest.raises(WeightError, match="this is not a file but a folder, wanted a weights file"):
        file.read(tmp_path)


class Trap:
    """Unpickling this would leave a file behind."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (self.path, "w"))


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.pth", "model.ckpt", "model.safetensors"])
def test_a_pickle_is_refused_and_not_run(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Trap(str(tmp_path / "trapped"))))
    with pytest.raises(WeightError, match=r"a pickle can run code|not a readable safetensors file"):
        file.read(tmp_path / name)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("keep", [0, 4, 20, 0.5, 0.99])
def test_a_truncated_file_is_refused(keep: float, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    file.write(path, TENSORS, {})
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(WeightError, match=r"not a readable safetensors file .*; fetch or convert it again"):
        file.read(path)


def test_a_folder_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        file.write(tmp_path / "none" / "w.safetensors", TENSORS, {})


def test_writing_over_a_file_replaces_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    file.write(path, TENSORS, {})
    file.write(path, {"only": np.zeros(1, np.float32)}, {})
    assert list(file.read(path)[0]) == ["only"]
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_the_layout_that_metadata_declares() -> None:
    said = [{"layout": "mlx"}, {"format": "mlx"}, {"format": "pt"}, {"format": "np"}, {}, {"format": "flax"}]
    assert [file.layout(m) for m in said] == ["mlx", "mlx", "torch", "torch", None, None]
    assert file.layout({"layout": "torch", "format": "mlx"}) == "torch"


def test_a_scalar_stays_a_scalar(tmp_path: Path) -> None:
    w = Weights({"alpha": np.array(2.0, np.float32)}, Ops())
    w.tensor("alpha", ())
    file.write(tmp_path / "w.safetensors", w.arrays(), {})
    assert file.read(tmp_path / "w.safetensors")[0]["alpha"].shape == ()
