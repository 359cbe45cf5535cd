"""From a folder that the reference wrote to sound, and back to such a folder; one sentence for each that is broken."""

from __future__ import annotations

import fnmatch
import json
import shutil
import socket
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch

import portavoz
from portavoz.audio.limit import soft_limit
from portavoz.errors import BackendError, InputError, MissingExtra, PortavozError, SpecError, WeightError
from portavoz.families.speecht5.checkpoint import Checkpoint, save
from portavoz.families.speecht5.loop import SpeechT5
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.families.speecht5.stages import Eager
from portavoz.families.speecht5.validation import StoppingCriteria
from portavoz.ops.base import Ops
from portavoz.text.lexicon import Lexicon
from portavoz.voice import Voice
from portavoz.weights import file, shards
from portavoz.weights.convert import convert
from portavoz.weights.cursor import Weights

TEXTS = ["Hello there.", "Dr. Smith paid $3.50!", "I don’t know “why”."]
SPEAKER = checkpoints.voice()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    """A folder and the reference that wrote it; it stops by its own decision, sooner or later."""
    folder = tmp_path_factory.mktemp("speecht5") / "tiny"
    return folder, checkpoints.written(folder, prob_bias=-1.9, max_speech_positions=900)


@pytest.fixture(scope="module")
def folder(reference: tuple[Path, Reference]) -> Path:
    return reference[0]


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def expected(voice: Voice, reference: Reference, text: str, *, seed: int = 0, speaker: Any = SPEAKER) -> np.ndarray:
    """What the reference says for a text that is one piece, with the masks of a seed."""
    model: Any = voice.model
    manner = portavoz.families.synthesis.SynthesisOptions(speaker=speaker)
    (chunk,) = model.split_text(text, manner)
    ids = np.array(model.tokenizer.ids("".join(chunk.symbols)))
    masks = model.model.masks(seed, model.model.c.max_speech_positions)
    return reference.generate(ids, np.asarray(speaker), masks=masks, stop=StoppingCriteria()).wave


