"""The report's page in a real browser: it draws, its search works, and nothing is loaded from anywhere."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import probes
import pytest
from browser import Browser
from matplotlib.image import imread
from probes import compact

from portavoz.lab.compare import compare, forced, mirrored, propagated
from portavoz.lab.forcing.noise_floor import traced
from portavoz.lab.pipeline.pipeline_program import PipelineProgram
from portavoz.lab.report import html
from portavoz.lab.report.pictures import COLOURS, png
from portavoz.lab.report.text import first_line, to_dict
from portavoz.lab.report.verdict import Verdict
from portavoz.lab.trace.recorder import Selection, record


def scale(acoustic: Any, vocoder: Any) -> None:
    acoustic.decoder.stack.layers[1].attention.scale = 1.0


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    """A missing scale in the compact family."""
    return forced(traced(compact(ops="numpy"), free_running=True), compact(edit=scale))


@pytest.fixture(scope="module")
def looping() -> Verdict:
    """A cache that loses its row in the fourth of six steps, both sides run freely too."""
    from portavoz.families.speecht5.config import TINY
    from portavoz.lab.selftest.fault_injection import catalogue

    fault = next(f for f in catalogue("speecht5") if f.name == "cache row lost at step 4")
    reference, arrays = probes.reference()
    return compare(reference, probes.ours(TINY, arrays, edit=fault.edit), free_running=True)


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser"), size=(1100, 900)) as started:
        yield started


class Tags(HTMLParser):
    """Which tags a page has, what it links to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_says_it_all_and_loads_nothing(verdict: Verdict) -> None:
    made = Tags(html.html(verdict))
    assert all(link.startswith(("#", "data:image/png")) for link in made.links)
    assert made.tags["img"] == 3 and made.tags["tr"] == len(verdict.checks) + len(verdict.faults) + 2
    assert first_line(verdict) in made.text
    units = {link[1:] for link in made.links if link.startswith("#")}
    assert {"acoustic.decoder.stack.layers.1.attention/softmax.0", "vocoder.embed"} <= units
    text = " ".join(made.text)
    for kind, why in to_dict(verdict)["verified"].items():
        assert kind in text and why in text
    for what in to_dict(verdict)["not_tested"]:
        assert what in text


def test_the_graph_the_curves_and_the_mels_are_drawn(verdict: Verdict, look: Browser, tmp_path: Path) -> None:
    html.write(verdict, tmp_path / "page.html")
    look.open(tmp_path / "page.html")
    assert look("document.documentElement.scrollWidth") == 1100  # nothing is wider than the window
    assert look("[...document.images].every(i => i.naturalWidth > 0)") is True
    wrong = "acoustic.decoder.stack.layers.1.attention/softmax.0"
    marked = f"getComputedStyle(document.querySelector('a[href=\"#{wrong}\"]')).outlineColor"
    assert look(marked) == "rgb({}, {}, {})".format(*(int(COLOURS["fail"][i : i + 2], 16) for i in (1, 3, 5)))
    shown = look("[...document.querySelectorAll('.box[open] b')].map(b => b.textContent)")
    assert shown == ["acoustic.decoder.stack.layers.1"]  # what is right throughout is closed
    look("document.getElementById('checks').remove()")  # most of the page's length, and nothing is drawn there
    for name, dark in (("light", False), ("dark", True)):
        look.picture(tmp_path / f"{name}.png", dark=dark)
    assert look.complaints == []
    for name in ("light", "dark"):
        pixels = np.asarray(imread(tmp_path / f"{name}.png"))[..., :3]
        for kind, least in (("fail", 100), ("pass", 1000)):
            colour = [int(COLOURS[kind][i : i + 2], 16) / 255 for i in (1, 3, 5)]
            assert (np.abs(pixels - colour).max(-1) < 0.02).sum() > least, kind
        # The mels are there: as many hues as a picture has.
        assert len(np.unique((pixels[::3, ::3] * 15).round() @ [256, 16, 1])) > 40
        assert (pixels[0, 0].mean() > 0.9) == (name == "light")


def test_the_table_is_searched_clicked_and_linked_to(looping: Verdict, look: Browser, tmp_path: Path) -> None:
    html.write(looping, tmp_path / "page.html")
    every, rows = len(looping.checks), "document.querySelectorAll('#checks tbody tr:not([hidden])').length"
    look.open(tmp_path / "page.html")
    assert look(rows) == every and look("count.textContent") == f"{every} of {every} checks"
    look.click("#find")
    look.type("fail K_PROJ")
    failed = sum(c.failed and not c.inherits and "k_proj" in c.ref for c in looping.checks)
    look.wait(f"{rows} === {failed}")
    assert failed and look("count.textContent").startswith(f"{failed} of")
    unit = "speecht5.decoder.wrapped_decoder.layers.0.self_attn.k_proj"
    look.click(f'a[href="#{unit}"]')
    look.wait(f"find.value === '{unit}'")
    assert look(rows) == sum(unit in f"{c.ref} {c.inherits}" for c in looping.checks)
    heads = look("[...document.querySelectorAll('h2')].map(h => h.textContent)")
    assert {"Signal to noise along steps", "Run freely", "Mels", "Verified", "Not tested"} <= set(heads)
    assert look.complaints == []


