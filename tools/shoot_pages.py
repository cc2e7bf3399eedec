"""Take the README's pictures of the manager's pages: the demo company, from the export to the browser.

Trains on what was known when its last quarter began, refreshes on Mondays of it, writes a report and opens its files
in Chromium (`make browser`). What it made stays in ``build/shots``, so that a second run only takes the pictures.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from serving.pages.report import FIRST, list_file
from serving.pages.site import PAGES

ROOT = Path(__file__).parents[1]
WORK, IMAGES = ROOT / "build/shots", ROOT / "docs/images"
CHROMIUM = "/usr/bin/chromium"
CONFIG = "configs/demo.yaml"
SETTINGS = (f"state_dir={WORK / 'state'}", "backtest.test_periods=6", "serving.pages.currency=USD")
TRAINED, MONDAYS = "2025-04-01", ("2025-05-12", "2025-05-19", "2025-05-26", "2025-06-02", "2025-06-09", "2025-06-16")
SIZE = {"width": 1366, "height": 860}
COLOURS = 96
SHOWN = ("Forecast", "Deals", "Accuracy")


def forecastle(*words: str) -> None:
    """Run a command on the demo company."""
    said = [part for setting in SETTINGS for part in ("--set", setting)]
    subprocess.run([sys.executable, "-m", "forecastle", *words, *said], cwd=ROOT, check=True)  # noqa: S603


def prepare() -> Path:
    """Return the folder of a report, made from the beginning where there is none."""
    report = WORK / "report"
    if not report.exists():
        forecastle("train", CONFIG, "--as-of", TRAINED)
        forecastle("promote", CONFIG)
        for monday in MONDAYS:
            forecastle("refresh", CONFIG, "--as-of", f"{monday}T05:00:00-04:00")
        forecastle("report", CONFIG, "--out", str(report))
    return report


def shoot(page: Page, name: str) -> None:
    """Take a picture of what is seen, in few colours: text and lines need no more."""
    page.wait_for_selector("figure.chart:not([data-state])", state="detached")
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Take all pictures."""
    report = prepare()
    IMAGES.mkdir(parents=True, exist_ok=True)
    home = WORK / "home"
    home.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu"],
            env={**os.environ, "HOME": str(home)},  # Chromium writes there
        )
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        for one in PAGES:
            if one.title in SHOWN:
                page.goto((report / (FIRST if one is PAGES[0] else list_file(one.path, {}))).as_uri())
                shoot(page, one.title.lower())
                if one.title == "Deals":
                    page.click(".views >> text=At risk")
                    page.click("tbody th a[href] >> nth=0")
                    shoot(page, "deal")
        browser.close()


if __name__ == "__main__":
    main()
