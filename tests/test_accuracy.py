"""The chapters *Introduction* and *When accuracy is missing*: their experiments' arithmetic, and what their pages make of a record."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from small_model import made_up, run_small, small, small_context

from tunewise.data import Example, Task
from tunewise.experiment import Condition, Params, Scores
from tunewise.prompt_templates import WORDINGS
from tunewise.prompting import EMPTY_TEXTS
from tunewise.scoring import label_logprobs
from whentofinetune import book_records
from whentofinetune.classification import answered, sample
from whentofinetune.datasets import company
from whentofinetune.datasets.desks import NAMES, RULES, by_trouble, desks, wording
from whentofinetune.experiments import label_curve, parse_fixes
from whentofinetune.pages import accuracy, accuracy_verdicts, introduction
from whentofinetune.pages.verdict import AGREES, claims

SIZES = (10, 30, 100, 300)


# -- the task ------------------------------------------------------------------------------------------------------------


def test_test_items_are_balanced_over_desks_and_wordings():
    task = desks(60)
    by_id = {i.id: i for i in company.labelled("test")}
    groups = Counter((by_id[e.id].label, by_id[e.id].wording) for e in task.test)
    assert len(groups) == 6 and set(groups.values()) == {10}
    assert all(task.labels[e.label] == company.desk(by_id[e.id].signs) for e in task.test)
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


# -- forecasts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "scores", "expected"),
    [
        ("flat", (0.5, 0.6), 0.6),
        ("line", (0.5, 0.6), 0.7),  # a step of ten again brings as much again
        ("line", (0.5, 0.9), 1.0),
        ("line", (0.6, 0.2), 0.0),
        ("power", (0.6, 0.8), 0.9),  # errors 0.4, 0.2, 0.1
        ("power", (0.6, 1.0), 1.0),
        ("power", (0.2, 0.0), 0.0),
        ("power", (1.0, 0.9), 0.0),
    ],
)
def test_forecasts_as_worked_out_by_hand(law, scores, expected):
    assert accuracy.extrapolate(law, (10, 100), scores, 1000) == pytest.approx(expected)


def test_forecasts_agree_with_a_fit_by_numpy():
    sizes, scores = (10, 30), (0.47, 0.58)
    line = np.poly1d(np.polyfit(np.log(sizes), scores, 1))(np.log(300))
    power = 1 - np.exp(np.poly1d(np.polyfit(np.log(sizes), np.log1p(-np.array(scores)), 1))(np.log(300)))
    assert accuracy.extrapolate("line", sizes, scores, 300) == pytest.approx(line)
    assert accuracy.extrapolate("power", sizes, scores, 300) == pytest.approx(power)
    with pytest.raises(ValueError, match="'flat', 'line' or 'power'"):
        accuracy.extrapolate("cubic", sizes, scores, 300)


def predicted(task: Task, right: int, **facts) -> Scores:
    """Predictions of which the first ``right`` are right."""
    said = [e.label if i < right else (e.label + 1) % 3 for i, e in enumerate(task.test)]
    return answered(task.test, said, wording(task.test), **facts)


def test_a_forecasts_error_is_measured_seed_by_seed():
    task = desks(30)
    right = {(0, 10): 12, (0, 30): 15, (0, 300): 24, (1, 10): 9, (1, 30): 18, (1, 300): 21}
    rows = [(Condition("tfidf", n_labels=n, seed=s), predicted(task, k)) for (s, n), k in right.items()]
    rows.append((Condition("lora", n_labels=10, seed=0), predicted(task, 9)))  # not run at all sizes
    found = list(accuracy.forecasts(made_up(label_curve.EXPERIMENT, rows), [10, 30, 300], [0, 1]))
    assert [f["law"] for f in found] == ["flat", "line", "power"]
    assert {f["learner"] for f in found} == {"tfidf"}
    flat = found[0]
    assert flat["by_seed"] == [-0.3, -0.1] and flat["error"]["value"] == pytest.approx(-0.2)
    assert flat["error"]["low"] < -0.3 and flat["error"]["n"] == 30


# -- the run -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ctx(tmp_path, monkeypatch):
    params = label_curve.EXPERIMENT.scales["smoke"] | {"rules": len(RULES)}
    return small_context(tmp_path, monkeypatch, params)


def test_the_prompt_is_chosen_on_validation_and_kept_on_test(ctx):
    """Made-up trials, of which the calibrated prompt *steps* is best; what it does on test is computed here by Bayes' rule."""
    task = desks()
    for c in label_curve.conditions(ctx.params):
        if c.split != "valid":
            continue
        good = [e.label for e in task.valid]
        wrong = [(y + 1) % 3 for y in good]
        scores = answered(task.valid, wrong)
        scores.add("calibrated", answered(task.valid, good if c.prompt == "steps" else wrong))
        ctx.rows += made_up(label_curve.EXPERIMENT, [(c, scores)]).rows
    ctx.item_sets |= {"set 1": {"ids": [e.id for e in task.valid]}}
    test = desks(ctx.params.test_n).test
    steps, shots = next(w for w in RULES if w.name == "steps"), sample(task, 3, 0)
    for condition, examples in (
        (Condition("rule", split="test"), []),
        (Condition("rule and examples", split="test", k=3, seed=0), shots),
    ):
        row = label_curve.evaluate(ctx, condition)
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
    name = label_curve.evaluate(ctx, Condition("names", split="test")).facts
    assert (name["prompt"], name["calibrated"]) == (NAMES[0].name, False), "the first of equals"


