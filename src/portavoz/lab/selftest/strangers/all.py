"""Every scene."""

from __future__ import annotations

from . import durations, encoder_ports, flow, recurrent, spectral, vocoder

SCENES = [
    *encoder_ports.SCENES, *vocoder.SCENES, recurrent.SCENE, flow.SCENE, *spectral.SCENES, *durations.SCENES
]  # fmt: skip
