"""The book's Sphinx extension: how figures and live calculators become HTML, and what each page loads.

- What notebooks display (:mod:`whentofinetune.pages.mime_types`): a Plotly figure becomes a saved picture (SVG) that Plotly
  replaces when it comes into view; a live block becomes a form with its first result saved.
- In pages of text the directive ``made`` puts in what a function of a module here makes from the records.
- Pages load scripts only if they have a figure or a live block. Nothing is loaded from another host.
- the calculators are packed for the browser, so that a live block runs the very module that a notebook runs.
"""

from __future__ import annotations

import hashlib
import html
import importlib
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import decide_outcomes
import still_picture
from browser_model_page import browser_model_html, carry
from docutils import nodes
from docutils.parsers.rst import Directive
from pybtex.database import Person
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style
from pybtex.style.sorting.author_year_title import SortingStyle
from pybtex.style.template import Node, names, sentence
from table_cards import carded

import whentofinetune
from finetune_memory import PURE
from tunewise import compare
from tunewise.report.figures import PLOTLY, Figure
from tunewise.report.tables import table_from_lists
from whentofinetune.calculators import FILES, read
from whentofinetune.pages.browser_model import BROWSER_MODEL, gguf
from whentofinetune.pages.live import LIVE, paragraphs
from whentofinetune.pages.mime_types import SHOWN

CARDS = Path(compare.__file__).with_name("cards.css")
CALCULATORS = "calculators.zip"
DECIDE = "whentofinetune.calculators.decide:decide_json"  # answered in the page, from a table
# a form; a figure with its table of numbers; a table of its own
CAPTIONED = re.compile(
    r'<section class="tw-live.*?</section>|<(?P<figure>figure) class="tw-figure".*?</figure>|<div class="tw-(?P<table>table)\b.*?<caption>',
    re.DOTALL,
)
# What is passed over, Hindi, and an option of a command, in a page's HTML.
MARKED = re.compile(
    r"<(script|style|svg|textarea|option)\b.*?</\1>|<[^>]*>"
    r"|(?P<hindi>[\u0900-\u097f]+(?:[\s\d]+[\u0900-\u097f]+)*)|(?P<option>(?<![\w-])--[a-z][\w-]*)",
    re.DOTALL,
)


class ByName(SortingStyle):
    """A firm, whose name BibTeX keeps in braces, stands among the persons."""

    def person_key(self, person: Person) -> str:
        return super().person_key(person).replace("{", "")


class FamilyNamesFirst(Style):
    """A reference begins with the name by which a text cites it."""

    default_name_style = "lastfirst"
    default_sorting_style = ByName

    def format_names(self, role: str, as_sentence: bool = True) -> Node:
        people = names(role, sep="; ", sep2=" and ", last_sep="; and ")
        return sentence[people] if as_sentence else people


