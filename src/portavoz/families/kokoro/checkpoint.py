"""A Kokoro model on disk: a folder with an ONNX file or the published weights, and its speakers' styles beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...input_files import is_file
from ...ops.base import Ops
from ...weights import file
from ...weights.cursor import Weights
from ..graph_file import open_graph
from ..own_graph import chosen, not_replaced
from ..spec import Lookup, Model, Tensors
from ..surgery import RANDOM, Graph
from . import names
from .config import KokoroConfig
from .eager import NORMAL, Eager
from .rewrite import WHO, draw_name
from .sizes import KokoroSizes
from .styles import Styles, archives, files
from .widen import widen

ENDING, WEIGHTS = ".onnx", ".safetensors"
USUAL = "model.onnx"  # of several precisions, the one that nothing was taken from


def graphs(folder: Path) -> list[Path]:
    """The ONNX files of a folder, and of its folder `onnx`, that are no voice of another family."""
    found = [*folder.glob(f"*{ENDING}"), *folder.glob(f"onnx/*{ENDING}")]
    return sorted(path for path in found if not is_file(path.with_name(path.name + ".json")))


def weights(folder: Path) -> list[Path]:
    """The files of weights in a folder, which count where there is no graph."""
    return sorted(folder.glob(f"*{WEIGHTS}"))


def home(place: Path) -> Path:
    """The folder of the styles."""
    if place.suffix not in (ENDING, WEIGHTS):
        return place
    return place.parent.parent if place.parent.name == "onnx" and not _styled(place.parent) else place.parent


def recognises(place: Path) -> bool:
    """Whether a file or a folder is a model of this family, as far as names tell."""
    if place.suffix == ENDING:
        return not is_file(place.with_name(place.name + ".json")) and _styled(home(place))
    if place.suffix == WEIGHTS:
        return is_file(place) and _styled(home(place))
    return bool(graphs(place) or weights(place)) and _styled(place)


def _styled(folder: Path) -> bool:
    return bool(archives(folder) or files(folder))


@dataclass(frozen=True, slots=True)
class KokoroFolder:
    """The file, a graph or weights, and the styles of its folder."""

    path: Path
    styles: Styles
    config: KokoroConfig

    @classmethod
    def open(cls, place: Path, lookup: Lookup) -> KokoroFolder:
        """Find the file. Raises InputError where it is not clear which one, WeightError for damaged styles."""
        found = [place] if place.suffix in (ENDING, WEIGHTS) else graphs(place) or weights(place)
        path = chosen(place, found, lookup, who=WHO, usual=USUAL)
        styles = Styles(home(place))
        if not styles:
            raise InputError(f"{home(place)}: no speaker is in its styles; fetch them again")
        return cls(path, styles, KokoroConfig())

    def about(self) -> dict[str, Any]:
        """What is known without opening the file."""
        return {
            "name": self.path.stem,
            "family": "kokoro",
            "language": "en-us",
            "rate": self.config.rate,
            "speakers": list(self.styles),
            "mixes": True,  # a speaker may be several: "af_heart:0.7+bf_emma:0.3"
            "config": self.config.to_dict(),
            "bytes": self.path.stat().st_size,
        }

    def tensors(self) -> dict[str, Tensors]:
        """The weights by path. Raises WeightError for a file without them, MissingExtra without `onnx` for a graph."""
        return {"model": self._weights()[0]}

    def eager(self, ops: Ops) -> Model:
        """The blocks on a back end. Raises WeightError for weights that do not fit."""
        found, sizes, draws = self._weights()
        w = Weights(found, ops, place=self.path)
        model = Eager(w, sizes, draws=draws)
        w.finish()
        return model

    def _weights(self) -> tuple[dict[str, Any], KokoroSizes, tuple[str, ...]]:
        """Weights, sizes, and the names of what is random."""
        if self.path.suffix == WEIGHTS:
            found = names.published(file.read(self.path)[0], self.path)
            return found, names.of(found), (f"{NORMAL}.0",)
        model = open_graph(self.path)
        drawn = Graph(model, self.path).nodes(*RANDOM)
        widen(model, self.path)
        found = names.tensors(model, self.path)
        normal = [name for name in map(draw_name, drawn, range(len(drawn))) if name.startswith(NORMAL)]
        return found, names.sizes(model, found), tuple(normal[:1])

    def replaced(self, weights: Path) -> KokoroFolder:
        """Raises InputError: the weights are in the model's own file."""
        raise not_replaced(weights, WHO)

    def files(self) -> list[Path]:
        """The model's file and the styles."""
        return [self.path, *dict.fromkeys(self.styles.places.values())]

    def graphs(self) -> dict[str, Path]:
        """The one stage; {} where there are weights and no graph."""
        return {"speak": self.path} if self.path.suffix == ENDING else {}
