"""A form for one's own text: it needs the model, so it lives in a running notebook; the static page shows its first answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tunewise.report.figures import Figure, Html, bars_with_interval
from whentofinetune.pages.live import fill


class TryIt:
    """A text and a number of examples go in, the probability of each label comes out.

    answer: takes the text and the number of examples, returns label -> probability. text, k: what it starts with.
    most: the largest number of examples.
    """

    def __init__(
        self, answer: Callable[[str, int], Mapping[str, float]], text: str, k: int = 0, most: int = 32
    ):
        self.answer, self.text, self.k, self.most = answer, text, k, most

    def figure(self, text: str, k: int) -> Figure:
        shares = dict(self.answer(text, k))
        words = ", ".join(f"{label} {p:.0%}" for label, p in shares.items())
        figure = bars_with_interval(
            shares,
            "probability",
            alt=f"After {k} examples the model gives {words}.",
            title=f"“{text}” after {k} examples",
        )
        figure.layout["yaxis"]["range"] = [0, 1]
        return figure

    def widget(self):
        """The ipywidgets form."""
        import ipywidgets as w

        text = w.Textarea(value=self.text, description="text", layout=w.Layout(width="95%"))
        k = w.IntSlider(value=self.k, min=0, max=self.most, description="examples")
        go, out = w.Button(description="ask the model"), w.Output()

        def ask(_=None):
            written = text.value.strip()
            fill(
                out,
                [
                    self.figure(written, k.value)
                    if written
                    else Html("<p>Write a text first.</p>", "Write a text first.")
                ],
            )

        go.on_click(ask)
        ask()
        return w.VBox([text, k, go, out])

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        saved = self.figure(self.text, self.k)._repr_mimebundle_()
        try:
            return {**self.widget()._repr_mimebundle_(), **saved}
        except ImportError:
            return saved
