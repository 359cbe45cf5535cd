"""A Kokoro model on disk: a folder with an ONNX file, and its speakers' styles beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BackendError, InputError
from ...input_files import is_file
from ...ops.base import Ops
from ..spec import Lookup, Model, Tensors
from .config import KokoroConfig
from .styles import Styles, archives, files

ENDING = ".onnx"
USUAL = "model.onnx"  # of several precisions, the one that nothing was taken from


def graphs(folder: Path) -> list[Path]:
    """The ONNX files of a folder, and of its folder `onnx`, that are no voice of another family."""
    found = [*folder.glob(f"*{ENDING}"), *folder.glob(f"onnx/*{ENDING}")]
    return sorted(path for path in found if not is_file(path.with_name(path.name + ".json")))


def home(place: Path) -> Path:
    """The folder of the styles."""
    if place.suffix != ENDING:
        return place
    return place.parent.parent if place.parent.name == "onnx" and not _styled(place.parent) else place.parent


def recognises(place: Path) -> bool:
    """Whether a file or a folder is a model of this family, as far as names tell."""
    if place.suffix == ENDING:
        return not is_file(place.with_name(place.name + ".json")) and _styled(home(place))
    return bool(graphs(place)) and _styled(place)


def _styled(folder: Path) -> bool:
    return bool(archives(folder) or files(folder))


@dataclass(frozen=True, slots=True)
class KokoroFolder:
    """The graph, and the styles of its folder."""

    graph: Path
    styles: Styles
    config: KokoroConfig

    @classmethod
    def open(cls, place: Path, lookup: Lookup) -> KokoroFolder:
        """Find the graph. Raises InputError where it is not clear which one, WeightError for damaged styles."""
        if lookup.vocoder is not None:
            raise InputError(f"vocoder {str(lookup.vocoder)!r}: a Kokoro model has its own; leave it out")
        found = [place] if place.suffix == ENDING else graphs(place)
        usual = [path for path in found if path.name == USUAL]
        if len(found) > 1 and len(usual) != 1:
            names = ", ".join(path.name for path in found[:8])
            raise InputError(f"{place}: {len(found)} models are in this folder ({names}); give the file of one of them")
        styles = Styles(home(place))
        if not styles:
            raise InputError(f"{home(place)}: no speaker is in its styles; fetch them again")
        return cls((usual if len(found) > 1 else found)[0], styles, KokoroConfig())

    def about(self) -> dict[str, Any]:
        """What is known without opening the graph."""
        return {
            "name": self.graph.stem,
            "family": "kokoro",
            "language": "en-us",
            "rate": self.config.rate,
            "speakers": list(self.styles),
            "config": self.config.to_dict(),
            "bytes": self.graph.stat().st_size,
        }

    def tensors(self) -> dict[str, Tensors]:
        """None apart from the graph."""
        return {}

    def eager(self, ops: Ops) -> Model:
        """Raises BackendError: the graph runs as it is."""
        raise BackendError(f"{self.graph}: a Kokoro model runs as the graph that it is; leave the back end out")

    def replaced(self, weights: Path) -> KokoroFolder:
        """Raises InputError: the weights are in the graph."""
        raise InputError(f"{weights}: a Kokoro model's weights are in its graph; give another model")

    def files(self) -> list[Path]:
        """The graph and the styles."""
        return [self.graph, *dict.fromkeys(self.styles.places.values())]

    def graphs(self) -> dict[str, Path]:
        """The one stage."""
        return {"speak": self.graph}
