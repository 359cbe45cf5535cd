"""What is fuzzed: a name, how a case is made from a random number generator, and what is done with it."""

from __future__ import annotations

import dataclasses
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mutation
import numpy as np
import soundfile

from portavoz import input_files
from portavoz.audio import files
from portavoz.bulk import manifest
from portavoz.config_reader import Reader, read_object
from portavoz.families.chatterbox import config as chatterbox
from portavoz.families.compact.config import MINIMAL, CompactConfig
from portavoz.families.piper import config as piper
from portavoz.families.speecht5.config import TINY, SpeechT5Config
from portavoz.flow import MelSpec
from portavoz.folder import describe, verify
from portavoz.lab.trace import reader
from portavoz.serve import settings
from portavoz.text.chunks import split_text
from portavoz.text.lexicon import Lexicon
from portavoz.text.markup import read as read_markup
from portavoz.train.config import TrainConfig
from portavoz.train.data import corpus, labels, layouts
from portavoz.weights import file, store

Random = random.Random
DEFAULTS = {"voice": None, "speaker": None, "speed": 1.0, "seed": 0}
WORDS = (
    "Dr. Smith paid $3.50 on 3/4/2021 at 7:45 p.m.", "He said: “Read the lead.” (1/2, 10 km/h, −3 °C)", "IV. XIV 1990s",
    "https://example.com/a?b=c user@host", "😀 naïve Straße 日本語", "A–Z 3.14 1,000,000 0x1F v1.2.3", "[[HH AH0]] {x}",
)  # fmt: skip
SSML = (
    '<speak><p>Hello <break time="200ms"/><prosody rate="slow" pitch="+2st">there</prosody> '
    '<say-as interpret-as="date" format="mdy">3/4/2021</say-as><phoneme alphabet="ipa" ph="tɛst">t</phoneme>'
    '<sub alias="World Wide Web">WWW</sub><voice name="first">x</voice></p></speak>'
)
SOUNDS = (
    ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("RF64", "PCM_16"), ("W64", "PCM_24"), ("AIFF", "PCM_16"), ("AU", "PCM_16"),
    ("CAF", "ALAC_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
)  # fmt: skip
GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = "HH"
        intervals [2]:
            xmin = 0.5
            xmax = 1
            text = "AH0"
"""


class Target(NamedTuple):
    """`make(random)` gives a case; `use(case, folder)` does with it what a user's command does."""

    make: Callable[[Random], Any]
    use: Callable[[Any, Path], Any]


def written(name: str, use: Callable[[Path], Any]) -> Callable[[Any, Path], Any]:
    """Write a case to a file of this name, and use that."""

    def act(content: Any, folder: Path) -> Any:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return use(path)

    return act


def _text(chance: Random) -> str:
    return mutation.of_text(" ".join(chance.sample(WORDS, 3)), chance)


def json_of(value: Any) -> Callable[[Random], bytes]:
    """Mutated values, and now and then mutated bytes, of a JSON file."""

    def make(chance: Random) -> bytes:
        if chance.random() < 0.2:
            return mutation.of_bytes(json.dumps(value).encode(), chance)
        return json.dumps(mutation.of_value(value, chance)).encode("utf-8", "surrogatepass")

    return make


def values(value: Any) -> Callable[[Random], Any]:
    return lambda chance: mutation.of_value(value, chance)


def _bytes(*contents: bytes) -> Callable[[Random], bytes]:
    return lambda chance: mutation.of_bytes(chance.choice(contents), chance)


def texts(*contents: str) -> Callable[[Random], str]:
    return lambda chance: mutation.of_text(chance.choice(contents), chance)


def _sound(form: str, subtype: str) -> bytes:
    rate = 48000 if subtype == "OPUS" else 22050
    wave = (np.sin(np.arange(4000) / 9) * 0.5).astype(np.float32)
    soundfile.write(made := io.BytesIO(), wave, rate, format=form, subtype=subtype)
    return made.getvalue()


def tensors(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file of this header."""
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + data


def headed(header: Any, data: bytes) -> Callable[[Random], bytes]:
    """A safetensors file whose header's values are changed, or its bytes."""

    def make(chance: Random) -> bytes:
        if chance.random() < 0.3:
            return mutation.of_bytes(tensors(header, data), chance)
        return tensors(mutation.of_value(header, chance), data)

    return make


WEIGHTS = {
    "__metadata__": {"family": "compact", "layout": "torch", "config": "{}"},
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
    "c": {"dtype": "I64", "shape": [1], "data_offsets": [32, 40]},
}
UNITS = {
    "format": "portavoz-trace", "version": 2, "producer": "x", "precision": "float32",
    "units": [
        {"key": "enc#0", "kind": "leaf", "op": "linear", "path": "enc", "facts": {"eps": 1e-5}},
        {"key": "enc#1", "op": "linear", "path": "enc", "facts": {}, "same_as": {"in0": "enc#0:out"}},
        {"key": "dec#0", "op": "conv1d", "transpose_of": {"in0": "enc#0:out"}},
    ],
    "layers": {"enc": {"weight": {"shape": [2], "hash": "ff", "sketch": [0.0, 1.0], "rows": ["1"]}}},
    "floors": {"enc#0": {"out": 1e-7}},
}  # fmt: skip
TRACE = {
    **{
        name: {"dtype": "F32", "shape": [1, 2, 2], "data_offsets": [16 * i, 16 * i + 16]}
        for i, name in enumerate(("enc#0:in0", "enc#0:out", "enc#1:out", "dec#0:out"))
    },
    "enc:weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [64, 80]},
}


def _trace(chance: Random) -> bytes:
    header = mutation.of_value(UNITS, chance) if chance.random() < 0.6 else UNITS
    entries = mutation.of_value(TRACE, chance) if chance.random() < 0.4 else TRACE
    written = json.dumps(header) if chance.random() < 0.95 else header
    about = {"__metadata__": {"portavoz.trace": written}, **(entries if isinstance(entries, dict) else {})}
    return tensors(about, bytes(range(80)))


def _read_trace(path: Path) -> None:
    trace = reader.read(path)
    for key, info in trace.units.items():
        for place in info.shapes:
            trace.array(key, place)
    trace.header()


def _read_weights(path: Path) -> None:
    for read in (file.read, store.read):
        for tensor in read(path)[0].values() if read is file.read else read(path).values():
            np.asarray(getattr(tensor, "bits", tensor)).sum()


def _npy() -> bytes:
    np.save(made := io.BytesIO(), np.arange(12, dtype=np.float32).reshape(3, 4))
    return made.getvalue()


def _npz() -> bytes:
    np.savez_compressed(made := io.BytesIO(), a=np.arange(12.0), b=np.ones((2, 2), np.float32))
    return made.getvalue()


def _voice(folder: Path) -> None:
    about = describe(folder)
    CompactConfig.from_dict(about["config"])
    verify(folder, about)


VOICE = {
    "format": 1, "name": "x", "family": "compact", "rate": 22050, "config": MINIMAL.to_dict(), "speakers": ["a", "b"],
    "files": {"model.safetensors": {"sha256": "0" * 64, "bytes": 3}}, "card": {"licence": "none"},
}  # fmt: skip
PIPER = {
    "audio": {"sample_rate": 22050}, "espeak": {"voice": "en-us"}, "phoneme_type": "espeak", "num_symbols": 5,
    "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8}, "num_speakers": 1, "speaker_id_map": {},
    "phoneme_id_map": {"_": [0], "^": [1], "$": [2], "a": [3], "b": [4]}, "phoneme_map": {},
}  # fmt: skip
TRAIN = (
    "corpus: toy\npart: acoustic\nsteps: 40\nbatch: 4\nrate: 2e-3\nmodel:\n  hidden: 32\n  inner: 32\n"
    "losses: {mel: 1.0}\n"
    "logs: [tensorboard]\nonly: [acoustic.decoder]\naverage: 0.9\nseed: 3\nspeakers: own\n"
)
SERVE = "host: 127.0.0.1\nport: 8080\nvoices: [heart]\nworkers: 2\nvoice_aliases: {alloy: slt}\nqueue_timeout: 3.5\n"
LEXICON = "tomato  T AH0 M AA1 T OW0\nNew York\tN UW1 Y AO1 R K\nrecord/verb  R IH0 K AO1 R D # x\nnaïve  naˈiv\n"
CSV = 'file,text,speaker\na.wav,Hello there.,ann\nb.wav,"One, two.",bob\n'
JSONL = '{"id": "a", "text": "Hello.", "speed": 1.1, "seed": 4}\n{"id": "b", "text": "One, two.", "speaker": "ann"}\n'
INDEX = (
    '{"id": "a", "text": "x", "wav": "a.wav", "speaker": "s", "split": "train", "symbols": ["^", "AH0"], '
    '"ends": [0.1, 0.2]}\n'
)


def _layout(name: str) -> Callable[[Path], Any]:
    def act(path: Path) -> None:
        for one in path.parent.iterdir():
            if one.name != name:
                one.unlink()
        found = layouts.find(path.parent)
        assert all(recording.text is not None for recording in found.recordings)

    return act


SETTINGS = [f.name for f in dataclasses.fields(TrainConfig)]


def _marked_up(text: str, kind: str) -> None:
    for segment in read_markup(text, kind).segments:
        list(split_text(segment.text, limit=180))


TARGETS: dict[str, Target] = {
    "text": Target(_text, lambda text, _: list(split_text(text, limit=180))),
    "ssml": Target(texts(SSML), lambda text, _: _marked_up(text, "ssml")),
    "markup": Target(
        texts(SSML, "# A\n\n- *b* [c](d) `e`\n\n> f\n\n| g | h |\n", "<p>a<br>b &amp; <script>c</script></p>"),
        lambda text, _: _marked_up(text, "auto"),
    ),
    "voice.json": Target(json_of(VOICE), written("voice.json", lambda path: _voice(path.parent))),
    "compact config": Target(values(MINIMAL.to_dict()), lambda found, _: CompactConfig.from_dict(found)),
    "speecht5 config": Target(
        values([TINY.to_dict(), TINY.vocoder_dict()]),
        lambda found, _: SpeechT5Config.from_dict(*(found if isinstance(found, list) and len(found) == 2 else [0])),
    ),
    "chatterbox config": Target(
        json_of(chatterbox.CONFIGS["tiny"].to_dict()),
        written("config.json", lambda path: chatterbox.parse(read_object(path, "fetch it again"))),
    ),
    "Piper JSON": Target(json_of(PIPER), written("v.onnx.json", piper.read)),
    "mel": Target(values(dataclasses.asdict(MelSpec())), lambda found, _: Reader("the mel").read(MelSpec, found)),
    "safetensors": Target(headed(WEIGHTS, bytes(40)), written("w.safetensors", _read_weights)),
    "trace": Target(_trace, written("t.trace", _read_trace)),
    "npy": Target(_bytes(_npy()), written("a.npy", input_files.read_array)),
    "npz": Target(_bytes(_npz()), written("a.npz", input_files.read_arrays)),
    "train YAML": Target(texts(TRAIN), written("c.yaml", lambda path: TrainConfig.read(path))),
    "train values": Target(
        lambda chance: f"{chance.choice(SETTINGS)}={chance.choice(mutation.VALUES)}",
        lambda change, folder: TrainConfig.read(_config(folder), [change]),
    ),
    "serve YAML": Target(texts(SERVE), written("s.yaml", lambda path: settings.read({}, path))),
    "lexicon": Target(texts(LEXICON), written("l.txt", Lexicon.open)),
    "corpus CSV": Target(texts(CSV, CSV.replace(",", "|")), written("metadata.csv", _layout("metadata.csv"))),
    "corpus JSONL": Target(texts(JSONL.replace('"id"', '"audio"')), written("m.jsonl", _layout("m.jsonl"))),
    "corpus index": Target(texts(INDEX), written("index.jsonl", lambda path: list(corpus.index(path.parent)))),
    "manifest JSONL": Target(
        texts(JSONL), written("m.jsonl", lambda path: list(manifest.read(str(path), DEFAULTS)))
    ),
    "manifest CSV": Target(
        texts("id,text,speed\na,Hello.,1\nb,\"x, y\",2\n"),
        written("m.csv", lambda path: list(manifest.read(str(path), DEFAULTS))),
    ),
    "labels": Target(texts(GRID), written("a.TextGrid", labels.read)),
    "lab labels": Target(
        texts("0 5000000 HH\n5000000 9000000 AH0\n", "0.5 121 HH\n0.7 121 AH0\n"), written("a.lab", labels.read)
    ),
    **{
        f"{form} {subtype}": Target(
            _bytes(_sound(form, subtype)), lambda data, _: files.read(io.BytesIO(data), rate=16000)
        )
        for form, subtype in SOUNDS
    },
}  # fmt: skip


def _config(folder: Path) -> Path:
    path = folder / "c.yaml"
    path.write_text(TRAIN, encoding="utf-8")
    return path
