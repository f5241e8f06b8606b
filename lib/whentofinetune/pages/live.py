"""A live calculator: one description of its controls serves two fronts.

In a notebook with a kernel it is an ipywidgets form. On the book's static page it is a form of labelled inputs with
the first result saved beneath it; there the same Python function is run in the reader's browser (see ``book/sphinx_site.py`` and
``assets/live.mjs``). There is no second implementation of the arithmetic.
"""

import html
import importlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence

from tunewise.report.figures import STYLE, Figure
from tunewise.report.tables import Html, table_from_lists

LIVE = "application/vnd.tunewise.live+json"
KINDS = ("range", "number", "select", "checkbox", "text")


class Live:
    """A calculator that recomputes when a control is moved.

    name: letters, digits and dashes; names the block on its page and its settings in the page's address.
    core: ``"package.module:function"`` under ``whentofinetune.calculators``. The function takes a JSON object (control name ->
    value) and returns a JSON object ``{"figures": [{"data", "layout", "alt"}], "tables": [{"caption", "header", "rows"}],
    "text"}``; it raises ValueError, in words, for settings that make no sense.
    controls: dictionaries with ``name``, ``label``, ``kind``, ``value``, and:

    - ``range`` and ``number``: ``min``, ``max``, ``step``; a number's bounds may be left out
    - ``select``: ``options``, a list of values or of ``[value, label]``
    - ``text``: ``lines``, its height; ``private``, what a reader writes is not put into the page's address
    - all: ``unit`` (shown after the value), ``help`` (a sentence), ``group`` (heading under which it stands)

    values: settings to start from instead of the controls' own. Raises ValueError for a control that is not well described.
    """

    def __init__(self, name: str, controls: Sequence[Mapping], core: str, *, title: str = "", **values):
        self.name, self.core, self.title = name, core, title or name.replace("-", " ").capitalize()
        if not name.replace("-", "").isalnum():
            raise ValueError(f"the name of a live block is made of letters, digits and dashes, not {name!r}")
        self.controls = [_checked(c) for c in controls]
        known = {c["name"]: c for c in self.controls}
        if len(known) != len(self.controls):
            raise ValueError("two controls have the same name")
        if unknown := set(values) - set(known):
            raise ValueError(f"no control is named {sorted(unknown)}; there are {', '.join(known)}")
        for key, value in values.items():
            known[key]["value"] = value
        self.function = _core(core)

    @property
    def values(self) -> dict:
        """The settings the block starts with."""
        return {c["name"]: c["value"] for c in self.controls}

    def compute(self, **changes) -> dict:
        """The core's answer for the starting settings with ``changes``."""
        return json.loads(self.function(json.dumps({**self.values, **changes})))

    def spec(self) -> dict:
        """All that the static page needs: controls, core, the first result, the style of figures."""
        said = {k: getattr(self, k) for k in ("name", "title", "core", "controls")}
        return {**said, "result": self.compute(), "style": STYLE}

    def widget(self):
        """The ipywidgets form, with its result under it."""
        import ipywidgets as w

        inputs = {c["name"]: _input(w, c) for c in self.controls}
        groups: dict[str, list] = {}
        for c in self.controls:
            groups.setdefault(c.get("group", ""), []).append(inputs[c["name"]])
        out = w.Output()

        def show(*_):
            try:
                fill(out, shown(self.compute(**{k: i.value for k, i in inputs.items()})))
            except ValueError as error:
                fill(out, [Html(f"<p>{html.escape(str(error))}</p>", str(error))])

        for item in inputs.values():
            item.observe(show, "value")
        show()
        boxes = [w.VBox([w.HTML(f"<b>{g}</b>"), *items] if g else items) for g, items in groups.items()]
        rows = w.HBox(boxes, layout=w.Layout(flex_flow="row wrap"))
        return w.VBox([w.HTML(f"<b>{self.title}</b>"), rows, out])

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        spec = self.spec()
        said = {LIVE: spec, "text/plain": f"{self.title}: {spec['result'].get('text', '')}"}
        try:
            from IPython import get_ipython
        except ImportError:
            return said
        if getattr(get_ipython(), "kernel", None) is None:
            return said
        view = self.widget()._repr_mimebundle_()
        return {**(view[0] if isinstance(view, tuple) else view), **said}