def test_each_test_row_has_its_parts_and_every_method_is_there(ctx):
    found = run_small(label_curve.EXPERIMENT, ctx)
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
    assert {f["learner"] for f in accuracy.forecasts(found, [6, 12, 24], [0])} == {"tfidf", "embeddings"}
    assert "seeds" in accuracy.live_table(found).text


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
    before, after = made_up(parse_fixes.EXPERIMENT, rows).results
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
    row = parse_fixes.scored_twice(lm, PAIR, WORDINGS["bare"], PAIR.test)
    (found,) = made_up(parse_fixes.EXPERIMENT, [(Condition("before"), row)]).results
    assert found["strict"]["predictions"] == [0, -1, 1, -1]
    assert [found[m]["value"] for m in ("readable", "of_readable")] == [0.5, 0.5]
    assert found["strict"]["accuracy"]["value"] == 0.25 and found["of_readable"]["n"] == 2
    for e, p in zip(PAIR.test, found["scored"]["predictions"], strict=True):
        prompt = lm.tokenizer(WORDINGS["bare"].query(PAIR, e.text))["input_ids"]
        scores = []
        for word in (" positive", " negative"):
            ids = lm.tokenizer(word)["input_ids"]
            with torch.no_grad():
                logs = lm.model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
            scores.append(sum(logs[len(prompt) - 1 + i, t].item() for i, t in enumerate(ids)))
        assert p == np.argmax(scores)


def test_parse_fixes_runs(tmp_path, monkeypatch):
    experiment = parse_fixes.EXPERIMENT
    found = run_small(experiment, small_context(tmp_path, monkeypatch, experiment.scales["smoke"]))
    assert [r["method"] for r in found.results] == ["embeddings", "before", "lora"]
    assert (
        "label-scored" in accuracy.form_table(found).text
        and "label-scored" in accuracy.form_figure(found).alt
    )


# -- the pages -----------------------------------------------------------------------------------------------------------


def record(accuracies: dict[str, float], seeds=(0, 1), n: int = 60, more: float = 0.1):
    """A record of label_curve in which each method has the accuracy that is asked for at the most labels, and ``more`` less at each smaller size."""
    task, draw = desks(n), np.random.default_rng(0)

    def scored(share: float, **facts) -> Scores:
        good = set(draw.permutation(n)[: round(share * n)].tolist())
        said = [e.label if i in good else (e.label + 1) % 3 for i, e in enumerate(task.test)]
        return answered(task.test, said, wording(task.test), **facts)

    params = {"seeds": list(seeds), "test_n": n}
    rows = []
    for c in label_curve.conditions(Params({**label_curve.EXPERIMENT.scales["full"], **params})):
        if c.split == "valid":
            prompt = label_curve.PROMPTS[c.prompt]
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
    return made_up(label_curve.EXPERIMENT, rows, **params)


@pytest.fixture(scope="module")
def partly():
    return record({"lora": 0.9, "embeddings": 0.9})


