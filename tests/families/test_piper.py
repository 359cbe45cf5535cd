"""Piper's files: spoken, seeded, timed; one sentence for each that is broken."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_voices
import pytest
from open_voices import chunk

import portavoz
from portavoz.audio.limit import soft_limit
from portavoz.errors import BackendError, InputError, MissingExtra, PortavozError, SpecError, WeightError
from portavoz.families.piper.config import read
from portavoz.families.piper.phonemes import numbers
from portavoz.voice import Voice

pytestmark = pytest.mark.usefixtures("own_cache")

TEXT = "A little button, please. It is better."


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_voices.piper(tmp_path_factory.mktemp("piper"))


@pytest.fixture(scope="module")
def voice(graph: Path) -> Voice:
    return portavoz.load(graph)


@pytest.fixture
def copy(graph: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    for path in (graph, graph.with_name(graph.name + ".json")):
        shutil.copy(path, tmp_path)
    return tmp_path / graph.name


# Sound


def test_the_sound_is_that_of_the_files_own_graph(graph: Path, voice: Voice) -> None:
    said = voice.speak("A button.", options={"noise_scale": 0, "noise_w": 0}, speed=1.25)
    ids = numbers(chunk("A button."), read(graph.with_name(graph.name + ".json"))).ids
    given = {"input": np.array([ids]), "input_lengths": np.array([len(ids)])}
    alone = open_voices.run(graph, **given, scales=np.array([0, 1 / 1.25, 0], np.float32))
    np.testing.assert_array_equal(said.samples, soft_limit(alone))
    assert said.rate == voice.rate == open_voices.RATE


def test_a_seed_is_a_sound(voice: Voice) -> None:
    one, again, other = (voice.speak(TEXT, seed=seed).samples for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert len(one) != len(other) or not np.allclose(one, other)
    noisy, quiet = (voice.speak("Hello.", options={"noise_w": 0, "noise_scale": x}).samples for x in (1, 0))
    assert noisy.shape == quiet.shape and np.abs(noisy - quiet).max() > 0.01


def test_the_noise_lies_time_first_and_begins_again_at_its_end(tmp_path: Path) -> None:
    import onnx
    import onnxruntime
    from onnx import helper

    from portavoz.families.surgery import Graph

    node = helper.make_node("RandomNormalLike", ["x"], ["y"], mean=2.0, scale=3.0)
    doors = [open_voices.value("x", 1, None, None, None)], [open_voices.value("y", 1, None, None, None)]
    model = helper.make_model(
        helper.make_graph([node], "g", *doors), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    Graph(model, tmp_path).seeded(model.graph.node[0], "noise", (2, 0, 1))
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    drawn = np.arange(7, dtype=np.float32)
    (out,) = session.run(None, {"x": np.zeros((1, 2, 5), np.float32), "noise": drawn})
    np.testing.assert_allclose(out, 2 + 3 * np.resize(drawn, 10).reshape(5, 1, 2).transpose(1, 2, 0))


def test_streaming_gives_the_same_samples(voice: Voice) -> None:
    pieces = list(voice.stream(TEXT, seed=3))
    whole = voice.speak(TEXT, seed=3)
    assert len(pieces) == 2
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in pieces]), whole.samples)


def test_words_have_their_times(voice: Voice) -> None:
    said = voice.speak("A little button.", pauses=0)
    assert [word.text for word in said.words] == ["A", "little", "button."]
    assert [p.symbol for p in said.words[1].phonemes] == ["L", "IH1", "T", "AH0", "L"]
    times = [t for word in said.words for t in (word.start, word.end)]
    assert times == sorted(times) and times[0] > 0 and times[-1] <= said.duration
    slow = voice.speak("A little button.", speed=0.5)
    assert 1.6 < slow.duration / voice.speak("A little button.").duration < 2.2


def test_durations_may_be_set(voice: Voice) -> None:
    seen: list[int] = []

    def longer(symbols: Any, frames: Any) -> Any:
        seen.extend(frames.tolist())
        frames[2] += 40
        return frames

    still = {"noise_w": 0.0}
    before, after = voice.speak("Hello.", options=still), voice.speak("Hello.", options=still, durations=longer)
    assert len(after.samples) - len(before.samples) == 40 * open_voices.HOP and sum(seen) > 5
    with pytest.raises(InputError, match="durations: the function returned"):
        voice.speak("Hello.", durations=lambda symbols, frames: frames[:-1])


def test_speakers_go_by_name_and_number(tmp_path: Path) -> None:
    voice = portavoz.load(open_voices.piper(tmp_path, speakers=3))
    assert voice.speakers == ("p0", "p1", "p2")
    first, second, number = (voice.speak("Hello.", speaker=one).samples for one in (None, "p1", 1))
    np.testing.assert_array_equal(second, number)
    assert first.shape != second.shape or not np.allclose(first, second)
    with pytest.raises(InputError, match="speaker 'p9': the voice en_US-tiny-low has p0, p1, p2"):
        voice.speak("Hello.", speaker="p9")


def test_half_precision_and_external_weights_speak(graph: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(str(graph))
    folder = tmp_path / "external"
    folder.mkdir()
    shutil.copy(graph.with_name(graph.name + ".json"), folder)
    onnx.save(model, str(folder / graph.name), save_as_external_data=True, location="weights.bin", size_threshold=0)
    still = {"noise_w": 0.0, "noise_scale": 0.0}
    wanted = portavoz.load(graph).speak("Hello.", options=still).samples
    found = portavoz.load(folder).speak("Hello.", options=still).samples
    np.testing.assert_array_equal(found, wanted)
    model = onnx.load(str(graph))
    # The scales' door in float16, as converters write it without `keep_io_types`.
    door = next(one for one in model.graph.input if one.name == "scales")
    door.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    for node in model.graph.node:
        node.input[:] = ["scales/full" if one == "scales" else one for one in node.input]
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["scales"], ["scales/full"], to=onnx.TensorProto.FLOAT))
    half = tmp_path / graph.name
    onnx.save(model, str(half))
    shutil.copy(graph.with_name(graph.name + ".json"), tmp_path)
    found = portavoz.load(half, threads=2).speak("Hello.", options=still).samples
    np.testing.assert_allclose(found, wanted, atol=1e-3)


# What is broken


def refused(path: Path, kind: type[PortavozError], sentence: str, **how: Any) -> None:
    with pytest.raises(kind, match=sentence):
        portavoz.load(path, **how).speak("Hello.")


def test_json_that_is_not_pipers(copy: Path) -> None:
    for changes, sentence in (
        ({"phoneme_id_map": None}, "phoneme_id_map is 'None', wanted is lists of at most 16 numbers"),
        ({"phoneme_id_map": {"_": [0] * 17, "^": [1], "$": [2]}}, "phoneme_id_map is .* at most 16 numbers"),
        ({"phoneme_id_map": {"_": [1 << 40], "^": [1], "$": [2]}}, "phoneme_id_map is .* at most 16 numbers"),
        ({"phoneme_map": {"a": 5}}, "phoneme_map is .*5.*, wanted is lists of at most 16 phonemes"),
        ({"num_speakers": 10**12}, "num_speakers is '1000000000000', wanted is a whole number from 1 to 4096"),
        ({"num_symbols": 10**12}, "num_symbols is '1000000000000', wanted is a whole number from 1 to 65536"),
        ({"phoneme_id_map": {"a": [0]}}, "phoneme_id_map is .* wanted is _ \\^ \\$ in it"),
        ({"audio": {"sample_rate": "x"}}, "audio.sample_rate is 'x', wanted is a rate in Hz"),
        ({"phoneme_type": "runes"}, "phoneme_type is 'runes', wanted is one of espeak, text"),
        ({"num_speakers": 0}, "num_speakers is '0'"),
        ({"speaker_id_map": {"a": 7}}, "speaker_id_map is .* wanted is numbers below 1"),
        ({"inference": {"noise_scale": "much"}}, "inference is"),
    ):
        open_voices.piper_json(copy, **changes)
        refused(copy, SpecError, sentence)
    copy.with_name(copy.name + ".json").write_text("{")
    refused(copy, InputError, "give the JSON file that came with the voice")


def test_a_graph_and_a_json_of_two_voices(copy: Path) -> None:
    open_voices.piper_json(copy, phoneme_id_map={"_": [0], "^": [1], "$": [2], "a": [300]})
    refused(copy, WeightError, "has 100 phonemes, and .*json counts up to 301")
    open_voices.piper_graph(copy, speakers=2)
    open_voices.piper_json(copy, num_speakers=5)
    refused(copy, WeightError, "has 2 speakers, and .*json counts up to 5")
    open_voices.kokoro_graph(copy)
    refused(copy, WeightError, "takes tokens, style, speed, where a Piper voice takes input, input_lengths, scales")


def test_damaged_files(copy: Path) -> None:
    whole = copy.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"not a graph at all", whole[:-3] + b"\xff\xff\xff"):
        copy.write_bytes(data)
        refused(copy, WeightError, "fetch it again")


def test_strangers_operators_and_weights_elsewhere(copy: Path) -> None:
    import onnx

    model = onnx.load(str(copy))
    model.graph.node[0].domain = "stranger"
    onnx.save(model, str(copy))
    refused(copy, WeightError, "the operator stranger.Gather is not one of ONNX Runtime's")
    for place in ("../weights.bin", "/etc/passwd", "sub/weights.bin", "absent.bin"):
        model = onnx.load(str(open_voices.piper_graph(copy)))
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)
        copy.write_bytes(model.SerializeToString())
        refused(copy, WeightError, "beside it")


def test_draws_that_no_seed_reaches(copy: Path) -> None:
    import onnx

    model = onnx.load(str(copy))
    model.graph.node.append(onnx.helper.make_node("Bernoulli", ["scales"], ["coin"], name="coin"))
    onnx.save(model, str(copy))
    refused(copy, WeightError, "Bernoulli 'coin' draws numbers where no seed reaches")


def test_which_file_is_meant(copy: Path, tmp_path: Path) -> None:
    shutil.copy(copy, tmp_path / "other.onnx")
    refused(
        tmp_path / "other.onnx", InputError, "no family recognises this file with what is beside it; needed is one of:"
    )
    assert portavoz.load(tmp_path).name == copy.stem  # the one with its JSON
    shutil.copy(copy.with_name(copy.name + ".json"), tmp_path / "other.onnx.json")
    refused(tmp_path, InputError, "2 models are in this folder")
    refused(copy, InputError, "vocoder 'x': a Piper voice has its own", vocoder="x")
    refused(copy, BackendError, "runtime 'openvino': the piper family runs on onnx or eager", runtime="openvino")
    refused(copy, WeightError, "holds no weights in float32 or float16 by their names", runtime="eager")
    refused(copy, BackendError, "precision 'int8'", precision="int8")
    refused(tmp_path / "none.onnx", InputError, "there is no such")


def test_settings_out_of_range(voice: Voice) -> None:
    for options, sentence in (
        ({"noise_scale": 9}, "noise_scale is 9: give a number from 0 to 2"),
        ({"length_scale": "x"}, "length_scale is 'x'"),
        ({"warmth": 1}, "there is no option 'warmth'"),
    ):
        with pytest.raises(InputError, match=sentence):
            voice.speak("Hello.", options=options)


def test_the_package_that_rewrites_graphs_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    open_voices_json = json.loads(copy.with_name(copy.name + ".json").read_text())
    open_voices.piper_json(copy, **{**open_voices_json, "audio": {"sample_rate": 22050}})  # nothing is kept for it yet
    refused(copy, MissingExtra, r"pip install 'portavoz\[open\]'")
