"""From a folder of recordings to a voice folder that speaks, several speakers, and one who joins."""

from __future__ import annotations

import json

import numpy as np
import pytest

import portavoz
from portavoz.errors import InputError, SpecError
from portavoz.text.alphabet import SYMBOLS
from portavoz.train.config import TrainConfig
from portavoz.train.data import toy
from portavoz.train.loop.trainer import Trainer
from portavoz.train.tasks import initialization
from portavoz.train.tasks.compact import EMBEDDING
from portavoz.train.tasks.pretrained import trained
from portavoz.train.voice.train_voice import train
from portavoz.weights import file


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A corpus of two speakers, line by line."""
    folder = toy.make(tmp_path_factory.mktemp("pair"), count=16)
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines):
        line["speaker"] = ("ann", "bob")[number % 2]
    (folder / "index.jsonl").write_text("\n".join(map(json.dumps, lines)))
    about = json.loads((folder / "corpus.json").read_text())
    (folder / "corpus.json").write_text(json.dumps({**about, "speakers": ["ann", "bob"]}))
    return folder


def config(corpus, **more):
    values = {"corpus": str(corpus), "model": "minimal", "steps": 2, "batch": 4, "every": 2, "warmup": 1, "frames": 8}
    return TrainConfig.from_dict({**values, **more})


def test_several_speakers_have_a_row_each(pair, tmp_path):
    trainer = Trainer(config(pair, steps=30, every=30, rate=1e-2), tmp_path)
    assert (trainer.model.speakers, trainer.corpus.speakers) == (2, ["ann", "bob"])
    assert {u.speaker for u in trainer.corpus.utterances} == {0, 1}
    before = trainer.result()[initialization.SPEAKERS].copy()
    tensors, c = trained(trainer.run())
    assert c.speakers == 2
    assert (tensors[initialization.SPEAKERS] != before).any(1).all()


def test_an_unknown_speaker_is_refused(pair, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "corpus.json").write_text((pair / "corpus.json").read_text().replace("bob", "rob"))
    (folder / "index.jsonl").write_text((pair / "index.jsonl").read_text())
    with pytest.raises(InputError, match="line 2: speaker 'bob' is not one of ann, rob"):
        Trainer(config(folder), tmp_path / "out")


def test_rows_of_the_table_follow_names():
    rows = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert initialization.table(rows, ["a", "b"], ["b", "c"]).tolist() == [[2, 3], [1, 2]]
    assert initialization.table(rows, [], []).tolist() == [[1, 2]]


@pytest.mark.slow
def test_a_voice_is_tuned_on_a_folder_and_speaks(tiny, tmp_path):
    """One call: sounds and texts in, a voice folder out; and again, with nothing left to do."""
    source = tmp_path / "source"
    made = toy.make(source, count=9)
    rows = [f"{json.loads(line)['id']}|[[B AA1 K AH0]]" for line in (made / "index.jsonl").read_text().splitlines()]
    (source / "corpus.json").unlink()
    (source / "index.jsonl").unlink()
    (source / "metadata.csv").write_text("\n".join(rows))
    said = []
    tune = config(source, part="voice", model="start", start=str(tiny), align_steps=5)
    folder = train(tune, tmp_path / "out", say=said.append)
    assert folder == tmp_path / "out" / "voice"
    assert "9 of 9 recordings" in said[1]
    voice = portavoz.load(folder)
    assert voice.speakers == ("source",) or list(voice.speakers) == ["source"]
    assert len(voice.speak("Hello.").samples) > 1000
    card = json.loads((folder / "voice.json").read_text())["card"]
    assert card["corpus"] == {"layout": "table"}
    assert "tuned_from" in card
    assert train(tune, tmp_path / "out") == folder


def test_one_row_is_learnt_and_everything_else_stays(pair, tmp_path):
    first = Trainer(config(pair), tmp_path / "first").run()
    tensors, _ = trained(first)
    more = config(pair, start=str(first), only=[initialization.SPEAKERS], weight_decay=0.0, steps=3)
    trainer = Trainer(more, tmp_path / "second")
    assert list(trainer.tensors) == [initialization.SPEAKERS]
    trainer.run()
    assert all(np.array_equal(a, tensors[k]) for k, a in trainer.result().items() if k != initialization.SPEAKERS)
    assert not np.array_equal(trainer.result()[initialization.SPEAKERS], tensors[initialization.SPEAKERS])


def test_vowels_that_were_copies_of_their_siblings_follow_them(pair, tmp_path):
    """A corpus without secondary stress leaves AH2 a copy of AH1, and tuning moves both; a vowel of its own stays."""
    first = Trainer(config(pair), tmp_path / "first").run()
    tensors, _ = trained(first)
    seen = {SYMBOLS[i] for i in Trainer(config(pair), tmp_path / "first").corpus.ids}
    name = next(s for s in SYMBOLS if s.endswith("2") and s not in seen and f"{s[:-1]}1" in seen)
    copy, known = SYMBOLS.index(name), SYMBOLS.index(f"{name[:-1]}1")
    assert np.array_equal(tensors[EMBEDDING][copy], tensors[EMBEDDING][known])
    more = config(pair, start=str(first), rate=1e-2)
    after = Trainer(more, tmp_path / "second")
    after.train_step()
    table = after.task.finish(after.weights.arrays())[EMBEDDING]
    assert not np.array_equal(table[known], tensors[EMBEDDING][known])
    assert np.array_equal(table[copy], table[known])
    own = {**tensors, EMBEDDING: tensors[EMBEDDING].copy()}
    own[EMBEDDING][copy] += 1
    metadata = file.read(first)[1]
    file.write(tmp_path / "own.safetensors", own, metadata)
    third = Trainer(config(pair, start=str(tmp_path / "own.safetensors")), tmp_path / "third")
    kept = third.task.finish(third.weights.arrays())[EMBEDDING]
    assert np.array_equal(kept[copy], own[EMBEDDING][copy])


@pytest.mark.slow
def test_who_joins_changes_nobody(tiny, pair, tmp_path):
    joining = config(
        pair,
        part="voice",
        model="start",
        start=str(tiny),
        speakers="add",
        only=[initialization.SPEAKERS],
        weight_decay=0.0,
    )
    folder = train(joining, tmp_path)
    before, _ = trained(tiny / "model.safetensors")
    after, c = trained(folder / "model.safetensors")
    names = json.loads((tiny / "voice.json").read_text())["speakers"]
    assert json.loads((folder / "voice.json").read_text())["speakers"] == [*names, "ann", "bob"]
    assert c.speakers == len(names) + 2
    for path, array in before.items():
        kept = after[path][: len(names)] if path == initialization.SPEAKERS else after[path]
        assert np.array_equal(kept, array), path
    assert not np.array_equal(*after[initialization.SPEAKERS][-2:])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"only": ["acoustic.nothing"]}, "no weight's path begins so"),
        ({"model": "start"}, "no weights to start from"),
        ({"part": "voice", "only": ["vocoder"]}, "would stay untrained"),
        ({"speakers": "all"}, "wanted one of 'own', 'add'"),
        ({"part": "voice", "losses": {"mel": 1}}, "of a whole voice"),
    ],
)
def test_what_cannot_be_is_refused(pair, tmp_path, settings, message):
    with pytest.raises(SpecError, match=message):
        train(config(pair, **settings), tmp_path)


def test_a_start_that_is_not_there_is_refused(pair, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Trainer(config(pair, start="none.safetensors"), tmp_path)
    with pytest.raises(InputError, match="there is no such folder"):
        Trainer(config(pair, start="nobody"), tmp_path)
