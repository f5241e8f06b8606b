"""The chapters *Introduction* and *When accuracy is missing*: their experiments' arithmetic, and what their pages make of a record."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import nbformat
import numpy as np
import pytest
import torch
from conftest import ROOT
from small_model import made_up, run_small, small, small_context

from tunewise.data import Example, Task
from tunewise.experiment import Condition, Params, Scores
from tunewise.prompting import EMPTY_TEXTS, TEMPLATES
from tunewise.report import gap
from tunewise.scoring import label_logprobs
from whentofinetune import book_records, experiments
from whentofinetune.classification import answered, sample
from whentofinetune.datasets import company, public_texts
from whentofinetune.datasets.desks import NAMES, RULES, by_trouble, desks, wording
from whentofinetune.datasets.rated_tasks import ABOUT
from whentofinetune.experiments import parse_fixes, unwritten_rule
from whentofinetune.pages import accuracy, introduction

SIZES = (10, 30, 100, 300)


# -- the task ------------------------------------------------------------------------------------------------------------


def test_test_items_are_balanced_over_desks_and_wordings():
    task = desks(60)
    by_id = {i.id: i for i in company.labelled("test")}
    groups = Counter((by_id[e.id].label, by_id[e.id].wording) for e in task.test)
    assert len(groups) == 6 and set(groups.values()) == {10}
    assert all(task.labels[e.label] == by_id[e.id].label for e in task.test)
    assert len(desks().test) == len(by_id)
    assert {e.id for e in task.test} <= {e.id for e in desks().test}


@pytest.mark.parametrize("wrong", [0, 7, 246])
def test_a_number_of_test_items_that_cannot_be_balanced_is_refused(wrong):
    with pytest.raises(ValueError, match="multiple of 6 from 6 to 240"):
        desks(wrong)


def test_knowing_the_trouble_alone_is_right_for_about_three_in_four():
    """As the data card says; the usual desk of each trouble counted here by hand."""
    task = desks()
    usual = defaultdict(Counter)
    for i in company.labelled("train"):
        usual[i.signs["trouble"]][company.DESKS.index(i.label)] += 1
    trouble = {i.id: i.signs["trouble"] for i in company.labelled("test")}
    said = by_trouble(task)
    for e, p in zip(task.test, said, strict=True):
        counts = usual[trouble[e.id]]
        assert counts[p] == max(counts.values())
    assert 0.65 < np.mean([p == e.label for e, p in zip(task.test, said, strict=True)]) < 0.85


def test_the_table_of_the_rule_sends_every_complaint_to_its_desk():
    told = [c.source for c in nbformat.read(ROOT / "chapters" / "accuracy.ipynb", 4).cells]
    (rule,) = re.findall(r"^\| a .*(?:\n\|.*)*", "\n".join(told), re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in rule.splitlines()]
    starts = dict(paper="a bill", looks="a mark", drone="an even", water="water", cloth="water")
    starts |= dict(rhythm="a noise", dead="a noise")
    for i in company.labelled():
        (row,) = [r for r in rows if r[0].startswith(starts[i.signs["trouble"]])]
        usual, _, exception = row[1 + ["private", "public", "trade"].index(i.signs["who"])].partition("; ")
        holds = i.signs["before"] == "again" if "second time" in exception else i.signs["place"] == "high"
        assert i.label == (exception.split()[-1] if exception and holds else usual), (row, i.signs)


# -- forecasts -----------------------------------------------------------------------------------------------------------


LABELS = (10, 30, 300)


def predicted(task: Task, right: int, **facts) -> Scores:
    """Predictions of which the first ``right`` are right."""
    said = [e.label if i < right else (e.label + 1) % 3 for i, e in enumerate(task.test)]
    return answered(task.test, said, wording(task.test), **facts)


def forecast(low: int, high: int, real: int, seeds: int = 1) -> dict:
    """Forecasts of a learner that had so many of 30 right at 10, 30 and 300 labels."""
    task, right = desks(30), dict(zip(LABELS, (low, high, real), strict=True))
    rows = [
        (Condition("tfidf", n_labels=n, seed=s), predicted(task, k))
        for s in range(seeds)
        for n, k in right.items()
    ]
    rows.append((Condition("lora", n_labels=10, seed=0), predicted(task, 9)))  # not run at all sizes
    record = made_up(experiments.get("unwritten_rule"), rows)
    assert accuracy.forecasts(record, LABELS, "lora") == {}
    return accuracy.forecasts(record, LABELS, "tfidf")


def test_forecasts_agree_with_a_fit_by_numpy():
    found, scores = forecast(12, 15, 24), np.array((12, 15)) / 30
    line = np.polyval(np.polyfit(np.log((10, 30)), scores, 1), np.log(300)) - 0.8
    power = 1 - np.exp(np.polyval(np.polyfit(np.log((10, 30)), np.log1p(-scores), 1), np.log(300))) - 0.8
    assert [error["value"] for error, _ in found.values()] == pytest.approx([0.5 - 0.8, line, power])


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ((15, 27, 30), [-0.1, 0.0, 1 - 0.1 * 0.2 ** (np.log(10) / np.log(3)) - 1]),  # a line above 1 is cut
        ((18, 30, 30), [0.0, 0.0, 0.0]),
        ((30, 27, 30), [-0.1, 0.9 - 0.1 * np.log(10) / np.log(3) - 1, -1.0]),  # errors from none to some
        ((6, 0, 30), [-1.0, -1.0, -1.0]),
    ],
)
def test_forecasts_stay_between_none_and_all(right, expected):
    assert [error["value"] for error, _ in forecast(*right).values()] == pytest.approx(expected, abs=1e-6)


def test_a_forecasts_interval_is_that_of_its_linear_part():
    """For 'it stays as it is' the interval is that of a paired difference; the worst of the seeds is named."""
    task = desks(30)
    right = {(0, 10): 12, (0, 30): 15, (0, 300): 24, (1, 10): 9, (1, 30): 18, (1, 300): 21}
    rows = [(Condition("tfidf", n_labels=n, seed=s), predicted(task, k)) for (s, n), k in right.items()]
    record = made_up(experiments.get("unwritten_rule"), rows)
    error, worst = accuracy.forecasts(record, LABELS, "tfidf")["it stays as it is"]
    assert error["value"] == pytest.approx(-0.2) and worst == pytest.approx(-0.3)
    assert error["low"] < -0.3 and error["n"] == 30


# -- the run -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ctx(tmp_path, monkeypatch):
    params = experiments.get("unwritten_rule").scales["smoke"] | {"rules": len(RULES)}
    return small_context(tmp_path, monkeypatch, params)


def test_the_prompt_is_chosen_on_validation_and_kept_on_test(ctx):
    """Made-up trials, of which the calibrated prompt *steps* is best; what it does on test is computed here by Bayes' rule."""
    task = desks()
    for c in unwritten_rule.conditions(ctx.params):
        if c.split != "valid":
            continue
        good = [e.label for e in task.valid]
        wrong = [(y + 1) % 3 for y in good]
        scores = answered(task.valid, wrong)
        scores.add("calibrated", answered(task.valid, good if c.prompt == "steps" else wrong))
        ctx.rows += made_up(experiments.get("unwritten_rule"), [(c, scores)]).rows
    ctx.item_sets |= {"set 1": {"ids": [e.id for e in task.valid]}}
    test = desks(ctx.params.test_n).test
    steps, shots = next(w for w in RULES if w.name == "steps"), sample(task, 3, 0)
    for condition, examples in (
        (Condition("rule", split="test"), []),
        (Condition("rule and examples", split="test", k=3, seed=0), shots),
    ):
        row = unwritten_rule.evaluate(ctx, condition)
        assert row.facts["prompt"] == "steps" and row.facts["calibrated"] is True
        prefix = steps.prefix(task, examples)
        queries = [steps.query(task, t) for t in (*(e.text for e in test), *EMPTY_TEXTS)]
        logs = label_logprobs(ctx.lm, prefix, queries, [" bench", " road", " letter"])
        p = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
        odds = p[: len(test)] / p[len(test) :].mean(axis=0)
        assert row.predictions == odds.argmax(axis=1).tolist()
        assert row.facts["other.predictions"] == logs[: len(test)].argmax(axis=1).tolist()
        tokens = [len(ctx.lm.tokenizer(prefix + q)["input_ids"]) for q in queries[: len(test)]]
        assert row.facts["prompt_tokens"] == pytest.approx(np.mean(tokens), abs=0.1)
    assert {text for text, _ in shots} <= {e.text for e in task.train}
    assert all(f"Complaint: {' '.join(text.split())}" in prefix for text, _ in shots)
    name = unwritten_rule.evaluate(ctx, Condition("names", split="test")).facts
    assert (name["prompt"], name["calibrated"]) == (NAMES[0].name, False), "the first of equals"


