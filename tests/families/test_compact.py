"""The compact family: sizes, batches, chunks, two vocoders, durations."""

import numpy as np
import pytest

from portavoz import ops
from portavoz.audio.stft import istft
from portavoz.errors import InputError, SpecError
from portavoz.families.compact import acoustic as compact_mel
from portavoz.families.compact import vocoder as compact_wave
from portavoz.families.compact.config import CONFIGS, MINIMAL, PRODUCTION, CompactConfig, IstftConfig
from portavoz.families.compact.loop import Compact, Eager
from portavoz.flow import Mel
from portavoz.weights.cursor import Weights

HIFI = CompactConfig.from_dict(
    {**MINIMAL.to_dict(), "vocoder": "hifigan", "hifigan": {"channels": 16, "rates": [8, 8, 4], "kernels": [16, 16, 8]}}
)
BOTH = pytest.mark.parametrize("config", [MINIMAL, HIFI], ids=["istft", "hifigan"])


def model(config, backend="torch", seed=3):
    w = Weights.fresh(ops.open(backend), seed)
    w.train = False
    return Compact(Eager(w, config), config), w


def numbers(w):
    return sum(int(np.prod(shape)) for shape in w.record.shapes.values())


def test_minimal_has_its_pinned_number_of_parameters():
    assert numbers(model(MINIMAL, "numpy")[1]) == 60_935 <= 63_330


def test_sizes_of_the_other_configurations():
    counts = {name: numbers(model(c, "numpy")[1]) for name, c in CONFIGS.items()}
    assert counts["minimal"] < counts["small"] < counts["production"]
    assert counts["production"] * 4 < 15e6  # bytes in float32


def test_configuration_survives_a_round_trip_and_refuses_what_it_does_not_know():
    assert CompactConfig.from_dict(PRODUCTION.to_dict()) == PRODUCTION
    with pytest.raises(SpecError, match=r"no hiden: did you mean hidden\?"):
        CompactConfig.from_dict({"hiden": 3})
    with pytest.raises(SpecError, match=r"no mel\.melz"):
        CompactConfig.from_dict({"mel": {"melz": 64}})
    with pytest.raises(SpecError, match="multiply to 64"):
        CompactConfig.from_dict({"vocoder": "hifigan", "hifigan": {"rates": [8, 8], "kernels": [16, 16]}})


@BOTH
def test_back_ends_agree(config):
    symbols = ["^", "HH", "AH0", "L", "OW1", "."]
    waves = []
    for backend in ("numpy", "torch"):
        m, _ = model(config, backend)
        memory, predicted = m.encode(symbols)
        mel = m.mel(memory, np.array([3, 2, 5, 1, 7, 4]))
        waves.append(np.concatenate([predicted, *m.waves(mel)]))
    assert np.abs(waves[0] - waves[1]).max() < 1e-5 * np.abs(waves[0]).max()


def test_a_padded_row_equals_its_solo_run():
    o = ops.open("torch")
    w = Weights.fresh(o, 5)
    w.train = False
    acoustic = compact_mel.Acoustic(w / "acoustic", MINIMAL)
    draw = np.random.default_rng(0)
    lengths = np.array([9, 4])
    ids, durations = np.zeros((2, 9), np.int64), np.zeros((2, 9), np.int64)
    for row, n in enumerate(lengths):
        ids[row, :n], durations[row, :n] = draw.integers(1, 76, n), draw.integers(1, 6, n)

    def run(ids, durations, lengths):
        text, sound = compact_mel.keep(o, lengths), compact_mel.keep(o, durations.sum(1))
        memory, log_durations = acoustic.encode(o.tensor(ids), o.tensor(np.zeros(len(ids), np.int64)), text)
        index, place = compact_mel.layout(durations)
        return o.numpy(acoustic.decode(memory, o.tensor(index), o.tensor(place), sound)), o.numpy(log_durations)

    synthesize_batch, log_together = run(ids, durations, lengths)
    for row, n in enumerate(lengths):
        alone, log_alone = run(ids[row : row + 1, :n], durations[row : row + 1, :n], lengths[row : row + 1])
        assert np.abs(synthesize_batch[row, : alone.shape[1]] - alone[0]).max() < 1e-5
        assert np.abs(log_together[row, :n] - log_alone[0]).max() < 1e-5


