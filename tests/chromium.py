"""A browser for the tests: the one that is installed, else one from Debian's or Playwright's store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """The path of Chrome or Chromium on this machine, or None. ``TUNEWISE_BROWSER`` names another."""
    named = os.environ.get("TUNEWISE_BROWSER")
    for path in (named, *map(shutil.which, NAMES), *PLACES, _playwrights()):
        if path and Path(path).exists():
            return str(path)
    return None


def _playwrights() -> str | None:
    from playwright.sync_api import Error, sync_playwright

    try:
        with sync_playwright() as playwright:
            return playwright.chromium.executable_path
    except Error:
        return None


def install() -> str | None:
    """Try to get a browser, and return its path; None if none can be had here."""
    tries = []
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        tries += [
            [
                ["apt-get", "update", "-qq"],
                ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"],
            ]
        ]
    tries += [[[sys.executable, "-m", "playwright", "install", "chromium"]]]
    for commands in tries:
        print(f"No browser was found. Trying: {' && '.join(map(' '.join, commands))}", flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in commands:
            done = subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL)
            if (
                done.returncode and command[1] != "update"
            ):  # one source of packages that does not answer is no reason to stop
                break
        if path := find():
            return path
    return None