def test_each_test_row_has_its_parts_and_every_method_is_there(ctx):
    found = run_small(experiments.get("unwritten_rule"), ctx)
    truth = {i.id: (company.DESKS.index(i.label), i.wording) for i in company.labelled()}
    for r in found.results:
        if r.get("split") == "valid":
            continue
        for part in ("seen", "new"):
            pairs = [(p, truth[i]) for p, i in zip(r["predictions"], r.items, strict=True)]
            right = [p == label for p, (label, worded) in pairs if worded == part]
            assert r[part]["value"] == pytest.approx(np.mean(right)) and r[part]["n"] == len(right) == 6
    assert {r["method"] for r in found.results} == {
        "majority",
        "trouble known",
        *("names", "rule", "examples", "rule and examples"),
        *("tfidf", "embeddings", "lora"),
    }
    assert {m for m in accuracy.SHORT if accuracy.forecasts(found, [6, 12, 24], m)} == {"tfidf", "embeddings"}
    assert "LoRA minus this" in accuracy.methods_table(found).text


# -- form ----------------------------------------------------------------------------------------------------------------

PAIR = Task(
    "tweets",
    ("positive", "negative"),
    (),
    (),
    (Example("a", 0, "1"), Example("b", 1, "2"), Example("c", 0, "3"), Example("d", 1, "4")),
)


