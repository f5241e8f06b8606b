"""The pages of the chapters on retrieval: figures from records, numbers against hand calculations, the form to ask.

The records are the committed ones, those of runs on a model of random weights, and rows made up where a number is to be checked.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from bs4 import BeautifulSoup
from small_model import made_up, run_small, small_context

from tunewise import stats
from tunewise.experiment import Condition, Scores
from tunewise.record import Record
from tunewise.report import gap, mean, points
from tunewise.written_answers import OUTCOMES
from whentofinetune import book_records, experiments, verdicts
from whentofinetune.datasets import company
from whentofinetune.pages import each_size, hybrid, passages, rag_figures, rag_or_weights
from whentofinetune.pages.board import links
from whentofinetune.pages.form import ask_it

N = 40
PAGES = {
    "rag_retrieval": "recall_menu retrieval_table",
    "rag_knowledge": "knowledge_figure chosen_table memorised_table outcomes_figure",
    "rag_hallucination": "outcomes_menu learning_figure",
    "rag_dynamic": "dynamic_table",
    "rag_citations": "citations_table planted_table citations_measured",
    "rag_cost": "cost_table cost_measured",
    "rag_hybrid": "quadrants_figure over_halves_figure reading_table distractors_figure k_figure losses_figure",
}
SMALL = {  # what a run on a reader's own machine leaves out or has more of
    "rag_dynamic": {"shares": [0.3, 0.6]},
    "rag_hybrid": {"sweep": [], "sweep_distractors": []},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(name, small) -> the book's record, or that of a run on a model of random weights."""
    patch = pytest.MonkeyPatch()

    @cache
    def make(name: str, small: bool = False) -> Record:
        if not small:
            return book_records.load(name)
        experiment = experiments.get(name)
        params = experiment.scales["smoke"] | SMALL.get(name, {})
        try:
            return run_small(experiment, small_context(tmp_path_factory.mktemp(name), patch, params))
        finally:
            patch.undo()

    return make


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", PAGES)
def test_every_part_of_a_page_can_be_made(made, name, small):
    for part in PAGES[name].split():
        (page,) = [page for page in (rag_figures, rag_or_weights, hybrid) if hasattr(page, part)]
        shown = getattr(page, part)(made(name, small))
        text = f"{shown} {getattr(shown, 'html', '')}"
        assert text.strip() and not re.search(r"\bnan\b|None", text), (part, text)
        assert "not yet measured" not in text or small, (part, text)


def row(right: int, wrong: int = 0, n: int = N, facts=None, more=None, **settings):
    """So many right answers first, then wrong ones, then abstained."""
    kinds = [0] * right + [1] * wrong + [2] * (n - right - wrong)
    told = {name: [k == i for k in kinds] for i, name in enumerate(OUTCOMES)} | (more or {})
    scores = Scores([f"q{i}" for i in range(n)], facts=facts, **told)
    return Condition(settings.pop("method"), **settings), scores


def record(name: str, rows, **changes) -> Record:
    return made_up(experiments.get(name), rows, **changes)


def test_the_interaction_is_what_both_bring_beyond_the_sum():
    """By hand: 10 right with neither, 20 with retrieval, 15 tuned, 35 with both: (35 - 20) - (15 - 10) = 10 of 40."""

    def quadrants(neither: int, retrieval: int, tuned: int, both: int) -> Record:
        rows = [row(neither, method="base", passages="none"), row(retrieval, method="base", passages="found")]
        for seed in range(3):
            rows += [row(tuned, method="reading", passages="none", seed=seed)]
            rows += [row(both, method="reading", passages="found", seed=seed)]
        return record("rag_hybrid", rows)

    found = quadrants(10, 20, 15, 35)
    metric = hybrid.interaction(found, "reading")
    assert metric["value"] == pytest.approx(10 / N) and metric["n"] == N
    # seeds agree, so the interval is that of a mean over items: 5 that lose 1 (tuned alone), 15 that win 1 (both)
    item = np.array([0] * 10 + [-1] * 5 + [0] * 5 + [1] * 15 + [0] * 5)
    assert (metric["high"] - metric["low"]) / 2 == pytest.approx(2.0227 * item.std(ddof=1) / N**0.5, rel=0.01)
    halves = hybrid.over_halves(found, "reading")
    assert [round(N * m["value"]) for m in halves.values()] == [15, 20, 10]
    assert hybrid.interaction(quadrants(10, 20, 10, 20), "reading")["value"] == 0


