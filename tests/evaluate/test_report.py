"""The evaluation from end to end, on a voice that babbles and on recordings that it made itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import voices

import portavoz
from portavoz.audio.files import write as write_sound
from portavoz.errors import InputError, JobError, MissingExtra
from portavoz.evaluate import objective_metrics
from portavoz.evaluate.objective_metrics import Mos
from portavoz.evaluate.report import Evaluation, evaluate
from portavoz.evaluate.sentences import of_corpus, of_text
from portavoz.evaluate.speaking import Subject, names, synthesize
from portavoz.flow import Wave
from portavoz.inspect.memory import peak_memory

TEXTS = ("The old clock struck.", "It rained all day.", "Turn left here.", "Read it again.")
SCHEMA = {
    "format", "version", "portavoz", "judge", "mos_model", "missing", "sentences", "columns", "differences",
}  # fmt: skip


def labelled(folder: Path, voice: Path) -> Path:
    """A corpus folder whose recordings the voice's second speaker made, with exact labels; two lines are held out."""
    model = portavoz.load(voice)
    (folder / "wavs").mkdir(parents=True)
    lines = []
    for i, text in enumerate(TEXTS):
        speech = model.speak(text, speaker="second")
        write_sound(folder / "wavs" / f"{i}.wav", Wave(speech.samples, speech.rate))
        (chunk,) = model.model.split_text(text, _manner(model))
        said = model.model.synthesize(chunk, _manner(model))
        line = {"id": str(i), "text": text, "wav": f"wavs/{i}.wav", "speaker": "second"}
        labels = {"symbols": list(chunk.symbols), "ends": list(said.ends)}
        lines.append({**line, **labels, "split": "held_out" if i % 2 else "train"})
    about = {"rate": 22050, "alphabet": 1, "speakers": ["second"]}
    (folder / "corpus.json").write_text(json.dumps(about), encoding="utf-8")
    (folder / "index.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder


def _manner(model: portavoz.Voice) -> Any:
    from portavoz.families.synthesis import SynthesisOptions

    return SynthesisOptions(model.model.speaker("second"))


@pytest.fixture(scope="module")
def corpus(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("corpus") / "made", tiny)


@pytest.fixture(scope="module")
def measured(tiny: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Both speakers beside recordings of the second."""
    voice = tmp_path_factory.mktemp("named") / "voice"
    voice.symlink_to(tiny)
    subjects = [Subject(str(voice), "second"), Subject(str(voice), "first")]
    only = [
        "mcd",
        "mel_error",
        "f0_cents",
        "voicing_error",
        "duration_ratio",
        "duration_error",
        "stoi",
        "real_time_factor",
    ]
    return evaluate(subjects, of_corpus(corpus, 10), only=only)


def figures(measured: Evaluation) -> dict[str, dict[str, float]]:
    return {c["name"]: {k: v["value"] for k, v in c["figures"].items()} for c in measured.report()["columns"]}


def test_only_what_was_held_out_is_used(corpus: Path) -> None:
    assert [s.id for s in of_corpus(corpus, 10)] == ["1", "3"]
    assert [s.id for s in of_corpus(corpus, 1)] == ["1"]
    assert [s.id for s in of_corpus(corpus, 10, speakers=("nobody",))] == ["1", "3"]


def test_a_voice_is_nothing_apart_from_its_own_recordings(measured: Evaluation) -> None:
    own = figures(measured)["voice (second)"]
    assert own["mcd"] < 0.1 and own["voicing_error"] < 0.01
    assert own["duration_ratio"] == pytest.approx(1.0, abs=1e-3)
    assert own["duration_error"] == 0.0
    assert own["mel_error"] > 0.1
    assert own["real_time_factor"] > 0


def test_another_speaker_is_further_away_and_surely_so(measured: Evaluation) -> None:
    values = figures(measured)
    assert values["voice (first)"]["mcd"] > values["voice (second)"]["mcd"]
    between = next(d for d in measured.report()["differences"] if d["first"] == "voice (second)")
    assert between["second"] == "voice (first)"
    difference = values["voice (first)"]["mcd"] - values["voice (second)"]["mcd"]
    assert between["figures"]["mcd"]["value"] == pytest.approx(difference)
    assert between["figures"]["mcd"]["low"] > 0


def test_halves_stand_beside_the_recording_and_griffin_lim_beside_the_vocoder(measured: Evaluation) -> None:
    kinds = [c.kind for c in measured.columns]
    assert kinds == ["recording", *["voice", "vocoded", "griffin_lim", "timed"] * 2]
    values = figures(measured)
    # What needs no speaker is the same for both; what has one is not.
    assert values["voice (second), vocoded"]["stoi"] == values["voice (first), vocoded"]["stoi"]
    assert values["voice (second), timed"]["stoi"] != values["voice (first), timed"]["stoi"]
    for column, recording in zip(measured.columns[2].waves, measured.columns[0].waves):
        assert len(column.samples) == len(recording.samples) // 256 * 256
    pairs = [(a.name, b.name) for a, b in measured.pairs()]
    assert ("voice (first), griffin-lim", "voice (first), vocoded") in pairs


def test_the_report_keeps_its_form(measured: Evaluation) -> None:
    report = measured.report()
    assert set(report) == SCHEMA
    assert (report["format"], report["version"]) == ("portavoz-evaluation", 1)
    assert report["sentences"][0] == {"id": "1", "text": TEXTS[1], "recorded": True}
    voice = report["columns"][1]
    assert set(voice) == {
        "name", "kind", "voice", "family", "runtime", "rate", "megabytes", "figures", "signals", "sentences",
    }  # fmt: skip
    assert set(voice["figures"]["mcd"]) == {"value", "low", "high", "count"}
    assert set(voice["sentences"][0]) >= {"id", "heard", "mcd", "duration_error"}
    assert 30 < voice["megabytes"] < 2000
    assert voice["signals"]["clipped_samples"] == 0
    json.dumps(report, allow_nan=False)


def test_without_recordings_there_is_what_needs_none(tiny: Path) -> None:
    sentences = of_text(None, 2)
    found = evaluate([Subject(str(tiny))], sentences, only=["mcd", "word_error", "real_time_factor"])
    assert [c.kind for c in found.columns] == ["voice"]
    assert set(found.report()["columns"][0]["figures"]) == {"word_error", "real_time_factor"}
    assert found.report()["columns"][0]["figures"]["word_error"]["value"] > 0.5, "it babbles"
    assert "pocketsphinx" in found.report()["judge"]
    assert found.report()["columns"][0]["sentences"][0]["heard"] is not None


def test_a_model_of_mos_is_asked_and_named(
    tiny: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_ear.py").write_text("def grade(samples, rate):\n    return 3.5 if rate == 22050 else 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    model = Mos("my_ear:grade")
    found = evaluate([Subject(str(tiny))], of_corpus(corpus, 1), only=["mos_estimate"], mos=model)
    assert found.report()["mos_model"] == {"name": "my_ear:grade"}
    assert {c.kind: c.figure("mos_estimate").value for c in found.columns} == {
        "recording": 3.5, "voice": 3.5, "vocoded": 3.5, "griffin_lim": 3.5, "timed": 3.5,
    }  # fmt: skip


def test_what_is_not_there_is_named_or_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective_metrics, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pocketsphinx"):
        evaluate([Subject(str(tiny))], of_text(None, 1), only=["word_error"])
    found = evaluate([Subject(str(tiny))], of_text(None, 1))
    assert set(found.missing) == {"word_error", "stoi", "estoi", "pesq", "mos_estimate"}
    assert "portavoz[pesq]" in found.missing["pesq"]
    assert found.judge is None
    with pytest.raises(InputError, match="no figure 'beauty'"):
        evaluate([Subject(str(tiny))], of_text(None, 1), only=["beauty"])
    with pytest.raises(InputError, match="name yours with --mos"):
        evaluate([Subject(str(tiny))], of_text(None, 1), only=["mos_estimate"])


def test_a_voice_that_cannot_speak_says_why(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="third"):
        synthesize(Subject(str(tiny), "third"), ["Hello."])
    with pytest.raises(InputError, match="nothing to say"):
        synthesize(Subject(str(tiny)), ["?!"])
    broken = voices.copied(tiny, tmp_path / "broken")
    voices.edited(broken, name=3)
    with pytest.raises(InputError, match="name missing"):
        synthesize(Subject(str(broken)), ["Hello."])


def test_names_are_as_short_as_tells_them_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a/wavs", "b/wavs", "a/x/wavs", "b/x/wavs"):
        Path(folder).mkdir(parents=True)

    def called(*voices: str) -> list[str]:
        return names([Subject(voice) for voice in voices])

    assert called("a/wavs", "heart", "b/wavs/") == ["a/wavs", "heart", "b/wavs"]
    assert called("a/x/wavs", "b/x/wavs") == ["a/x/wavs", "b/x/wavs"]
    assert called("a/wavs", "a/x") == ["wavs", "x"]
    assert called("a/wavs", "./a/wavs") == ["wavs", "wavs"]
    assert names([Subject("a/wavs", "s"), Subject("b/wavs", "s")]) == ["a/wavs (s)", "b/wavs (s)"]


def test_a_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portavoz.evaluate.speaking.sys.executable", "/bin/false")
    with pytest.raises(JobError, match="ended with exit code 1"):
        synthesize(Subject(), ["Hello."])


def test_peak_memory_grows_with_what_was_held() -> None:
    before = peak_memory()
    held = np.ones(30_000_000)
    after = peak_memory()
    assert before is not None and after is not None
    assert held.nbytes / 1e6 > 200 and after >= before > 10


def test_plain_folders_of_recordings_will_do(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    for name in ("a", "b"):
        write_sound(tmp_path / "wavs" / f"{name}.wav", Wave(np.full(800, 0.1, np.float32), 16_000))
    (tmp_path / "metadata.csv").write_text("a|One.\nb|Two.\nc|Not recorded.\n", encoding="utf-8")
    found = of_corpus(tmp_path, 10)
    assert [(s.id, s.text, s.ends) for s in found] == [("a", "One.", ()), ("b", "Two.", ())]
    assert len(found[0].recording().samples) == 800


def test_a_recording_may_lie_within_a_longer_file(corpus: Path, tmp_path: Path) -> None:
    line = json.loads((corpus / "index.jsonl").read_text(encoding="utf-8").splitlines()[1])
    wave = of_corpus(corpus, 1)[0].recording()
    longer = np.concatenate([np.zeros(22_050, np.float32), wave.samples, np.zeros(999, np.float32)])
    write_sound(tmp_path / "long.wav", Wave(longer, 22_050))
    line.update(wav="long.wav", **{"from": 1.0})
    (tmp_path / "corpus.json").write_text((corpus / "corpus.json").read_text())
    (tmp_path / "index.jsonl").write_text(json.dumps(line))
    assert np.array_equal(of_corpus(tmp_path, 1)[0].recording().samples, wave.samples)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"symbols": ["Q"]}, "not symbols with ends"),
        ({"ends": [0.1]}, "not symbols with ends"),
        ({"text": None}, "text"),
    ],
)
def test_labels_that_are_none_are_refused(corpus: Path, tmp_path: Path, change: dict, says: str) -> None:
    line = json.loads((corpus / "index.jsonl").read_text(encoding="utf-8").splitlines()[1])
    line = {k: v for k, v in {**line, **change}.items() if v is not None}
    (tmp_path / "index.jsonl").write_text(json.dumps(line))
    with pytest.raises(InputError, match=says):
        of_corpus(tmp_path, 1)


@pytest.mark.parametrize(("data", "says"), [(b"\n \n", "no sentence in it"), (b"\xff\xfe", "not UTF-8")])
def test_text_that_is_none_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "t.txt").write_bytes(data)
    with pytest.raises(InputError, match=says):
        of_text(tmp_path / "t.txt", 3)
    with pytest.raises(InputError, match="cannot be read"):
        of_text(tmp_path / "none.txt", 3)
