"""Borders crossed both ways: a fault in any one stage is named, with its borders, whoever runs the stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import components
import numpy as np
import pytest
import soundfile
import torch
from probes import PROBE, PROBE_HIFI, clamp_durations, parity_weights

from portavoz import ops
from portavoz.errors import InputError
from portavoz.families.compact.loop import Compact, Eager
from portavoz.families.compact.pipeline import pipeline as compact
from portavoz.families.compact.pipeline import symbols
from portavoz.families.pipeline import Pipeline
from portavoz.families.speecht5 import stages
from portavoz.families.speecht5.config import TINY
from portavoz.families.speecht5.pipeline import probe
from portavoz.families.speecht5.reference.transformers import Reference, ReferenceStages
from portavoz.lab import tap
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.pipeline.pipeline_loader import Request, parted, side
from portavoz.lab.pipeline.swap import Swap, swap
from portavoz.lab.pipeline.swap_report import lines, sentence, to_dict, write_waves
from portavoz.lab.pipeline.traced_pipeline import recorded, tapped
from portavoz.lab.trace.recorder import record
from portavoz.weights.cursor import Weights

TEXT = "One small lab."
Edit = Callable[[Any], None]


def spoken(config: Any = PROBE, *, weights: Edit | None = None, model: Edit | None = None) -> Pipeline:
    """The compact probe on NumPy, its weights or its model changed."""
    arrays = clamp_durations(parity_weights(lambda w: Eager(w, config), 0))
    if weights is not None:
        weights(arrays)
    made = Compact(Eager(Weights(arrays, ops.open("numpy")), config), config)
    if model is not None:
        model(made)
    return compact(made, lambda: symbols(TEXT), name="port" if weights or model else "reference")


def scaled(path: str, by: float = 1.5) -> Edit:
    def edit(arrays: Any) -> None:
        arrays[path] = arrays[path] * np.float32(by)

    return edit


def longer(model: Any) -> None:
    right = model.durations
    model.durations = lambda symbols, predicted, **more: right(symbols, predicted, **more) + 1


COMPACT = {
    "encode": {"weights": scaled("acoustic.encoder.stack.layers.0.attention.q.weight")},
    "durations": {"model": longer},
    "decode": {"weights": scaled("acoustic.decoder.out.bias", 1.1)},
    "vocode": {"weights": scaled("vocoder.head.weight", 0.9)},
}
BORDERS = {"text": ("", "ids"), "encode": ("ids", "memory"), "durations": ("memory", "durations")}
BORDERS |= {"decode": ("durations", "mel"), "vocode": ("mel", "wave")}


def named(found: Swap) -> list[tuple[str, str, str]]:
    """Stage, the border behind which it begins, and the one before which it ends, of every fault."""
    return [(f["stage"], f["behind"], f["before"]) for f in to_dict(found)["faults"]]


@pytest.mark.parametrize("stage", list(COMPACT))
def test_a_fault_in_a_compact_stage_is_named_with_its_borders(stage: str) -> None:
    found = swap(spoken(), spoken(**COMPACT[stage]))
    assert named(found) == [(stage, *BORDERS[stage])]
    assert (
        f"The fault is in the stage {stage} of port, after {BORDERS[stage][0]} and before {BORDERS[stage][1]}"
        in sentence(found)
    )
    at = spoken().borders.index(BORDERS[stage][1])
    for i, crossing in enumerate(found.crossings):
        # The result is wrong exactly where the faulty stage takes part.
        assert (crossing.reference_first.l2 > 1e-4) == (i < at), crossing
        assert (crossing.port_first.l2 > 1e-4) == (i >= at), crossing


def test_a_front_end_that_reads_otherwise_is_named_too() -> None:
    other = spoken()
    text = dataclasses.replace(other.stages[0], run=lambda values: {"ids": spoken().stages[0].run({})["ids"][:, ::-1]})
    found = swap(spoken(), dataclasses.replace(other, stages=(text, *other.stages[1:]), name="port"))
    assert named(found) == [("text", "", "ids")]
    assert "The fault is in the stage text of port, before ids" in sentence(found)


@pytest.mark.parametrize("border", ["memory", "mel"])
def test_one_border_tells_the_side(border: str) -> None:
    found = swap(spoken(), spoken(**COMPACT["decode"]), at=border)
    assert len(found.crossings) == 1
    which = "after memory" if border == "memory" else "before mel"
    assert sentence(found).startswith(f"The fault is in port, {which}: with the reference up to it")
    clean = swap(spoken(), spoken(), at=border)
    assert sentence(clean).startswith(f"Neither side of {border} has a fault above 0.0001")
    assert not clean.wrong and found.wrong


def test_faults_on_both_sides_and_in_two_stages() -> None:
    def both(arrays: Any) -> None:
        COMPACT["encode"]["weights"](arrays)
        COMPACT["vocode"]["weights"](arrays)

    found = swap(spoken(), spoken(weights=both))
    assert {stage for stage, *_ in named(found)} == {"encode", "vocode"}
    assert "Also wrong: " in sentence(found)
    one = swap(spoken(), spoken(weights=both), at="mel")
    assert "has faults on both sides of mel" in sentence(one)


def test_the_other_vocoder_has_the_same_borders() -> None:
    fault = scaled("vocoder.conv_post.bias", 3.0)
    assert named(swap(spoken(PROBE_HIFI), spoken(PROBE_HIFI, weights=fault))) == [("vocode", "mel", "wave")]


def test_a_stage_that_breaks_off_is_said() -> None:
    def breaks(model: Any) -> None:
        model.stages.acoustic.decoder.out.weight = np.zeros((3, 3), np.float32)

    found = swap(spoken(), spoken(model=breaks))
    assert named(found) == [("decode", "durations", "mel")]
    assert "cannot be computed (ValueError" in sentence(found) and "broke" in "\n".join(lines(found))
    assert to_dict(found)["whole_port"]["l2"] is None


# SpeechT5

LETTERS = {
    "encode": ("model", "speecht5.encoder.wrapped_encoder.layers.0.attention.q_proj.weight"),
    "decode": ("model", "speecht5.decoder.wrapped_decoder.layers.1.feed_forward.output_dense.bias"),
    "postnet": ("model", "speech_decoder_postnet.layers.1.batch_norm.weight"),
    "vocode": ("vocoder", "conv_post.bias"),
}
BEHIND = {"encode": ("ids", "memory"), "decode": ("memory", "frames"), "postnet": ("frames", "mel")}
BEHIND |= {"vocode": ("mel", "wave")}


@pytest.fixture(scope="module")
def theirs() -> Reference:
    return Reference.fresh(TINY, 0)


@pytest.mark.parametrize("stage", list(LETTERS))
def test_a_fault_in_a_speecht5_stage_is_named_with_its_borders(stage: str, theirs: Reference) -> None:
    part, path = LETTERS[stage]
    tensors = dict(zip(("model", "vocoder"), map(dict, theirs.tensors())))
    tensors[part][path] = tensors[part][path] * np.float32(2)
    port = probe(stages.eager(tensors["model"], tensors["vocoder"], TINY, ops.open("torch")), Request(), "port")
    found = swap(probe(ReferenceStages(theirs), Request(), "theirs"), port)
    assert named(found) == [(stage, *BEHIND[stage])]


def test_the_reference_hears_our_memory_and_we_hear_theirs(theirs: Reference) -> None:
    ours = side("speecht5@torch", Request())
    found = swap(probe(ReferenceStages(theirs), Request(), "theirs"), ours)
    assert not found.wrong and found.whole.l2 < 1e-5
    assert max(max(c.reference_first.l2, c.port_first.l2) for c in found.crossings) < 1e-5
    # The memory is what decides: another text's makes another mel in either.
    (ids,) = components.rows(TINY, (12,), 5)
    for one in (probe(ReferenceStages(theirs), Request(), ""), ours):
        values = one.after(None, {})
        other = one.after("ids", {"ids": ids[None]})[0]
        changed = one.stages[2].run({**other, "ids": values[0]["ids"]})
        assert np.abs(changed["frames"] - values[2]["frames"]).max() > 1e-2


# Programs


class Program(torch.nn.Module):
    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second, self.gain = torch.nn.Linear(6, 6), torch.nn.Linear(6, 6), gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        memory = tap("memory", torch.tanh(self.first(x)))
        mel = tap("mel", self.second(memory) * self.gain)
        return tap("wave", torch.sin(mel).flatten())


def program(gain: float = 1.0) -> Pipeline:
    model, x = Program(gain), torch.ones(4, 6)

    def run() -> None:
        model(x)

    return tapped(TorchProgram(run, name=f"gain {gain:g}"), rate=16000)


def test_a_program_that_names_its_borders() -> None:
    found = swap(program(), program(1.2))
    assert found.reference.borders == ("memory", "mel", "wave")
    assert named(found) == [("to mel", "memory", "mel")]


def test_a_program_without_borders_and_sides_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match=r'names no border; call portavoz.lab.tap\("mel", mel\)'):
        tapped(TorchProgram(lambda: None, name="silent"))
    with pytest.raises(InputError, match="has the borders ids, memory, durations, mel, wave, gain 1 has"):
        swap(spoken(), program())
    with pytest.raises(InputError, match="there is no border 'noise': these sides have ids, memory"):
        swap(spoken(), spoken(), at="noise")


def test_a_port_that_is_only_a_trace_goes_first() -> None:
    model, x = Program(1.2), torch.ones(4, 6)
    trace = record(TorchProgram(lambda: model(x), name="a file"))
    like = program()
    found = swap(like, recorded(trace, like))
    assert named(found) == [("to mel", "memory", "mel")] and found.wrong
    assert "after memory and before mel: computed by the reference from the port's mel" in sentence(found)
    assert [c.port_first.l2 > 1e-4 for c in found.crossings] == [False, True, True]
    assert all(np.isnan(c.reference_first.l2) for c in found.crossings)
    assert to_dict(found)["crossings"][0]["reference_then_port"]["l2"] is None and " – " in "\n".join(lines(found))
    one = swap(like, recorded(trace, like), at="memory")
    assert sentence(one).startswith("The fault is not before memory: with the port up to it") and not one.wrong
    right = recorded(record(TorchProgram(lambda: Program()(x), name="right")), like)
    assert sentence(swap(like, right)) == "No value of right moves the reference's result by more than 0.0001."
    with pytest.raises(InputError, match="is a trace, which cannot go on from a port's"):
        swap(right, like)
    with pytest.raises(InputError, match="a file: does not hold the border ids"):
        recorded(trace, spoken())


def test_the_sounds_are_written(tmp_path: Path) -> None:
    found = swap(spoken(), spoken(**COMPACT["vocode"]), at="mel")
    written = {path.name for path in write_waves(found, tmp_path / "heard")}
    crossed = {f"mel-{name}.wav" for name in ("reference-first", "port-first", "alone")}
    assert written == {"reference.wav", "port.wav", *crossed}
    sounds = {name: soundfile.read(tmp_path / "heard" / name)[0] for name in written}
    assert np.array_equal(sounds["mel-reference-first.wav"], sounds["port.wav"])
    assert np.array_equal(sounds["mel-port-first.wav"], sounds["reference.wav"])
    with pytest.raises(InputError, match="does not say its rate"):
        write_waves(swap(tapped_mute(), tapped_mute()), tmp_path)


def tapped_mute() -> Pipeline:
    return dataclasses.replace(program(), rate=0)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("heart", ("heart", "")),
        ("heart@onnx", ("heart", "onnx")),
        ("me/voice@main", ("me/voice@main", "")),
        ("me/voice@main@openvino:int8", ("me/voice@main", "openvino:int8")),
        ("@torch", ("@torch", "")),
    ],
)
def test_names_of_sides(name: str, parts: tuple[str, str]) -> None:
    assert parted(name) == parts


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("compact@transformers", "the compact family has no reference package"),
        ("compact@onnx", "a probe runs on back ends"),
        ("heart@numpy:int8", "a back end runs in float32 here"),
        ("nobody", "there is no such folder"),
        ("nothing.safetensors", "there is no such file"),
    ],
)
def test_sides_that_cannot_be(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        side(name, Request())


@pytest.mark.slow
def test_the_bundled_voice_compiled_and_as_a_file(tmp_path: Path) -> None:
    from portavoz.folder import voices
    from portavoz.weights import file

    request = Request(TEXT)
    reference = side("heart@torch", request)
    assert not swap(reference, side("heart@onnx", request)).wrong
    tensors, metadata = file.read(voices()["heart"] / "model.safetensors")
    tensors["vocoder.filters.head.bias"] = tensors["vocoder.filters.head.bias"] + np.float32(0.1)
    path = tmp_path / "mine.safetensors"
    file.write(path, tensors, {k: v for k, v in metadata.items() if k != "config"})
    assert named(swap(reference, side(str(path), request, beside="heart"))) == [("vocode", "controls", "wave")]
