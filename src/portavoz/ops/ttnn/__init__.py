"""Tenstorrent's TTNN: a small table of its operations (`operations`), and what executes them.

`golden` computes each operation in PyTorch with the card's roundings; `device` calls the real package: a card, a
simulator, or the package's mock device. Schedules (`schedule/*.toml`) decide dtype, fidelity and placement by path.
"""
