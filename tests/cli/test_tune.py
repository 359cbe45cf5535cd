"""`portavoz tune`: every stage is tried on everything, the fastest above the floor is kept, and the voice uses it."""

from __future__ import annotations

import json
from pathlib import Path

import built
import checkpoints
import numpy as np
import pytest

import portavoz
from portavoz import families, loading
from portavoz.families.speecht5.config import TINY
from portavoz.families.speecht5.loop import SpeechT5
from portavoz.families.speecht5.runtime import RUNTIMES
from portavoz.families.speecht5.workload import Workload
from portavoz.graph import processor, tuning
from portavoz.graph.cache import Cache
from portavoz.graph.cache import folder as cache_folder
from portavoz.graph.compile import Choice, Origin
from portavoz.graph.tuning import Tried, Tuned, candidates, stored
from portavoz.loading import open_checkpoint

STAGES = ("encode", "step", "postnet", "vocode")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tune") / "tiny"
    checkpoints.written(place, prob_bias=-1.9, encoder_layers=1, decoder_layers=1)
    return place


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Compiled stages are kept from one test run to the next, as long as the code that makes them is the same."""
    place = built.place("tune")
    for old in place.glob("tuned-*.json"):
        old.unlink()
    monkeypatch.setenv("PORTAVOZ_CACHE", str(place))
    return place


SHORT = ("--steps", "6", "--rounds", "1", "--batch", "1,2", "--threads", "1")


def test_a_choice_is_made_kept_and_used(run, folder: Path, cache: Path) -> None:
    before = portavoz.load(folder)
    assert before.runtime == "eager"
    done = run("tune", str(folder), *SHORT, "--floor", "15", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    for batch in ("1", "2"):
        for stage, choice in report["choices"][batch].items():
            rows = [r for r in report["tried"] if r["stage"] == stage and str(r["batch"]) == batch]
            good = [r for r in rows if not r["why"] and r["snr"] >= 15]
            assert choice == min(good, key=lambda r: r["seconds"])["choice"]
            assert [r["choice"] for r in rows if r["chosen"]] == [choice]
    tried = {(r["stage"], r["choice"]["runtime"], r["choice"]["precision"]) for r in report["tried"]}
    assert {(s, r, p) for s in ("encode", "step") for r, known in RUNTIMES.items() for p in known} <= tried
    after = portavoz.load(folder)
    assert after.runtime == report["choices"]["1"]["step"]["runtime"]
    said, wanted = (voice.speak("Hello there.", speaker=checkpoints.voice()) for voice in (after, before))
    assert np.isfinite(said.samples).all()
    assert abs(said.duration - wanted.duration) <= 0.5 * wanted.duration
    # Who asks for something else gets it.
    assert portavoz.load(folder, runtime="eager").runtime == "eager"


def test_say_uses_the_choice(run, folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A choice for one row and another for three, which nobody would make by himself, and what `say` then runs on."""
    speaker = tmp_path / "x.npy"
    np.save(speaker, checkpoints.voice())
    origin = Origin.of(*open_checkpoint(folder)[1:])
    alone = {stage: Choice("eager", "float32") for stage in STAGES}
    three = alone | {"step": Choice("onnx", "int8"), "postnet": Choice("onnx", "float32")}
    tuning._keep(Tuned({1: alone, 3: three}, 1, 3, ()), origin, tuning.Settings(batches=(1, 3)), Cache())

    ran: list[tuple[int, dict[str, Choice], int]] = []
    genuine = SpeechT5.synthesize_batch

    chosen: dict[int, dict[str, Choice]] = {}
    making = loading.assemble

    def assembled(*given, **named):
        made = making(*given, **named)
        chosen[id(made.runner)] = dict(made.choices)
        return made

    def together(model: SpeechT5, ids, *rest, **named):
        ran.append((len(ids), chosen[id(model.stages)], model.workers))
        return genuine(model, ids, *rest, **named)

    monkeypatch.setattr(loading, "assemble", assembled)
    monkeypatch.setattr(SpeechT5, "synthesize_batch", together)
    say = ("say", "One. Two and a half. Three! Four?", "--voice", str(folder), "--speaker", str(speaker))
    done = run(*say, "-o", "a.wav")
    assert done.code == 0, done.err
    assert ran == [(3, three, 1), (1, alone, 1)]
    for more, rows in ((("--batch", "2"), [2, 2]), (("--batch", "1"), [1, 1, 1, 1])):
        ran.clear()
        assert run(*say, "-o", "a.wav", *more).code == 0
        assert [n for n, _, _ in ran] == rows
    ran.clear()
    assert run(*say, "-o", "-", "--stream").code == 0
    assert ran == [(1, alone, 1)] * 4
    ran.clear()
    assert run(*say, "-o", "a.wav", "--threads", "2").code == 0
    assert [choices["step"] for _, choices, _ in ran] == [Choice("onnx", "int8", 2), Choice("eager", "float32", 2)]
    ran.clear()
    assert run(*say, "-o", "a.wav", "--runtime", "eager").code == 0
    assert [(n, set(choices.values()), workers) for n, choices, workers in ran] == [
        (4, {Choice("eager", "float32")}, 0)
    ]


