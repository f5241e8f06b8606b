"""The Chrome or Chromium that is installed, as a printer: slides and the whole book become PDF with it."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import chromium

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
MISSING = (
    "No Chrome or Chromium was found, so no PDF was made. Install one (on Debian and Ubuntu: apt install chromium), "
    "or name it in TUNEWISE_BROWSER, and run the same command again."
)


def built(site: Path = SITE) -> bool:
    """Is there a finished site to print from? If not, says what to do."""
    if not (there := (site / ".finished").exists()):
        print("The site is not built: `make slides` and `make pdf` build it first.", file=sys.stderr)
    return there


@contextlib.contextmanager
def printer() -> Iterator:
    """A page of a browser (playwright's), in light colours and as for paper; None, with words, where there is no browser."""
    path = chromium.find()
    if path is None:
        print(MISSING, file=sys.stderr)
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="light")
        page.emulate_media(media="print")
        yield page
        browser.close()