def test_a_ratio_counts_only_the_answers_that_it_is_about():
    """Ten answers by hand, five times over: 6 cite, of these 5 rightly; 2 are wrong, both with words that stand in a passage."""
    given, source = [1] * 6 + [0] * 4, [0] + [1] * 5 + [0] * 4
    outcomes = {"own.given": given, "own.source": source, "wrong": [0] * 6 + [1] * 2 + [0] * 2}
    outcomes["after.holds"] = [0] + [1] * 9

    def of(times: int):
        many = {name: [bool(v) for v in values] * times for name, values in outcomes.items()}
        return record(
            "rag_citations", [(Condition("m"), Scores([f"q{i}" for i in range(10 * times)], **many))]
        ).results

    cites = rag_figures.ratio(of(5), "own.source", "own.given")
    assert (
        cites["value"] == pytest.approx(5 / 6) and cites["n"] == 30 and cites["low"] < 5 / 6 < cites["high"]
    )
    assert rag_figures.ratio(of(5), "after.holds", "wrong") == stats.proportion(10, 10)
    assert rag_figures.ratio(of(5), "own.given", "wrong") == stats.proportion(0, 10)
    assert rag_figures.ratio(of(1), "after.holds", "wrong") is None  # too few to say


def test_what_is_lost_is_lost_in_the_search_or_in_reading():
    kept = {"found": [["a"], ["b"], ["c"], ["d"]], "gold": [["a"], ["x"], ["c"], ["d"]]}
    said = [row(1, 3, 4, method="base", passages="found"), (Condition("retrieval"), Scores(facts=kept))]
    lost = hybrid.losses(record("rag_hybrid", said, k=1), "base")
    assert lost == {"right": 0.25, "right passage missing": 0.25, "right passage there, not used": 0.5}


def test_the_reader_of_an_index_is_a_setting_and_seconds_are_means():
    rows = [
        row(20, method="index brought up to date", share=0.6, reader="base", facts={"index_seconds": 2.0}),
        *(
            row(30, method="weights trained again", share=0.6, seed=s, facts={"train_seconds": 60.0 + s})
            for s in range(3)
        ),
    ]
    found = record("rag_dynamic", rows)
    assert list(rag_figures.updates(found)) == ["new index, base model", "weights trained again"]
    assert rag_figures.update_seconds(rag_figures.updates(found)["weights trained again"]) == "61 s"
    assert rag_figures.update_seconds(rag_figures.updates(found)["new index, base model"]) == "2 s"
    committed = rag_figures.updates(book_records.load("rag_dynamic"))
    assert [len(rows) for rows in committed.values()] == [1, 5, 1, 5, 5, 5]


def test_what_an_index_and_an_answer_take_is_said_in_seconds_and_bytes():
    def seconds(v: float) -> dict:
        return {"value": v, "n": 20, "low": 0.9 * v, "high": 1.1 * v}

    index = {"passages": 294, "build_seconds": 5.0, "search_seconds": seconds(0.01)}
    rows = [(Condition("index"), Scores(facts=index | {"vector_bytes": 2048, "text_bytes": 2048}))]
    rows.append(
        (Condition("answer", k=3), Scores(facts={"seconds": seconds(4.0), "prompt_tokens": seconds(400.0)}))
    )
    found = record("rag_cost", rows)
    assert "4 KiB" in rag_figures.cost_table(found).text
    assert rag_figures.cost_measured(found)["an answer with 3 passages in its prompt"].startswith("4 s")


# -- what a reader opens -----------------------------------------------------------------------------------------------


def test_the_browser_marks_answers_in_their_passages_and_right_ones(made):
    found = made("rag_hybrid")
    passages = {p.id: (p.title, p.text) for p in company.passages()}
    shown = hybrid.browser(found, passages, n=6)
    assert shown.html.count("<summary>") == 6 * (1 + found.params["k"]) and "<script" not in shown.html
    assert "states the fact" in shown.html and "<mark>" in shown.html
    assert shown.html.count("<details>") == shown.html.count("</details>")
    assert len(shown.text.splitlines()) == 6


