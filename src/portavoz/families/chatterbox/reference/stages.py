"""The reference behind the names of our stages: chatterbox-tts's own modules, one call of them a stage."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ....blocks.harmonic_source import HarmonicSource, SourceSpec
from ....errors import InputError
from ....flow import Noise
from ...reference import sensitise
from ...spec import Checkpoint, ReferenceRun
from .. import names, probe
from ..config import CONFIGS, ChatterboxConfig
from ..stages import Step
from . import changed, models, sensitised

Floats = NDArray[np.floating[Any]]  # float32; float64 where a noise floor is measured
Whole = NDArray[np.int64]


def _turned(x: Floats) -> Any:
    """[B, T, C] → [B, C, T], as the reference has it."""
    return torch.from_numpy(np.ascontiguousarray(x)).transpose(1, 2)


@contextmanager
def _any_precision() -> Iterator[None]:
    """The reference refuses float64 masks, in which its noise floor is measured."""

    def mask_to_bias(mask: Any, dtype: Any) -> Any:
        return (1.0 - mask.to(dtype)) * -1.0e10

    with (
        changed(importlib.import_module("s3tokenizer.model_v2"), mask_to_bias=mask_to_bias),
        changed(models("s3gen.decoder"), mask_to_bias=mask_to_bias),
        torch.no_grad(),
    ):
        yield


class ReferenceStages:
    """T3, S3Gen and the voice encoder of the reference."""

    def __init__(self, parts: dict[str, Any], c: ChatterboxConfig) -> None:
        self.t3, self.gen, self.encoder, self.c = parts["t3"], parts["s3gen"], parts["voice"], c
        for module in self.gen.mel2wav.modules():
            if torch.nn.utils.parametrize.is_parametrized(module, "weight"):
                torch.nn.utils.parametrize.remove_parametrizations(module, "weight")

    @property
    def modules(self) -> dict[str, Any]:
        """The torch modules by the prefix of their paths."""
        gen = {name: getattr(self.gen, name) for name in ("tokenizer", "speaker_encoder", "flow", "mel2wav")}
        return {"t3": self.t3, "ve": self.encoder, **gen}

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Their weights by whole-model path, folded."""
        out: dict[str, NDArray[Any]] = {}
        for prefix, module in self.modules.items():
            state = {f"{prefix}.{k}": v.detach().numpy() for k, v in module.state_dict().items()}
            out |= {k: v for k, v in state.items() if k not in names.TABLES and "patched_model." not in k}
        return names.folded(out, self.c)

    def voice(self, pieces: Floats) -> Floats:
        with torch.no_grad():
            return self.encoder(torch.from_numpy(pieces)).numpy()

    def x_vector(self, bank: Floats) -> Floats:
        with torch.no_grad():
            return self.gen.speaker_encoder(torch.from_numpy(bank)).numpy()[:, None]

    def codes(self, mel: Floats) -> Floats:
        tokenizer = self.gen.tokenizer
        with _any_precision():
            hidden, _ = tokenizer.encoder(_turned(mel), torch.tensor([mel.shape[1]]))
            return tokenizer.quantizer._codebook.project_down(hidden).tanh().numpy()

    def quantize(self, levels: Floats) -> Whole:
        """The statements of its code book behind the projection (s3tokenizer's FSQCodebook.encode)."""
        digits = torch.from_numpy(levels).round() + 1
        return (digits * torch.pow(3, torch.arange(levels.shape[-1]))).sum(-1).to(torch.int64).numpy()

    def source(self, f0: Floats, noise: Noise) -> Floats:
        """SineGen on the draws of `noise`."""
        module, generator = models("s3gen.hifigan"), self.gen.mel2wav.m_source.l_sin_gen
        v, hop = self.c.vocoder, self.c.spec.hop
        drawn = HarmonicSource(SourceSpec(self.c.spec.rate, hop, v.harmonics, v.sine, v.noise, v.voiced), noise)
        normal = torch.from_numpy(drawn.draw(len(f0)).T.copy())[None]

        class Fixed:
            """In the place of torch.distributions.Uniform."""

            def __init__(self, **_: Any) -> None: ...

            def sample(self, **_: Any) -> Any:
                return torch.from_numpy(drawn.phase)[None, :, None].clone()

        with changed(module, Uniform=Fixed), changed(torch, randn_like=lambda x: normal), torch.no_grad():
            waves, _, _ = generator(torch.from_numpy(np.repeat(f0, hop))[None, None])
        return waves[0].T.numpy()

    def close_prompt(self) -> None:
        """Its models stay."""

    def condition(self, speaker: Floats, prompt: Whole, emotion: float) -> Any:
        kind = models("t3.modules.cond_enc").T3Cond
        told = torch.full((1, 1, 1), emotion, dtype=torch.from_numpy(speaker).dtype)
        return kind(
            speaker_emb=torch.from_numpy(speaker[:, 0]), cond_prompt_speech_tokens=torch.from_numpy(prompt),
            emotion_adv=told,
        )  # fmt: skip

    def prefill(self, voice: Any, ids: Whole, rows: int) -> Step:
        hp, text = self.t3.hp, torch.from_numpy(ids).repeat(rows, 1)
        start = torch.full((rows, 1), hp.start_speech_token)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            guidance = 0.5 if rows == 2 else 0.0
            embeds, _ = self.t3.prepare_input_embeds(
                t3_cond=voice, text_tokens=text, speech_tokens=start, cfg_weight=guidance
            )
            if not self.t3.is_gpt:
                # As its loop does: a second start token, at position 0 too.
                bos = self.t3.speech_emb(start[:1]) + self.t3.speech_pos_emb.get_fixed_embedding(0)
                embeds = torch.cat([embeds, bos.expand(rows, -1, -1)], 1)
            return self._step(embeds, None, 0)

    def step(self, token: int, state: Any) -> Step:
        past, spoken, rows = state
        with torch.no_grad():
            embed = self.t3.speech_emb(torch.tensor([[token]]))
            if not self.t3.is_gpt:
                embed = embed + self.t3.speech_pos_emb.get_fixed_embedding(spoken + 1)
            return self._step(embed.expand(rows, -1, -1), past, spoken + 1)

    def _step(self, embeds: Any, past: Any, spoken: int) -> Step:
        out = self.t3.tfmr(inputs_embeds=embeds, past_key_values=past, use_cache=True)
        logits = self.t3.speech_head(out.last_hidden_state[:, -1:])
        return Step(logits[:, 0].numpy(), (out.past_key_values, spoken, len(embeds)), [])

    def mu(self, tokens: Whole) -> Floats:
        flow = self.gen.flow
        with torch.no_grad():
            hidden, _ = flow.encoder(flow.input_embedding(torch.from_numpy(tokens)), torch.tensor([tokens.shape[1]]))
            return flow.encoder_proj(hidden).numpy()

    def project(self, x_vector: Floats) -> Floats:
        with torch.no_grad():
            unit = torch.nn.functional.normalize(torch.from_numpy(x_vector[:, 0]), dim=1)
            return self.gen.flow.spk_embed_affine_layer(unit).numpy()[:, None]

    def velocity(self, x: Floats, mu: Floats, speaker: Floats, prompt: Floats, times: tuple[float, float]) -> Floats:
        x_in, mask = _turned(x), torch.ones(len(x), 1, x.shape[1])
        t, r = (torch.full((len(x),), at, dtype=x_in.dtype) for at in times)
        with _any_precision():
            out = self.gen.flow.decoder.estimator(
                x_in, mask.to(x_in.dtype), _turned(mu), t, torch.from_numpy(speaker[:, 0]), _turned(prompt),
                r if self.c.flow.meanflow else None,
            )  # fmt: skip
        return out.transpose(1, 2).numpy()

    def pitch(self, mel: Floats) -> Floats:
        with torch.no_grad():
            return self.gen.mel2wav.f0_predictor(_turned(mel)).numpy()

    def excite(self, sines: Floats) -> Floats:
        module = self.gen.mel2wav.m_source
        with torch.no_grad():
            return module.l_tanh(module.l_linear(torch.from_numpy(sines))).numpy()

    def vocode(self, mel: Floats, excitation: Floats) -> Floats:
        with torch.no_grad():
            return self.gen.mel2wav.decode(_turned(mel), _turned(excitation)).numpy()