def close(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Equal as float32 goes, behind the limiter that every voice has."""
    theirs = soft_limit(theirs)
    return ours.shape == theirs.shape and bool(np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs))


def test_a_folder_says_what_the_reference_says(reference: tuple[Path, Reference]) -> None:
    voice = portavoz.load(reference[0])
    assert (voice.rate, voice.name, voice.runtime, voice.speakers) == (16000, "tiny", "eager", ())
    assert voice.describe()["family"] == "speecht5"
    lengths = set()
    for text in TEXTS:
        for seed in (0, 7):
            speech = voice.speak(text, speaker=SPEAKER, seed=seed)
            assert close(speech.samples, expected(voice, reference[1], text, seed=seed))
            assert all("speech is missing" in warning for warning in speech.warnings)
            lengths.add(len(speech.samples))
    assert len(lengths) > 3  # it is the stop flag that ends them


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_every_back_end_says_the_same(reference: tuple[Path, Reference], backend: str) -> None:
    """The blocks as they are written; without `backend` they are fused."""
    voice = portavoz.load(reference[0], backend=backend)
    assert close(voice.speak(TEXTS[0], speaker=SPEAKER).samples, expected(voice, reference[1], TEXTS[0]))


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_damaged_weights_are_found_before_they_are_compiled(
    copy: Path, runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAVOZ_CACHE", str(tmp_path / "cache"))
    rewritten(copy, lambda t: t.update(extra=np.ones(1)))
    assert "1 tensor nobody took: extra" in refused(WeightError, lambda: portavoz.load(copy, runtime=runtime))
    rewritten(copy, lambda t: (t.pop("extra"), t["speech_decoder_postnet.feat_out.weight"].fill(np.nan)))
    assert "feat_out.weight: holds NaN" in refused(WeightError, lambda: portavoz.load(copy, runtime=runtime))


def test_stream_is_speak_and_the_seed_decides(folder: Path) -> None:
    voice = portavoz.load(folder)
    text = " ".join(TEXTS)
    pieces = [piece.samples for piece in voice.stream(text, speaker=SPEAKER)]
    whole = voice.speak(text, speaker=SPEAKER, batch=1).samples
    assert len(pieces) >= 3 and np.array_equal(np.concatenate(pieces), whole)
    assert not np.array_equal(voice.speak(text, speaker=SPEAKER, seed=1).samples[:400], whole[:400])


PAGE = "Hello there. I don’t know “why”. Yes! Dr. Smith paid $3.50, and left.\n\nAnd a second paragraph 日本. No?"


def test_a_page_is_said_in_batches_and_each_sentence_as_it_is_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counted(model: SpeechT5, ids: Any, *rest: Any, **named: Any) -> Any:
        sizes.append(len(ids))
        return genuine(model, ids, *rest, **named)

    genuine = SpeechT5.synthesize_batch
    monkeypatch.setattr(SpeechT5, "synthesize_batch", counted)
    voice = portavoz.load(folder)
    assert voice.batch == 8
    in_turn = voice.speak(PAGE, speaker=SPEAKER, batch=1)
    assert sizes == [1] * 6
    whole = in_turn
    for batch, wanted in ((None, [6]), (4, [4, 2]), (5, [5, 1])):
        sizes.clear()
        whole = voice.speak(PAGE, speaker=SPEAKER, batch=batch)
        assert sizes == wanted
        assert whole.samples.shape == in_turn.samples.shape
        assert np.linalg.norm(whole.samples - in_turn.samples) <= 1e-4 * np.linalg.norm(in_turn.samples)
        assert whole.warnings == in_turn.warnings and any("日本" in warning for warning in whole.warnings)
    pieces = list(voice.stream(PAGE, speaker=SPEAKER, batch=5))
    assert np.array_equal(np.concatenate([piece.samples for piece in pieces]), whole.samples)


def test_rows_of_other_speakers_and_seeds_are_said_as_alone(folder: Path) -> None:
    """As a server batches the sentences of several requests."""
    voice = portavoz.load(folder)
    model: Any = voice.model
    manners = [
        portavoz.families.synthesis.SynthesisOptions(speaker=checkpoints.voice(n), seed=n) for n in range(len(TEXTS))
    ]
    chunks = [next(model.split_text(text, manner)) for text, manner in zip(TEXTS, manners)]
    together = [np.concatenate(list(row.waves)) for row in model.synthesize_batch(chunks, manners)]
    for text, manner, samples in zip(TEXTS, manners, together):
        alone = voice.speak(text, speaker=manner.speaker, seed=manner.seed, batch=1).samples
        assert close(alone, samples)


def test_a_stream_says_one_sentence_after_the_other(folder: Path) -> None:
    """So that the first is heard soon: no more is read than it takes to know where a sentence ends."""
    asked = []

    def lines():
        for number in range(30):
            asked.append(number)
            yield f"This is number {number}. "

    stream = portavoz.load(folder).stream(lines(), speaker=SPEAKER)
    next(stream)
    assert len(asked) < 12  # the splitter looks a little ahead
    stream.close()


@pytest.mark.parametrize("batch", [0, -1, 257, 2.0, True, "8"])
def test_batches_that_cannot_be(folder: Path, batch: Any) -> None:
    said = refused(InputError, lambda: portavoz.load(folder).speak("Hi.", speaker=SPEAKER, batch=batch))
    assert said == f"batch is {batch!r}: give a whole number of sentences from 1 to 256"


def test_many_threads_may_speak_at_once(folder: Path) -> None:
    voice = portavoz.load(folder)
    alone = [voice.speak(text, speaker=SPEAKER).samples for text in TEXTS]
    with ThreadPoolExecutor(6) as pool:
        at_once = list(pool.map(lambda text: voice.speak(text, speaker=SPEAKER).samples, TEXTS * 4))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 4, at_once))


def test_long_text_is_cut_below_the_limits_and_each_part_is_the_references(reference: tuple[Path, Reference]) -> None:
    voice = portavoz.load(reference[0])
    text = "Once upon a time there was a little voice, and it spoke without an end, and nobody knew why it did. " * 2
    text = text.replace(". Once", ", because once")
    manner = portavoz.families.synthesis.SynthesisOptions(speaker=SPEAKER)
    chunks = list(voice.model.split_text(text, manner))
    model: Any = voice.model
    said = [model.tokenizer.ids("".join(chunk.symbols)) for chunk in chunks]
    assert len(said) >= 3
    assert 60 < max(map(len, said)) <= 90  # 900 steps, ten of them a symbol
    masks = model.model.masks(0, 900)
    parts = [reference[1].generate(np.array(ids), SPEAKER, masks=masks, stop=StoppingCriteria()).wave for ids in said]
    assert [r.pause for r in chunks] == [0.0] * (len(said) - 1) + [0.6]
    assert close(voice.speak(text, speaker=SPEAKER).samples, np.concatenate(parts))


def test_speakers_that_came_with_the_folder(copy: Path, reference: tuple[Path, Reference]) -> None:
    file.write(copy / "speakers.safetensors", {"anna": SPEAKER}, {})
    (copy / "speakers").mkdir()
    np.save(copy / "speakers" / "bert.npy", checkpoints.voice(1))
    voice = portavoz.load(copy)
    assert voice.speakers == ("anna", "bert")
    wanted = expected(voice, reference[1], TEXTS[0])
    for speaker in (None, "anna", 0):
        assert close(voice.speak(TEXTS[0], speaker=speaker).samples, wanted)
    for speaker in ("bert", 1, str(copy / "speakers" / "bert.npy")):
        assert close(
            voice.speak(TEXTS[0], speaker=speaker).samples,
            expected(voice, reference[1], TEXTS[0], speaker=checkpoints.voice(1)),
        )
    mixed = voice.speak(TEXTS[0], speaker="anna:0.7+bert:0.3").samples
    assert not np.array_equal(mixed[:30], voice.speak(TEXTS[0], speaker="anna").samples[:30])
    with pytest.raises(InputError, match=r"'carl': there is no such file; give a name \(anna, bert\)"):
        voice.speak(TEXTS[0], speaker="carl")


# Where the weights and the vocoder may be


@pytest.mark.parametrize("place", ["hifigan", "../speecht5_hifigan", "../elsewhere"])
def test_places_of_the_vocoder(copy: Path, place: str) -> None:
    wanted = portavoz.load(copy).speak(TEXTS[0], speaker=SPEAKER).samples
    (copy / "vocoder").rename(copy / place)
    voice = portavoz.load(copy, vocoder=copy / place if "elsewhere" in place else None)
    assert np.array_equal(voice.speak(TEXTS[0], speaker=SPEAKER).samples, wanted)


def test_shards(copy: Path, reference: tuple[Path, Reference]) -> None:
    (copy / "model.safetensors").unlink()
    reference[1].model.save_pretrained(copy, max_shard_size="30KB")
    assert len(list(copy.glob("model-*.safetensors"))) > 2
    assert close(portavoz.load(copy).speak(TEXTS[0], speaker=SPEAKER).samples, spoken(reference))
    next(copy.glob("model-00002-*.safetensors")).unlink()
    with pytest.raises(WeightError, match=r"model-00002-.*lists this shard, it is not there"):
        portavoz.load(copy)


def spoken(reference: tuple[Path, Reference]) -> np.ndarray:
    return expected(portavoz.load(reference[0]), reference[1], TEXTS[0])


def old(vocoder: Any) -> dict[str, torch.Tensor]:
    """The vocoder's tensors with weight norm as PyTorch 1 spelled it."""
    out: dict[str, torch.Tensor] = {}
    for name, tensor in vocoder.state_dict().items():
        if name.endswith(".weight"):
            stem, norm = name.removesuffix("weight"), tensor.flatten(1).norm(dim=1).reshape(-1, 1, 1)
            out[f"{stem}weight_g"], out[f"{stem}weight_v"] = norm, tensor * 3.0
        else:
            out[name] = tensor
    return out


def new(vocoder: Any) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vocoder.apply_weight_norm()
    return vocoder.state_dict()


@pytest.mark.parametrize("spelling", [old, new])
def test_pickled_checkpoints_and_every_spelling_of_weight_norm(
    copy: Path, reference: tuple[Path, Reference], spelling: Callable[[Any], dict[str, torch.Tensor]]
) -> None:
    """As the published files are: pickles, with the tables of sines that old releases stored."""
    state = dict(reference[1].model.state_dict())
    for side in ("encoder", "decoder"):
        state[f"speecht5.{side}.prenet.encode_positions.pe"] = torch.zeros(1, 160, 32)
    second = Reference.open(reference[0], reference[0] / "vocoder").vocoder
    for place, tensors in ((copy, state), (copy / "vocoder", spelling(second))):
        (place / "model.safetensors").unlink()
        torch.save(tensors, place / "pytorch_model.bin")
        with pytest.raises(WeightError, match=r"portavoz weights convert .*pytorch_model.bin .* --trust-pickle"):
            portavoz.load(copy)
        convert(place / "pytorch_model.bin", place / "model.safetensors", trust_pickle=True)
    assert close(portavoz.load(copy).speak(TEXTS[0], speaker=SPEAKER).samples, spoken(reference))


def test_a_pickled_checkpoint_in_several_files(copy: Path, reference: tuple[Path, Reference]) -> None:
    state = reference[1].model.state_dict()
    names = [f"pytorch_model-0000{n}-of-00003.bin" for n in (1, 2, 3)]
    places = {key: names[number % 3] for number, key in enumerate(state)}
    (copy / "model.safetensors").unlink()
    for name in names:
        torch.save({key: tensor for key, tensor in state.items() if places[key] == name}, copy / name)
    index = copy / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    said = refused(WeightError, lambda: portavoz.load(copy))
    assert f"portavoz weights convert {index} {copy / 'model.safetensors'} --trust-pickle" in said
    before = sorted(copy.iterdir())
    with pytest.raises(WeightError, match="a pickle is a program"):
        convert(index, copy / "model.safetensors")
    assert sorted(copy.iterdir()) == before
    report = convert(index, copy / "model.safetensors", trust_pickle=True)
    assert report["tensors"] == len(state)
    assert report["metadata"]["converted_from"] == index.name
    assert sorted(copy.iterdir()) == sorted([*before, copy / "model.safetensors"])
    assert close(portavoz.load(copy).speak(TEXTS[0], speaker=SPEAKER).samples, spoken(reference))

    (copy / "model.safetensors").unlink()
    (copy / names[1]).unlink()
    with pytest.raises(WeightError, match=r"00002-of-00003.bin: pytorch_model.bin.index.json lists this shard"):
        convert(index, copy / "model.safetensors", trust_pickle=True)
    index.write_text(json.dumps({"weight_map": {"a": "../a.bin"}}))
    with pytest.raises(WeightError, match=r"a is said to be in '../a.bin', wanted a file with .bin or .pt"):
        convert(index, copy / "model.safetensors", trust_pickle=True)
    assert not (copy / "model.safetensors").exists()


def test_half_precision_files(copy: Path, reference: tuple[Path, Reference]) -> None:
    half = {k: (v.astype(np.float16) if v.dtype == np.float32 else v) for k, v in shards.read(copy)[0].items()}
    file.write(copy / "model.safetensors", half, {"format": "pt"})
    speech = portavoz.load(copy).speak("Hi.", speaker=SPEAKER)
    assert speech.samples.dtype == np.float32 and np.isfinite(speech.samples).all()


# The hub


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """An empty local cache of the hub, and no network: a connection fails the test's way."""
    import huggingface_hub

    home = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home))
    tried: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        tried.append(args)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    def add(name: str, source: Path, *, revision: str = "main") -> Path:
        base = home / f"models--{name.replace('/', '--')}"
        (base / "refs").mkdir(parents=True, exist_ok=True)
        sha = f"{len(revision):040x}"
        (base / "refs" / revision).write_text(sha, encoding="utf-8")
        return Path(shutil.copytree(source, base / "snapshots" / sha))

    add.tried = tried  # type: ignore[attr-defined]
    return add