def both_ways(strict: list[int], scored: list[int]) -> Scores:
    items = [Example(str(i), i % 2, str(i)) for i in range(20)]
    return Scores(items).add("strict", answered(items, strict)).add("scored", answered(items, scored))


def test_what_form_adds_is_the_strict_gain_above_the_scored_one():
    labels = [0, 1] * 10
    rows = [
        (Condition("before", task="t", wording="bare"), both_ways([-1] * 10 + labels[10:], [0] * 20)),
        (
            Condition("lora", task="t", wording="bare", n_labels=8, seed=0),
            both_ways(labels, labels[:15] + [1 - y for y in labels[15:]]),
        ),
    ]
    before, after = made_up(experiments.get("parse_fixes"), rows).results
    found = accuracy.gains(before, [after])
    assert found["strict"]["value"] == pytest.approx(0.5)
    assert found["scored"]["value"] == pytest.approx(0.75 - 0.5)
    assert found["form"]["value"] == pytest.approx(0.25)


def test_an_answer_that_cannot_be_read_is_wrong_and_counted():
    """A model that says what it is told to; its label scores are computed here from the whole prompt at once."""
    lm = small()
    said = {"a": " Positive!", "b": " a smile", "c": " negative", "d": " positive or negative"}

    def generate(*, input_ids, **options):
        texts = [lm.tokenizer.decode(row).split() for row in input_ids]
        ids = [lm.tokenizer(next(said[w] for w in words if w in said))["input_ids"] for words in texts]
        width = max(map(len, ids))
        ids = [row + [lm.tokenizer.eos_token_id] * (width - len(row)) for row in ids]
        return torch.cat([input_ids, torch.tensor(ids)], dim=1)

    lm.model.generate = generate
    row = parse_fixes.scored_twice(lm, PAIR, TEMPLATES["bare"], PAIR.test)
    (found,) = made_up(experiments.get("parse_fixes"), [(Condition("before"), row)]).results
    assert found["strict"]["predictions"] == [0, -1, 1, -1]
    assert [found[m]["value"] for m in ("readable", "of_readable")] == [0.5, 0.5]
    assert found["strict"]["accuracy"]["value"] == 0.25 and found["of_readable"]["n"] == 2
    for e, p in zip(PAIR.test, found["scored"]["predictions"], strict=True):
        prompt = lm.tokenizer(TEMPLATES["bare"].query(PAIR, e.text))["input_ids"]
        scores = []
        for word in (" positive", " negative"):
            ids = lm.tokenizer(word)["input_ids"]
            with torch.no_grad():
                logs = lm.model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
            scores.append(sum(logs[len(prompt) - 1 + i, t].item() for i, t in enumerate(ids)))
        assert p == np.argmax(scores)