def fresh(c: ChatterboxConfig, seed: int = 0) -> ReferenceStages:
    """The reference in these sizes, with random weights that show faults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ReferenceStages({part: sensitised(part, c, lambda m: sensitise(m, seed)) for part in names.ROOTS}, c)


def stages(checkpoint: Checkpoint | None) -> ReferenceStages:
    """A checkpoint's stages in the reference; the probe's for None."""
    if checkpoint is None:
        return fresh(CONFIGS["tiny"])
    return open_stages(checkpoint)


def open_stages(checkpoint: Any) -> ReferenceStages:
    """A checkpoint in the reference's classes. Raises InputError when its tensors are not the reference's."""
    made = fresh(checkpoint.config)
    for root, tensors in checkpoint.tensors().items():
        module = {"t3": made.t3, "s3gen": made.gen, "voice": made.encoder}[root]
        given = {k: torch.from_numpy(np.array(v, np.float32)) for k, v in names.unturned(tensors, made.c).items()}
        missing, strange = module.load_state_dict(given, strict=False)
        missing = [k for k in missing if k not in names.TABLES and not k.endswith("num_batches_tracked")]
        if missing or strange:
            raise InputError(f"{checkpoint.folder}: {root} is not the reference's: {(missing + strange)[0]}")
    return made


def probe_run(source: ChatterboxConfig | Checkpoint, seed: int = 0, steps: int | None = None) -> ReferenceRun:
    """The probe in the reference, with sensitised weights or a checkpoint's, and its tensors for ours."""
    made = fresh(source) if isinstance(source, ChatterboxConfig) else open_stages(source)
    given = probe.inputs(made.c, seed, steps)
    return ReferenceRun(lambda: probe.run(made, given, made.c), made.modules, made.tensors())
