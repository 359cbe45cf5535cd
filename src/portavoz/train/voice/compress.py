"""A voice folder from a voice folder, smaller: weights rounded, pruned, or in eight bits. Needs onnx, and no framework.

The weights' file and the three graphs get the same numbers, so every runtime speaks with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ... import families
from ...atomic import atomic_folder, check_new_folder
from ...errors import InputError, SpecError
from ...families.spec import StageSpec
from ...folder import describe, seal, verify
from ...graph import storage
from ...graph.compile import Origin
from ...graph.onnx import computes_in_whole_numbers
from ...input_files import is_file
from ...loading.locate import locate
from ...voice import Voice, load
from ...weights import file
from ...weights.quantized import MOST, beside, rows, unpacked
from .bundle import files

Arrays = dict[str, NDArray[Any]]
KINDS = {
    "float32": "weights stored in 32 bits: what the others are compared with",
    "float16": "weights stored in 16 bits, computed in 32",
    "int8": "weights stored in 8 bits, a scale for each output, computed in 32",
    "static-int8": "weights in 8 bits, and products and convolutions computed so (graphs only)",
    "pruned": "the smallest weights of each matrix set to zero: smaller once it is zipped",
}
FRACTION = 0.3
# Computed in eight bits. Encoding symbols is not: it takes little time, and decides how long each lasts.
EIGHT = {"decode": "acoustic.decoder.", "vocode": "vocoder."}
# Whose rounding is heard most: the last layers, which make the mel and the spectrum's logarithms.
SENSITIVE = ("acoustic.decoder.out", "vocoder.head", "vocoder.filters.head", "vocoder.encoder")
# Every phoneme of English, questions, calls, lists, numbers, short and long.
SENTENCES = (
    "Hello.",
    "The boy heard a low voice behind the green door.",
    "Would you rather have tea, coffee, or a glass of water?",
    "She measured the length of the garage twice, and then once more.",
    "Stop! That bridge is not safe.",
    "On the third of May, nineteen ninety eight, it rained all day long.",
    "Which of these five books have you read?",
    "They usually joke about the weather, the food, and the noise of the city.",
    "A huge yellow ship moved slowly through the cool morning fog.",
    "Thank you for choosing us; your journey begins in twelve minutes.",
    "He put the azure vase on the shelf above the kitchen chair.",
    "We enjoy watching the young birds fly south in autumn.",
    "No.",
    "Eight hundred and seventy six people came, although only half of them had been asked.",
    "Please turn left at the church, go past the old mill, and park under the tall oak trees.",
    "It was a pleasure to meet everybody!",
)


def compress(
    voice: str | Path | None,
    out: str | Path,
    kind: str,
    *,
    fraction: float = FRACTION,
    sentences: Iterable[str] = SENTENCES,
) -> dict[str, Any]:
    """Write a smaller voice to the folder `out`, and say what it weighs.

    `kind` is one of KINDS; `fraction` of each matrix is set to zero by "pruned"; `sentences` are spoken by the voice to
    see which ranges "static-int8" needs. Gives output, kind, and bytes and of_bytes by file. Raises SpecError for a
    kind or a fraction that cannot be, InputError or WeightError for a voice that cannot be compressed.
    """
    if kind not in KINDS:
        raise SpecError(f"a voice cannot be compressed as {kind!r}: choose one of {', '.join(KINDS)}")
    if not 0 < fraction < 1:
        raise SpecError(f"the fraction of weights that are pruned is {fraction:g}: wanted one between 0 and 1")
    source, target = locate(voice), Path(out)
    if not is_file(source / "voice.json"):
        raise InputError(f"{source}: has no voice.json, and only such voices can be compressed; give another voice")
    about = describe(source)
    family = families.get(about["family"])
    if family.bare is None:
        raise InputError(f"{source}: is of the family {family.name}, whose voices cannot be compressed")
    if target.resolve() == source.resolve():
        raise InputError(f"{target}: is the voice itself; write the compressed one to another folder")
    names = files(family)
    check_new_folder(target)
    storage.onnx()  # raises MissingExtra before anything is written
    verify(source, about, names)
    stored, metadata = file.read(source / "model.safetensors")
    old = {k: a.astype(np.float32) for k, a in unpacked(stored).items()}
    kept, packed = _weights(old, stored, kind, fraction)
    name = f"{about['name']}-{kind}"
    graphs = [*_graphs(source, old, kind, kept, packed, sentences)]
    with atomic_folder(target) as beside:
        file.write(beside / "model.safetensors", kept, {**metadata, "name": name})
        for stage, model in graphs:
            storage.save(model, beside / f"{stage}.onnx", half=kind != "float32")
        seal(beside, {**about, "name": name, "card": _card(about, kind, fraction)}, names)
    written = describe(target)["files"]
    sizes = {
        "bytes": {n: written[n]["bytes"] for n in names},
        "of_bytes": {n: about["files"][n]["bytes"] for n in names},
    }
    return {"output": str(target), "name": name, "as": kind, **sizes}


def _weights(old: Arrays, stored: Arrays, kind: str, fraction: float) -> tuple[Arrays, dict[str, storage.Rows]]:
    """What the weights' file holds, and which of it are rows of int8."""
    if kind == "float32":
        return old, {}
    if kind == "float16":
        return {k: a.astype(np.float16) for k, a in old.items()}, {}
    # What is small keeps the numbers that it was stored in.
    rest = {k: stored[k] if stored[k].dtype != np.int8 else a for k, a in old.items()}
    if kind == "pruned":
        pruned = {k: prune(rest[k], fraction) for k, a in old.items() if storage.heavy(k, a)}
        return {**rest, **pruned}, {}
    packed = {k: storage.Rows(*rows(a, _most(k, kind))) for k, a in old.items() if storage.heavy(k, a)}
    numbers = {k: r.numbers for k, r in packed.items()}
    scales = {beside(k)[0]: r.scales for k, r in packed.items()}
    return {**rest, **numbers, **scales}, packed


