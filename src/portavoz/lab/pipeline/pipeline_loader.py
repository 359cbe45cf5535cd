"""What a side of `lab swap` or `lab precision` can be called: a family's probe, a voice, a file of weights.

compact    speecht5@numpy    arctic@onnx    my-voice    speecht5_tts@transformers    model_fixed.safetensors@torch
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ... import ops
from ...errors import InputError
from ...families.compact.config import CompactConfig
from ...families.compact.loop import Compact, Eager, eager
from ...families.speecht5 import stages
from ...families.speecht5 import text as reading
from ...families.speecht5.checkpoint import Checkpoint
from ...families.speecht5.config import TINY
from ...families.speecht5.speaker import speaker as vector
from ...families.speecht5.validation import StoppingCriteria
from ...folder import describe, is_checkpoint, verify
from ...graph.speecht5 import RUNTIMES as COMPILED
from ...loading import Options, opened
from ...loading.compact import CompactVoice
from ...loading.locate import locate
from ...loading.speecht5 import SpeechT5Voice, checkpoint
from ...ops.base import Ops
from ...text.chunks import split_text
from ...weights import file
from ...weights.cursor import Weights
from ..compact_probe import PROBE, loud, sensitised
from ..components import rows, speaker
from .pipeline import Staged, compact
from .speecht5 import Theirs, speecht5

FAMILIES = ("compact", "speecht5")
REFERENCE = "transformers"
RUNTIMES = (*ops.BACKENDS, *COMPILED, REFERENCE)
SENTENCE = "The lab says one sentence, and hears where it goes wrong."
PROBE_STEPS = 6


@dataclass(frozen=True, slots=True)
class Request:
    """What a side is to say: a text (its first piece), by whom, and the seed of what is drawn."""

    text: str = SENTENCE
    speaker: Any = None
    seed: int = 0


def side(name: str, request: Request, *, beside: str | None = None) -> Staged:
    """A side by its name, ``NAME[@RUNTIME]``; `beside` is another's, whose voice a bare file of weights belongs to.

    RUNTIME: numpy, torch, mlx (the blocks on a back end; the default is the first that is installed, a SpeechT5
    probe's the reference), onnx or openvino (compiled; also ``onnx:int8`` …), transformers. Raises PortavozError.
    """
    base, runtime = parted(name)
    if runtime == REFERENCE or (base == "speecht5" and not runtime):
        return _reference(base, request, name)
    kind, _, precision = runtime.partition(":")
    if kind in COMPILED:
        return _compiled(base, kind, precision or None, request, name)
    if precision:
        raise InputError(f"{name}: a back end runs in float32 here; leave {precision!r} out, or see lab precision")
    return on(ops.open(kind or ops.preferred()), base, request, beside=beside, name=name)


def parted(name: str) -> tuple[str, str]:
    """``arctic@onnx:int8`` → arctic, onnx:int8. What stands behind a hub's @ is no runtime, so it stays in the name."""
    base, _, runtime = name.rpartition("@")
    known = base and runtime.partition(":")[0] in RUNTIMES
    return (base, runtime) if known else (name, "")


def on(back: Ops, base: str, request: Request, *, beside: str | None = None, name: str = "") -> Staged:
    """A probe, a voice or a file of weights, its blocks on this back end. Raises PortavozError."""
    if base == "compact":
        weights = loud(sensitised(lambda w: Eager(w, PROBE), 0))
        model = Compact(Eager(Weights(weights, back), PROBE), PROBE)
        return compact(model, partial(_symbols, request.text), speaker=request.speaker or 0, name=name)
    if base == "speecht5":
        model, vocoder = _fresh().tensors()
        return _probe(stages.eager(model, vocoder, TINY, back), request, name)
    if base.endswith(".safetensors"):
        return _weights(Path(base), back, request, beside, name)
    folder = locate(base)
    if is_checkpoint(folder):
        found = checkpoint(folder)
        model, vocoder = found.tensors()
        return _letters(stages.eager(model, vocoder, found.config, back), found, request, name)
    about = _about(folder)
    verify(folder, about, ["model.safetensors"])
    return _voice(eager(folder / "model.safetensors", _config(about), back), about, request, name)


def _about(folder: Path) -> dict[str, Any]:
    about = describe(folder)
    if about["family"] != "compact":
        raise InputError(f"{folder}: family {about['family']!r} is not known to this portavoz; install a newer one")
    return about


def _config(about: dict[str, Any]) -> CompactConfig:
    return CompactConfig.from_dict(about["config"])


def other_speaker(base: str, request: Request) -> Request | None:
    """The same request for another speaker of the voice; None where there is only one. Raises PortavozError."""
    if base.endswith(".safetensors"):
        return None
    if base == "speecht5":
        return replace(request, speaker=(request.speaker or 0) + 1)
    if base == "compact":
        return replace(request, speaker=((request.speaker or 0) + 1) % PROBE.speakers)
    folder = locate(base)
    if is_checkpoint(folder):
        found = checkpoint(folder)
        mine = _vector(found, request.speaker)
        others = (one for one in found.speakers().values() if not np.array_equal(one, mine))
        return replace(request, speaker=next(others, -mine))
    speakers: list[str] = _about(folder)["speakers"]
    mine = speakers[0] if request.speaker is None else request.speaker
    others = [n for n, name in enumerate(speakers) if mine not in (n, name)]
    return replace(request, speaker=others[0]) if others else None


# Files of weights


def _weights(path: Path, back: Ops, request: Request, beside: str | None, name: str) -> Staged:
    """A file: the rest of its voice is in its folder, in its metadata, or what the other side has."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give a safetensors file")
    near = path.parent if any((path.parent / f).is_file() for f in ("voice.json", "config.json")) else None
    other = None if beside is None or parted(beside)[0] in FAMILIES else locate(parted(beside)[0])
    folder = other or near
    if folder is not None and is_checkpoint(folder):
        return _checkpoint_file(path, checkpoint(folder), back, request, name)
    if folder is not None:
        about = _about(folder)
        return _voice(eager(path, _config(about), back), about, request, name)
    said = file.read(path)[1].get("config")
    if said is None:
        raise InputError(f"{path}: neither its metadata nor a voice.json beside it says what it is; put it into one")
    config = CompactConfig.from_dict(json.loads(said))
    about = {"name": path.stem, "speakers": [str(n) for n in range(config.speakers)]}
    return _voice(eager(path, config, back), about, request, name)


def _checkpoint_file(path: Path, found: Checkpoint, back: Ops, request: Request, name: str) -> Staged:
    """A model's file or a vocoder's, with the other one of the checkpoint."""
    own = file.read(path)[0]
    model, vocoder = found.tensors()
    if any(tensor.startswith("conv_pre.") for tensor in own):
        vocoder = own
    else:
        model = own
    return _letters(stages.eager(model, vocoder, found.config, back), found, request, name)


# Voices


def _voice(model: Compact, about: dict[str, Any], request: Request, name: str) -> Staged:
    number = CompactVoice(model, about["name"], tuple(about["speakers"])).speaker(request.speaker)
    return compact(model, partial(_symbols, request.text), speaker=number, name=name)


def _symbols(text: str) -> tuple[str, ...]:
    for piece in split_text(text):
        if piece.symbols:
            return piece.symbols
    raise InputError(f"there is nothing to say in {text[:40]!r}: give a text with at least one word")


def _letters(model: stages.Stages, found: Checkpoint, request: Request, name: str) -> Staged:
    tokenizer = found.tokenizer()

    def ids() -> Any:
        for piece in reading.read(request.text, tokenizer, limit=reading.limit(found.config)):
            if piece.symbols:
                return tokenizer.ids("".join(piece.symbols))
        raise InputError(f"there is nothing to say in {request.text[:40]!r}: give a text with at least one word")

    voice = _vector(found, request.speaker)
    return speecht5(model, found.config, ids, speaker=voice, seed=request.seed, name=name)


def _vector(found: Checkpoint, wanted: Any) -> Any:
    """An x-vector by its name, number or file; the first that came with the checkpoint, or a made one, for None."""
    known, size = found.speakers(), found.config.speaker_embedding_dim
    if wanted is None:
        wanted = next(iter(known), np.full(size, size**-0.5, np.float32))
    if isinstance(wanted, int) and 0 <= wanted < len(known):
        wanted = list(known)[wanted]
    return vector(wanted, size, known)


def _compiled(base: str, runtime: str, precision: str | None, request: Request, name: str) -> Staged:
    if base in FAMILIES:
        raise InputError(f"{name}: a probe runs on back ends ({', '.join(ops.BACKENDS)}); give a voice with a runtime")
    folder = locate(base)
    made = opened(folder, Options(runtime=runtime, precision=precision)).model
    if isinstance(made, CompactVoice):
        return _voice(made.model, describe(folder), request, name)
    assert isinstance(made, SpeechT5Voice)
    return _letters(made.model.stages, checkpoint(folder), request, name)


# The reference, and SpeechT5's probe


def _reference(base: str, request: Request, name: str) -> Staged:
    from ..references import reference

    if base == "compact":
        raise InputError(f"{name}: no reference package has the compact family; give a back end")
    kind = reference(REFERENCE).Reference
    if base == "speecht5":
        return _probe(Theirs(_fresh()), request, name)
    found = checkpoint(locate(base))
    return _letters(Theirs(kind.open(found.folder, found.vocoder)), found, request, name)


def _fresh() -> Any:
    from ..references import reference

    return reference(REFERENCE).Reference.fresh(TINY, 0)


def _probe(model: stages.Stages, request: Request, name: str) -> Staged:
    """Twelve letters that mean nothing, and so many steps: random weights would never stop by themselves."""
    (ids,) = rows(TINY, (12,), request.seed)
    ratio = (PROBE_STEPS + 0.5) * TINY.reduction_factor / len(ids)
    stop = StoppingCriteria(threshold=TINY.reduction_factor + 1.0, maxlenratio=ratio)
    return speecht5(
        model, TINY, lambda: ids, speaker=speaker(TINY, request.speaker or 0), seed=request.seed, stop=stop, name=name
    )
