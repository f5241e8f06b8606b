"""What is done to a lab notebook: known by its markers, its hints opened for students, repaired when it comes back.

Every cell that matters carries its name in its first line, ``# lab:NAME`` in code and ``<!-- lab:NAME -->`` in Markdown.
nbgrader knows cells by their metadata alone, and metadata is lost: by pasting, by tools that strip it, by retyping. The
line survives all of these, so :func:`repair` puts the metadata back by it.
"""

from __future__ import annotations

import ast
import copy
import re
import uuid

MARKER = re.compile(r"^\s*(?:#|<!--)\s*lab:([\w-]+)")
_HINT = re.compile(
    r"^(`{3,}|:{3,})\{admonition\} (?P<title>[^\n]*)\n:class: dropdown\n(?P<body>.*?)\n\1[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
_KEYS = ("nbgrader", "deletable", "editable")  # metadata that nbgrader sets


class Unmatched(ValueError):
    """A submission that cannot be matched to its lab without guessing. The message says what to do."""


def marker(source: str) -> str | None:
    """The name in the first line that is not blank; None if there is none."""
    first = next((line for line in source.split("\n") if line.strip()), "")
    found = MARKER.match(first)
    return found.group(1) if found else None


# -- the student's version --------------------------------------------------------------------------------------------


def open_hints(source: str) -> str:
    """Hints as ``<details>``, which unfold in Jupyter, on GitHub and on Colab; the book's own directive is shown raw there."""

    def unfolding(hint: re.Match) -> str:
        title, body = hint["title"].strip(), hint["body"].strip()
        return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"

    return _HINT.sub(unfolding, source)


# -- repair -----------------------------------------------------------------------------------------------------------


def repair(release, submission) -> tuple[object, list[str]]:
    """Make a submission gradable: nbgrader's metadata is put back by marker, what is missing or edited is restored.

    release: the student version that was given out. submission: what came back; both nbformat 4 notebooks.
    Returns a new notebook and what was repaired, one sentence each. Raises :class:`Unmatched` rather than guess.
    """
    import nbformat

    wanted = {c.metadata["nbgrader"]["grade_id"]: c for c in release.cells if "nbgrader" in c.metadata}
    if not wanted:
        cure = "give the student version that `tunewise labs make` wrote"
        raise ValueError(f"the release has no nbgrader cells: {cure}")
    said: list[str] = []
    nb = copy.deepcopy(submission)
    nb.metadata, before = copy.deepcopy(release.metadata), nb.metadata
    if "state" not in before.get("widgets", {"state": 0}):
        said.append("widget metadata without its state removed")
    kernel = before.get("kernelspec", {}).get("name")
    if kernel not in (None, release.metadata.get("kernelspec", {}).get("name")):
        said.append(f"kernel {kernel!r} replaced by the release's")

    nb.cells, merged = _split(nb.cells)
    said += [f"merged cell split at its markers: {', '.join(names)}" for names in merged]
    known = _match(nb.cells, wanted, said)
    _check_lost_answers(nb.cells, wanted, known)
    lost = [name for name, cell in known.items() if "nbgrader" not in cell.metadata]
    if len(lost) == len(known):
        said.append("all of nbgrader's metadata was gone; put back by markers")
    elif lost:
        said.append(f"nbgrader's metadata was gone; put back by marker: {', '.join(sorted(lost))}")

    heavy = {c.source.strip() for c in release.cells if "heavy" in c.metadata.get("tags", [])}
    for cell in nb.cells:
        for key in _KEYS:
            cell.metadata.pop(key, None)
        tags = [t for t in cell.metadata.get("tags", []) if t != "heavy"]
        if tags := tags + ["heavy"] * (
            cell.source.strip() in heavy
        ):  # only as it was given: grading leaves it out
            cell.metadata["tags"] = tags
        else:
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    previous = None
    for name, original in wanted.items():
        if name not in known:
            cell = copy.deepcopy(original)
            place = 0 if previous is None else _place(nb.cells, known[previous]) + 1
            nb.cells.insert(place, cell)
            known[name] = cell
            answer = original.metadata["nbgrader"].get("solution")
            said.append(f"{name}: cell was missing; put back" + (" (unanswered)" if answer else ""))
        else:
            cell = known[name]
            if cell.cell_type != original.cell_type:
                said.append(f"{name}: was a {cell.cell_type} cell; is {original.cell_type} again")
                cell = _retyped(cell, original.cell_type)
                nb.cells[_place(nb.cells, known[name])] = cell
                known[name] = cell
            if _fixed(original) and cell.source.strip() != original.source.strip():
                said.append(f"{name}: was edited; the original is back")
                cell.source = original.source
            cell.metadata.update(copy.deepcopy({k: v for k, v in original.metadata.items() if k in _KEYS}))
        previous = name
    _order_tests(nb.cells, wanted, known, said)

    seen = set()
    for cell in nb.cells:
        if not cell.get("id") or cell["id"] in seen:
            cell["id"] = uuid.uuid4().hex[:8]
        seen.add(cell["id"])
    nb.nbformat, nb.nbformat_minor = 4, 5
    nbformat.validate(nb)
    return nb, said


def _fixed(cell) -> bool:
    """Whether students must leave this cell as it is."""
    return not cell.metadata["nbgrader"].get("solution")


def _place(cells, cell) -> int:
    return next(i for i, c in enumerate(cells) if c is cell)


def _retyped(cell, cell_type: str):
    from nbformat.v4 import new_code_cell, new_markdown_cell

    new = new_code_cell if cell_type == "code" else new_markdown_cell
    return new(source=cell.source, metadata=cell.metadata)


def _split(cells) -> tuple[list, list[list[str]]]:
    """Cells that hold several markers, cut before each; and the names in each that was cut."""
    out, merged = [], []
    for cell in cells:
        lines = cell.source.split("\n")
        starts = [i for i, line in enumerate(lines) if MARKER.match(line)]
        if len(starts) < 2:
            out.append(cell)
            continue
        merged.append([MARKER.match(lines[i]).group(1) for i in starts])
        starts[0] = 0
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            part = copy.deepcopy(cell)
            part.source = "\n".join(lines[start:end]).strip("\n")
            part["id"] = uuid.uuid4().hex[:8]
            if start:
                part.metadata.pop("nbgrader", None)
            out.append(part)
    return out, merged


def _match(cells, wanted: dict, said: list[str]) -> dict:
    """name -> the one cell that stands for it. Of several, the last one that is not the untouched original."""
    found: dict[str, list] = {}
    for cell in cells:
        found.setdefault(marker(cell.source), []).append(cell)
    strangers = sorted({*found} - {*wanted, None})
    found = {name: copies for name, copies in found.items() if name in wanted}
    for cell in cells:  # the marker line was deleted, the metadata was not
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in wanted and name not in found and not marker(cell.source) and cell.source.strip():
            found[name] = [cell]
            cell.source = wanted[name].source.split("\n")[0] + "\n" + cell.source
            said.append(f"{name}: marker line was gone; known by its metadata")
    if not found:
        other = f"; it has those of another lab: {', '.join(strangers)}" if strangers else ""
        answers = ", ".join(name for name in wanted if not _fixed(wanted[name]))
        raise Unmatched(
            f"none of this lab's cells is in it{other}. Is it the right file? If the student retyped it, put the line "
            f"'# lab:NAME' first in each answer ({answers}) and collect again"
        )
    known = {}
    for name, copies in found.items():
        answered = [c for c in copies if c.source.strip() != wanted[name].source.strip()]
        known[name] = (copies if _fixed(wanted[name]) else answered or copies)[-1]
        if len(copies) > 1:
            which = "the last" if known[name] is copies[-1] else "the last that was answered"
            said.append(f"{name}: {len(copies)} copies; {which} counts")
    return known


def _check_lost_answers(cells, wanted: dict, known: dict) -> None:
    """Refuse if an answer is missing and a cell without a marker looks like it."""
    originals = {c.source.strip() for c in wanted.values()}
    taken = {id(c) for c in known.values()}
    missing = [name for name in wanted if name not in known and not _fixed(wanted[name])]
    for name in missing:
        for i, cell in enumerate(cells, 1):
            if id(cell) in taken or marker(cell.source) or cell.source.strip() in originals:
                continue
            same = _defined(wanted[name].source) & _defined(cell.source) if cell.cell_type == "code" else ()
            if same:
                raise Unmatched(
                    f"the answer cell {name} is missing, and cell {i} defines {', '.join(sorted(same))}: if that is the "
                    f"answer, put '# lab:{name}' on its first line and collect again; if not, delete it"
                )


def _defined(source: str) -> set[str]:
    """Names that a cell defines at its top level: functions, classes, assignments. Works on unfinished code too."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        found = re.findall(r"^(?:(?:def|class)\s+(\w+)|(\w+)\s*=(?!=))", source, re.MULTILINE)
        return {a or b for a, b in found}
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return names


def _order_tests(cells: list, wanted: dict, known: dict, said: list[str]) -> None:
    """Each fixed cell that gives points stands after the answers it tests: those before it in the release."""
    answers: list[str] = []
    for name, original in wanted.items():
        if not _fixed(original):
            answers.append(name)
            continue
        if not original.metadata["nbgrader"].get("grade"):
            continue
        here, last = _place(cells, known[name]), max((_place(cells, known[a]) for a in answers), default=-1)
        if here < last:
            cells.insert(last, cells.pop(here))
            said.append(f"{name}: stood before its answer; moved behind it")
        answers = []