@pytest.mark.slow
def test_a_floor_that_only_float32_passes(run, folder: Path, cache: Path) -> None:
    done = run("tune", str(folder), *SHORT, "--floor", "90", "--json")
    chosen = json.loads(done.out)["choices"]["1"]
    assert {choice["precision"] for choice in chosen.values()} == {"float32"}


def test_the_table(run, folder: Path, cache: Path) -> None:
    done = run("tune", str(folder), *SHORT, "--batch", "1")
    assert done.code == 0
    lines = done.out.decode().splitlines()
    assert lines[0].split() == ["stage", "runtime", "precision", "threads", "rows", "ms", "SNR", "dB"]
    assert sum(line.startswith("* ") for line in lines) == 4 + 1  # four stages, and the legend
    assert "trying step on onnx, int8, 1 threads" in done.err


@pytest.mark.parametrize("change", ["processor", "versions", "file"])
def test_another_machine_makes_its_own_choice(
    folder: Path, cache: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = Origin.of(*open_checkpoint(folder)[1:])
    chosen = dict.fromkeys(STAGES, Choice("onnx", "float32"))
    tuning._keep(Tuned({1: chosen}, 1, 1, ()), origin, tuning.Settings(batches=(1,)), Cache())
    assert stored(origin) is not None
    if change == "processor":
        monkeypatch.setattr(processor, "flags", lambda: ["another"])
    elif change == "versions":
        monkeypatch.setattr(tuning, "version_of", lambda name: "another")
    else:
        next(cache_folder().glob("tuned-*.json")).write_text('{"here": ')
    assert stored(origin) is None
    assert portavoz.load(folder).runtime == "eager"


def test_what_cannot_run_says_why(run, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "bfloat16", lambda: False)
    done = run("tune", str(folder), *SHORT, "--batch", "1", "--json")
    rows = [r for r in json.loads(done.out)["tried"] if r["choice"]["precision"] == "bfloat16"]
    assert rows
    assert all(row["seconds"] is None and "does not have it" in row["why"] for row in rows)


def test_the_fastest_above_the_floor_of_each_stage() -> None:
    good, fast = Choice("eager", "float32"), Choice("onnx", "int8")
    rows = [Tried(s, c, 1, t, q) for s in STAGES for c, t, q in ((good, 2.0, 300.0), (fast, 1.0, 20.0))]
    assert {r.choice for r in tuning._marked(rows, 1, 30.0) if r.chosen} == {good}
    assert {r.choice for r in tuning._marked(rows, 1, 20.0) if r.chosen} == {fast}


def test_more_threads_must_be_worth_it() -> None:
    """A tenth faster on two threads is not: on a busy machine it would be many times slower."""
    one, two = Choice("onnx", "float32"), Choice("onnx", "float32", 2)
    for seconds, wanted in ((0.9, one), (0.5, two)):
        rows = [Tried(s, c, 1, t, 100.0) for s in STAGES for c, t in ((one, 1.0), (two, seconds))]
        assert {r.choice for r in tuning._marked(rows, 1, 30.0) if r.chosen} == {wanted}


def test_rows_at_once_are_those_with_the_least_time_a_sentence() -> None:
    def rows(step: float) -> list[Tried]:
        def times(stage: str, batch: int) -> float:
            return step if stage == "step" and batch == 8 else 0.001 * batch

        return [Tried(s, Choice("onnx", "float32"), n, times(s, n), 100.0) for s in STAGES for n in (1, 8)]

    assert tuning.rows_at_once(rows(0.004), Workload.sentence) == 8
    assert tuning.rows_at_once(rows(0.012), Workload.sentence) == 1


def test_candidates() -> None:
    """Eight bits where weights are most of the work; threads where the runtime takes them."""
    origin = Origin.given(families.get("speecht5"), TINY, {})
    assert "int8" not in {choice.precision for choice in candidates(origin, "vocode", (1,))}
    found = list(candidates(origin, "step", (1, 2)))
    assert Choice("onnx", "int8", 2) in found
    assert {choice.threads for choice in found if choice.runtime == "eager"} == {1}


@pytest.mark.parametrize(
    "more", [("--floor", "-1"), ("--floor", "nan"), ("--threads", "0"), ("--threads", "two"), ("--batch", ""),
             ("--rounds", "0"), ("--steps", "0"), ("--steps", "100000")],
)  # fmt: skip
def test_refusals(run, folder: Path, cache: Path, more: tuple[str, str]) -> None:
    done = run("tune", str(folder), *more)
    assert (done.code, done.out) == (2, b"")
    assert len(done.err.strip().splitlines()) == 1


def test_a_voice_without_choices(run, tiny: Path) -> None:
    done = run("tune", str(tiny))
    assert done.code == 2
    assert "has nothing to tune" in done.err
