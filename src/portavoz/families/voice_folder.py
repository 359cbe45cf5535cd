"""A voice whose weights are one file: a folder with voice.json and model.safetensors, as `FamilySpec.open` gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ..errors import InputError
from ..folder import describe, verify
from ..ops.base import Ops
from ..weights import file
from ..weights.cursor import Weights
from ..weights.quantized import unpacked
from .optional import Model, Tensors
from .spec import Lookup

WEIGHTS = "model.safetensors"
Kind = TypeVar("Kind", bound="VoiceFolder")


@dataclass(frozen=True)
class VoiceFolder:
    """A `Checkpoint` of one part. A family's own subclass says in `build` how a cursor becomes the eager model.

    `weights`: a file in the place of the folder's own. `stages`: the compiled stages that the folder holds too.
    """

    folder: Path
    description: dict[str, Any]
    config: Any
    weights: Path | None = None
    stages: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def read(
        cls: type[Kind], folder: Path, lookup: Lookup, parse: Callable[[Mapping[str, Any], Path | None], Any]
    ) -> Kind:
        """Read voice.json; `parse` is that of the FamilySpec. Raises InputError, SpecError for its configuration."""
        about = describe(folder)
        if lookup.vocoder is not None:
            raise InputError(f"vocoder {str(lookup.vocoder)!r}: the {about['family']} family has its own; leave it out")
        return cls(folder, about, parse(about["config"], folder))

    def build(self, w: Weights) -> Model:
        """The eager model from a cursor on the file of weights."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """voice.json."""
        return self.description

    def files(self) -> list[Path]:
        """The file of weights, compared with its checksum."""
        if self.weights is not None:
            return [self.weights]
        verify(self.folder, self.description, [WEIGHTS])
        return [self.folder / WEIGHTS]

    def tensors(self) -> dict[str, Tensors]:
        """The weights by name. Raises WeightError for a damaged file."""
        return {"model": unpacked(file.read(self.files()[0])[0])}

    def eager(self, ops: Ops) -> Model:
        """The model on an eager back end. Raises WeightError when the weights do not fit."""
        w = Weights.load(self.files()[0], ops)
        model = self.build(w)
        w.finish()
        return model

    def replaced(self: Kind, weights: Path) -> Kind:
        """The same voice with another file of weights."""
        return replace(self, weights=weights)

    def graphs(self) -> dict[str, Path]:
        """The compiled stages, compared with their checksums."""
        names = {stage: f"{stage}.onnx" for stage in self.stages}
        verify(self.folder, self.description, list(names.values()))
        return {stage: self.folder / name for stage, name in names.items()}