def _script(kind: str, content) -> str:
    """JSON inside a page; ``</`` must not end the script."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return f'<script type="application/json" class="{kind}">{text}</script>'


def figure_html(figure: Mapping) -> str:
    """A figure: the saved picture, its description, and the JSON from which ``figures.js`` draws it."""
    made = Figure.from_dict(figure)
    alt, table = html.escape(made.alt), made.table()
    fold = "<details><summary>The numbers of this figure</summary>{}</details>"
    numbers = fold.format(table.html) if table else ""
    title = html.escape((made.layout.get("title") or {}).get("text", ""))
    return (
        f'<figure class="tw-figure"><p class="tw-title">{title}</p><div class="tw-plot" role="img" aria-label="{alt}" style="--tw-height:{made.layout["height"]}px">'
        f"{still_picture.svg(made)}</div>{numbers}{_script('tw-plotly', made.to_dict())}</figure>"
    )


def live_html(spec: Mapping) -> str:
    """A live block: labelled inputs (disabled until ``live.mjs`` enables them), status, and the saved result."""
    name, result = spec["name"], spec["result"]
    groups: dict[str, list[str]] = {}
    for c in spec["controls"]:
        groups.setdefault(c.get("group", ""), []).append(_control(name, c))
    fields = "".join(
        f"<fieldset disabled><legend{'' if g else ' class=tw-hidden'}>{html.escape(g or spec['title'])}</legend>{''.join(rows)}</fieldset>"
        for g, rows in groups.items()
    )
    figures = "".join(figure_html(f) for f in result.get("figures", []))
    tables = "".join(
        table_from_lists(t["header"], t["rows"], t["caption"]).html for t in result.get("tables", [])
    )
    saved = {k: spec[k] for k in ("name", "title", "core", "controls", "style")}
    return (
        f'<section class="tw-live{" tw-beside" * (spec["core"] == DECIDE)}" id="live-{name}" aria-labelledby="live-{name}-title">'
        f'<p class="tw-live-title" id="live-{name}-title">{html.escape(spec["title"])}</p>'
        '<noscript><p class="tw-note">This calculator needs JavaScript. Without it you see the result for the settings below, '
        "as it was saved when the book was built.</p></noscript>"
        f'<form class="tw-form" autocomplete="off">{fields}'
        '<p class="tw-buttons" hidden><button type="button" data-do="reset">Start again</button>'
        '<button type="button" data-do="link">Copy link to this setting</button>'
        f"{'<button type=button data-do=print>Print on one page</button>' if spec['core'] == DECIDE else ''}</p></form>"
        '<p class="tw-status" role="status" aria-live="polite">Result for the settings above, saved when the book was built.</p>'
        f'<div class="tw-text">{paragraphs(result.get("text", ""))}</div><div class="tw-figures">{figures}</div><div class="tw-tables">{tables}</div>'
        f"{_script('tw-spec', saved)}{_script('tw-outcomes', decide_outcomes.outcomes()) if spec['core'] == DECIDE else ''}</section>"
    )


def _control(block: str, c: Mapping) -> str:
    ident = f"{block}-{c['name']}"
    described = f' aria-describedby="{ident}-help"' if c.get("help") else ""
    attributes = f'id="{ident}" name="{c["name"]}"{described}'
    unit = f' <span class="tw-unit">{html.escape(c["unit"])}</span>' if c.get("unit") else ""
    label = f'<label for="{ident}">{html.escape(c["label"])}'
    if c["kind"] == "checkbox":
        field = f'<input type="checkbox" {attributes}{" checked" if c["value"] else ""}>{label}</label>'
    elif c["kind"] == "select":
        options = "".join(
            f'<option value="{i}"{" selected" if value == c["value"] else ""}>{html.escape(str(text))}</option>'
            for i, (value, text) in enumerate(c["options"])
        )
        field = f"{label}{unit}</label><select {attributes}>{options}</select>"
    elif c["kind"] == "text":
        field = f'{label}</label><textarea rows="{c.get("lines", 3)}" spellcheck="false" {attributes}>{html.escape(c["value"])}</textarea>'
    else:
        bounds = "".join(f' {k}="{c[k]}"' for k in ("min", "max", "step") if k in c)
        if c["kind"] == "number":
            field = f'{label}{unit}</label><input type="number" inputmode="decimal" {attributes}{bounds} value="{c["value"]}">'
        else:
            shown = f'<output for="{ident}">{c["value"]:,}</output>'
            field = f'{label} <span class="tw-value">{shown}{unit}</span></label><input type="range" {attributes}{bounds} value="{c["value"]}">'
    note = f'<small id="{ident}-help">{html.escape(c["help"])}</small>' if c.get("help") else ""
    kind = {"text": "written"}.get(c["kind"], c["kind"])  # tw-text is the answer's
    return f'<div class="tw-control tw-{kind}">{field}{note}</div>'


def pack_calculators(target: Path) -> Path:
    """What a live block may run, as a zip: the modules, and as JSON what they read from YAML or records. Same sources, same bytes."""
    lib, room = Path(whentofinetune.__file__).resolve().parents[1], Path("whentofinetune", "calculators")
    own = [p for p in sorted((lib / room).glob("*.py")) if not p.stem.startswith(("decide", "found"))]
    paths = [lib / "whentofinetune" / "__init__.py", *own]
    paths += [lib / "whentofinetune" / "datasets" / f"{name}.py" for name in ("__init__", "voice_rules")]
    paths += [lib / "finetune_memory" / f"{name}.py" for name in ("__init__", *PURE)]
    paths += sorted((lib / "finetune_memory").glob("*.json"))
    files = {path.relative_to(lib).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    wanted = [name for name in FILES if name != "rules"]  # those of Decide, which is answered from a table
    files |= {(room / f"{name}.json").as_posix(): json.dumps(read(name)) for name in wanted}
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return target


class Made(Directive):
    """``{made} module:function`` in a page of text: the figure or the piece of HTML that the function makes."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module, function = self.arguments[0].split(":")
        made = getattr(importlib.import_module(module), function)()
        source = figure_html(made.to_dict()) if isinstance(made, Figure) else made.html
        return [nodes.raw("", source, format="html")]