def _most(path: str, kind: str) -> int:
    """The largest whole number of a weight."""
    computed = path.startswith((*EIGHT.values(),)) and not path.startswith(SENSITIVE)
    return storage.SEVEN if kind == "static-int8" and computed else MOST


def prune(array: NDArray[Any], fraction: float) -> NDArray[Any]:
    """The array with the given fraction of its smallest magnitudes at zero (Han et al. 2015, arXiv:1506.02626)."""
    sizes = np.abs(array.astype(np.float32)).reshape(-1)
    count = int(fraction * sizes.size)
    out = array.copy().reshape(-1)
    out[np.argpartition(sizes, count)[:count] if count else []] = 0
    return out.reshape(array.shape)


def _graphs(
    source: Path, old: Arrays, kind: str, kept: Arrays, packed: dict[str, storage.Rows], sentences: Iterable[str]
) -> Iterator[tuple[str, Any]]:
    """The stages' graphs with the new weights, by name."""
    new = unpacked(kept)
    examples = _spoken(source, sentences) if kind == "static-int8" else {}
    # F0 comes out of a source–filter voice's decoder as a number of Hz: eight bits are too few for it.
    eight = [stage for stage, prefix in EIGHT.items() if any(path.startswith(prefix) for path in old)]
    for stage in (Path(name).stem for name in files(families.get(describe(source)["family"]))[1:]):
        model = _graph(source, stage)
        storage.change(model, old, new)
        if kind == "static-int8" and stage in eight:
            model = storage.eight_bits(model, examples[stage], keep=SENSITIVE)
        storage.narrow(model, packed)
        if packed:
            storage.round_tables(model, old)
        yield stage, model


def _graph(source: Path, stage: str) -> Any:
    """A stage's graph in float32: exported once more where the voice has it in whole numbers."""
    path = source / f"{stage}.onnx"
    model = storage.read(path)
    if computes_in_whole_numbers(path):
        about = describe(source)
        family = families.get(about["family"])
        bare: Any = family.bare
        weights = bare(source / "model.safetensors", family.parse(about["config"], source))
        exported = Origin.of(family, weights, transient=True).exported(stage)
        model = storage.onnx().load_model_from_string(exported)
    return storage.widened(model)


def _spoken(source: Path, sentences: Iterable[str]) -> dict[str, list[dict[str, NDArray[Any]]]]:
    """What each stage is given while the voice says the sentences, its speakers in turn, by the names of its inputs."""
    voice: Voice = load(source)
    model: Any = cast(Any, voice.model).model
    family = families.get(voice.about["family"])
    specs = family.stages(family.parse(voice.about["config"], source))
    heard, said = _Recording(model.stages, specs), [*sentences]
    if not said:
        raise InputError("no sentence was given to calibrate with: name a file that has some")
    model.stages = heard
    for number in range(max(len(said), len(voice.speakers))):
        voice.speak(said[number % len(said)], speaker=voice.speakers[number % len(voice.speakers)])
    return heard.given


class _Recording:
    """Stages that keep what they are given, by the names of their inputs."""

    def __init__(self, stages: Any, specs: Iterable[StageSpec]) -> None:
        self.given: dict[str, list[dict[str, NDArray[Any]]]] = {}
        for spec in specs:
            self.given[spec.name] = []
            setattr(self, spec.name, partial(self._run, getattr(stages, spec.name), spec))

    def _run(self, stage: Callable[..., Any], spec: StageSpec, *given: NDArray[Any]) -> Any:
        self.given[spec.name].append(dict(zip(spec.takes, given)))
        return stage(*given)


def _card(about: dict[str, Any], kind: str, fraction: float) -> dict[str, Any]:
    """The voice's card: what was measured of it does not hold any more, and stands below what it was made from."""
    card = dict(about.get("card", {}))
    made: dict[str, Any] = {"as": kind, "of": about["name"], "weights": about["files"]["model.safetensors"]["sha256"]}
    if kind == "pruned":
        made["fraction"] = fraction
    if "compressed" in card:
        made["before"] = card.pop("compressed")
    if "figures" in card:
        made["figures_before"] = card.pop("figures")
    return {**card, "compressed": made}
