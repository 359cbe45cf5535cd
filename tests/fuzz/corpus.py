"""Cases that were defects once, as builders: each is refused in one sentence, or accepted, ever since."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from model_targets import KIT, PREPARED, SAVED
from targets import PIPER, TRACE, UNITS, tensors

from portavoz.families.compact.config import MINIMAL
from portavoz.families.speecht5.config import TINY
from portavoz.flow import MelSpec


def _trace(units: Any = None, **changes: Any) -> bytes:
    header = {**UNITS, **({} if units is None else {"units": units}), **changes}
    return tensors({"__metadata__": {"portavoz.trace": json.dumps(header)}, **TRACE}, bytes(80))


def _npy(header: bytes) -> bytes:
    padded = header + b" " * (53 - len(header) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def _claiming(size: int) -> bytes:
    """A .npz file of one array; its directory says that the entry has so many bytes."""
    file = io.BytesIO()
    np.savez(file, a=np.zeros(4))
    content = bytearray(file.getvalue())
    at = content.rindex(b"PK\x01\x02")
    content[at + 20 : at + 28] = size.to_bytes(4, "little") * 2
    return bytes(content)


def _weights(**entry: Any) -> bytes:
    return tensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **entry}}, bytes(4))


def _compact(**changes: Any) -> dict[str, Any]:
    return {**MINIMAL.to_dict(), **changes}


def _mel(**changes: Any) -> dict[str, Any]:
    return {**dataclasses.asdict(MelSpec()), **changes}


def _speecht5(**changes: Any) -> list[Any]:
    return [{**TINY.to_dict(), **changes}, TINY.vocoder_dict()]


def _print(number: str) -> Any:
    return {"enc": {"weight": {"shape": [1], "hash": number}}}


def _piper(**changes: Any) -> str:
    return json.dumps({**PIPER, **changes})


def _saved(**changes: str) -> bytes:
    return tensors({**SAVED, "__metadata__": {**SAVED["__metadata__"], **changes}}, bytes(24))


def _prepared(text: str) -> bytes:
    return tensors({**PREPARED, "__metadata__": {**PREPARED["__metadata__"], "prepared": text}}, bytes(24))


WIDE = {"dtype": "F32", "shape": [1 << 63, 4], "data_offsets": [0, 0]}
# Target → what it was given.
FOUND: tuple[tuple[str, str, Callable[[], Any]], ...] = (
    ("npy", "a header that Python's tokenizer gives up on", lambda: _npy(b"{'descr': '<f4'")),
    ("npy", "a header of brackets", lambda: _npy(b"[" * 500)),
    ("npy", "a claim of exabytes", lambda: _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1 << 62,)}")),
    ("npy", "an archive of arrays", lambda: b"PK\x03\x04" + bytes(40)),
    ("safetensors", "an endless empty shape", lambda: _weights(shape=[0, 1 << 62], data_offsets=[0, 0])),
    ("safetensors", "a kind of number that nobody knows", lambda: _weights(dtype="F8_E5M2", data_offsets=[0, 1])),
    ("safetensors", "a negative place", lambda: _weights(data_offsets=[-4, 0])),
    ("trace", "an entry that is a number", lambda: tensors({**TRACE, "enc#0:in0": 5}, bytes(80))),
    ("trace", "metadata that is a list", lambda: tensors({"__metadata__": [1], **TRACE}, bytes(80))),
    ("trace", "units that are numbers", lambda: _trace(units=[5, None, []])),
    ("trace", "a kind that is a list", lambda: _trace(units=[{"key": "enc#0", "kind": []}], version=1)),
    ("trace", "a call written with another script's digit", lambda: _trace(units=[{"key": "enc#²"}])),
    ("trace", "a call of five thousand digits", lambda: _trace(units=[{"key": "enc#" + "1" * 5000}])),
    ("trace", "facts that are a text", lambda: _trace(units=[{"key": "enc#0", "facts": "eps"}])),
    ("trace", "a fingerprint beyond 64 bits", lambda: _trace(layers=_print("f" * 99))),
    ("trace", "a shape beyond 64 bits", lambda: tensors({"x#0:out": WIDE})),
    ("compact config", "a billion layers", lambda: _compact(encoder_layers=10**9)),
    ("compact config", "a width of a billion", lambda: _compact(hidden=2 * 10**9)),
    ("compact config", "a trillion frames", lambda: _compact(longest=10**12)),
    ("compact config", "many frames and many symbols", lambda: _compact(longest=60_000, hidden=65_536)),
    ("compact config", "a million bands", lambda: _compact(mel=_mel(mels=10**6))),
    ("compact config", "a transform of a billion", lambda: _compact(mel=_mel(fft=10**9))),
    ("compact config", "a part that is a long list", lambda: _compact(hifigan=[0] * 5000)),
    ("Piper values", "sizes that are a long list", lambda: {"sizes": [0] * 5000}),
    ("mel", "an infinite floor", lambda: {"floor": float("inf")}),
    ("speecht5 config", "architectures that are a number", lambda: _speecht5(architectures=5)),
    ("speecht5 config", "a width of a billion", lambda: _speecht5(hidden_size=10**9)),
    ("speecht5 config", "five thousand architectures", lambda: _speecht5(architectures=[0] * 5000)),
    ("chatterbox config", "a variant that is a list", lambda: b'{"variant": []}'),
    ("chatterbox config", "a billion layers", lambda: b'{"tokens": {"layers": 1000000000}}'),
    ("voice.json", "nesting without end", lambda: b'{"a":' * 50_000),
    ("voice.json", "a number of five thousand digits", lambda: b'{"format": ' + b"1" * 5000 + b"}"),
    ("train YAML", "nesting without end", lambda: "corpus: " + "[" * 1500),
    ("train YAML", "a truth value that is none", lambda: "corpus: !!bool maybe"),
    ("train YAML", "a time that is none", lambda: "corpus: !!timestamp soon"),
    ("train YAML", "a list of itself", lambda: "corpus: &a [*a]"),
    ("serve YAML", "nesting without end", lambda: "host: " + "{a: " * 1500),
    ("Piper JSON", "a trillion speakers", lambda: _piper(num_speakers=10**12)),
    ("Piper JSON", "a phoneme that stands for a number", lambda: _piper(phoneme_map={"a": 5})),
    ("Piper JSON", "a phoneme of a million numbers", lambda: _piper(phoneme_id_map=dict.fromkeys("_^$", [1] * 10**6))),
    ("Piper values", "sizes that are a number", lambda: {"sizes": {"upsampling": [5]}}),
    ("Piper values", "strides whose product is 10²¹", lambda: {"sizes": {"upsampling": [[1000, 1000]] * 7}}),
    ("Piper values", "phonemes that are a number", lambda: {"ids": 5}),
    ("Kokoro values", "a rate of a trillion", lambda: {"rate": 10**12}),
    ("Kokoro values", "a style that is a text", lambda: {"style": "x"}),
    ("training checkpoint", "a step that is a word", lambda: _saved(step="soon")),
    ("training checkpoint", "a configuration that is no JSON", lambda: _saved(config="{")),
    ("prepared weights", "an order that is a text", lambda: _prepared(json.dumps({"a": {"order": "ab"}}))),
    ("prepared weights", "a layer that is not described", lambda: _prepared("{}")),
    ("ttnn schedule", "rules that are numbers", lambda: "rule = [1, 2]"),
    ("ttnn schedule", "buckets that are a number", lambda: "buckets = 5"),
    ("kit.json", "a family that is a list", lambda: json.dumps({**KIT, "family": []})),
    ("kit.json", "stages that are numbers", lambda: json.dumps({**KIT, "stages": [1]})),
    ("stored recording", "nesting without end", lambda: b'{"id":' * 50_000),
    ("digests", "a list", lambda: "[1]"),
    ("npz", "an entry of two billion bytes in a small file", lambda: _claiming(2 * 10**9)),
    ("WAV PCM_16", "an ID3 mark and nothing behind it", lambda: b"ID3"),
)  # fmt: skip