def test_parse_fixes_runs(tmp_path, monkeypatch):
    experiment = experiments.get("parse_fixes")
    found = run_small(experiment, small_context(tmp_path, monkeypatch, experiment.scales["smoke"]))
    assert [r["method"] for r in found.results] == ["embeddings", "before", "lora"]
    assert "label-scored" in accuracy.form_table(found).text


# -- the pages -----------------------------------------------------------------------------------------------------------


def record(accuracies: dict[str, float], seeds=(0, 1), n: int = 60, more: float = 0.1):
    """A record of unwritten_rule in which each method has the accuracy that is asked for at the most labels, and ``more`` less at each smaller size."""
    task, draw = desks(n), np.random.default_rng(0)

    def scored(share: float, **facts) -> Scores:
        good = set(draw.permutation(n)[: round(share * n)].tolist())
        said = [e.label if i in good else (e.label + 1) % 3 for i, e in enumerate(task.test)]
        return answered(task.test, said, wording(task.test), **facts)

    params = {"seeds": list(seeds), "test_n": n}
    rows = []
    for c in unwritten_rule.conditions(
        Params({**experiments.get("unwritten_rule").scales["full"], **params})
    ):
        if c.split == "valid":
            prompt = unwritten_rule.PROMPTS[c.prompt]
            tried = answered(task.valid, [0] * 60, says=prompt.opening, prompt_tokens=50.0)
            scores = tried.add("calibrated", answered(task.valid, [1] * 60))
        elif c.split == "test":
            prompts = RULES if "rule" in c.method else NAMES
            share = accuracies.get(c.method, 0.45 if c.k else 0.4)
            scores = scored(share, prompt=prompts[0].name, calibrated=False)
        elif c.n_labels:
            scores = scored(accuracies.get(c.method, 0.6) - more * (3 - SIZES.index(c.n_labels)))
        else:
            scores = scored(accuracies.get(c.method, 1 / 3))
        rows.append((c, scores))
    return made_up(experiments.get("unwritten_rule"), rows, **params)


def test_figures_and_tables_of_the_rule_say_what_the_record_says():
    found = record({"lora": 0.9, "embeddings": 0.8, "rule and examples": 0.5})
    table = accuracy.methods_table(found).text.splitlines()
    line = next(row for row in table if row.startswith("MiniLM, 300 labels"))
    assert "80 %" in line and line.split("  ")[-1].startswith("+10 points")
    assert accuracy.best(accuracy.prompts(found)) == "the rule and examples"
    assert "(the rule and examples) that is +40 points" in accuracy.summary(found).text
    assert "LoRA, 300 labels − the rule and examples +" in accuracy.methods_figure(found).alt
    prompts = accuracy.prompts_table(found).text
    assert all(w.name in prompts for w in (*NAMES, *RULES)) and prompts.count("yes") == 2
    assert "straight line" in accuracy.forecast_table(found).text
    assert "300, 90 %" in accuracy.desk_curve(found).alt
    measured = accuracy.labels_measured(found)
    assert measured["LoRA, 10 labels"]["value"] == pytest.approx(0.6)
    assert measured["300 labels minus 30"].startswith("+20 points")


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        (
            (1 / 3, 0.7, 0.7),
            "2 of 3 training runs end clearly above a constant answer (one by one: 33 %, 70 %, 70 %)",
        ),
        ((0.4, 0.9), "1 of 2 training runs ends clearly above a constant answer (one by one: 40 %, 90 %)"),
        ((0.3, 0.3), "0 of 2 training runs end"),
    ],
)  # of 60 complaints: 40 % are 24, and Wilson's interval of 24 of 60 begins at 28.6 %, below a third
def test_trainings_that_end_at_a_constant_answer_are_counted(shares, said):
    task, seeds = desks(60), range(len(shares))
    right = [e.label for e in task.test]
    wrong = [(y + 1) % 3 for y in right]
    rows = [(Condition("majority"), answered(task.test, right[:20] + wrong[20:]))]
    for seed, share in zip(seeds, shares, strict=True):
        n = round(60 * share)
        condition = Condition("lora", n_labels=300, seed=seed)
        rows.append((condition, answered(task.test, right[:n] + wrong[n:], wording(task.test))))
    found = made_up(experiments.get("unwritten_rule"), rows, seeds=[*seeds], test_n=60)
    assert accuracy.lora_trainings(found).startswith(said)


