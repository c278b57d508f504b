"""Photograph a report in a browser, for the documentation: at a desk, at night, on a phone.

plica evaluate reconstruction images/ -c bicubic-4x-2d linear-4x3-2d compact-4x3-2d -o report
python docs/make_report_pictures.py report      writes docs/images/report-*.png
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

IMAGES = Path(__file__).resolve().parent / "images"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SHOTS = {
    "desktop": ((1280, 900), "light", 1500),
    "desktop-dark": ((1280, 900), "dark", 1500),
    "phone": ((390, 844), "light", 1688),
}
COLOURS = 256  # of a picture for a page: a quarter of its bytes


def photograph(browser: Browser, page: Path, name: str) -> Image.Image:
    """The upper part of a page in one of the ways of `SHOTS`."""
    (width, height), scheme, shown = SHOTS[name]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    tab = context.new_page()
    tab.goto(page.resolve().as_uri())
    tab.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
    clip = {"x": 0, "y": 0, "width": width, "height": shown}
    taken = tab.screenshot(clip=clip, full_page=True)
    context.close()
    return Image.open(io.BytesIO(taken)).convert("RGB").quantize(COLOURS)


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path, help="folder that an evaluation wrote")
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=FLAGS)
        for name in SHOTS:
            path = given.out / f"report-{name}.png"
            photograph(browser, given.report / "index.html", name).save(path, optimize=True)
            print(f"{path}: {path.stat().st_size} bytes")
        browser.close()


if __name__ == "__main__":
    main()
