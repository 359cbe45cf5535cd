"""Every scene."""

from __future__ import annotations

from . import durations, encoder_ports, flow, generator, recurrent, rotary, spectral, streaming, vocoder

SCENES = [
    *encoder_ports.SCENES, *vocoder.SCENES, recurrent.SCENE, flow.SCENE, *spectral.SCENES, *durations.SCENES,
    rotary.SCENE, generator.SCENE, streaming.SCENE,
]  # fmt: skip