def on_page(app, pagename, templatename, context, doctree) -> None:
    """Drop what the theme loads twice, from elsewhere or for nothing (thebe, widget state, MathJax); add our scripts where they are needed."""
    keep = {}
    for script in context.get("script_files", []):
        key = (str(script.filename or ""), script.attributes.get("body") or "")
        kind = script.attributes.get("type", "")
        typeset = "mathjax" not in key[0] or 'class="math' in context.get("body", "")
        if "thebe" not in (key[0] + key[1][:60]).lower() and "widget-state" not in kind and typeset:
            keep.setdefault(key, script)
    context["script_files"][:] = keep.values()
    make_accessible(context)
    raw = " ".join(n.astext() for n in doctree.findall(nodes.raw)) if doctree is not None else ""
    if 'class="tw-plotly"' in raw or 'class="tw-live' in raw:  # live.mjs draws with what figures.js gives it
        app.add_js_file("figures.js", loading_method="defer")
    if "tw-outcomes" in raw:
        app.add_js_file("decide.js", loading_method="defer")
    if 'class="tw-live' in raw:
        app.add_js_file("live.mjs", type="module")
    if 'class="tw-model"' in raw:
        app.add_js_file("wllama-model.mjs", type="module")
    if 'class="tw-question' in raw:
        app.add_js_file("questions.js", loading_method="defer")


def make_accessible(context: dict) -> None:
    """What the theme's and docutils' own HTML lacks: a name of a switch, roles that there are, tables that a keyboard can scroll."""
    if "generate_toctree_html" in context:
        contents = context["generate_toctree_html"]
        context["generate_toctree_html"] = lambda *a, **k: str(contents(*a, **k)).replace(
            "<summary>", '<summary aria-label="Pages of this section">'
        )
    if body := context.get("body"):
        body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">').replace(
            ' role="doc-biblioentry"', ""
        )
        table = '<div class="pst-scrollable-table-container"'
        body = body.replace(f"{table}>", f'{table} role="group" tabindex="0" aria-label="Table">')
        body = numbered(MARKED.sub(_marked, body))
        # Markdown has no table without a heading: one whose headings are all empty is meant to have none.
        unheaded = r'<thead>\s*<tr[^>]*>(\s*<th class="head">(<p></p>)?</th>)+\s*</tr>\s*</thead>'
        context["body"] = carded(re.sub(unheaded, "", body))


def numbered(body: str) -> str:
    """Figures and tables are numbered, so that one can be cited and linked to (``#figure-2``); those that a form draws anew are not."""
    last = {"figure": 0, "table": 0}

    def one(found: re.Match) -> str:
        kind = found["figure"] or found["table"]
        if not kind:
            return found[0]
        last[kind] += 1
        opened = re.sub("^<[a-z]+", rf'\g<0> id="{kind}-{last[kind]}"', found[0])
        caption = '<p class="tw-title"' if found["figure"] else "<caption"
        return opened.replace(f"{caption}>", f'{caption} data-number="{last[kind]}">', 1)

    return CAPTIONED.sub(one, body)


def _marked(found: re.Match) -> str:
    """Hindi is called Hindi, so that a screen reader reads it as such; an option, such as ``--scale``, keeps to one line."""
    if found["hindi"]:
        return f'<span lang="hi">{found[0]}</span>'
    return f'<span class="tw-option">{found[0]}</span>' if found["option"] else found[0]


def on_finish(app, exception) -> None:
    if exception is None and app.builder.format == "html":
        pack_calculators(Path(app.outdir) / "_static" / CALCULATORS)
        # 1.5 MB that draw the icons anew which the style sheet's font has drawn already
        icons = Path(app.outdir) / "_static/scripts/fontawesome.js"
        if icons.exists():
            icons.write_text("// The icons come from the style sheet's font.\n", encoding="utf-8")
        if app.config.browser_model:
            carry(gguf(), Path(app.outdir) / "_static" / "model")


def setup(app) -> dict:
    app.add_config_value("browser_model", True, "env", [bool])
    # a change of what writes the pages writes all of them anew
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    app.add_config_value("written_by", hashlib.sha256(code).hexdigest(), "html", [str])
    SHOWN.update({PLOTLY: figure_html, LIVE: live_html})
    SHOWN[BROWSER_MODEL] = lambda spec: browser_model_html(spec, app.config.browser_model)
    app.add_directive("made", Made)
    register_plugin("pybtex.style.formatting", "family_names_first", FamilyNamesFirst)
    app.connect("html-page-context", on_page, priority=900)
    app.connect("build-finished", on_finish)
    app.add_css_file("site.css")
    app.add_css_file(CARDS.name, media="screen and (max-width: 37.49rem)")
    app.connect("config-inited", lambda app, config: config.html_static_path.append(str(CARDS)))
    app.add_js_file("print.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
