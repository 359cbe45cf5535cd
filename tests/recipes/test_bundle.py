"""The bundled voice's folder: its speakers' order, and whose figures stand on the card."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from portavoz.weights import file

FOLDER = Path(__file__).parents[2] / "recipes" / "voice"
TABLE = "acoustic.encoder.speaker.weight"


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        import bundle

        return bundle
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """An acoustic half whose speakers are "ann" and "bob"."""
    path = tmp_path / "half.safetensors"
    tensors = {TABLE: np.array([[1, 2], [3, 4]], np.float32), "other": np.arange(3, dtype=np.float32)}
    file.write(path, tensors, {"speakers": '["ann", "bob"]', "step": "7"})
    return path


def test_speakers_keep_their_rows_in_another_order(recipe: ModuleType, half: Path, tmp_path: Path) -> None:
    tensors, metadata = file.read(recipe.reordered(half, ("bob", "ann"), tmp_path / "out.safetensors"))
    assert tensors[TABLE].tolist() == [[3, 4], [1, 2]]
    assert tensors["other"].tolist() == [0, 1, 2]
    assert metadata["step"] == "7"
    assert json.loads(metadata["speakers"]) == ["bob", "ann"]


@pytest.mark.parametrize("speakers", [("ann",), ("ann", "eve"), ("ann", "bob", "eve"), ("ann", "ann")])
def test_other_speakers_are_refused(recipe: ModuleType, half: Path, tmp_path: Path, speakers: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="has the speakers ann, bob, wanted"):
        recipe.reordered(half, speakers, tmp_path / "out.safetensors")


def test_reports_say_of_whom_they_are(recipe: ModuleType, tmp_path: Path) -> None:
    paths = []
    for n, name in enumerate(("ann", "bob")):
        report = {"voice": f"a, folder, {name}", "judge": "j", "modes": {}, "signals": {}, "duration_ratio": n}
        paths.append(tmp_path / f"{n}.json")
        paths[-1].write_text(json.dumps(report), encoding="utf-8")
    found = recipe.reported(paths, ("bob", "ann"))
    assert [(name, card["duration_ratio"]) for name, card in found.items()] == [("bob", 1), ("ann", 0)]
    assert recipe.reported(paths[:1], ("bob", "ann")).keys() == {"ann"}
    assert recipe.reported([], ("bob", "ann")) == {}
    for wrong, speakers in ((paths, ("bob",)), ([paths[0]] * 2, ("ann", "bob"))):
        with pytest.raises(SystemExit, match="the reports are of ann"):
            recipe.reported(wrong, speakers)
