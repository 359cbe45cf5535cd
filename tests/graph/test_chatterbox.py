"""Compiled Chatterbox: every stage equals the eager one, T3 running freely past several buffers."""

from __future__ import annotations

import dataclasses
from typing import Any

import built
import chatterbox_models as models
import numpy as np
import pytest

from portavoz import families, ops
from portavoz.families.chatterbox import probe
from portavoz.families.chatterbox.config import CONFIGS, MULTILINGUAL, ChatterboxConfig
from portavoz.families.chatterbox.loop import Chatterbox
from portavoz.families.chatterbox.runtime import BUCKET, precisions
from portavoz.families.chatterbox.sessions import VOICES, Sessions
from portavoz.families.chatterbox.stages import Eager
from portavoz.graph import processor
from portavoz.graph.cache import Cache
from portavoz.graph.compile import Origin, assemble, plan
from portavoz.weights.cursor import Weights

FAMILY = families.get("chatterbox")


def small(c: ChatterboxConfig) -> ChatterboxConfig:
    """As few layers as show everything, so that a graph takes a second to export."""
    heads = tuple((layer % 2, head % 4) for layer, head in MULTILINGUAL.tokens.aligned_heads)
    return dataclasses.replace(
        c,
        tokens=dataclasses.replace(c.tokens, layers=2, aligned_heads=heads if c.tokens.aligned_heads else ()),
        xvector=dataclasses.replace(c.xvector, layers=(1, 1, 1)),
        codes=dataclasses.replace(c.codes, layers=1),
        flow=dataclasses.replace(c.flow, layers=1),
        vocoder=dataclasses.replace(c.vocoder, channels=32, f0_channels=16, dilations=(1, 3)),
    )


SMALL = {"english": small(CONFIGS["tiny"]), "multilingual": small(CONFIGS["tiny-multilingual"])}
SMALL["turbo"] = small(CONFIGS["tiny-turbo"])
PREFIXES = {"t3": "t3.", "voice": "ve.", "s3gen": ""}


class Work:
    """One variant's weights, the eager stages, and compiled ones."""

    def __init__(self, name: str) -> None:
        self.c = SMALL[name]
        whole = probe.weights(self.c)
        rest = tuple(prefix for prefix in PREFIXES.values() if prefix)
        self.parts = {
            root: {k.removeprefix(p): a for k, a in whole.items() if (k.startswith(p) if p else not k.startswith(rest))}
            for root, p in PREFIXES.items()
        }
        self.eager = Eager({root: Weights(t, ops.open("torch")) for root, t in self.parts.items()}, self.c)
        self.cache = Cache(built.place(f"chatterbox-{name}"))

    def compiled(self, runtime: str, precision: str = "float32", only: tuple[str, ...] = ()) -> Sessions:
        origin = Origin.given(FAMILY, self.c, self.parts)
        if only:  # the others are not opened, and not exported
            origin.groups = {name: specs for name, specs in origin.groups.items() if name in only}
        return assemble(origin, plan(FAMILY, runtime, precision), self.cache).runner


@pytest.fixture(scope="module")
def english() -> Work:
    return Work("english")


def apart(ours: Any, wanted: Any) -> float:
    """Relative L2 distance."""
    a, b = (np.asarray(x, np.float64) for x in (ours, wanted))
    assert a.shape == b.shape, (a.shape, b.shape)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def free_run(work: Work, stages: Sessions, steps: int, symbols: int, rows: int) -> float:
    """The greatest distance of logits (and of the aligned heads' attention) in a run on the same tokens."""
    t = work.c.tokens
    speaker, prompt = drawn(1, 1, t.speaker), np.arange(t.prompt_tokens if t.perceiver else 9)[None]
    ids = 1 + np.arange(symbols)[None] % 200
    both = [stages, work.eager]
    said = [each.prefill(each.condition(speaker, prompt, 0.7), ids, rows) for each in both]
    worst = 0.0
    for token in range(steps + 1):
        worst = max(worst, apart(said[0].logits, said[1].logits))
        assert len(said[0].attention) == len(t.aligned_heads)
        for a, b in zip(said[0].attention, said[1].attention):
            worst = max(worst, apart(a, b[-len(a) :]))  # a prefill goes on from the voice's steps
        said = [each.step(token * 37 % 6561, step.state) for each, step in zip(both, said)]
    return worst


