"""What happens between the layers of the compact family: the part of a kit's page that no golden can show."""

from __future__ import annotations

ENCODER = """\
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
"""

MEL = """\
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

SOURCE_FILTER = """\
- Frame f belongs to symbol `index[f]` (each symbol as often as its duration says, a shorter row repeats its last one),
  and lies at `place[f] = (how far its middle is in the symbol, 0 … 1; log(1 + the symbol's duration))`.
- Curves, at every second frame 0, 2, 4, …: `x = enter(memory[index] + place(place))`, then the blocks `x + narrow(gelu(
  wide(norm(depthwise(x))))) · gamma`, each on `x · real`, then `out(norm(x)) · scale + mean`: four numbers, F0 (Hz)
  and loudness of this frame and of the next. `curves` has them as rows of two, one row a frame.
- `vocoder.encoder` reads the symbols once more: `text`. The head takes `place` and `prosody`, which is
  `(log(1 + F0) / 5, loudness)`:
  `x = embed([text[index] + place(place), prosody])`, the blocks, `head(last(x)) · scale + mean`: h, θ, n, r, φ.
- `pulses` is the short-time spectrum (real parts, then imaginary ones; window · 4 / fft) of a train with every
  harmonic of F0 below 11 kHz at amplitude 1: `sin((H + ½) t) / (2 sin(t / 2)) − ½`, H = floor(11000 / F0), t the
  phase, summed in float64; F0 runs straight between the middles of frames. `noise` is normal noise, in the goldens.
- `spectrum = exp(h) · e^{iπ·tanh θ} · pulses + exp(n) · noise + exp(r) · e^{iφ}` (logs at most 7), then `istft`, as
  `padding` "same" says: (fft − hop) / 2 samples cut off in front, frames · hop samples kept.
"""

NOTES = {"encoder": ENCODER, "mel": MEL, "istft": ISTFT, "hifigan": HIFIGAN, "source_filter": SOURCE_FILTER}