def breaks(acoustic: Any, vocoder: Any) -> None:
    acoustic.decoder.stack.layers[0].feed_forward.first[0].padding = 0


@pytest.mark.parametrize("how", ["mirrored", "outputs alone", "borders alone", "two files", "a crash", "by stage"])
def test_every_kind_of_verdict_has_its_page(how: str) -> None:
    subject, dump = compact(ops="numpy"), record(compact(edit=scale))
    if how == "outputs alone":
        for info in dump.units.values():
            info.shapes = {place: shape for place, shape in info.shapes.items() if place.startswith("out")}
    if how == "two files":
        one = propagated(record(subject), dump)
    elif how == "a crash":
        one = forced(traced(subject), compact(edit=breaks))
    elif how == "by stage":
        one = compare(PipelineProgram("compact@numpy"), PipelineProgram("compact@torch"))
    elif how == "borders alone":
        borders = Selection(globs=("log_durations*", "durations*", "memory*", "mel*", "wave*"))
        one = mirrored(subject, record(compact(edit=scale), selection=borders))
    else:
        one = mirrored(subject, dump)
    made = Tags(html.html(one))
    assert first_line(one) in made.text and made.tags["table"] >= 1
    states = set(re.findall(r"class='node (\w+)", html.html(one)))
    assert ("fused" in states) == (how == "borders alone")
    assert ("unmet" in states) == (how == "a crash")
    report = to_dict(one)
    assert set(report) == TOP and (report["verdict"] == "PASS") == (how == "by stage")
    assert (report["next_tap"] is not None) == (how in ("two files", "borders alone"))


def test_a_picture_of_numbers_is_a_png(tmp_path: Path) -> None:
    import base64

    address = png(np.linspace(0, 1, 12).reshape(3, 4))
    (tmp_path / "a.png").write_bytes(base64.b64decode(address.partition(",")[2]))
    pixels = np.asarray(imread(tmp_path / "a.png"))
    assert pixels.shape[:2] == (3, 4)
    assert pixels[2, 0, :3].sum() < pixels[0, 3, :3].sum()  # the first row is below, and dark is little


# The report's JSON is read by other programs: what it has is pinned here.

TOP = {
    "schema", "verdict", "first", "reason", "method", "level", "reference", "port", "faults", "warnings", "coverage",
    "seen",
    "fused", "uncovered", "unmatched", "largest_clean", "ledger", "verified", "not_judged", "not_tested", "next_tap",
    "free_running", "mappings", "pairs", "checks",
}  # fmt: skip
FAULT = {
    "id", "kind", "unit", "where", "ratio", "calls", "shared", "inherited_by", "cause", "residual", "certain", "port",
    "reference", "place", "note",
}  # fmt: skip
FREE = {"name", "kind", "calls_reference", "calls_port", "first_apart", "worst", "same"}


def test_the_schema_of_the_report(verdict: Verdict, looping: Verdict) -> None:
    """A key that goes or changes its meaning needs another number of the schema; a new one is added here."""
    clean = mirrored(compact(ops="numpy"), record(compact()))
    for one in (verdict, looping, clean):
        report = json.loads(json.dumps(to_dict(one), allow_nan=False))
        assert report["schema"] == 2 and set(report) == TOP
        assert all(set(fault) == FAULT for fault in report["faults"])
        assert all(set(row) == FREE for row in report["free_running"])
        assert all(isinstance(v, str) for v in (*report["verified"].values(), *report["not_tested"]))
    assert to_dict(looping)["free_running"] and to_dict(clean)["faults"] == []


def test_what_is_verified_is_said_by_kind_and_with_evidence(verdict: Verdict, looping: Verdict) -> None:
    clean = to_dict(forced(traced(compact(ops="numpy")), compact()))["verified"]
    kinds = {"leaves", "edges", "weights", "layout", "attention", "masks", "norms", "positions", "decisions", "values"}
    assert kinds <= set(clean) and all(re.search(r"\d", why) for why in clean.values())
    assert "with equal axes" in clean["layout"] and "by fingerprint" in clean["weights"]
    wrong = to_dict(verdict)["verified"]
    counts = [int(why["attention"].split()[0]) for why in (clean, wrong)]
    assert counts[1] == counts[0] - 1  # what is wrong is not verified
    loops = to_dict(looping)["verified"]
    assert "order of joined inputs" in loops and "up to 6 calls" in loops["steps"]
    not_tested = to_dict(verdict)["not_tested"]
    assert any(what.startswith("positions more than") for what in not_tested)
