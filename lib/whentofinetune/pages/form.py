"""Forms for one's own text: they need a model or the book's data, so they live in a running notebook; the static page shows their first answer."""

import html
from collections.abc import Callable, Mapping
from typing import Any

from tunewise import report as rp
from whentofinetune.pages.live import bundle, fill
from whentofinetune.pages.passages import passage_html


class Form:
    """A text and perhaps a number go in, something to show comes out.

    Parameters
    ----------
    page
        Takes the fields' values by name, returns what is shown.
    button
        Its words.
    fields
        Name -> what it starts with: a text, or ``(number, the largest)``. The first text must not be empty.
    """

    def __init__(self, page: Callable[..., Any], button: str, **fields: Any) -> None:
        self.page, self.button, self.fields = page, button, fields

    def answer(self, **values: Any) -> Any:
        """What is shown for these values."""
        texts = {k: v.strip() if isinstance(v, str) else v for k, v in values.items()}
        (first, text), *_ = texts.items()
        said = f"Write a {first} first."
        return self.page(**texts) if text else rp.Html(f"<p>{said}</p>", said)

    def first(self) -> Any:
        """What is shown for the values that it starts with."""
        return self.answer(**{k: v[0] if isinstance(v, tuple) else v for k, v in self.fields.items()})

    def widget(self, first: Any = None) -> Any:
        """The ipywidgets form. first: the answer to what it starts with, if it is known already."""
        import ipywidgets as w

        def field(name: str, start: Any) -> Any:
            if isinstance(start, tuple):
                return w.IntSlider(value=start[0], min=0, max=start[1], description=name)
            height = "11em" if "\n" in start else "auto"
            layout = w.Layout(width="95%", height=height)
            return w.Textarea(value=start, description=name, layout=layout)

        inputs = {name: field(name, start) for name, start in self.fields.items()}
        go, out = w.Button(description=self.button), w.Output()

        def show(_: Any = None) -> None:
            fill(out, [self.answer(**{name: i.value for name, i in inputs.items()})])

        go.on_click(show)
        fill(out, [first or self.first()])
        return w.VBox([*inputs.values(), go, out])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict:
        first = self.first()
        saved = bundle(first)
        try:
            return {**self.widget(first)._repr_mimebundle_(), **saved}
        except ImportError:
            return saved


def try_it(answer: Callable[[str, int], Mapping[str, float]], text: str, k: int = 0, most: int = 32) -> Form:
    """The probability of each label after k examples. answer: (text, k) -> label -> probability."""

    def page(text: str, examples: int) -> rp.Figure:
        caption = f"“{text}” after {examples} examples"
        return rp.dots(dict(answer(text, examples)), "probability", caption)

    return Form(page, "ask the model", text=text, examples=(k, most))


def ask_it(answer: Callable[[str, int], Mapping], question: str, k: int = 3, most: int = 10) -> Form:
    """A question to the handbook: the answer, and each passage to open; those that it cites open already, its words marked where they stand.

    answer: (question, k) -> ``{"answer": text, "cited": places of passages from 0, "passages": [{"title", "text"}]}``.
    """

    def page(question: str, passages: int) -> rp.Html:
        found = answer(question, passages)
        said, shown = found["answer"] or "(nothing)", found["passages"]
        named = "".join(f" [{c + 1}]" for c in found["cited"]) or " (cites no passage)"
        blocks = "".join(
            passage_html(i + 1, False, p["title"], p["text"], [found["answer"]], i in found["cited"])
            for i, p in enumerate(shown)
        )
        head = f"<p>“{html.escape(question)}”, from {len(shown)} passages: <strong>{html.escape(said)}</strong>{named}</p>"
        titles = "".join(f"\n  [{i}] {p['title']}" for i, p in enumerate(shown, 1))
        return rp.Html(f'<div class="tw-browser">{head}{blocks}</div>', f"{question}\n{said}{named}{titles}")

    return Form(page, "ask the handbook", question=question, passages=(k, most))
