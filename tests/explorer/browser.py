"""A browser and a server for the tests of the page."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from voxlex.explorer.app import make_app
from voxlex.explorer.exhibit import Exhibit
from voxlex.explorer.serve import listening

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
NAMES = ("chromium", "chromium-browser", "google-chrome")


expect.set_options(timeout=120_000)  # a machine may be busy


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the Chromium of the system, with a profile of its own that goes at the end."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("the tests of the explorer need Chromium: `apt-get install chromium`, or as your system does it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, headless=True, args=FLAGS)
        yield browser
        browser.close()


class Served:
    """A server in a thread, which can be stopped and started again at the same port."""

    def __init__(self, run: Path, source: Path | None, *, beside: Path | None = None) -> None:
        self.run, self.source, self.beside, self.port = run, source, beside, 0
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self.exhibit = Exhibit(self.run, None if self.source is None else str(self.source), beside=self.beside)
        self.socket = listening("127.0.0.1", self.port)
        self.port = self.socket.getsockname()[1]
        app = make_app(self.exhibit, host="127.0.0.1", port=self.port)
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=300)
        self.socket.close()


class Watched:
    """A page with what its console has complained about."""

    def __init__(self, page: Page, served: Served) -> None:
        self.page, self.served = page, served
        self.complaints: list[str] = []
        self.allowed = False
        page.on("console", lambda message: message.type == "error" and self._note(message.text))
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("request", lambda request: request.url.startswith(("http:", "https:")) and self._check(request.url))

    def open(self, view: str) -> Page:
        self.page.goto("about:blank")
        self.page.goto(self.served.address + view)
        return self.page

    def _note(self, text: str) -> None:
        if not self.allowed:
            self.complaints.append(text)

    def _check(self, url: str) -> None:
        if not url.startswith(self.served.address):
            self.complaints.append(f"a request to {url}")