def in_pieces(m, config, mel, sizes):
    pieces, state, at = [], compact_wave.Vocoding.start(config), 0
    while at < len(mel):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        final = at + size >= len(mel)
        piece, state = compact_wave.vocode(m.stages.vocode, config, state, mel[at : at + size], final=final)
        pieces.append(piece)
        at += size
    return np.concatenate(pieces)


@BOTH
@pytest.mark.parametrize("frames", [1, 39, 40, 60, 300, 700])
def test_a_mel_in_pieces_gives_the_samples_of_the_whole(config, frames):
    m, _ = model(config)
    mel = np.random.default_rng(1).standard_normal((frames, config.mel.mels)).astype(np.float32) * 2 - 5
    whole = in_pieces(m, config, mel, [frames])
    assert whole.shape == (frames * config.mel.hop,)
    for sizes in ([1], [7, 3], [40, 80]):
        assert np.array_equal(in_pieces(m, config, mel, sizes), whole), sizes
    assert np.array_equal(np.concatenate(list(m.waves(Mel(mel[None], config.mel)))), whole)
    # One run of the vocoder over everything: the same sums in another order.
    once = m.stages.vocode(mel[None])[0]
    if config.vocoder == "istft":
        bins = once.shape[-1] // 2
        once = istft(once[:, :bins] + 1j * once[:, bins:], config.mel)
    assert np.abs(whole - once).max() <= 1e-6 * max(1.0, float(np.abs(once).max()))


@BOTH
def test_reach_is_wide_enough_and_not_much_too_wide(config):
    m, _ = model(config)
    far = compact_wave.reach(config)
    mel = np.random.default_rng(2).standard_normal((1, 2 * far + 41, config.mel.mels)).astype(np.float32)
    other = mel.copy()
    middle = far + 20
    other[0, middle] += 10
    changed = np.abs(m.stages.vocode(other) - m.stages.vocode(mel))[0]
    per_frame = changed.reshape(mel.shape[1], -1).max(1)
    touched = np.flatnonzero(per_frame > 0)
    assert middle - far <= touched[0] and touched[-1] <= middle + far
    assert touched[-1] - middle >= far // 2


def test_durations_speed_pauses_and_silent_blanks():
    m, _ = model(MINIMAL)
    symbols = ["^", "HH", "AH0", " ", "L", "OW1", ","]
    predicted = np.log1p(np.array([8.0, 4.0, 6.0, 0.4, 5.0, 9.0, 20.0])).astype(np.float32)
    normal = m.durations(symbols, predicted)
    assert normal.tolist() == [8, 4, 6, 0, 5, 9, 20]
    assert m.durations(symbols, predicted, speed=2.0).sum() == 26
    silent = m.durations(symbols, predicted, pauses=0.0)
    assert silent[[0, 3, 6]].tolist() == [0, 0, 0] and silent[[1, 2, 4, 5]].tolist() == [4, 6, 5, 9]
    assert m.durations(symbols, predicted, speed=10.0)[1] >= 1
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="speed"):
            m.durations(symbols, predicted, speed=bad)


def test_what_does_not_fit_is_refused():
    m, _ = model(MINIMAL)
    with pytest.raises(InputError, match="speaker 3"):
        m.encode(["^", "."], 3)
    with pytest.raises(InputError, match="symbols at once"):
        m.encode(["^"] * (MINIMAL.most_symbols + 1))
    memory, _ = m.encode(["^", "AH0", "."])
    with pytest.raises(InputError, match="frames at once"):
        m.mel(memory, np.array([0, 0, 0]))
    with pytest.raises(InputError, match="wanted 3 whole numbers"):
        m.synthesize(["^", "AH0", "."], adjust=lambda symbols, frames: frames[:2])


def test_a_wider_head_reaches_further():
    wide = CompactConfig(istft=IstftConfig(layers=6))
    assert compact_wave.reach(wide) == compact_wave.reach(CompactConfig()) + 6
