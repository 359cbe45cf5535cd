"""A page in a real browser: Debian's Chromium without a window, driven by Selenium.

``with Browser(tmp_path) as page: page.open(file); page.press("a"); page("document.title")``
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 60.0  # seconds for one answer, on a machine that does much else
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-extensions", "--force-color-profile=srgb", "--hide-scrollbars",
)  # fmt: skip
KEYS = {
    "Enter": Keys.ENTER, "Escape": Keys.ESCAPE, "Backspace": Keys.BACKSPACE,
    "ArrowLeft": Keys.ARROW_LEFT, "ArrowUp": Keys.ARROW_UP,
    "ArrowRight": Keys.ARROW_RIGHT, "ArrowDown": Keys.ARROW_DOWN,
}  # fmt: skip


class Browser:
    """One tab. `complaints` has everything that the page has logged as an error, exceptions included."""

    def __init__(self, folder: Path, *, size: tuple[int, int] = (1200, 900)) -> None:
        self.folder, self.size = folder, size
        (folder / "downloads").mkdir(exist_ok=True)

    def __enter__(self) -> Browser:
        program, driver = next(filter(None, map(shutil.which, NAMES)), None), shutil.which("chromedriver")
        assert program and driver, "install chromium and its driver (Debian: apt-get install chromium chromium-driver)"
        options = ChromeOptions()
        options.binary_location = program
        for option in (*OPTIONS, f"--user-data-dir={self.folder / 'profile'}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "SEVERE"})
        options.add_experimental_option("prefs", {"download.default_directory": str(self.folder / "downloads")})
        self.driver = Chrome(options, Service(driver))
        self.resize(*self.size)
        return self

    def __exit__(self, *rest: object) -> None:
        self.driver.quit()

    def resize(self, width: int, height: int) -> None:
        """Give the tab another size, in pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def __call__(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        return self.driver.execute_script(f"return ({expression})")

    @property
    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def open(self, path: Path) -> None:
        """Open a file."""
        self.driver.get(path.resolve().as_uri())

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press and release keys, one after the other, as a person at a keyboard would."""
        for key in keys:
            chain = ActionChains(self.driver, duration=0)
            chain = chain.key_down(Keys.SHIFT) if shift else chain
            chain = chain.send_keys(KEYS.get(key, key))
            (chain.key_up(Keys.SHIFT) if shift else chain).perform()

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.driver.switch_to.active_element.send_keys(text)

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def wait(self, expression: str | Callable[[], object]) -> None:
        """Wait until a JavaScript expression, or a function, is true."""
        ready = (lambda _: self(f"!!({expression})")) if isinstance(expression, str) else (lambda _: expression())
        WebDriverWait(self.driver, PATIENCE, poll_frequency=0.02).until(ready, f"{expression} did not become true")

    def picture(self, path: Path, *, whole: bool = True, dark: bool = False) -> None:
        """A picture of the page as PNG."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        path.write_bytes(base64.b64decode(shot["data"]))
