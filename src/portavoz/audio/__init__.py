"""Wave ↔ mel ↔ file, with NumPy only.

mel (`mel_spectrogram`, `filterbank`), stft (`stft`, `istft`, `OverlapAdd`), griffin_lim, files (`read`, `write`,
`WaveWriter`), resample, measures, plot (extra `plot`). Each is a module of its own; import from there.
"""
