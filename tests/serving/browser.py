"""A headless Chromium that a test drives over its own DevTools protocol: real keys go in, what the page shows comes out."""

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from websockets.sync.client import ClientConnection, connect

SECONDS = 60
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --window-size=1300,1500 --remote-debugging-port=0"
)


class Page:
    """The browser's page."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.asked: list[str] = []
        self("Network.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(timeout=SECONDS))
            if said.get("method") == "Network.requestWillBeSent":
                self.asked.append(said["params"]["request"]["url"])
            if said.get("id") == number:
                assert "error" not in said, said["error"]
                result: dict[str, Any] = said["result"]
                return result

    def value(self, expression: str) -> Any:
        """What an expression comes to."""
        return self("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression: str) -> Any:
        """What it comes to once that is true."""
        deadline = time.monotonic() + SECONDS
        while not (value := self.value(expression)):
            assert time.monotonic() < deadline, (
                f"{expression} did not come true: {self.value('document.body.innerText')}"
            )
            time.sleep(0.05)
        return value

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    def picture(self) -> bytes:
        """A screenshot, PNG."""
        return base64.b64decode(self("Page.captureScreenshot")["data"])


@contextmanager
def opened(address: str, folder: Path) -> Iterator[Page]:
    """A browser of its own that has been sent to an address; the test is skipped where there is no Chromium."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed")
    profile = folder / "profile"
    process = subprocess.Popen(
        [browser, *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        place = profile / "DevToolsActivePort"
        deadline = time.monotonic() + SECONDS
        while not (place.exists() and "\n" in place.read_text()):
            assert time.monotonic() < deadline, "chromium does not listen"
            time.sleep(0.05)
        port = place.read_text().split()[0]
        with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            page = next(one for one in json.load(answer) if one["type"] == "page")
        with connect(page["webSocketDebuggerUrl"], max_size=None) as socket:
            shown = Page(socket)
            shown("Page.navigate", url=address)
            yield shown
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)
