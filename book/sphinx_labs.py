"""Labs in the book, as a Sphinx extension: a page shows the student version, and opens the student version on Colab.

The lab in the repository holds solutions and hidden tests. What Sphinx reads of it is cut down here; the notebook that
students download is written by nbgrader's machinery into ``assignments/`` of the site. With TUNEWISE_SOLUTIONS=1 the pages show
and run the solutions. The repository's address is the theme's (``repository_url``); student versions are on its branch
``labs_branch`` (the one from which the site is served) under ``labs_folder``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from whentofinetune.labs.notebooks import MARKER

COLAB = "https://colab.research.google.com"
LAB = "labs/lab_"  # how the names of their pages begin
REGION = re.compile(
    r"^([ \t]*)### BEGIN (SOLUTION|HIDDEN TESTS)[^\n]*\n(.*?)^[ \t]*### END \2[^\n]*(?:\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
# nbgrader's own
STUBS = {"code": "# YOUR CODE HERE\nraise NotImplementedError()", "markdown": "YOUR ANSWER HERE"}


def cleared(source: str, cell_type: str) -> str:
    """A cell's source as nbgrader leaves it for students: solutions replaced by its stub, hidden tests cut."""

    def replacement(found: re.Match) -> str:
        if found.group(2) == "HIDDEN TESTS":
            return ""
        return "".join(f"{found.group(1)}{line}\n" for line in STUBS[cell_type].split("\n"))

    return REGION.sub(replacement, source).rstrip("\n")


def readable(source: str) -> str:
    """A cell's source without the lines that only nbgrader and the library read: marker and BEGIN / END."""
    ours = re.compile(MARKER.pattern + r"|\s*### (BEGIN|END) (SOLUTION|HIDDEN TESTS)")
    return "\n".join(line for line in source.split("\n") if not ours.match(line)).strip("\n")


def page(text: str, solutions: bool = False, colab: str | None = None, download: str | None = None) -> str:
    """What the book shows of a lab: the JSON of a notebook, without marks, and without answers unless wanted.

    colab, download: addresses of the student version, there and in the site; the page gets a line with them.
    Without solutions the notebook is not run, because answers that are not there raise errors.
    """
    nb = json.loads(text)
    for cell in nb["cells"]:
        source, metadata = "".join(cell["source"]), cell["metadata"]
        shown = source if solutions else cleared(source, cell["cell_type"])
        cell["source"] = readable(shown)
        answer, tags = metadata.pop("nbgrader", {}).get("solution"), metadata.get("tags", [])
        if answer and not solutions:  # nothing to hide: it is where the student writes
            metadata["tags"] = [t for t in tags if t != "hide-input"]
        elif "hide-input" in tags:
            what = "a solution" if answer else "the test"
            metadata["mystnb"] = {"code_prompt_show": f"Show {what}", "code_prompt_hide": f"Hide {what}"}
    if not solutions:
        nb["metadata"]["mystnb"] = {"execution_mode": "off"}
    if colab:
        line = f'<a href="{colab}">Open this lab on Colab</a> or <a href="{download}" download>take the notebook</a>.'
        nb["cells"].insert(1, {"cell_type": "markdown", "id": "lab-links", "metadata": {}, "source": line})
    return json.dumps(nb, ensure_ascii=False)


def _path(app, docname: str) -> str:
    """Where the student version of a lab lies in the site."""
    return f"{app.config.labs_folder}/{docname.split('/')[-1]}.ipynb"


def _address(app, docname: str) -> str | None:
    """What opens the student version of a lab on Colab; None for a site without a repository."""
    repository = app.config["html_theme_options"].get("repository_url")
    if not repository:
        return None
    owner = repository.rstrip("/").removesuffix(".git").removeprefix("https://github.com/")
    return f"{COLAB}/github/{owner}/blob/{app.config.labs_branch}/{_path(app, docname)}"


def on_read(app, docname: str, source: list[str]) -> None:
    if docname.startswith(LAB):
        links = _address(app, docname), f"../{_path(app, docname)}"
        source[0] = page(source[0], app.config.labs_with_solutions, *links)


def on_page(app, pagename, templatename, context, doctree) -> None:
    """The theme's buttons lead to the file in the repository, which has the solutions: lead to the student version."""
    address = _address(app, pagename) if pagename.startswith(LAB) else None
    for button in _buttons(context.get("header_buttons", [])) if address else ():
        if (button.get("url") or "").startswith(COLAB):
            button["url"] = address


def _buttons(found):
    for button in found:
        yield button
        yield from _buttons(button.get("buttons", []))


def on_finish(app, exception) -> None:
    """Write the student versions into the site, also in place of the sources that Sphinx offers for download."""
    if exception is not None or app.builder.format != "html":
        return
    from whentofinetune.labs import course

    site, here = Path(app.outdir), Path(app.srcdir)
    for docname in sorted(name for name in app.env.found_docs if name.startswith(LAB)):
        source, target = here / f"{docname}.ipynb", site / _path(app, docname)
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            course.make(source, target.parent)
        offered = site / "_sources" / f"{docname}.ipynb"
        if offered.exists() and not app.config.labs_with_solutions:
            shutil.copyfile(target, offered)


def setup(app) -> dict:
    wanted = os.environ.get("TUNEWISE_SOLUTIONS", "") not in ("", "0")
    app.add_config_value("labs_with_solutions", wanted, "env", bool)
    app.add_config_value("labs_branch", "gh-pages", "env", str)
    app.add_config_value("labs_folder", "assignments", "env", str)
    app.connect("source-read", on_read)
    app.connect("html-page-context", on_page, priority=950)
    app.connect("build-finished", on_finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
