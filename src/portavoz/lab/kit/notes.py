"""What happens between a family's words: the part of a kit's page that no golden can show."""

from __future__ import annotations

COMPACT = """\
- `ids` [2, S] are padded with 0; `lengths` says how many symbols of each row are real. `real[b, s] = s < lengths[b]`.
- Encoder: embedding, then the stack, then `speaker`'s embedding is added to every step; that is `memory`.
- A stack's layer is pre-norm: `x + attention(norm1(x))`, then `x + feed_forward(norm2(x))`; after the last layer
  `norm`. The input of `feed_forward` is multiplied by `real`, so that no row hears its padding. The activation
  between its two layers is gelu (by erf); the first of them is a convolution.
- Attention: q, k, v, out; q and k are turned by `rope` with `cos, sin = (t · 10000^(−2 j / D))` for step t and j = 0
  … D / 2 − 1, D channels a head; scale 1 / √D; keys of padding are masked.
- Durations: twice conv, relu, norm, then linear, each conv and the linear on `x · real`. `log_durations` [2, S] is 0
  on padding. Frames: `e = max(exp(log) − 1, 0)`, ends = floor(cumsum(e) + 0.5) along the row, durations = the
  differences of the ends; this probe clips them to 0 … 5.
- Decoder: frame f belongs to symbol `index[f]` (each symbol as often as its duration says, a shorter row repeats its
  last one), and lies at `place[f] = (how far its middle is in the symbol, 0 … 1; log(1 + the symbol's duration))`.
  Its input is `memory[index] + place(place)`; frames beyond a row's own sum are padding. The mel is `out(x) · scale +
  mean`. `expected.json` has index and place.
"""

ISTFT = """\
- Vocoder: `norm(embed((mel − mean) / scale))`, then the blocks `x + narrow(gelu(wide(norm(depthwise(x))))) · gamma`,
  `last`, `head`; its first half is log magnitude (after exp at most 100), its second half phase; `real = m · cos(p)`,
  `imag = m · sin(p)`, then `istft` (periodic Hann window, overlap-add divided by the sum of the squared windows, (fft
  − hop) / 2 samples cut off in front, frames · hop samples kept).
"""

HIFIGAN = """\
- Vocoder: `conv_pre`; for each rate: leaky relu 0.1, `upsampler`, then the mean of its residual blocks, each `x +
  conv2(leaky(conv1(leaky(x))))` for every dilation; at the end leaky relu 0.01, `conv_post`, tanh.
"""

SPEECHT5 = """\
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
