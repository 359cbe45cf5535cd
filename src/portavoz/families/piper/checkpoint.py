"""A Piper voice on disk: NAME.onnx with NAME.onnx.json beside it, or a folder with one such pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...input_files import is_file
from ...ops.base import Ops
from ...weights.cursor import Weights
from ..graph_file import open_graph
from ..own_graph import chosen, not_replaced
from ..spec import Lookup, Model, Tensors
from . import names
from .config import PiperConfig, read
from .eager import Eager
from .sizes import VitsConfig

ENDING = ".onnx"


def beside(graph: Path) -> Path:
    """The JSON file of a graph."""
    return graph.with_name(graph.name + ".json")


def voices(folder: Path) -> list[Path]:
    """The graphs in a folder that have their JSON."""
    return [path for path in sorted(folder.glob(f"*{ENDING}")) if is_file(beside(path))]


def recognises(place: Path) -> bool:
    """Whether a file or a folder is a voice of this family, as far as names tell."""
    return is_file(beside(place)) if place.suffix == ENDING else bool(voices(place))


@dataclass(frozen=True, slots=True)
class PiperFile:
    """A voice's two files, and what the JSON says."""

    graph: Path
    config: PiperConfig

    @classmethod
    def open(cls, place: Path, lookup: Lookup) -> PiperFile:
        """Read the JSON. Raises InputError where it is not clear which voice, SpecError for another kind of JSON."""
        found = [place] if place.suffix == ENDING else voices(place)
        graph = chosen(place, found, lookup, who="a Piper voice")
        return cls(graph, read(beside(graph)))

    def about(self) -> dict[str, Any]:
        """What is known without opening the graph."""
        c = self.config
        return {
            "name": self.graph.stem,
            "family": "piper",
            "language": c.language,
            "rate": c.rate,
            "speakers": list(c.names),
            "config": c.to_dict(),
            "bytes": self.graph.stat().st_size,
        }

    def tensors(self) -> dict[str, Tensors]:
        """The graph's weights by path. Raises WeightError for a file without them, MissingExtra without `onnx`."""
        return {"model": self._weights()[0]}

    def eager(self, ops: Ops) -> Model:
        """The blocks on a back end. Raises WeightError for weights that do not fit."""
        found, sizes = self._weights()
        w = Weights(found, ops, place=self.graph)
        model = Eager(w, sizes)
        w.finish()
        return model

    def _weights(self) -> tuple[dict[str, Any], VitsConfig]:
        model = open_graph(self.graph)
        found = names.tensors(model, self.graph)
        return found, names.sizes(model, found, self.graph)

    def replaced(self, weights: Path) -> PiperFile:
        """Raises InputError: the weights are in the graph."""
        raise not_replaced(weights, "a Piper voice")

    def files(self) -> list[Path]:
        """The graph."""
        return [self.graph]

    def graphs(self) -> dict[str, Path]:
        """The one stage."""
        return {"speak": self.graph}
