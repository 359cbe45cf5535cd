"""A source–filter voice: its pulses, its head, streaming, pitch, batches, and its stages on ONNX Runtime."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F

from portavoz import families, ops
from portavoz.audio.stft import istft, stft
from portavoz.blocks.filtered import filtered
from portavoz.blocks.pulse_source import PulseSource, halves
from portavoz.blocks.source_filter import SourceFilterHead
from portavoz.errors import InputError, SpecError
from portavoz.families.compact import source_loop
from portavoz.families.compact import vocoder as compact_wave
from portavoz.families.compact.acoustic import keep, layout
from portavoz.families.compact.config import NATURAL, CompactConfig
from portavoz.families.compact.loop import STAGES
from portavoz.families.compact.probe import PROBE_SOURCE, weights
from portavoz.families.compact.runtime import eager_stages
from portavoz.families.compact.voice import CompactFolder
from portavoz.flow import MelSpec
from portavoz.graph.compile import prebuilt
from portavoz.graph.stage_files import export_stages
from portavoz.weights import file
from portavoz.weights.cursor import Weights

SPEC = MelSpec(rate=24000, fft=1200, hop=300, window=1200, mels=80)
SYMBOLS = ["^", "HH", "AH0", "L", "OW1", ",", "W", "ER1", "L", "D", "."]
FAMILY = families.get("compact")


def model(backend="torch", config=PROBE_SOURCE):
    w = Weights(weights(config), ops.open(backend))
    made = source_loop.loop(eager_stages(w, config), config)
    w.finish()
    return made


def sound(spoken):
    return np.concatenate(list(spoken.waves))


def heard(f0):
    """The pulses of an F0 curve as a wave: their spectra back through the inverse transform."""
    return istft(PulseSource(SPEC, f0).spectra(len(f0)).astype(np.complex128), SPEC) * (SPEC.fft / 4)


def test_pulses_are_the_sum_of_their_harmonics():
    wave = heard(np.full(40, 200.0, np.float32))
    t = 2 * np.pi * 200 / SPEC.rate * np.arange(1, len(wave) + 1)
    direct = sum(np.cos(h * t) for h in range(1, 56))  # 55 · 200 Hz = 11 kHz
    assert np.abs(wave - direct)[600:-600].max() < 0.02 * np.abs(direct).max()


def test_pulses_follow_a_gliding_pitch_and_stop_without_one():
    f0 = np.concatenate([np.linspace(100, 300, 80), np.zeros(40)]).astype(np.float32)
    wave = heard(f0)
    for frame, hz in ((10, f0[10]), (60, f0[60])):
        at = slice(frame * 300 - 450, frame * 300 + 750)
        spectrum = np.abs(np.fft.rfft(wave[at] * np.hanning(1200), 24000))
        lowest = spectrum[70:400].argmax() + 70  # a bin is one Hz
        assert abs(lowest - hz) < 6
    assert np.abs(wave[90 * 300 :]).max() < 1e-6 * np.abs(wave).max()


def test_pulses_in_blocks_are_those_of_the_whole():
    f0 = np.random.default_rng(0).uniform(0, 300, 50).astype(np.float32)
    whole = PulseSource(SPEC, f0).spectra(50)
    source = PulseSource(SPEC, f0)
    parts = [source.spectra(stop) for stop in (1, 2, 17, 17, 40, 50, 60)]
    assert [len(p) for p in parts] == [1, 1, 15, 0, 23, 10, 0]
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_head_is_its_formula(backend):
    spec, o = MelSpec(rate=24000, fft=32, hop=8, window=32), ops.open(backend)
    w = Weights.fresh(o, 3)
    SourceFilterHead(w, spec, inputs=6, channels=10, inner=12, layers=2)
    draw = np.random.default_rng(1)
    arrays = {k: (a + 0.2 * draw.standard_normal(a.shape)).astype(np.float32) for k, a in w.arrays().items()}
    head = SourceFilterHead(Weights(arrays, o), spec, inputs=6, channels=10, inner=12, layers=2)
    given = [draw.standard_normal((2, 9, n)).astype(np.float32) for n in (6, 2, 2, 34, 34)]
    t = {k: torch.from_numpy(a) for k, a in arrays.items()}
    text, place, told, pulses, noise = map(torch.from_numpy, given)
    x = torch.cat([text + F.linear(place, t["place.weight"], t["place.bias"]), told], -1).transpose(1, 2)
    x = F.conv1d(x, t["embed.weight"], t["embed.bias"], padding=3)
    for i in range(2):
        b = f"blocks.{i}."
        y = F.conv1d(x, t[b + "depthwise.weight"], t[b + "depthwise.bias"], padding=3, groups=10).transpose(1, 2)
        y = F.layer_norm(y, (10,), t[b + "norm.weight"], t[b + "norm.bias"], 1e-6)
        y = F.linear(F.gelu(F.linear(y, t[b + "wide.weight"], t[b + "wide.bias"])), t[b + "narrow.weight"])
        x = x + ((y + t[b + "narrow.bias"]) * t[b + "gamma"]).transpose(1, 2)
    y = F.layer_norm(x.transpose(1, 2), (10,), t["last.weight"], t["last.bias"], 1e-6)
    h, theta, n, r, phi = (F.linear(y, t["head.weight"], t["head.bias"]) * t["scale"] + t["mean"]).chunk(5, -1)
    p, z = (torch.complex(*s.chunk(2, -1)) for s in (pulses, noise))
    total = torch.polar(h.clamp(max=7).exp(), np.pi * theta.tanh()) * p + n.exp() * z + torch.polar(r.exp(), phi)
    wave = head(*(o.tensor(a) for a in given))
    expected = istft(total.numpy(), spec)
    assert o.numpy(wave).shape == (2, 72)
    assert np.abs(o.numpy(wave) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_the_sources_are_filtered_on_the_host_as_by_the_head(backend):
    o, draw, bins, count = ops.open(backend), np.random.default_rng(3), 17, 70
    head = SourceFilterHead(
        Weights.fresh(o, 3), MelSpec(rate=24000, fft=32, hop=8, window=32), inputs=6, channels=10, inner=12, layers=2
    )
    filters = (3 * draw.standard_normal((count, 5 * bins))).astype(np.float32)  # some are as loud as may be
    pulses, noise = (draw.standard_normal((2, n, bins)) for n in (count, 25))
    pulses, noise = ((1j * imag + real).astype(np.complex64) for real, imag in (pulses, noise))
    found = filtered(filters, pulses, noise, first=7)
    rows = noise[np.arange(7, 7 + count) % 25]
    given = (o.tensor(x[None]) for x in (filters, halves(pulses), halves(rows)))
    expected = o.numpy(head.sum(*given))[0]
    assert (filters[:, :bins] > 7).any()
    assert np.abs(halves(found) - expected).max() < 1e-6 * np.abs(expected).max()
    assert np.array_equal(filtered(filters[40:], pulses[40:], noise, first=47), found[40:])
    assert filtered(filters[:0], pulses[:0], noise).shape == (0, bins)


def test_back_ends_agree():
    numpy, torch_ = (sound(model(b).synthesize(SYMBOLS, seed=4)) for b in ("numpy", "torch"))
    assert np.abs(numpy - torch_).max() < 1e-4 * np.abs(numpy).max()


def test_pieces_are_the_whole_and_its_spectrum_inverted(monkeypatch):
    m, c = model(), PROBE_SOURCE
    memory, _ = m.encode(SYMBOLS)
    controls = m.controls(memory, np.full(len(SYMBOLS), 30))
    whole = np.concatenate(list(m.spoken(controls)))
    assert whole.shape == (330 * c.mel.hop,)
    asked = []
    own = compact_wave.vocode

    def in_twos(run, c, state, given, *, final, spectrum):
        asked.append(len(given))
        first, state = own(run, c, state, given[:2], final=False, spectrum=spectrum)
        rest, state = own(run, c, state, given[2:], final=final, spectrum=spectrum)
        return np.concatenate([first, rest]), state

    monkeypatch.setattr(compact_wave, "vocode", in_twos)
    assert np.array_equal(np.concatenate(list(m.spoken(controls))), whole)
    assert len(asked) > 1
    # One run of the head over everything: the same sums in another order.
    f0 = np.expm1(5 * controls[:, -2]).astype(np.float32)
    noise = source_loop.noise_rows(0, c.mel.fft // 2 + 1)
    once = filtered(m._vocode(controls[None])[0], PulseSource(c.mel, f0).spectra(330), noise)
    wave = istft(once, c.mel)
    assert np.abs(wave - whole).max() < 1e-5 * np.abs(whole).max()


def test_a_short_end_goes_with_the_block_before_it(monkeypatch):
    m, far, runs = model(), compact_wave.reach(PROBE_SOURCE), list[int]()
    own = m._vocode
    monkeypatch.setattr(m, "_vocode", lambda window: runs.append(window.shape[1]) or own(window))
    for each, expected in ((10, [40 + far, 70 + far]), (29, [40 + far, 279 + far]), (30, [40 + far, 120 + 2 * far, 0])):
        memory, _ = m.encode(SYMBOLS)
        controls = m.controls(memory, np.full(len(SYMBOLS), each))
        runs.clear()
        wave = np.concatenate(list(m.spoken(controls)))
        assert len(wave) == len(controls) * PROBE_SOURCE.mel.hop
        assert runs[:2] == expected[:2] and len(runs) == len(expected)


def test_reach_is_wide_enough_and_not_much_too_wide():
    m, far = model(), compact_wave.reach(PROBE_SOURCE)
    memory, _ = m.encode(SYMBOLS)
    controls = m.controls(memory, np.full(len(SYMBOLS), 6))
    other = controls.copy()
    other[33, : PROBE_SOURCE.hidden] += 10
    one, two = (m._vocode(x[None])[0] for x in (controls, other))
    touched = np.flatnonzero(np.abs(one - two).max(1) > 0)
    assert touched[0] == 33 - far and touched[-1] == 33 + far


def test_pitch_moves_f0_by_semitones_and_nothing_else():
    m = model()
    memory, _ = m.encode(SYMBOLS)
    durations = np.full(len(SYMBOLS), 6)
    plain, moved = m.controls(memory, durations), m.controls(memory, durations, pitch=12)
    f0 = [np.expm1(5 * x[:, -2]) for x in (plain, moved)]
    assert np.abs(f0[1] / f0[0] - 2).max() < 1e-4
    assert np.array_equal(np.delete(plain, -2, 1), np.delete(moved, -2, 1))


def test_noise_is_named_and_seeded():
    m = model()
    first, again, other = (sound(m.synthesize(SYMBOLS, seed=s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape == other.shape and np.abs(first - other).max() > 1e-3


def test_speed_pauses_and_ends():
    m = model()
    predicted = np.log1p(np.full(len(SYMBOLS), 3.0)).astype(np.float32)
    assert m.durations(SYMBOLS, predicted).tolist() == [6] * 11  # a step is two frames
    assert m.durations(SYMBOLS, predicted, speed=2.0).sum() == 33
    silent = m.durations(SYMBOLS, predicted, pauses=0.0)
    assert silent[[0, 5, 10]].tolist() == [0, 0, 0] and (silent[1:5] == 6).all()
    said = m.synthesize(SYMBOLS)
    assert round(said.ends[-1] * 24000) == len(sound(said))
    with pytest.raises(InputError, match="pauses"):
        m.durations(SYMBOLS, predicted, pauses=-1.0)


def test_a_padded_row_equals_its_solo_run():
    o = ops.open("torch")
    plan = eager_stages(Weights(weights(PROBE_SOURCE), o), PROBE_SOURCE).acoustic
    draw, lengths = np.random.default_rng(0), np.array([9, 4])
    ids, durations = np.zeros((2, 9), np.int64), np.zeros((2, 9), np.int64)
    for row, n in enumerate(lengths):
        ids[row, :n], durations[row, :n] = draw.integers(1, 76, n), 2 * draw.integers(1, 4, n)

    def run(ids, durations, lengths):
        memory, logs = plan.encode(o.tensor(ids), o.tensor(np.zeros(len(ids), np.int64)), keep(o, lengths))
        index, place = layout(durations)
        steps = keep(o, durations.sum(1) // 2)
        given = (o.tensor(x[:, ::2].copy()) for x in (index, place))
        return o.numpy(plan.decode(memory, *given, steps)), o.numpy(logs)

    curves, logs = run(ids, durations, lengths)
    for row, n in enumerate(lengths):
        alone, log_alone = run(ids[row : row + 1, :n], durations[row : row + 1, :n], lengths[row : row + 1])
        assert np.abs(curves[row, : alone.shape[1]] - alone[0]).max() < 1e-5 * np.abs(alone).max()
        assert np.abs(logs[row, :n] - log_alone[0]).max() < 1e-5


def test_configuration():
    assert CompactConfig.from_dict(NATURAL.to_dict()) == NATURAL
    with pytest.raises(SpecError, match="leave pitch and energy"):
        CompactConfig.from_dict({**NATURAL.to_dict(), "pitch": True})


def test_compiled_stages_equal_the_eager_ones(tmp_path):
    draw = np.random.default_rng(0)
    arrays = {k: a.astype(np.float16) for k, a in weights(PROBE_SOURCE).items()}
    file.write(tmp_path / "model.safetensors", arrays, {"layout": "torch"})
    folder = CompactFolder.bare(tmp_path / "model.safetensors", PROBE_SOURCE)
    export_stages(FAMILY, folder, tmp_path)
    compiled = prebuilt(FAMILY, PROBE_SOURCE, {name: tmp_path / f"{name}.onnx" for name in STAGES})
    eager = folder.eager(ops.open("torch"))
    one, two = (source_loop.loop(stages, PROBE_SOURCE) for stages in (eager, compiled))
    for length in (1, 11, 70):
        symbols = ["^", *["AH0", "L", " ", "OW1"] * 20][:length]
        (memory, logs), (memory2, logs2) = one.encode(symbols, 1), two.encode(symbols, 1)
        assert np.abs(logs - logs2).max() < 1e-4
        durations = draw.integers(1, 6, length)
        a, b = one.controls(memory, durations), two.controls(memory2, durations)
        assert np.abs(a - b).max() < 1e-3
        x, y = (np.concatenate(list(m.spoken(a))) for m in (one, two))
        assert x.shape == y.shape and np.abs(x - y).max() < 1e-4 * np.abs(x).max()
    names = {t.name.removesuffix(".half") for t in onnx.load(tmp_path / "vocode.onnx").graph.initializer}
    assert "vocoder.filters.head.bias" in names and not any(n.startswith("acoustic") for n in names)


def test_transforms_agree_on_where_frames_sit():
    wave = np.random.default_rng(0).standard_normal(3000)
    assert np.abs(istft(stft(wave, SPEC), SPEC) - wave).max() < 1e-9
