"""The home page and the page of what can still be tuned: what they show comes from the records, and each line has its source."""

from __future__ import annotations

import re

import home_page as home
import pytest
from conftest import ROOT

from whentofinetune import book_records, verdicts


def test_the_first_figure_shows_what_the_records_hold_and_no_two_dots_share_a_line():
    figure = home.hero()
    (prompt,) = [t for t in figure.data if t["name"] == "prompt, 135M"]
    rows = book_records.load("few_shot").where(method="zero-shot")
    right = [outcome for row in rows for outcome in row.outcomes("accuracy")]
    assert prompt["x"][prompt["hovertext"].index("Sentiment of tweets")] == pytest.approx(
        sum(right) / len(right)
    )
    heights = [y for trace in figure.data for y in trace["y"]]
    assert len(set(heights)) == len(heights)
    assert {name for trace in figure.data for name in trace["hovertext"]} == set(home.content()["tasks"])
    assert len({t["marker"]["symbol"] for t in figure.data}) == len(
        {t["name"].split(", ")[0] for t in figure.data}
    )
    assert "not yet measured" not in figure.alt and figure.table().text.count("%") >= len(heights)


def test_the_answers_carry_todays_verdicts_and_lead_to_their_boxes():
    shown = home.answers().html
    assert shown.count("<li>") == 5
    for claim in re.findall(r">(C\d+):", shown):
        found = verdicts.headline(claim)
        against = [f for f in found.findings if f.verdict == "does not agree"]
        said = {0: "", 1: ", one test against"}.get(len(against), f", {len(against)} tests against")
        words = said if found.word == "cannot tell" else ""
        assert f"{claim}: {found.word}{words}, {verdicts.LADDER[found.model]}<" in shown
        assert f'.html#{claim}"' in shown


def test_an_answer_says_what_result_of_ours_speaks_against_it():
    (text,) = re.findall(r"<li>To put labels on texts.*?</li>", home.answers().html)
    assert (
        'our own result speaks against it: <a href="chapters/accuracy.html">' in text and "points [" in text
    )


@pytest.mark.parametrize("model", ["smollm2-135m", "qwen2.5-coder-0.5b"])
def test_the_words_below_the_figure_say_where_it_goes_against_the_answers(model):
    tasks = home.content()["tasks"]
    for task, rival in (
        ("Sentiment of tweets", "small classifier"),
        ("Labels by a rule of the house", "small classifier"),
        ("Facts of a handbook, reworded questions", "RAG"),
    ):
        lora, other = (home._share(tasks[task], method, model)["value"] for method in ("LoRA", rival))
        assert lora > other, (task, "write the home page's sentence anew")


def test_at_the_largest_size_prompt_and_training_lie_above_the_small_classifier_on_tweets():
    tweets, model = home.content()["tasks"]["Sentiment of tweets"], "qwen2.5-coder-1.5b"
    lora, examples, small = (
        home._share(tweets, method, model)["value"]
        for method in ("LoRA", "examples in the prompt", "small classifier")
    )
    assert min(lora, examples) > small, "write the home page's sentence anew"


def test_the_models_are_those_of_the_records():
    rows = home.measured().text.splitlines()[2:]
    named = [row.split()[0] for row in rows]
    assert set(named) == {p.parent.name for p in (ROOT / "data" / "runs").glob("*/*.full.json")}
    assert named == ["smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]  # by size


def test_every_service_and_model_names_where_it_was_read():
    text = (ROOT / "tunable.md").read_text(encoding="utf-8")
    rows = re.findall(r"^(?:- \*\*|\| (?!Model)).*", text, re.MULTILINE)
    assert len(rows) > 12
    for row in rows:
        assert "](http" in row or "this book" in row, row


def test_what_was_not_read_at_its_maker_says_so():
    """A line that names no page of the model's or service's own maker is second-hand."""
    text = (ROOT / "tunable.md").read_text(encoding="utf-8")
    makers = r"developers\.openai|learn\.microsoft|ai\.google|docs\.(?:cohere|together|fireworks|aws)|HuggingFaceTB/|QwenLM/|/microsoft/|this book"
    others = [
        row
        for row in re.findall(r"^(?:- \*\*|\| (?!Model)).*", text, re.MULTILINE)
        if not re.search(makers, row)
    ]
    assert len(others) > 4 and all("second-hand" in row.lower() for row in others), others
