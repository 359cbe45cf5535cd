"""T3 against chatterbox-tts's own class: prefill and cached steps, with guidance and without."""

from __future__ import annotations

from typing import Any

import chatterbox_models as models
import numpy as np
import pytest
import torch

from portavoz.families.chatterbox.tokens import T3, empty_past

pytestmark = pytest.mark.filterwarnings("ignore:.*sdp_kernel:FutureWarning")  # the reference's own
VARIANTS = ["tiny", "tiny-turbo", "tiny-multilingual"]
LIMIT = 1e-5


def inputs(c: Any, symbols: int = 9, prompt: int = 7) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    speaker = random.standard_normal((1, 1, c.speaker)).astype(np.float32)
    text = random.integers(1, 255, (1, symbols))
    text[0, [0, -1]] = c.start_text, c.stop_text
    return {
        "speaker": speaker / np.linalg.norm(speaker),
        "prompt": random.integers(0, 6561, (1, prompt)),
        "emotion": np.full((1, 1, 1), 0.7, np.float32),
        "text": text,
    }


def cond(name: str, x: dict[str, np.ndarray]) -> Any:
    kind = models.reference.models("t3.modules.cond_enc").T3Cond
    return kind(
        speaker_emb=torch.from_numpy(x["speaker"][:, 0]),
        cond_prompt_speech_tokens=torch.from_numpy(x["prompt"]),
        emotion_adv=torch.from_numpy(x["emotion"]),
    )


@torch.no_grad()
def reference_logits(name: str, x: dict[str, np.ndarray], tokens: list[int], batch: int) -> list[np.ndarray]:
    """Logits [B, V] of the prefill and after each token, by the loop's own statements (t3.py, inference)."""
    model, hp = models.theirs("t3", name), models.theirs("t3", name).hp
    text = torch.from_numpy(x["text"]).repeat(batch, 1)
    start = hp.start_speech_token * torch.ones_like(text[:, :1])
    embeds, _ = model.prepare_input_embeds(
        t3_cond=cond(name, x), text_tokens=text, speech_tokens=start, cfg_weight=0.5 if batch == 2 else 0.0
    )
    if not model.is_gpt:
        bos = model.speech_emb(torch.tensor([[hp.start_speech_token]])) + model.speech_pos_emb.get_fixed_embedding(0)
        embeds = torch.cat([embeds, torch.cat([bos] * batch)], 1)
    out = model.tfmr(inputs_embeds=embeds, use_cache=True)
    logits = [model.speech_head(out.last_hidden_state[:, -1])]
    for i, token in enumerate(tokens):
        embed = model.speech_emb(torch.tensor([[token]]))
        if not model.is_gpt:
            embed = embed + model.speech_pos_emb.get_fixed_embedding(i + 1)
        out = model.tfmr(inputs_embeds=torch.cat([embed] * batch), past_key_values=out.past_key_values, use_cache=True)
        logits.append(model.speech_head(out.last_hidden_state[:, -1]))
    return [y.numpy() for y in logits]


def our_logits(name: str, x: dict[str, np.ndarray], tokens: list[int], batch: int, back: str) -> list[np.ndarray]:
    w = models.cursor("t3", name, back)
    c = models.config(name).tokens
    t3 = T3(w, c)
    w.finish()
    ops = w.ops
    voice = t3.condition(*(ops.tensor(x[key]) for key in ("speaker", "prompt", "emotion")))
    past = empty_past(ops, c, batch, 256)
    logits, state = t3.prefill(voice, ops.tensor(x["text"]), ops.tensor(np.array([[c.start_speech]])), past)
    out = [logits]
    for token in tokens:
        logits, state = t3.step(ops.tensor(np.array([[token]])), state)
        out.append(logits)
    return [ops.numpy(y)[:, 0] for y in out]


@pytest.mark.parametrize("name", VARIANTS)
def test_prefill_and_fifty_cached_steps_are_the_references(name: str) -> None:
    c = models.config(name).tokens
    x, tokens = inputs(c), [int(t) for t in np.random.default_rng(6).integers(0, 6561, 50)]
    batch = 2 if c.guided else 1
    want = reference_logits(name, x, tokens, batch)
    got = our_logits(name, x, tokens, batch, "torch")
    assert max(models.relative(a, b) for a, b in zip(got, want)) <= LIMIT
    if batch == 2:  # the rows differ: guidance has something to guide with
        assert models.relative(want[5][0], want[5][1]) > 0.1


def test_without_guidance_there_is_one_row_and_it_is_the_first_of_two() -> None:
    x = inputs(models.config().tokens)
    (want,) = reference_logits("tiny", x, [], 2)
    (got,) = our_logits("tiny", x, [], 1, "torch")
    assert models.relative(got[0], want[0]) <= LIMIT


def test_numpy_says_the_same() -> None:
    x = inputs(models.config().tokens)
    want = reference_logits("tiny", x, [3, 4], 2)
    got = our_logits("tiny", x, [3, 4], 2, "numpy")
    assert max(models.relative(a, b) for a, b in zip(got, want)) <= LIMIT
