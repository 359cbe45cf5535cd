"""The same job on a Ray cluster of two actors: the same bytes, and the same after kills."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray  # noqa: F401  (without it this file is set aside)
from bulk_disturb import STATE, Disturbed
from bulk_jobs import digests, write_manifest

from portavoz.bulk import Settings
from portavoz.bulk.job import Plan, run
from portavoz.bulk.on_ray import Actor
from portavoz.errors import BackendError

ITEMS, MANY = 24, 600


def ray_job(folder: Path, tiny: Path, *options: str, out: str = "ray") -> Disturbed:
    """The job with a cluster that it starts itself."""
    job = Disturbed(folder, tiny, "--ray", *options, out=out)
    job.command.remove("-W")
    job.command.remove("error")  # what Ray warns of is Ray's
    return job


@pytest.mark.slow
def test_ray_makes_the_same_bytes(tmp_path: Path, tiny: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", ITEMS)
    with (tmp_path / "m.jsonl").open("a", encoding="utf-8") as out:
        out.write('{"id": "not", "text": "您好"}\n')
    options = ("--format", "opus", "--layout", "webdataset", "--shard-size", "10")
    Disturbed(tmp_path, tiny, *options, out="local").run()
    code, said = ray_job(tmp_path, tiny, *options).run()
    assert code == 1, said
    # Ray has lines of its own before it.
    assert said.splitlines()[-1].startswith("portavoz: ray: 24 spoken, 1 failed (see ray/failed.jsonl), "), said
    assert "Traceback" not in said
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:1", "127.0.0.1:x"])
def test_a_cluster_that_is_not_there_is_one_error(tmp_path: Path, tiny: Path, address: str) -> None:
    write_manifest(tmp_path / "m.jsonl", 1)
    with pytest.raises(BackendError, match=rf"--ray {address}: no cluster \(.+\); check it"):
        run(str(tmp_path / "m.jsonl"), str(tmp_path / "out"), Settings(voice=str(tiny)), Plan(ray=address))


@pytest.fixture
def one(tmp_path: Path, tiny: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Actor]:
    """An actor of a small job."""
    monkeypatch.chdir(tmp_path)  # where the actor goes, too
    write_manifest(tmp_path / "m.jsonl", 3)
    run(str(tmp_path / "m.jsonl"), str(tmp_path / "out"), Settings(voice=str(tiny)), Plan(workers=1))
    with contextlib.closing(Actor(str(tmp_path / "out"), str(tmp_path / "out" / STATE), str(tmp_path))) as actor:
        yield actor


def block(one: Actor, name: str) -> list[dict[str, Any]]:
    """The records of a block of three items."""
    work = {"work": [json.dumps({"name": name, "items": [0, 1, 2]})]}
    return [json.loads(row["record"][0]) for row in one(work)]


def test_a_repeated_block_speaks_what_is_left(tmp_path: Path, one: Actor) -> None:
    first = block(one, "000005-block0")
    path = tmp_path / "out" / STATE / "ledger" / "000005-block0.jsonl"
    lines = path.read_text().splitlines()
    # As after a death in the second item, which was begun twice before.
    begun = json.dumps({"begun": first[1]["item"]})
    path.write_text("\n".join([*lines[:2], begun, begun, '{"beg']))
    before = path.read_text()
    assert block(one, "000005-block0") == first
    added = path.read_text()[len(before) :]
    assert first[0]["item"] not in added
    # Once more, and it is a failure.
    path.write_text("\n".join([*lines[:2], begun, begun, begun, ""]))
    again = block(one, "000005-block0")
    assert again[1]["failed"] == "the worker died while it spoke this, 3 times"
    assert [again[0], again[2]] == [first[0], first[2]]


def test_an_actor_without_its_job_says_so(tmp_path: Path) -> None:
    [record] = block(Actor(str(tmp_path), str(tmp_path / "none"), "nowhere"), "000000-block0")
    assert "all machines must see this folder" in record["fatal"]


def actors(child: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The actors of the cluster that this job has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        below = psutil.Process(child.pid).children(recursive=True)
        return [one for one in below if "ray::MapWorker" in " ".join(_command(one))]
    return []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_actors_and_drivers_leave_one_file_per_id(tmp_path: Path, tiny: Path, seed: int) -> None:
    """A machine that goes down (the driver, its cluster, the actors), then an actor alone, at random moments."""
    write_manifest(tmp_path / "m.jsonl", MANY)
    calm = Disturbed(tmp_path, tiny, out="calm").finish()
    job, moment = ray_job(tmp_path, tiny), random.Random(seed)
    child = job.start()
    job.wait_for(child, moment.randint(5, MANY // 3))
    for process in [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    child.communicate()
    before = sum(job.records().values())
    assert 5 <= before < MANY
    lost = [job.unfinished()]
    child = job.start()
    job.wait_for(child, before + moment.randint(5, MANY // 3))
    victims = actors(child)
    assert len(victims) == 2
    moment.choice(victims).kill()
    assert child.wait(timeout=300) == 0, child.communicate()
    child.communicate()
    lost.append(job.unfinished())
    assert max(lost) <= 2  # one for each actor
    assert digests(job.out) == calm
    assert job.finish() == calm
    assert job.records() == Counter({name: 1 for name in calm if name.startswith("audio/")})