def flow_and_sound(work: Work, stages: Sessions) -> dict[str, float]:
    """The distance of every other stage, at two lengths each."""
    c, worst = work.c, dict.fromkeys(("mu", "velocity", "pitch", "vocode"), 0.0)
    for frames in (70, 24):
        x, speaker, mel = drawn(2, frames, c.flow.mels), drawn(2, 1, c.flow.mels), drawn(1, frames, c.flow.mels)
        tokens, sound = np.arange(frames)[None] * 71 % 6561, 0.1 * drawn(1, frames * c.spec.hop, 1)
        calls = {
            "mu": lambda s, tokens=tokens: s.mu(tokens),
            "velocity": lambda s, x=x, speaker=speaker: s.velocity(x, x[::-1], speaker, x, (0.3, 0.5)),
            "pitch": lambda s, mel=mel: s.pitch(mel),
            "vocode": lambda s, mel=mel, sound=sound: s.vocode(mel, sound),
        }
        for name, call in calls.items():
            worst[name] = max(worst[name], apart(call(stages), call(work.eager)))
    return worst


def prompt_stages(work: Work, stages: Sessions) -> float:
    """The greatest distance of what a prompt is heard by, at two lengths each, and of what runs on the host."""
    c, worst = work.c, list[float]()
    for frames in (221, 100):
        bank, mel = 3 * drawn(1, frames, c.xvector.mels), drawn(1, frames // 4 * 4, c.codes.mels)
        worst.append(apart(stages.x_vector(bank), work.eager.x_vector(bank)))
        worst.append(apart(stages.codes(mel), work.eager.codes(mel)))
    for n in (1, 4):
        pieces = np.abs(drawn(n, 160, c.voice.mels))
        worst.append(apart(stages.voice(pieces), work.eager.voice(pieces)))
    vector, sines = drawn(1, 1, c.xvector.size), drawn(1, 960, c.vocoder.harmonics + 1)
    worst.append(apart(stages.project(vector), work.eager.project(vector)))
    worst.append(apart(stages.excite(sines), work.eager.excite(sines)))
    return max(worst)


def all_stages(work: Work, stages: Sessions, steps: int = 2 * BUCKET) -> None:
    assert free_run(work, stages, steps, 5, 2 if work.c.tokens.guided else 1) <= 1e-5
    assert free_run(work, stages, 3, 90, 1) <= 1e-5
    worst = flow_and_sound(work, stages)
    assert max(worst.values()) <= 2e-5, worst
    assert prompt_stages(work, stages) <= 1e-5
    stages.close_prompt()
    assert prompt_stages(work, stages) <= 1e-5


@pytest.mark.parametrize("name", SMALL)
def test_what_is_exported_equals_the_blocks(name: str) -> None:
    """The same text as the graphs', run by PyTorch: joined products, buffers and masks, what the host does."""
    work = Work(name)
    all_stages(work, work.compiled("eager"), steps=BUCKET)


def test_a_graph_of_the_tokens(english: Work) -> None:
    stages = english.compiled("onnx", only=("step",))
    assert free_run(english, stages, 2 * BUCKET, 5, 2) <= 1e-5
    assert free_run(english, stages, 3, 90, 1) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_each_graph_equals_the_blocks(english: Work, runtime: str) -> None:
    all_stages(english, english.compiled(runtime))


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_eight_bits_are_near(english: Work, runtime: str) -> None:
    """What 64 channels and few layers lose; docs/benchmarks.md says what the published sizes do."""
    stages = english.compiled(runtime, "int8")
    # Without such instructions OpenVINO rounds more coarsely (4.8e-2 on AVX2 alone).
    exact = runtime == "onnx" or "int8" in processor.native_precisions()
    assert 1e-5 < free_run(english, stages, 20, 40, 2) <= (3e-2 if exact else 6e-2)
    worst = flow_and_sound(english, stages)
    assert worst["velocity"] <= 5e-2
    assert worst["vocode"] <= 2e-5
    assert worst["pitch"] <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["multilingual", "turbo"])
