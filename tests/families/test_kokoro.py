"""Kokoro's files: spoken in styles and mixtures of them, seeded, timed; one sentence for each that is broken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import open_voices
import pytest
from onnx import numpy_helper
from open_voices import chunk

import portavoz
from portavoz.audio.limit import soft_limit
from portavoz.errors import BackendError, InputError, PortavozError, WeightError
from portavoz.families.graph_file import open_graph
from portavoz.families.kokoro.config import LONGEST, NUMBERS, KokoroConfig
from portavoz.families.kokoro.names import tensors
from portavoz.families.kokoro.phonemes import AMERICAN, BRITISH, LIMIT, ligated, phonemes, tokens
from portavoz.families.kokoro.rewrite import rewrite
from portavoz.families.kokoro.widen import widen
from portavoz.text.chunks import TextChunk, split_text
from portavoz.voice import Voice

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_voices.kokoro(tmp_path_factory.mktemp("kokoro"))


@pytest.fixture(scope="module")
def voice(folder: Path) -> Voice:
    return portavoz.load(folder)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def written(text: str, *, british: bool = False) -> str:
    return "".join(one for one, _ in phonemes(chunk(text), british=british))


def test_the_sound_is_that_of_the_files_own_graph(folder: Path, voice: Voice) -> None:
    ids, _ = tokens(chunk("A button."), "en-us")
    table = open_voices.styles()["af_heart"]
    given = {"tokens": np.array([ids]), "style": table[len(ids) - 2], "speed": np.array([1.25], np.float32)}
    alone = open_voices.run(folder / "kokoro-v1.0.onnx", **given)
    said = voice.speak("A button.", speed=1.25)
    np.testing.assert_array_equal(said.samples, soft_limit(alone))
    assert said.rate == 24_000 and voice.speakers == ("af_heart", "bf_emma", "ef_dora")


def test_styles_mix(voice: Voice) -> None:
    heart, emma = (voice.model.speaker(name) for name in ("af_heart", "bf_emma"))
    mixed = voice.model.speaker("af_heart:0.7 + bf_emma:0.3")
    np.testing.assert_allclose(mixed.table, 0.7 * heart.table + 0.3 * emma.table, atol=1e-6)
    np.testing.assert_allclose(voice.model.speaker("af_heart:7+bf_emma:3").table, mixed.table, atol=1e-6)
    assert (heart.language, emma.language, mixed.language) == ("en-us", "en-gb", "en-us")
    assert voice.model.speaker("af_heart:0.3+bf_emma:0.7").language == "en-gb"
    one, two = (voice.speak("Hello.", speaker=who).samples for who in ("af_heart", "af_heart:0.7+bf_emma:0.3"))
    assert one.shape == two.shape and np.abs(one - two).max() > 1e-3
    np.testing.assert_array_equal(voice.speak("Hello.", speaker=0).samples, one)


def test_an_archive_and_other_names_of_the_inputs(voice: Voice, tmp_path: Path) -> None:
    other = portavoz.load(open_voices.kokoro(tmp_path, packed=True, ids="input_ids"))
    np.testing.assert_array_equal(other.speak("Hello.").samples, voice.speak("Hello.").samples)


def test_styles_as_torch_saves_them(copy: Path, voice: Voice) -> None:
    """They are the same tables; a file that is cut short, is another tensor, or would run something is refused."""
    import torch

    place = copy / "voices"
    for path in place.glob("*.bin"):
        table = np.fromfile(path, np.float32).reshape(510, 1, 256)
        torch.save(torch.from_numpy(table), place / f"{path.stem}.pt")
        path.unlink()
    other = portavoz.load(copy)
    assert other.speakers == voice.speakers
    for name in voice.speakers:
        np.testing.assert_array_equal(other.model.speaker(name).table, voice.model.speaker(name).table)

    emma = place / "bf_emma.pt"
    emma.write_bytes(emma.read_bytes()[:-1000])
    torch.save(torch.zeros(3, 256), place / "af_heart.pt")
    torch.save([torch.zeros(510, 1, 256), print], place / "ef_dora.pt")
    for name, error, said in (
        ("bf_emma", WeightError, "bf_emma.pt: not converted, because it is not a whole zip file"),
        ("af_heart", InputError, r"af_heart.pt: \[3, 256\] float32, a style is \[510, 1, 256\]"),
        ("ef_dora", WeightError, "ef_dora.pt: not converted, because it asks for .*print, and only tensors are read"),
    ):
        with pytest.raises(error, match=said):
            portavoz.load(copy).speak("Hello.", speaker=name)


@pytest.mark.parametrize(("per_channel", "signed"), [(False, False), (True, True)])
def test_a_file_in_eight_bits(copy: Path, per_channel: bool, signed: bool) -> None:
    """It sounds as its own graph does, and its weights are the numbers that were rounded, to half a step."""
    path = copy / "kokoro-v1.0.onnx"
    given = open_voices.kokoro_named(path)
    open_voices.eight_bits(path, per_channel=per_channel, signed=signed)
    model = open_graph(path)
    kinds = {node.op_type for node in model.graph.node}
    assert {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DequantizeLinear", "DynamicQuantizeLSTM"} <= kinds
    steps = {t.name: numpy_helper.to_array(t).max() for t in model.graph.initializer if t.name.endswith("_scale")}

    voice = portavoz.load(path)
    ids, _ = tokens(chunk("A button."), "en-us")
    style = open_voices.styles()["af_heart"][len(ids) - 2]
    alone = open_voices.run(path, tokens=np.array([ids]), style=style, speed=np.ones(1, np.float32))
    said = voice.speak("A button.")
    np.testing.assert_array_equal(said.samples, soft_limit(alone))
    assert [word.text for word in said.words] == ["A", "button."]

    widen(model, path)
    found = tensors(model, path)
    gates = [slice(4 * n, 4 * n + 4) for n in (0, 2, 3, 1)]
    for name, wanted, step in (
        ("bert.embeddings.word_embeddings.weight", "encoder.bert.module.embeddings.word_embeddings.weight", ""),
        ("bert_encoder.weight", "onnx::MatMul_7", ".T"),
        ("decoder.generator.conv_post.weight", "decoder.generator.conv_post.weight", ""),
        *((f"predictor.shared.{role}_l0{end}", f"onnx::LSTM_{n}", way)
          for n, role in enumerate(("weight_ih", "weight_hh")) for way, end in enumerate(("", "_reverse"))),
    ):  # fmt: skip
        there = given[wanted].T if step == ".T" else given[wanted]
        if isinstance(step, int):
            there = np.concatenate([there[step][gate] for gate in gates])
        scale = steps[f"{wanted}_scale"]
        error = np.abs(found[name] - there).max()
        assert 0.02 * scale < error <= 0.5001 * scale + 1e-7, name
    sounds = []
    for one in (model, open_graph(path)):
        rewrite(one, KokoroConfig(), path)
        session = onnxruntime.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"])
        frames = {"given": np.full(len(ids), 2), "speed": np.ones(1, np.float32)}
        sounds.append(session.run(None, {"tokens": np.array([ids]), "style": style, **frames})[0])
    assert np.linalg.norm(sounds[0] - sounds[1]) < 0.1 * np.linalg.norm(sounds[1])


def test_what_is_drawn_inside_has_a_seed(tmp_path: Path) -> None:
    voice = portavoz.load(open_voices.kokoro(tmp_path, drawn=True) / "kokoro-v1.0.onnx")
    one, again, other = (voice.speak("Hello.", seed=seed).samples for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.01


def test_words_have_their_times_and_durations_may_be_set(voice: Voice) -> None:
    said = voice.speak("A little button.")
    assert [word.text for word in said.words] == ["A", "little", "button."]
    times = [t for word in said.words for t in (word.start, word.end)]
    assert times == sorted(times) and times[0] > 0 and times[-1] <= said.duration

    def longer(symbols: Any, frames: Any) -> Any:
        frames[3] += 10
        return frames

    after = voice.speak("A little button.", durations=longer)
    assert len(after.samples) - len(said.samples) == 10 * open_voices.HOP


def test_a_graph_without_durations_still_speaks(copy: Path) -> None:
    import onnx

    path = copy / "kokoro-v1.0.onnx"
    model = onnx.load(str(path))
    for node in model.graph.node:
        if node.op_type == "Round":
            node.op_type = "Ceil"
    onnx.save(model, str(path))
    voice = portavoz.load(copy)
    assert not voice.model.timed and not voice.speak("Hello.").words
    with pytest.raises(InputError, match="durations: this export of the model has no durations"):
        voice.speak("Hello.", durations=lambda symbols, frames: frames)


def test_long_texts_are_cut_and_joined_exactly(voice: Voice) -> None:
    text = "early workers " * 120
    pieces = list(voice.stream(text))
    assert len(pieces) > 3
    np.testing.assert_array_equal(np.concatenate([p.samples for p in pieces]), voice.speak(text).samples)
    for piece in split_text("err " * 300, limit=LIMIT, secondary=True):
        assert len(tokens(piece, "en-us")[0]) <= LONGEST + 2


# The sounds of the recipe that taught the bundled voice, of which its scores were measured.
@pytest.mark.parametrize(
    ("text", "american", "british"),
    [
        ("A little button.", "ɐ lˈɪTᵊl bˈʌTᵊn.", "ɐ lˈɪtᵊl bˈʌtᵊn."),
        ("It was better, sir.", "ɪt wɑz bˈɛTəɹ, sˈɜɹ.", "ɪt wɒz bˈɛtə, sˈɜː."),
        ("Go near the car.", "ɡˈO nˈɪɹ ðə kˈɑɹ.", "ɡˈQ nˈɪə ðə kˈɑː."),
        ("Joy, thought, music!", "ʤˈY, θˈɔt, mjˈuzɪk!", "ʤˈY, θˈɔːt, mjˈuːzɪk!"),
        ("Roses wanted air?", "ɹˈOzɪz wˈɑntəd ˈɛɹ?", "ɹˈQzɪz wˈɒntɪd ˈɛː?"),
    ],
)
def test_english_is_written_as_misaki_writes_it(text: str, american: str, british: str) -> None:
    assert written(text) == american and written(text, british=True) == british


def test_every_sound_has_a_number() -> None:
    from portavoz.text.alphabet import CONSONANTS, VOWELS

    for table in (AMERICAN, BRITISH):
        assert {*CONSONANTS, *VOWELS, "A", "AX", "AXA", "AXS", "AXR", "IX", "IYX", "DX", "QN"} <= {*table}
        assert all(letter in NUMBERS for one in table.values() for letter in one)
    assert len(NUMBERS) == len({*NUMBERS.values()}) == 114 and max(NUMBERS.values()) == 177


def test_letters_of_other_languages_are_joined() -> None:
    given = TextChunk(("^", *"tʃaɪko."), (-1, *[0] * 6, -1), (), (), (), 0.0)
    assert ligated(given) == [("ʧ", 1), ("I", 3), ("k", 5), ("o", 6), (".", 7)]


def test_the_language_is_the_speakers_or_as_told(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BackendError, match="language 'es': its phonemes come from the program espeak-ng"):
        voice.speak("Hola.", speaker="ef_dora")
    assert voice.speak("Hello.", speaker="ef_dora", options={"language": "en-us"}).words
    with pytest.raises(InputError, match="nothing here writes Japanese"):
        voice.speak("Hello.", options={"language": "ja"})
    with pytest.raises(InputError, match="language is 'xx'"):
        voice.speak("Hello.", options={"language": "xx"})


def refused(path: Path, kind: type[PortavozError], sentence: str, **how: Any) -> None:
    with pytest.raises(kind, match=sentence):
        portavoz.load(path).speak("Hello.", **how)


def test_styles_that_are_none(copy: Path) -> None:
    place = copy / "voices" / "af_heart.bin"
    np.zeros((511, 100), np.float32).tofile(place)
    refused(copy, InputError, "204400 bytes, a style has 510 rows of 256 float32 numbers")
    np.full((510, 256), np.nan, np.float32).tofile(place)
    refused(copy, InputError, "holds NaN or infinity")
    shutil.rmtree(copy / "voices")
    with (copy / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, af_heart=np.zeros((3, 1, 256), np.float32))
    refused(copy, InputError, r"af_heart: \[3, 1, 256\] float32, a style is \[510, 1, 256\]")
    whole = (copy / "voices-v1.0.bin").read_bytes()
    (copy / "voices-v1.0.bin").write_bytes(whole[:200])
    refused(copy, WeightError, "no archive of styles, or one that is cut short")


def test_speakers_that_are_none(folder: Path) -> None:
    for speaker, sentence in (
        ("nobody", "there is no 'nobody'; there are af_heart"),
        ("af_heart:0+bf_emma:0", "its parts weigh 0 together"),
        ("af_heart:-1+bf_emma", "the weight is -1"),
        ("af_heart:much", "the weight is much"),
        (7, "there is no '7'"),
        (np.zeros((4, 4), np.float32), r"the speaker: \[4, 4\] float32"),
    ):
        refused(folder, InputError, sentence, speaker=speaker)


def test_graphs_of_other_models(copy: Path) -> None:
    path = copy / "kokoro-v1.0.onnx"
    for graph, sentence in (({"rows": 50}, "has 50 phonemes"), ({"style": 128}, "takes styles of 128 numbers")):
        open_voices.kokoro_graph(path, **graph)
        refused(copy, WeightError, sentence)
    open_voices.piper_graph(path)
    refused(copy, WeightError, "takes input, input_lengths, scales, where a Kokoro model takes tokens, style, speed")
    path.write_bytes(path.read_bytes()[:300])
    refused(copy, WeightError, "fetch it again")
    shutil.copy(path, copy / "second.onnx")
    refused(copy, InputError, "2 models are in this folder")