def test_marks_are_whole_words_and_safe():
    marked = passages.marked("It weighs 43.7 kg & more.", ["43.7 kg"])
    assert marked == "<p>It weighs <mark>43.7 kg</mark> &amp; more.</p>\n"
    assert passages.marked("It weighs 43.7 kg.", ["3.7 kg", "", "43"]) == "<p>It weighs 43.7 kg.</p>\n"
    assert passages.marked("<b>Ana</b>", ["ana."]) == "<p>&lt;b&gt;<mark>Ana</mark>&lt;/b&gt;</p>\n"
    assert passages.marked('**P:** a "td" & p', ["p", 'a "td"']) == (
        "<p><strong><mark>P</mark>:</strong> <mark>a &quot;td&quot;</mark> &amp; <mark>p</mark></p>\n"
    )


def test_a_passage_is_shown_without_its_markup_and_with_its_title_once():
    for p in company.passages():
        soup = BeautifulSoup(passages.passage_html(1, False, p.title, p.text), "html.parser")
        shown = soup.get_text()
        assert shown.count(p.title) == p.text.count(p.title), p.id
        assert "**" not in shown and "|" not in shown, p.id
        assert len(soup.select("tr")) == max(0, sum(line[:1] == "|" for line in p.text.splitlines()) - 1)
        assert len(soup.select("br")) == sum(line[:2] == "**" for line in p.text.splitlines()[3:])


def test_the_form_shows_answer_citation_and_passages():
    asked = []
    passages = [{"title": "One <x>", "text": "Nothing."}, {"title": "Two", "text": "It weighs 43.7 kg."}]

    def answer(question, k):
        asked.append((question, k))
        return {"answer": "43.7 kg", "cited": (1,), "passages": passages}

    form = ask_it(answer, "How heavy?", k=2)
    bundle = form._repr_mimebundle_()
    assert asked == [("How heavy?", 2)]  # one answer serves page and form
    page = bundle["text/html"]
    assert "[2]" in bundle["text/plain"] and "<details open><summary>[2] Two <strong>(cited)" in page
    assert "<mark>43.7 kg</mark>" in page and "One &lt;x&gt;" in page
    question, k, go, out = form.widget().children
    question.value, k.value = "  ", 3
    go.click()
    assert "Write a question first" in out.outputs[0]["data"]["text/html"]
    question.value = "How long?"
    go.click()
    assert asked[-1] == ("How long?", 3)
    none = ask_it(lambda q, k: {"answer": "", "cited": (), "passages": []}, "What?", 0).first()
    assert "(nothing)" in none.text and "cites no passage" in none.html


def test_a_missing_record_is_named_with_its_command(monkeypatch, tmp_path):
    monkeypatch.setattr("whentofinetune.book_files.data_dir", lambda: tmp_path)
    assert "tunewise run rag_hybrid" in repr(each_size.show(hybrid.quadrants_figure, "rag_hybrid"))


def test_a_verdict_is_linked_where_its_box_stands():
    shown = links("C34", "C40")
    assert '<a href="rag_facts.html#C34">' in shown.html
    assert '<a href="decide.html#C40">a question</a>' in shown.html


# -- what the chapters say in words ------------------------------------------------------------------------------------


def of_sizes(name: str) -> list[Record]:
    return list(each_size.sizes(name).values())


def right(rows) -> float:
    return mean(rows, "right")["value"]


@pytest.mark.parametrize("record", of_sizes("rag_knowledge"), ids=lambda r: r.model)
def test_facts_in_the_weights_beat_the_reader_and_seldom_come_back_reversed(record):
    new, back, same = (
        rag_or_weights.methods_to_know(record, k) for k in ("reworded", "reversed", "same wording")
    )
    weights = new["tuned on the facts"]
    for name in ("RAG, index of these facts", "RAG fine-tuning, index of these facts"):
        assert gap(weights, new[name], "right")["low"] > 0, name
    looked_up = gap(new["nearest question among those tuned on"], weights, "right")
    assert looked_up["value"] > 0  # as well or better
    assert looked_up["low"] > -0.1
    assert right(back["tuned on the facts"]) < right(weights) / 2
    assert mean(weights, "abstained")["value"] < 0.05 < mean(new["RAG fine-tuning"], "abstained")["value"]
    few, many = rag_or_weights.phrasings_of(record)
    assert (few, many, record.params["facts"]) == (1, 8, 120) and record.params["readings"] in (80, 240)
    gains = [
        right(record.where(method="tuned", phrasings=many, asked=kind))
        - right(record.where(method="tuned", phrasings=few, asked=kind))
        for kind in ("reworded", "reversed")
    ]
    assert gains[0] > 2 * gains[1] and same["tuned on the facts"]


