"""The page of the API reference: a signature that can be read."""

from __future__ import annotations

import inspect

LONGEST = 40  # characters of a default that a signature still shows


def readable(app, what, name, obj, options, signature, returns) -> tuple[str, str | None] | None:
    """The signature without private parameters, and ``...`` for a default that is long or has no spelling."""
    if what not in ("class", "function", "method") or not signature or "=" not in signature:
        return None
    shown = inspect.signature(obj)
    kept = []
    for parameter in shown.parameters.values():
        if parameter.name in ("self", "cls") or parameter.name.startswith("_"):
            continue
        said = repr(parameter.default)
        if parameter.default is not parameter.empty and (len(said) > LONGEST or said.startswith("<")):
            parameter = parameter.replace(default=...)
        kept.append(parameter.replace(annotation=parameter.empty))
    short = str(shown.replace(parameters=kept, return_annotation=shown.empty))
    return short.replace("=Ellipsis", "=..."), returns


def setup(app) -> dict:
    app.connect("autodoc-process-signature", readable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
