"""Chatterbox on MLX: every stage as on PyTorch, by the same blocks."""

from __future__ import annotations

import chatterbox_models as models
import numpy as np
import pytest

from portavoz.families.chatterbox.loop import Chatterbox

LIMIT = 2e-5


@pytest.fixture(scope="module")
def loops() -> list[Chatterbox]:
    return [Chatterbox(models.stages(back=back), models.config()) for back in ("mlx", "torch")]


def test_a_voice_is_the_same(loops: list[Chatterbox]) -> None:
    got, want = (loop.clone(models.speech(1.5, 24_000), 24_000) for loop in loops)
    np.testing.assert_array_equal(got.t3_prompt, want.t3_prompt)
    for name in ("speaker", "x_vector", "mel"):
        assert models.relative(getattr(got, name), getattr(want, name)) <= LIMIT


def test_every_stage_behind_it_is_the_same(loops: list[Chatterbox]) -> None:
    voice = loops[1].clone(models.speech(1.2, 24_000), 24_000)
    ids, how = np.array([[255, 30, 31, 32, 0]]), loops[1].generation(most=12)
    got, want = (loop.generate(ids, voice, how, seed=2) for loop in loops)
    np.testing.assert_array_equal(got.tokens, want.tokens)
    assert models.relative(got.mel.values, want.mel.values) <= 1e-4
    assert len(got.wave) == len(want.wave)
    excitation = 0.1 * np.random.default_rng(0).standard_normal((1, len(want.wave), 1)).astype(np.float32)
    waves = [loop.stages.vocode(want.mel.values, excitation) for loop in loops]
    assert models.relative(*waves) <= 1e-4


def test_turbo_and_the_aligned_heads_too() -> None:
    for name in ("tiny-turbo", "tiny-multilingual"):
        rows = []
        for back in ("mlx", "torch"):
            stages = models.stages(name, back)
            c = models.config(name).tokens
            speaker = np.full((1, 1, c.speaker), 0.2, np.float32)
            voice = stages.condition(speaker, np.array([[4, 5, 6]]), 0.5)
            step = stages.prefill(voice, np.array([[3, 4, 5, 6, 7, 8]]), 2 if c.guided else 1)
            rows.append((step.logits, stages.step(9, step.state)))
        (got, got_step), (want, want_step) = rows
        assert models.relative(got, want) <= LIMIT
        assert models.relative(got_step.logits, want_step.logits) <= LIMIT
        for a, b in zip(got_step.attention, want_step.attention):
            assert models.relative(a, b) <= LIMIT