@pytest.mark.parametrize(
    ("accuracies", "agrees"),
    [
        ({"lora": 0.45, "rule": 0.5}, "no"),
        ({"lora": 0.95, "tfidf": 0.6, "embeddings": 0.6}, "yes"),
        ({"lora": 0.7, "embeddings": 0.95}, "partly"),
    ],
)
def test_the_verdict_on_a_rule_that_is_hard_to_prompt(accuracies, agrees):
    ours, said, why = accuracy_verdicts.c12(record(accuracies))
    assert said == agrees and why
    assert ("does worse than" in why) == (agrees == "partly")


def test_equal_learners_leave_the_verdict_at_partly(partly):
    assert accuracy_verdicts.c12(partly)[1] == "partly"


def test_the_number_of_labels_decides_where_more_do_better(partly):
    ours, said, _ = accuracy_verdicts.c37(partly)
    assert said == "yes" and "300 labels minus 30" in ours
    assert accuracy_verdicts.c37(record({}, more=0))[1] == "no"


def test_figures_and_tables_of_the_rule_say_what_the_record_says(partly):
    found = partly
    table = accuracy.ways_table(found).text
    assert "LoRA, 300 labels" in table and "90 %" in table
    figure = accuracy.ways_figure(found)
    assert "90%" in figure.alt
    assert accuracy.best_prompt(found)[0].startswith(("examples", "the rule and examples"))
    prompts = accuracy.prompts_table(found).text
    assert all(w.name in prompts for w in (*NAMES, *RULES)) and prompts.count("yes") == 2
    assert "straight line" in accuracy.forecast_table(found).text
    assert "Noises with a beat" in accuracy.description(found).text
    for made in (
        accuracy.desk_curve(found),
        accuracy.live_table(found),
        accuracy.summary(found),
    ):
        assert str(made)


def test_one_tuned_model_has_as_many_gains_as_starts():
    wordings, curve = book_records.load("wordings"), book_records.load("learning_curve")
    text = accuracy.gain_by_start(wordings, curve).text
    n = max(r["n_labels"] for r in curve.where(method="lora"))
    tuned = np.mean([r["accuracy"]["value"] for r in curve.where(method="lora", n_labels=n)])
    for r in wordings.where(method="score", split="test"):
        assert f"{100 * (tuned - r['accuracy']['value']):+.0f} points" in text
    best = max(wordings.where(method="score", split="valid"), key=lambda r: r["accuracy"]["value"])["wording"]
    assert f"“{best}”" in accuracy.hundred(curve, book_records.load("few_shot"), wordings).text


def test_the_start_of_each_task_is_drawn_against_its_gain():
    gains = book_records.load("gain_prediction")
    figure = accuracy.start_figure(gains)
    assert len(figure.data[0]["x"]) == len(gains.params["tasks"])
    from scipy.stats import spearmanr

    start = figure.data[0]["x"]
    end = np.array(start) + np.array(figure.data[0]["y"])
    assert f"{spearmanr(start, end).statistic:+.2f}" in accuracy.start_words(gains).text


# -- the introduction ----------------------------------------------------------------------------------------------------


def test_what_peft_keeps_is_counted_in_bytes():
    methods = book_records.load("tuning_methods")
    text = introduction.what_is_trained(methods).text
    lora, full = (methods.where(method=m)[0]["trainable"] for m in ("lora", "full"))
    assert f"{lora / full:.1%}" in text and f"{lora * 4 / 1e6:,.0f} MB" in text and "100.0%" in text


def test_findings_are_the_helpers_verdicts():
    from whentofinetune.calculators.decide_rules import FOUND

    text = introduction.findings().text
    for claim, agrees in FOUND.items():
        line = next(row for row in text.splitlines() if row.split()[0] == claim)
        assert claims()[claim]["claim"] in line and line.endswith(AGREES[agrees][0])
    assert f"{len(FOUND)} of those" in introduction.score().text


def test_the_introduction_shows_the_wordings_of_a_live_run_and_of_the_record():
    wordings = book_records.load("wordings")
    assert introduction.two_prompts(wordings).text.count("“") == len(
        wordings.where(method="score", split="test")
    )
    assert (
        f"{len(wordings.where(method='score', split='test'))} wordings"
        in introduction.compared(wordings).text
    )
    assert "VADER" in introduction.then_and_now(book_records.load("learning_curve")).alt
