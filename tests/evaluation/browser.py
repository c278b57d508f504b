"""A real browser for tests: Debian's Chromium, offline, driven by playwright."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP, PHONE = (1280, 900), (390, 844)


def find_chromium():
    """The browser's path, or a skipped test that says what is missing."""
    pytest.importorskip("playwright", reason="the browser is driven by playwright (extra 'test')")
    names = (os.environ.get("PLICA_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or set PLICA_CHROMIUM to one")
    return path


@contextmanager
def launch():
    """A running browser."""
    path = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page opened at a size, with all that went wrong on it.

    Args:
        browser: Running.
        file: The page.
        size: Width and height of the window.
        dark: Whether the person prefers a dark page.
        script: Whether scripts may run.
    """

    def __init__(self, browser, file, *, size=DESKTOP, dark=False, script=True):
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            offline=True,
        )
        self.page = self.context.new_page()
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(Path(file).resolve().as_uri())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.context.close()

    @property
    def fetched(self):
        """What was asked for beyond the page itself and what it carries."""
        return [url for url in self.requests[1:] if not url.startswith("data:")]

    def keep(self, path):
        """A picture of the whole page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path, full_page=True)