def test_the_other_variants_tokens_and_flow(name: str) -> None:
    """Aligned heads' attention; GPT-2's layers, and a mean flow of one row."""
    work = Work(name)
    stages = work.compiled("onnx", only=("step", "velocity"))
    assert free_run(work, stages, 70, 20, 2 if work.c.tokens.guided else 1) <= 1e-5
    x, speaker = drawn(1, 50, work.c.flow.mels), drawn(1, 1, work.c.flow.mels)
    given = (x, x, speaker, x, (0.25, 0.5))
    assert apart(stages.velocity(*given), work.eager.velocity(*given)) <= 1e-5


def test_two_utterances_do_not_meet(english: Work) -> None:
    stages, prompt = english.compiled("onnx", only=("step",)), np.arange(english.c.tokens.prompt_tokens)[None]
    voice = stages.condition(drawn(1, 1, english.c.tokens.speaker), prompt, 0.5)
    ids = [np.arange(1, n)[None] for n in (9, 30)]
    alone = []
    for each in ids:
        step = stages.prefill(voice, each, 2)
        alone.append([(step := stages.step(token, step.state)).logits for token in range(5)])
    steps = [stages.prefill(voice, each, 2) for each in ids]
    for token in range(5):
        steps = [stages.step(token, step.state) for step in steps]
        for step, wanted in zip(steps, alone):
            np.testing.assert_array_equal(step.logits, wanted[token])


def test_a_voice_is_computed_once_for_any_number_of_texts(english: Work) -> None:
    stages, steps = english.compiled("eager", only=("step",)), list[int]()
    run = stages.sessions["step"].run
    stages.sessions["step"].run = lambda **given: (steps.append(given["x"].shape[1]), run(**given))[1]
    t = english.c.tokens
    prompt = np.arange(t.prompt_tokens)[None]
    voice = t.before_text(t.prompt_tokens)
    for number in (0, 0, *range(1, VOICES), 0):
        stages.prefill(stages.condition(drawn(1, 1, t.speaker), prompt, 0.1 * number), np.arange(1, 10)[None], 2)
    # Nine ids and two starts after the voice; it is computed for each emotion once, and kept while there is room.
    assert steps == [voice, 11, 11] + [voice, 11] * (VOICES - 1) + [11]
    stages.condition(drawn(1, 1, t.speaker), prompt, 1.9)
    stages.condition(drawn(1, 1, t.speaker), prompt, 0.0)
    assert steps[-2:] == [voice, voice]


def test_the_large_stage_of_a_prompt_is_closed_when_the_voice_is_made(english: Work) -> None:
    stages, closed = english.compiled("eager"), list[str]()
    for name, session in stages.sessions.items():
        session.close = lambda name=name: closed.append(name)
    Chatterbox(stages, english.c).clone(models.speech(1.5, 24_000), 24_000)
    assert closed == ["codes"]


def test_what_opens_slowly_on_openvino_runs_on_onnx_runtime() -> None:
    for runtime, other in (("openvino", "onnx"), ("onnx", "onnx"), ("eager", "eager")):
        chosen = plan(FAMILY, runtime, "float32")
        assert {chosen[stage].runtime for stage in ("voice", "x_vector", "codes", "vocode")} == {other}
        assert {chosen[stage].runtime for stage in ("step", "mu", "velocity")} == {runtime}


def test_what_hears_a_prompt_is_never_rounded() -> None:
    for precision in ("int8", "bfloat16"):
        each = precisions("openvino", precision, {"bfloat16"})
        assert all(each[stage] == "float32" for stage in ("voice", "x_vector", "codes", "pitch", "vocode"))
        assert each.get("step", precision) == precision
    flows = [precisions("openvino", "int8", has)["velocity"] for has in ({"bfloat16", "int8"}, {"int8"}, set())]
    assert flows == ["bfloat16", "int8", "float32"]
    assert precisions("onnx", "int8", {"bfloat16", "int8"})["velocity"] == "float32"
