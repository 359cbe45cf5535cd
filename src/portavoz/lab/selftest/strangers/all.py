"""Every scene."""

from __future__ import annotations

from . import (
    conformer,
    couplings,
    durations,
    encoder_ports,
    flow,
    generator,
    grouped,
    pooled,
    recurrent,
    relative,
    rotary,
    shared,
    spectral,
    streaming,
    styled,
    tokens,
    vocoder,
)

SCENES = [
    *encoder_ports.SCENES, *vocoder.SCENES, recurrent.SCENE, flow.SCENE, *spectral.SCENES, *durations.SCENES,
    rotary.SCENE, generator.SCENE, streaming.SCENE, conformer.SCENE, styled.SCENE, couplings.SCENE,
    tokens.SCENE, *relative.SCENES, pooled.SCENE, grouped.SCENE, shared.SCENE,
]  # fmt: skip