@pytest.mark.parametrize(("model", "ahead"), [("smollm2-135m", True), ("qwen2.5-coder-0.5b", False)])
def test_beside_word_counts_lora_is_ahead_where_the_text_says_so(model, ahead):
    found = accuracy.at_most_labels(book_records.load("unwritten_rule", model=model))
    tuned, words = found["LoRA, 300 labels"], found["TF-IDF, 300 labels"]
    assert gap(tuned, words, "new")["low"] > 0
    assert (gap(tuned, words)["low"] > 0) == ahead and (gap(tuned, words, "seen")["high"] > 0) == ahead


def test_one_tuned_model_has_as_many_gains_as_starts():
    wordings, curve = book_records.load("wordings"), book_records.load("learning_curve")
    text = accuracy.starts_table(wordings, curve).text
    n = max(r["n_labels"] for r in curve.where(method="lora"))
    tuned = np.mean([r["accuracy"]["value"] for r in curve.where(method="lora", n_labels=n)])
    for r in wordings.where(method="score", split="test"):
        assert f"{100 * (tuned - r['accuracy']['value']):+.0f} points" in text
    best = max(wordings.where(method="score", split="valid"), key=lambda r: r["accuracy"]["value"])["wording"]
    assert f"“{best}”" in accuracy.hundred(curve, book_records.load("few_shot"), wordings).text


def test_gains_are_drawn_from_the_lowest_start_up():
    record = book_records.load("gain_prediction")
    drawn = accuracy.gain_by_start(record).data[0]
    starts, about = [], public_texts.ABOUT | ABOUT
    for name, gain in zip(drawn["hovertext"], drawn["x"], strict=True):
        task = next(task for task, words in about.items() if words == name.split(";")[0])
        start = record.one(method="zero-shot", task=task)["accuracy"]["value"]
        tuned = np.mean([r["accuracy"]["value"] for r in record.where(method="lora", task=task)])
        assert gain == pytest.approx(tuned - start)
        starts.append(start)
    assert starts == sorted(starts) and len(starts) == len(record.params["tasks"]) + len(
        record.params["collections"]
    )


# -- the introduction ----------------------------------------------------------------------------------------------------


def test_what_peft_keeps_is_counted_in_bytes():
    methods = book_records.load("tuning_methods")
    text = introduction.what_is_trained(methods).text
    lora, full = (methods.where(method=m)[0]["trainable"] for m in ("lora", "full"))
    assert f"{100 * lora / full:.1f} %" in text and f"{lora * 4 / 1e6:,.0f} MB" in text and "100.0 %" in text


def test_the_introduction_shows_the_prompt_templates_of_the_record():
    wordings = book_records.load("wordings")
    n = len(wordings.where(method="score", split="test"))
    assert introduction.prompt_templates(wordings).text.count("“") == n
    assert "VADER" in introduction.then_and_now(book_records.load("learning_curve")).alt
