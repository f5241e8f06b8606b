"""A form for one's own question to the handbook: the passages found, and the answer with its citation marked.

It needs the model, so it lives in a running notebook; the static page shows its first answer.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping

from tunewise.report import Html
from whentofinetune.pages.hybrid import passage_html
from whentofinetune.pages.live import fill


class AskIt:
    """A question and a number of passages go in; passages and answer come out.

    answer: takes question and k, returns ``{"answer": text, "cited": places of passages from 0, "passages": [{"title", "text"}]}``.
    question, k: what it starts with. most: the largest k.
    """

    def __init__(self, answer: Callable[[str, int], Mapping], question: str, k: int = 3, most: int = 10):
        self.answer, self.question, self.k, self.most = answer, question, k, most

    def page(self, question: str, k: int) -> Html:
        """The answer, and each passage to open: those that it cites open already, its words marked where they stand."""
        if not question.strip():
            return Html("<p>Write a question first.</p>", "Write a question first.")
        found = self.answer(question.strip(), k)
        said, passages = found["answer"] or "(nothing)", list(enumerate(found["passages"]))
        named = "".join(f" [{c + 1}]" for c in found["cited"]) or " (cites no passage)"
        shown = "".join(
            passage_html(i + 1, False, p["title"], p["text"], [found["answer"]], i in found["cited"])
            for i, p in passages
        )
        head = f"<p>“{html.escape(question)}”, from {len(passages)} passages: <strong>{html.escape(said)}</strong>{named}</p>"
        titles = "".join(f"\n  [{i + 1}] {p['title']}" for i, p in passages)
        return Html(f'<div class="tw-browser">{head}{shown}</div>', f"{question}\n{said}{named}{titles}")

    def widget(self, first: Html | None = None):
        """The ipywidgets form. first: the answer to what it starts with, if it is known already."""
        import ipywidgets as w

        question = w.Textarea(value=self.question, description="question", layout=w.Layout(width="95%"))
        k = w.IntSlider(value=self.k, min=0, max=self.most, description="passages")
        go, out = w.Button(description="ask the handbook"), w.Output()
        go.on_click(lambda _: fill(out, [self.page(question.value, k.value)]))
        fill(out, [first or self.page(self.question, self.k)])
        return w.VBox([question, k, go, out])

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        first = self.page(self.question, self.k)
        saved = {"text/html": first.html, "text/plain": first.text}
        try:
            return {**self.widget(first)._repr_mimebundle_(), **saved}
        except ImportError:
            return saved
