"""The form on the static page that asks the bundled model (:mod:`whentofinetune.pages.browser_model`), and the model's file in the site.

``browser_model: false`` in ``_config.yml`` (under ``sphinx: config:``) leaves the file out of the site, and the page says so.
"""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any


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
