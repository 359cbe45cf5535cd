"""What happens between the layers of SpeechT5: the part of a kit's page that no golden can show."""

from __future__ import annotations

NOTES = """\
- `ids` [2, S] with `mask` true on real symbols, `speaker` [2, X], `masks` [layers, steps, units]: what the speech
  pre-net multiplies its activations by (it drops out while it speaks; both rows have the same masks).
- Text: embedding + alpha · positions (even channels sin, odd ones cos of t · 10000^(−2 j / C)). The encoder has one
  norm before its first layer and none after the last; layers are post-norm: `norm(x + part(x))`.
- Encoder scores: `(q · D^(−1/2)) · (k + pe_k[distance])`, distance = query − key, clipped to −far … far − 1, plus
  far. Queries are scaled after their bias. The keys of padding are masked.
- Before the first step each decoder layer makes `encoder_attn.k_proj` and `v_proj` of the memory, once.
- A step: the last frame said (zeros at first) → pre-net (`relu(layer(x)) · mask`, `final_layer`, alpha · position of
  this step, joined with the L2-normalised speaker, `speaker_embeds_layer`, relu) → layers (own past, text,
  feed-forward, each post-norm) → `feat_out` [r · mels] is r frames one after the other, `prob_out` r stop
  probabilities.
- The next step hears the last of those r frames, before the post-net. A row stops at the first step at which the sum
  of its r stop probabilities reaches the threshold.
- Post-net: conv, batch norm, tanh (not after the last), added to the mel.
- Vocoder: `(mel − mean) / scale`, `conv_pre`; for each rate leaky relu, `upsampler`, the mean of its residual blocks;
  at the end leaky relu 0.01, `conv_post`, tanh.
"""