def fill(out, parts: Sequence) -> None:
    """Put figures, tables and texts into an ipywidgets ``Output``, in place of what it held.

    The outputs are assigned, not captured with ``with out:``. Capturing makes a client without a front end (nbclient: the book's
    build, nbval) send messages back in the middle of a cell, on which ipykernel 7 can wait for ever. Colab has its own
    ``Output``, which captures.
    """
    if "google.colab" in sys.modules:
        from IPython.display import display

        out.clear_output(wait=True)
        with out:
            for part in parts:
                display(part)
    else:
        out.outputs = tuple(
            {"output_type": "display_data", "data": bundle(part), "metadata": {}} for part in parts
        )


def bundle(part) -> dict:
    """What a notebook displays of a figure, a form or a piece of HTML, by MIME type."""
    if hasattr(part, "_repr_mimebundle_"):
        return part._repr_mimebundle_()
    return {"text/html": part._repr_html_(), "text/plain": repr(part)}


def shown(answer: Mapping) -> list:
    """What a core answered, as things a notebook displays: text, figures, tables, in this order."""
    text = answer.get("text", "")
    parts: list = [Html(paragraphs(text), text)] if text else []
    parts += [Figure.from_dict(f) for f in answer.get("figures", [])]
    return parts + [table_from_lists(t["header"], t["rows"], t["caption"]) for t in answer.get("tables", [])]


def paragraphs(text: str) -> str:
    """Each line as a paragraph of HTML."""
    return "".join(f"<p>{html.escape(line)}</p>" for line in text.split("\n") if line.strip())


def _checked(control: Mapping) -> dict:
    c = dict(control)
    if missing := [k for k in ("name", "label", "kind", "value") if k not in c]:
        raise ValueError(f"the control {c.get('name', c)!r} lacks {', '.join(missing)}")
    if c["kind"] not in KINDS:
        raise ValueError(f"the control {c['name']!r} is of kind {c['kind']!r}; there are {', '.join(KINDS)}")
    if c["kind"] == "range" and (missing := [k for k in ("min", "max", "step") if k not in c]):
        raise ValueError(f"the range {c['name']!r} lacks {', '.join(missing)}")
    if c["kind"] == "select":
        options = c.get("options", [])
        c["options"] = [list(o) if isinstance(o, (list, tuple)) else [o, str(o)] for o in options]
        if c["value"] not in [o[0] for o in c["options"]]:
            raise ValueError(
                f"the select {c['name']!r} starts with {c['value']!r}, which is not among its options"
            )
    return c


def _core(core: str) -> Callable[[str], str]:
    module, _, function = core.partition(":")
    if not module.startswith(("whentofinetune.calculators.", "finetune_memory.")) or not function:
        raise ValueError(
            f"a core is written 'whentofinetune.calculators.MODULE:FUNCTION', not {core!r}: only that room and finetune_memory run in a browser"
        )
    return getattr(importlib.import_module(module), function)


def _input(w, c: Mapping):
    common = {
        "value": c["value"],
        "description": c["label"] + (f" ({c['unit']})" if c.get("unit") else ""),
        "tooltip": c.get("help", ""),
        "style": {"description_width": "initial"},
        "layout": w.Layout(width="26em"),
    }
    if c["kind"] == "checkbox":
        return w.Checkbox(**common, indent=False)
    if c["kind"] == "text":
        return w.Textarea(**common, rows=c.get("lines", 3), continuous_update=False)
    if c["kind"] == "select":
        return w.Dropdown(**common, options=[(label, value) for value, label in c["options"]])
    bounds = {k: c[k] for k in ("min", "max", "step") if k in c}
    whole = all(isinstance(v, int) for v in [c["value"], *bounds.values()])
    kind = "Int" if whole else "Float"
    if c["kind"] == "range":
        digits = {} if whole else {"readout_format": ".4g"}
        return getattr(w, f"{kind}Slider")(**common, **bounds, continuous_update=False, **digits)
    bounded = "Bounded" if {"min", "max"} <= set(bounds) else ""
    return getattr(w, f"{bounded}{kind}Text")(**common, **bounds)
