"""A page in a real browser: Debian's Chromium without a window, worked through the pipes of its DevTools protocol.

``with Browser(tmp_path) as page: page.open(file); page.press("a"); page("document.title")``
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds for one answer, on a machine that does much else
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-extensions", "--force-color-profile=srgb", "--hide-scrollbars",
)  # fmt: skip
# Key → (code, virtual key, text that it types).
KEYS = {
    "Enter": ("Enter", 13, "\r"), " ": ("Space", 32, " "), "Backspace": ("Backspace", 8, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""), "ArrowUp": ("ArrowUp", 38, ""), "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
}  # fmt: skip


class Browser:
    """One tab. Everything that a page complains of (console errors, exceptions) is in `complaints`."""

    def __init__(self, folder: Path, *, size: tuple[int, int] = (1200, 900)) -> None:
        self.folder, self.size = folder, size
        self.complaints: list[str] = []
        self._number, self._left = 0, b""

    def __enter__(self) -> Browser:
        program = next(filter(None, map(shutil.which, NAMES)), None)
        assert program, "these tests work pages in a browser: install chromium (Debian: apt-get install chromium)"
        # Chromium reads commands from descriptor 3 and answers on 4.
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        shell = f'exec "$@" 3<&{commands} 4>&{answers}'
        profile = f"--user-data-dir={self.folder / 'profile'}"
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", program, *OPTIONS, profile, "--remote-debugging-pipe", "about:blank"],
            pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self._session = ""
        target = next(t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        # Keys go where the focus is, and a window that nobody sees has none.
        self._call("Emulation.setFocusEmulationEnabled", enabled=True)
        width, height = self.size
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return self

    def __exit__(self, *rest: object) -> None:
        os.close(self._write)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)

    def __call__(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        said = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, f"{expression}: {said['exceptionDetails']}"
        return said["result"].get("value")

    def open(self, path: Path) -> None:
        """Open a file, with downloads into the folder `downloads`."""
        downloads = self.folder / "downloads"
        downloads.mkdir(exist_ok=True)
        self._call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self._call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press and release keys, one after the other, as a person at a keyboard would."""
        for key in keys:
            code, number, text = KEYS.get(key) or (f"Key{key.upper()}", ord(key.upper()), key)
            about = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 if shift else 0}
            self._call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
            self._call("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self._call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        self(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        box = self(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def wait(self, expression: str | Callable[[], object]) -> None:
        """Wait until a JavaScript expression, or a function, is true."""
        end = time.monotonic() + PATIENCE
        while not (self(f"!!({expression})") if isinstance(expression, str) else expression()):
            assert time.monotonic() < end, f"{expression} did not become true; the page complains: {self.complaints}"
            time.sleep(0.02)

    def picture(self, path: Path, *, whole: bool = True, dark: bool = False) -> None:
        """A picture of the page as PNG."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=scheme)
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next(method)).get("id") != self._number:
            self._notice(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _next(self, method: str) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            block = os.read(self._read, 1 << 20) if ready else b""
            assert block, f"{method}: Chromium {'ended' if ready else 'did not answer'}"
            self._left += block
        first, _, self._left = self._left.partition(b"\0")
        return json.loads(first)

    def _notice(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(about["exceptionDetails"].get("exception", about["exceptionDetails"])))
        elif event.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.complaints.append(about["entry"]["text"])
        elif event.get("method") == "Runtime.consoleAPICalled" and about["type"] == "error":
            self.complaints.append(json.dumps(about["args"]))