def test_what_did_best_on_validation_is_marked_as_used():
    def trial(method: str, value: int, **settings) -> tuple:
        return row(value, method=method, trial=True, **settings)

    trials = [
        trial("rag", n, reader=reader) for n, reader in ((9, "plain"), (12, "chat"), (12, "chat, 2 examples"))
    ]
    trials += [trial("tuned", n, recipe=i) for i, n in enumerate((20, 30))]
    recipes = [{"learning_rate": rate, "epochs": 1} for rate in (1e-3, 5e-4)]
    found = record("rag_knowledge", trials, fact_recipes=recipes, reading_recipes=recipes)
    used = [line for line in rag_or_weights.chosen_table(found).text.splitlines() if line.endswith("yes")]
    assert [re.split(r"\s{2,}", line)[:3] for line in used] == [
        ["RAG, prompt", "chat", "30 % [18, 45]"],  # of equals the first
        ["tuned on the facts, recipe", "learning rate 0.0005, epochs 1", "75 % [60, 86]"],
    ]


@pytest.mark.parametrize("record", of_sizes("rag_hybrid"), ids=lambda r: r.model)
def test_without_distractors_in_training_they_cost_right_answers(record):
    alone, beside = (record.where(method="gold only", passages="gold", k=k) for k in (1, 3))
    assert gap(beside, alone, "right")["high"] < 0
    found = record.where(method="gold only", passages="found")
    assert all(mean(rows, "abstained")["value"] == 0 for rows in (alone, beside, found))
    quadrants = {t: hybrid.quadrant(record, t) for t in hybrid.tunings(record)}
    best = max((right(rows), t, name) for t, q in quadrants.items() for name, rows in q.items())
    assert best[1:] == ("facts", "tuning alone")


def test_a_better_prompt_brings_part_of_what_tuning_brings_and_the_rest_is_not_sure():
    model = verdicts.headline("C23").model
    knowledge = book_records.load("rag_knowledge", model=model)
    found = rag_or_weights.methods_to_know(knowledge, "reworded")
    plain, _ = verdicts.verdict("C23", model).findings
    over = gap(found["RAG fine-tuning"], found["RAG"], "right")
    assert rag_or_weights.over_prompt(knowledge) == points(over)
    assert over["low"] < 0 < over["value"] < plain.comparison.estimate
    asked = book_records.load("rag_hybrid", model=model).where(method="base", passages="found")
    assert asked[0].items == found["RAG"][0].items  # the same questions


def test_the_larger_model_repeats_a_planted_value_more_often():
    found = [
        mean(rag_figures.citing(r, "planted")["RAG fine-tuning"], "planted")
        for r in of_sizes("rag_citations")
    ]
    assert found[-1]["low"] > found[0]["value"]


def test_one_call_shows_every_size_that_was_measured():
    names = ["SmolLM2-135M-Instruct", "Qwen2.5-Coder-0.5B-Instruct"]
    menu = each_size.at_each_size(hybrid.losses_figure, "rag_hybrid")
    assert [b["label"] for b in menu.layout["updatemenus"][0]["buttons"]] == names
    table = each_size.at_each_size(rag_figures.dynamic_table, "rag_dynamic")
    assert table.html.count("<table>") == 2 and table.text.startswith(f"{names[0]}\n")
    assert f"<strong>{names[1]}</strong>" in table.html


def test_what_is_said_of_leave_to_abstain_holds_for_the_larger_models():
    """The text: most answers are abstentions then, to either kind of question, and none is right."""
    for model in ("qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"):
        record = book_records.load("rag_hallucination", model=model)
        rows = record.where(method="base", retriever="none, may abstain")
        assert len(rows) == 2 and not any(mean([r], "right")["value"] for r in rows)
        assert all(mean([r], "abstained")["value"] > 0.5 for r in rows)
        plain = record.where(method="base", asked="answerable", retriever="none")
        found = record.where(method="base", asked="answerable", retriever="good")
        assert gap(plain, found, "wrong")["low"] > 0.5  # without leave: wrong far more often