def test_a_name_on_the_hub_that_is_in_the_cache(
    cache: Any, folder: Path, reference: tuple[Path, Reference], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache("someone/tiny-tts", folder)
    cache("someone/tiny-tts", folder, revision="v2")
    for name in ("someone/tiny-tts", "someone/tiny-tts@v2"):
        for offline in ("0", "1"):
            monkeypatch.setenv("HF_HUB_OFFLINE", offline)
            voice = portavoz.load(name)
            assert close(voice.speak(TEXTS[0], speaker=SPEAKER).samples, spoken(reference))
    assert cache.tried == []


def test_the_published_pair_of_names(
    cache: Any, folder: Path, copy: Path, reference: tuple[Path, Reference], tmp_path: Path
) -> None:
    """microsoft/speecht5_tts has its vocoder in microsoft/speecht5_hifigan."""
    (copy / "vocoder").rename(tmp_path / "voc")
    cache("someone/speecht5_tts", copy)
    with pytest.raises(InputError, match="someone/speecht5_hifigan: could not be fetched from the hub"):
        portavoz.load("someone/speecht5_tts")
    cache.tried.clear()
    cache("someone/speecht5_hifigan", tmp_path / "voc")
    assert close(portavoz.load("someone/speecht5_tts").speak(TEXTS[0], speaker=SPEAKER).samples, spoken(reference))
    portavoz.load(copy, vocoder="someone/speecht5_hifigan")
    assert cache.tried == []


def test_names_that_are_nowhere(cache: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set and it is not in the local Hugging Face cache"):
        portavoz.load("someone/nothing")
    (cache("someone/half", folder) / "model.safetensors").unlink()
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set and only a part of it is in the local"):
        portavoz.load("someone/half")
    assert cache.tried == []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(InputError, match=r"someone/nothing: could not be fetched from the hub \(.*\); try again"):
        portavoz.load("someone/nothing")
    assert cache.tried


@pytest.mark.parametrize("kind", ["safetensors", "pickle"])
def test_what_is_not_in_the_cache_is_fetched(
    cache: Any, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A hub of our own: pickles are only asked for where there is nothing else."""
    import huggingface_hub

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    if kind == "pickle":
        (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    asked: list[list[str]] = []

    def download(
        repo_id: str, *, revision: str | None, local_files_only: bool = False, allow_patterns: Any = None
    ) -> str:
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not here")
        asked.append(allow_patterns)
        for path in copy.rglob("*"):
            name = path.relative_to(copy)
            if path.is_file() and any(fnmatch.fnmatch(str(name), pattern) for pattern in allow_patterns):
                (tmp_path / "got" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, tmp_path / "got" / name)
        return str(tmp_path / "got")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    if kind == "pickle":
        assert "a pickle can run code" in refused(WeightError, lambda: portavoz.load("someone/far"))
        assert "pytorch_model.bin" not in asked[0] and "pytorch_model.bin" in asked[1]
        return
    assert len(portavoz.load("someone/far").speak("Hi.", speaker=SPEAKER).samples)
    assert len(asked) == 1 and "pytorch_model.bin" not in asked[0]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "huggingface_hub":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"no folder here but may be one on the hub, needs .*portavoz\[hub\]"):
        portavoz.load("someone/nothing")


# Back to the reference


def strictly(folder: Path) -> Reference:
    """Open with the reference, which must find every key that it wants and no other."""
    from transformers import SpeechT5ForTextToSpeech, SpeechT5HifiGan

    pair = []
    for kind, place in ((SpeechT5ForTextToSpeech, folder), (SpeechT5HifiGan, folder / "vocoder")):
        model, found = kind.from_pretrained(place, output_loading_info=True, local_files_only=True)
        assert not any(found[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
        assert {*model.state_dict()} == {*file.read(place / "model.safetensors")[0]}
        pair.append(model)
    return Reference(*pair)


def test_saved_back_it_is_the_same_checkpoint(reference: tuple[Path, Reference], tmp_path: Path) -> None:
    opened = Checkpoint.open(reference[0])
    model, vocoder = opened.tensors().values()
    save(tmp_path / "again", opened.config, model, vocoder, source=opened.folder, speakers={"anna": SPEAKER})
    again = strictly(tmp_path / "again")
    for ours, theirs in ((again.model, reference[1].model), (again.vocoder, reference[1].vocoder)):
        assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
        assert ours.config.to_diff_dict() == theirs.config.to_diff_dict()
    from transformers import SpeechT5Tokenizer

    assert SpeechT5Tokenizer.from_pretrained(tmp_path / "again")("Hello <mask>").input_ids == (
        opened.tokenizer().ids("Hello <mask>")
    )
    voice = portavoz.load(tmp_path / "again")
    assert voice.speakers == ("anna",)
    assert close(voice.speak(TEXTS[0]).samples, spoken(reference))
    counters = [name for name in file.read(tmp_path / "again" / "model.safetensors")[0] if name.endswith("_tracked")]
    assert len(counters) == opened.config.speech_decoder_postnet_layers


def test_weights_of_our_own_open_in_the_reference(reference: tuple[Path, Reference], tmp_path: Path) -> None:
    """Ours to theirs: fresh weights, as a training has them, without counters."""
    config = Checkpoint.open(reference[0]).config
    roots = Weights.fresh(Ops(), 1), Weights.fresh(Ops(), 2)
    Eager(*roots, config)
    save(tmp_path / "ours", config, roots[0].arrays(), roots[1].arrays(), source=reference[0])
    theirs = strictly(tmp_path / "ours")
    voice = portavoz.load(tmp_path / "ours")
    assert close(voice.speak("Hi.", speaker=SPEAKER).samples, expected(voice, theirs, "Hi."))


def test_what_does_not_fit_is_not_saved(folder: Path, tmp_path: Path) -> None:
    opened = Checkpoint.open(folder)
    model, vocoder = map(dict, opened.tensors().values())
    model.pop("speech_decoder_postnet.prob_out.bias")
    with pytest.raises(WeightError, match=r"prob_out.bias: not in the checkpoint"):
        save(tmp_path / "no", opened.config, model, vocoder)
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_the_published_size_from_a_pickle_to_sound(tmp_path: Path) -> None:
    reference = checkpoints.written(tmp_path / "base", base=True)
    folder = tmp_path / "base"
    for place, module, count in ((folder, reference.model, 396), (folder / "vocoder", reference.vocoder, 158)):
        (place / "model.safetensors").unlink()
        torch.save(module.state_dict(), place / "pytorch_model.bin")
        done = convert(place / "pytorch_model.bin", place / "model.safetensors", trust_pickle=True)
        assert done["tensors"] == count
    voice, speaker = portavoz.load(folder), checkpoints.voice(size=512)
    said = voice.speak("Hi.", speaker=speaker)
    assert close(said.samples, expected(voice, reference, "Hi.", speaker=speaker))
    shutil.rmtree(folder)  # more than a gigabyte


# Bad input: one sentence each


def refused(kind: type[PortavozError], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as problem:
        call()
    message = str(problem.value)
    assert "\n" not in message and message.count(". ") == 0
    return message


def edited(path: Path, **changes: object) -> None:
    about = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({k: v for k, v in about.items() if v != "gone"}), encoding="utf-8")


def rewritten(place: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    tensors, metadata = file.read(place / "model.safetensors")
    change(tensors)
    file.write(place / "model.safetensors", tensors, metadata)


ALPHA = "speecht5.encoder.prenet.encode_positions.alpha"
HARM: dict[str, tuple[str, Callable[[dict[str, np.ndarray]], object], str]] = {
    "missing": ("", lambda t: t.pop(ALPHA), f"{ALPHA}: not in the checkpoint"),
    "extra": ("", lambda t: t.update(extra=np.ones(1)), "1 tensor nobody took: extra; is this the right model?"),
    "mis-shaped": ("", lambda t: t.update({ALPHA: np.ones(3, np.float32)}), "the checkpoint has (3,), the model wants"),
    "NaN": ("", lambda t: t["speech_decoder_postnet.feat_out.weight"].fill(np.nan), "feat_out.weight: holds NaN"),
    "infinity": ("vocoder", lambda t: t["conv_post.bias"].fill(np.inf), "conv_post.bias: holds NaN or infinity"),
    "vocoder missing": ("vocoder", lambda t: t.pop("conv_pre.weight"), "conv_pre.weight: not in the checkpoint"),
    "vocoder extra": ("vocoder", lambda t: t.update(more=np.ones(1)), "1 tensor nobody took: more"),
    "vocoder turned": (
        "vocoder",
        lambda t: t.update({"upsampler.0.weight": t["upsampler.0.weight"].transpose(1, 0, 2)}),
        "upsampler.0.weight: the checkpoint has (16, 32, 8), the model wants (32, 16, 8)",
    ),
    "half a pair": (
        "vocoder",
        lambda t: t.update({"conv_pre.weight_g": t.pop("conv_pre.weight")}),
        "weight norm has two tensors, conv_pre.weight_v is not there",
    ),
}


@pytest.mark.parametrize("options", [{}, {"backend": "numpy"}], ids=["lean", "blocks"])
@pytest.mark.parametrize("name", HARM)
def test_weights_that_do_not_fit(copy: Path, name: str, options: dict[str, str]) -> None:
    place, change, said = HARM[name]
    rewritten(copy / place, change)
    sentence = refused(WeightError, lambda: portavoz.load(copy, **options))
    assert sentence.startswith(f"{copy / place / 'model.safetensors'}: ") and said in sentence


@pytest.mark.parametrize("place", ["", "vocoder"])
@pytest.mark.parametrize("content", [None, b"", b"nothing of the kind"])
def test_weight_files_that_cannot_be_read(copy: Path, place: str, content: bytes | None) -> None:
    path = copy / place / "model.safetensors"
    if content is None:
        path.unlink()
        assert "neither model.safetensors nor" in refused(WeightError, lambda: portavoz.load(copy))
        return
    path.write_bytes(content)
    assert "not a readable safetensors file" in refused(WeightError, lambda: portavoz.load(copy))


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"model_type": "bert", "architectures": ["BertModel"]}, InputError, "a checkpoint of BertModel"),
        ({"model_type": "gone", "architectures": "gone"}, InputError, "an architecture that it does not name"),
        ({"architectures": ["SpeechT5ForSpeechToText"]}, SpecError, "is of SpeechT5ForSpeechToText"),
        ({"hidden_size": 33}, SpecError, "hidden_size is 33"),
        ({"hidden_size": 64}, WeightError, "the model wants"),
        ({"vocab_size": 9}, InputError, "the model knows 9; use the files of one checkpoint"),
        ({"num_mel_bins": 8}, SpecError, "vocoder.model_in_dim is 16: wanted num_mel_bins, which is 8"),
    ],
    ids=str,
)
def test_configurations_of_something_else(
    copy: Path, changes: dict[str, object], kind: type[PortavozError], said: str
) -> None:
    edited(copy / "config.json", **changes)
    assert said in refused(kind, lambda: portavoz.load(copy))


def test_files_around_the_weights(copy: Path) -> None:
    edited(copy / "vocoder" / "config.json", model_type="univnet", architectures=["UnivNetModel"])
    assert "the vocoder's configuration is of UnivNetModel" in refused(SpecError, lambda: portavoz.load(copy))
    (copy / "vocoder" / "config.json").write_text("[1]", encoding="utf-8")
    assert "a list, wanted an object" in refused(InputError, lambda: portavoz.load(copy))
    shutil.rmtree(copy / "vocoder")
    assert "no vocoder in its vocoder or hifigan/" in refused(InputError, lambda: portavoz.load(copy))
    assert "there is no such folder" in refused(InputError, lambda: portavoz.load(copy, vocoder="nowhere"))
    said = refused(InputError, lambda: portavoz.load(copy, vocoder=copy / ".."))
    assert "config.json: there is no such file; give a folder that save_pretrained wrote" in said
    (copy / "config.json").write_text("{", encoding="utf-8")
    assert "config.json: cannot be read as JSON" in refused(InputError, lambda: portavoz.load(copy))


def test_a_tokenizer_must_be_there(copy: Path) -> None:
    (copy / "spm_char.model").unlink()
    assert "there is no spm_char.model, so text cannot become ids" in refused(InputError, lambda: portavoz.load(copy))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"runtime": "abacus"}, "runtime 'abacus': the speecht5 family runs on"),
        ({"precision": "int3"}, "on the runtime eager the speecht5 family runs in one of float32, bfloat16"),
        (
            {"runtime": "onnx", "precision": "int3"},
            "the speecht5 family runs in one of float32, int8",
        ),
        ({"backend": "numpy", "precision": "int8"}, "the speecht5 family runs in float32 only"),
        ({"runtime": "onnx", "backend": "torch"}, "runtime 'onnx' takes no backend or device ('torch')"),
        ({"backend": "abacus"}, "there is no back end 'abacus'"),
    ],
    ids=str,
)
def test_runtimes_and_precisions(folder: Path, options: dict[str, str], said: str) -> None:
    assert said in refused(BackendError, lambda: portavoz.load(folder, **options))


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ({}, "no speaker: this model speaks with the voice of an embedding of 12 numbers"),
        ({"speaker": "none.npy"}, "speaker 'none.npy': there is no such file"),
        ({"speaker": np.ones(512)}, "(512,), this model wants an embedding of 12 numbers"),
        ({"speaker": np.full(12, np.nan)}, "holds NaN, infinity or"),
        ({"speaker": SPEAKER, "speed": 1.5}, "SpeechT5 does not support `speed`"),
        ({"speaker": SPEAKER, "lexicon": Lexicon({})}, "SpeechT5 reads letters"),
        ({"speaker": SPEAKER, "durations": lambda s, d: d}, "SpeechT5 does not predict durations"),
        ({"speaker": SPEAKER, "seed": 0.5}, "seed is 0.5"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_manners_that_it_has_not(folder: Path, manner: dict[str, Any], said: str) -> None:
    assert said in refused(InputError, lambda: portavoz.load(folder).stream("Hello.", **manner))


def test_texts(folder: Path) -> None:
    voice = portavoz.load(folder)
    for text in ("", "...", "日本語"):
        assert "there is nothing to say" in refused(InputError, lambda t=text: voice.speak(t, speaker=SPEAKER))
    speech = voice.speak("Hello 日本, [[HH AH0]] you.", speaker=SPEAKER)
    unread = [warning for warning in speech.warnings if "speech is missing" not in warning]
    assert unread == [f"{t} could not be read and was left out" for t in ("'日本,'", "'[[HH AH0]]'")]
    raw: Any = voice.model
    said = refused(InputError, lambda: raw.model.synthesize(np.full(161, 5), SPEAKER))
    assert "161 symbols at once, the model holds 160: split the text" in said


def test_a_stop_flag_that_never_fires_is_bounded_and_told(tmp_path: Path) -> None:
    checkpoints.written(tmp_path / "endless", prob_bias=-30.0)
    voice = portavoz.load(tmp_path / "endless")
    speech = voice.speak("Hi. Me. So.", speaker=SPEAKER)
    assert len(speech.warnings) == 1
    assert "no stop token after" in speech.warnings[0]
    steps = 10 * len(voice.model.tokenizer.ids("Hi."))
    assert speech.duration < 3 * (2 * steps * 16 / 16000 + 0.6)


def test_numbers_that_overflow_on_the_way(copy: Path) -> None:
    """Finite weights, and still no sound: the loop says so instead of giving noise."""
    rewritten(copy, lambda t: t["speech_decoder_postnet.feat_out.weight"].fill(3e38))
    with np.errstate(all="ignore"):
        said = refused(WeightError, lambda: portavoz.load(copy).speak("Hi.", speaker=SPEAKER))
    assert "has NaN or infinity in it" in said
