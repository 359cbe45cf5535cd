"""The page in headless Chromium, at desktop and phone width: type, speak, see the words move, stop, download."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import av
import fake_voice
import open_voices
import pytest
import served
from browser import Browser

import portavoz
from portavoz.voice import Voice

KEY = "correct-horse-battery"
SIZES = ((1200, 900), (390, 844))
TEXT = "These words are marked one after the other while they are heard."
NOW = "[...document.querySelectorAll('#words span')].findIndex(s => s.classList.contains('now'))"
DRAWN = """(id => { const c = document.getElementById(id); const d = c.getContext('2d')
    .getImageData(0, 0, c.width, c.height).data; return new Set(new Uint32Array(d.buffer)).size })"""


@pytest.fixture(scope="module")
def server(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[served.Served]:
    mixing = open_voices.kokoro(tmp_path_factory.mktemp("mixing"))

    def opener(source: str) -> Voice:
        return fake_voice.fake() if source == "fake" else portavoz.load(source)

    with served.in_thread(opener, voices=("heart", "other=fake", f"mixing={mixing}")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def window(browser: Browser) -> Browser:
    """The browser, without what the test before saved and complained of."""
    for saved in (browser.folder / "downloads").iterdir():
        saved.unlink()
    browser.driver.get_log("browser")  # reading empties it
    return browser


@pytest.fixture(params=SIZES, ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, window: Browser, server: served.Served) -> Iterator[Browser]:
    window.resize(*request.param)
    window.driver.get(server.url)
    window.wait("document.querySelectorAll('#voice option').length > 1")
    yield window
    assert window.complaints == []
    assert window("performance.getEntries().every(e => !/^http/.test(e.name) || e.name.startsWith(origin))")


def write(page: Browser, text: str) -> None:
    page.click("#text")
    page("document.getElementById('text').select()")
    page.type(text)


def state(page: Browser) -> str:
    return str(page("document.body.dataset.state"))


def test_it_types_speaks_marks_words_and_saves_the_sound(page: Browser, tmp_path: Path) -> None:
    write(page, TEXT)
    page("document.getElementById('voice').value = 'heart'")
    page("document.getElementById('format').value = 'mp3'")
    page.click("#speak")
    page.wait(f"{NOW} >= 0")
    first = page(NOW)
    page.wait(f"{NOW} > {first} + 2")
    page.picture(tmp_path / "light.png")
    page.picture(tmp_path / "dark.png", dark=True)
    assert page(f"{DRAWN}('wave')") > 1
    assert page(f"{DRAWN}('mel')") > 50
    page.wait("document.body.dataset.state == 'done'")
    assert page("[...document.querySelectorAll('#words span')].map(s => s.textContent).join(' ')") == TEXT
    assert page(NOW) == -1
    # As wide as the window: nothing has to be scrolled sideways.
    assert page("document.documentElement.scrollWidth <= innerWidth")
    page.click("#download")
    saved = page.folder / "downloads" / "speech.mp3"
    page.wait(saved.exists)
    with av.open(io.BytesIO(saved.read_bytes())) as file:
        count = sum(frame.samples for frame in file.decode(audio=0))
    assert count == len(portavoz.load().speak(TEXT, speaker="heart").samples)


def test_the_keyboard_alone_is_enough_and_escape_stops(page: Browser) -> None:
    write(page, f"{TEXT} {TEXT} {TEXT}")
    page("document.getElementById('speak').focus()")
    page.press("Enter")
    page.wait(f"{NOW} >= 0")
    page.press("Escape")
    page.wait("document.body.dataset.state == 'idle'")
    assert page("document.getElementById('stop').disabled")
    assert page("document.getElementById('status').textContent") == "Stopped."


def choose(page: Browser, control: str, value: str) -> None:
    page(f"document.getElementById('{control}').value = '{value}'")
    page(f"document.getElementById('{control}').dispatchEvent(new Event('change'))")


def test_speakers_are_mixed_by_the_keyboard_and_warnings_are_listed(page: Browser, tmp_path: Path) -> None:
    assert page("document.getElementById('mixing').hidden")
    choose(page, "model", "mixing")
    assert page("[...document.querySelectorAll('#second option')].map(o => o.value).join()") == ",bf_emma,ef_dora"
    assert page("document.getElementById('sharing').hidden")
    page("document.getElementById('second').focus()")
    page.press("ArrowDown")
    page.wait("!document.getElementById('sharing').hidden")
    page.press("\ue004", *["ArrowRight"] * 4)  # the tabulator leads to the share
    said = "30 % af_heart, 70 % bf_emma"
    assert page("document.activeElement.id") == "share"
    assert page("document.activeElement.getAttribute('aria-valuetext')") == said
    assert page("document.activeElement.labels[0].textContent") == f"Mixture {said}"
    page("window.sent = [], window.plain = fetch, window.fetch = (...a) => (sent.push(a[1].body), plain(...a))")
    write(page, "Say zzyxqv and qqwrtp to both of them.")
    page.click("#speak")
    page.wait("document.body.dataset.state == 'done'")
    assert page("JSON.parse(sent[0]).voice") == "af_heart:30+bf_emma:70"
    warned = page("[...document.querySelectorAll('#warnings li')].map(i => i.textContent)")
    assert len(warned) == 2 and "'zzyxqv' is in no dictionary" in warned[0]
    assert str(page("document.getElementById('status').textContent")).endswith(" seconds.")
    assert page("document.documentElement.scrollWidth <= innerWidth")
    page.picture(tmp_path / "mixture.png")
    choose(page, "voice", "bf_emma")
    assert page("[...document.querySelectorAll('#second option')].map(o => o.value).join()") == ",af_heart,ef_dora"
    assert page("document.getElementById('sharing').hidden")
    choose(page, "voice", "default")
    assert page("document.getElementById('mixing').hidden")
    choose(page, "format", "wav")
    page.click("#download")
    page.wait((page.folder / "downloads" / "speech.wav").exists)
    page.wait("document.querySelectorAll('#warnings li').length == 2")


def test_another_model_has_other_voices_and_errors_are_told(page: Browser) -> None:
    page("document.getElementById('model').value = 'other'")
    page("document.getElementById('model').dispatchEvent(new Event('change'))")
    write(page, "explode a little later than at once")
    page.click("#speak")
    page.wait("document.body.dataset.state == 'failed'")
    assert page("document.getElementById('status').textContent") == "the model exploded"
    assert page("[...document.querySelectorAll('#voice option')].map(o => o.value).join()") in (
        "ann,bob,default", "default",
    )  # fmt: skip


def test_every_control_has_a_name_and_changes_are_announced(page: Browser) -> None:
    unnamed = "[...document.querySelectorAll('input, select, textarea')].filter(e => !e.labels.length).map(e => e.id)"
    assert page(unnamed) == []
    assert page("[...document.querySelectorAll('canvas')].every(c => c.getAttribute('aria-label'))")
    assert page("document.getElementById('status').getAttribute('aria-live')") == "polite"
    assert page("document.documentElement.lang") == "en"


def test_with_a_key_the_page_asks_for_it(window: Browser) -> None:
    with served.in_thread(lambda source: fake_voice.fake(), api_key=KEY) as server:
        window.driver.get(server.url)
        window.wait("!document.getElementById('keyed').hidden")
        window.click("#key")
        window.type(KEY)
        window("document.getElementById('key').blur()")
        window.wait("document.querySelectorAll('#voice option').length > 1")
        window.click("#speak")
        window.wait(f"{NOW} >= 0")
        window.driver.get("about:blank")  # a page that still reads would keep the server


def test_the_api_page_lists_every_route(window: Browser, server: served.Served, tmp_path: Path) -> None:
    assert server.app is not None
    window.driver.get(f"{server.url}/api")
    window.wait("document.querySelectorAll('#routes section').length > 0")
    text = str(window("document.getElementById('routes').textContent"))
    for path in server.app.openapi()["paths"]:
        assert path in text
    assert "response_format" in text
    assert window.complaints == []
    window.picture(tmp_path / "api.png")
