"""The chapters *Introduction* and *When accuracy is missing*: their experiments' arithmetic, and what their pages make of a record."""

from __future__ import annotations

import types
from collections import Counter, defaultdict

import numpy as np
import pytest

from tunewise import stats
from tunewise.prompt_templates import WORDINGS
from whentofinetune import book_records, experiments
from whentofinetune.datasets import company
from whentofinetune.experiments import label_curve, parse_fixes
from whentofinetune.old_bench import Bench
from whentofinetune.pages import accuracy, accuracy_verdicts, introduction
from whentofinetune.pages.verdict import AGREES, claims

SIZES = (10, 30, 100, 300)


# -- the task ------------------------------------------------------------------------------------------------------------


def test_test_items_are_balanced_over_desks_and_wordings():
    task = label_curve.desks(60)
    by_id = {i.id: i for i in company.labelled("test")}
    groups = Counter((by_id[e.id].label, by_id[e.id].wording) for e in task.test)
    assert len(groups) == 6 and set(groups.values()) == {10}
    assert all(task.labels[e.label] == company.desk(by_id[e.id].signs) for e in task.test)
    assert len(label_curve.desks().test) == len(by_id)
    assert {e.id for e in task.test} <= {e.id for e in label_curve.desks().test}


@pytest.mark.parametrize("wrong", [0, 7, 246])
def test_a_number_of_test_items_that_cannot_be_balanced_is_refused(wrong):
    with pytest.raises(ValueError, match="multiple of 6 from 6 to 240"):
        label_curve.desks(wrong)


def test_knowing_the_trouble_alone_is_right_for_about_three_in_four():
    """As the data card says; the usual desk of each trouble counted here by hand."""
    task = label_curve.desks()
    usual = defaultdict(Counter)
    for i in company.labelled("train"):
        usual[i.signs["trouble"]][company.DESKS.index(i.label)] += 1
    trouble = {i.id: i.signs["trouble"] for i in company.labelled("test")}
    said = label_curve.by_trouble(task)
    for e, p in zip(task.test, said, strict=True):
        counts = usual[trouble[e.id]]
        assert counts[p] == max(counts.values())
    assert 0.65 < np.mean([p == e.label for e, p in zip(task.test, said, strict=True)]) < 0.85


def test_accuracy_is_split_by_wording():
    task = label_curve.desks(12)
    wording = {i.id: i.wording for i in company.labelled("test")}
    said = "".join(str(e.label if wording[e.id] == "seen" else (e.label + 1) % 3) for e in task.test)
    parts = label_curve.apart(said, task)
    assert (parts["seen"]["value"], parts["new"]["value"], parts["seen"]["n"]) == (1.0, 0.0, 6)


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
    assert label_curve.extrapolate(law, (10, 100), scores, 1000) == pytest.approx(expected)


def test_forecasts_agree_with_a_fit_by_numpy():
    sizes, scores = (10, 30), (0.47, 0.58)
    line = np.poly1d(np.polyfit(np.log(sizes), scores, 1))(np.log(300))
    power = 1 - np.exp(np.poly1d(np.polyfit(np.log(sizes), np.log1p(-np.array(scores)), 1))(np.log(300)))
    assert label_curve.extrapolate("line", sizes, scores, 300) == pytest.approx(line)
    assert label_curve.extrapolate("power", sizes, scores, 300) == pytest.approx(power)
    with pytest.raises(ValueError, match="'flat', 'line' or 'power'"):
        label_curve.extrapolate("cubic", sizes, scores, 300)


def answers(labels: list[int], right: int) -> str:
    """Predictions of which the first ``right`` are right."""
    return "".join(str(y if i < right else (y + 1) % 3) for i, y in enumerate(labels))


def test_a_forecasts_error_is_measured_seed_by_seed():
    labels = [0, 1, 2] * 10
    right = {(0, 10): 12, (0, 30): 15, (0, 300): 24, (1, 10): 9, (1, 30): 18, (1, 300): 21}
    rows = [
        {"method": "tfidf", "n_labels": n, "seed": s, "predictions": answers(labels, k)}
        for (s, n), k in right.items()
    ]
    rows.append(
        {"method": "lora", "n_labels": 10, "seed": 0, "predictions": answers(labels, 9)}
    )  # not run at all sizes
    found = label_curve.forecasts("desks", rows, labels, {"forecast": [10, 30, 300], "seeds": [0, 1]})
    assert [r["law"] for r in found] == ["flat", "line", "power"] and {r["learner"] for r in found} == {
        "tfidf"
    }
    flat = found[0]
    assert flat["by_seed"] == [-0.3, -0.1] and flat["error"]["value"] == pytest.approx(-0.2)
    assert flat["error"]["low"] < -0.3 and flat["error"]["n"] == 30


# -- the run -------------------------------------------------------------------------------------------------------------


class NoModel(Bench):
    """A bench whose steps are computed and not kept, whose embeddings are letters, and whose LoRA answers at random."""

    def embed(self, texts):
        return np.array(
            [[t.lower().count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts], dtype=float
        )

    def tuned(self, task_name, n, tuning, wording_name, test_n=None):
        test = self.task(task_name).test
        said = np.random.default_rng(n + tuning.seed).integers(0, 3, len(test))
        return {
            "method": "lora",
            "task": task_name,
            "n_labels": n,
            "seed": tuning.seed,
            **experiments.base.outcome(said, [e.label for e in test]),
        }


@pytest.fixture
def rows(monkeypatch):
    """A run without a model: the prompt *steps* is right on validation and wrong on test, all others are wrong on both."""
    valid = {" ".join(e.text.split()): e.label for e in label_curve.desks().valid}
    asked = []

    def scores(lm, prefix, queries, answers):
        asked.append(prefix)
        texts = [q.split("\n")[0].strip() for q in queries]
        good = "Take the first line that fits" in prefix
        labels = [valid.get(t, 0) if good or t not in valid else (valid[t] + 1) % 3 for t in texts]
        return np.log(np.eye(3)[labels] * 0.8 + 0.1)

    monkeypatch.setattr(label_curve, "label_logprobs", scores)
    monkeypatch.setattr(label_curve, "prompt_tokens", lambda lm, prefix, queries: 1.0)
    params = label_curve.EXPERIMENT.scales["smoke"] | {"rules": len(label_curve.RULES)}
    work = types.SimpleNamespace(step=lambda settings, run: {**settings, **run()})
    bench = NoModel("none", work, None)
    bench.lm = None
    return label_curve.run(bench, params), asked


def test_the_prompt_is_chosen_on_validation_and_kept_on_test(rows):
    found, _ = rows
    tried = [r for r in found if r.get("split") == "valid" and r["method"] == "rule"]
    assert [r["prompt"] for r in tried] == [w.name for w in label_curve.RULES]
    (test,) = [r for r in found if r.get("split") == "test" and r["method"] == "rule"]
    assert test["prompt"] == "steps" and not test["calibrated"]
    assert test["accuracy"]["value"] < max(r["accuracy"]["value"] for r in tried) == 1.0
    assert all(r["prompt"] == "steps" for r in found if r["method"] == "rule and examples")


def test_examples_stand_after_the_rule_and_come_from_training(rows):
    found, asked = rows
    k = label_curve.EXPERIMENT.scales["smoke"]["k"]
    both = [p for p in asked if "Take the first line that fits" in p and p.count("Complaint:") == k + 1]
    assert both
    train = {" ".join(e.text.split()) for e in label_curve.desks().train}
    shown = [part.split("\n")[0].strip() for part in both[0].split("Complaint:")[1:-1]]
    assert len(shown) == k and set(shown) <= train


def test_each_test_row_has_its_parts_and_every_way_is_there(rows):
    found, _ = rows
    for r in found:
        if r["method"] != "forecast" and r.get("split") != "valid":
            whole = (r["seen"]["value"] + r["new"]["value"]) / 2
            assert r["accuracy"]["value"] == pytest.approx(whole)
    assert {r["method"] for r in found} == {
        "majority",
        "trouble known",
        "names",
        "rule",
        "examples",
        "rule and examples",
        "tfidf",
        "embeddings",
        "lora",
        "forecast",
    }
    assert {r["learner"] for r in found if r["method"] == "forecast"} == {"tfidf", "embeddings"}


# -- form ----------------------------------------------------------------------------------------------------------------


def test_what_form_adds_is_the_strict_gain_above_the_scored_one():
    labels = [0, 1] * 10
    before = {
        "strict": {"predictions": "-" * 10 + "".join(str(y) for y in labels[10:])},
        "scored": {"predictions": "0" * 20},
    }
    after = {
        "strict": {"predictions": "".join(map(str, labels))},
        "scored": {"predictions": answers(labels, 15).replace("2", "0")},
    }
    found = parse_fixes.gains(before, [after], labels)
    scored = np.mean([int(p) == y for p, y in zip(after["scored"]["predictions"], labels, strict=True)]) - 0.5
    assert found["strict"]["value"] == pytest.approx(0.5)
    assert found["scored"]["value"] == pytest.approx(scored)
    assert found["form"]["value"] == pytest.approx(0.5 - scored)


def test_an_answer_that_cannot_be_read_is_wrong_and_counted(monkeypatch):
    from tunewise.data import Example, Task

    task = Task(
        "tweets",
        ("positive", "negative"),
        (),
        (),
        (Example("a", 0, "1"), Example("b", 1, "2"), Example("c", 0, "3"), Example("d", 1, "4")),
    )
    monkeypatch.setattr(
        parse_fixes,
        "generate",
        lambda lm, prompts, prefix: [" Positive!", " a smile", " negative", " positive or negative"],
    )
    bench = types.SimpleNamespace(
        scores=lambda lm, wording, task, items: np.array([[0, -1], [0, -1], [-1, 0], [-1, 0]])
    )
    found = parse_fixes.marked(bench, None, task, WORDINGS["bare"], task.test)
    assert found["strict"]["predictions"] == "0-1-"
    assert (
        found["readable"]["value"],
        found["strict"]["accuracy"]["value"],
        found["of_readable"]["value"],
    ) == (0.5, 0.25, 0.5)
    assert found["scored"]["accuracy"]["value"] == 0.5


# -- the pages -----------------------------------------------------------------------------------------------------------


def record(
    accuracies: dict[str, float], seeds=(0, 1), n: int = 60
) -> tuple[book_records.RunRecord, list[int]]:
    """A record of label_curve in which each way has the accuracy that is asked for (at the most labels; less at fewer)."""
    task = label_curve.desks(n)
    labels = [e.label for e in task.test]
    draw = np.random.default_rng(0)

    def scored(share: float) -> dict:
        good = set(draw.permutation(n)[: round(share * n)].tolist())
        said = "".join(str(y if i in good else (y + 1) % 3) for i, y in enumerate(labels))
        return {
            "accuracy": stats.proportion(len(good), n),
            "predictions": said,
            **label_curve.apart(said, task),
        }

    rows = [{"method": m, **scored(accuracies.get(m, 1 / 3))} for m in ("majority", "trouble known")]
    for method, wordings in (("names", label_curve.NAMES), ("rule", label_curve.RULES)):
        for w in wordings:
            tried = {
                "accuracy": stats.proportion(20, 60),
                "prompt_tokens": 50.0,
                "calibrated": {"accuracy": stats.proportion(25, 60)},
            }
            rows.append({"method": method, "prompt": w.name, "says": w.opening, "split": "valid", **tried})
        rows.append(
            {
                "method": method,
                "prompt": wordings[0].name,
                "calibrated": False,
                "split": "test",
                **scored(accuracies.get(method, 0.4)),
            }
        )
    for s in seeds:
        for method in ("examples", "rule and examples"):
            rows.append(
                {
                    "method": method,
                    "k": 20,
                    "seed": s,
                    "split": "test",
                    "prompt": "short",
                    **scored(accuracies.get(method, 0.45)),
                }
            )
        for method in ("tfidf", "embeddings", "lora"):
            rows += [
                {
                    "method": method,
                    "n_labels": size,
                    "seed": s,
                    **scored(accuracies.get(method, 0.6) - 0.1 * (3 - i)),
                }
                for i, size in enumerate(SIZES)
            ]
    params = label_curve.EXPERIMENT.scales["full"] | {"seeds": list(seeds), "test_n": n}
    rows += label_curve.forecasts("desks", rows, labels, params)
    return book_records.RunRecord(
        "label_curve", "full", 1, params, list(seeds), rows, "", {}, "", {}, "", 0.0
    ), labels


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
    found, labels = record(accuracies)
    ours, said, why = accuracy_verdicts.c12(found, labels)
    assert said == agrees and why
    assert ("does worse than" in why) == (agrees == "partly")


def test_equal_learners_leave_the_verdict_at_partly(partly):
    assert accuracy_verdicts.c12(*partly)[1] == "partly"


def test_the_number_of_labels_decides_where_more_do_better(partly):
    ours, said, _ = accuracy_verdicts.c37(*partly)
    assert said == "yes" and "300 labels minus 30" in ours
    flat, labels = record({})
    for r in flat.results:
        if r["method"] == "lora":
            r |= {k: flat.where(method="lora")[0][k] for k in ("predictions", "accuracy")}
    assert accuracy_verdicts.c37(flat, labels)[1] == "no"


def test_figures_and_tables_of_the_rule_say_what_the_record_says(partly):
    found, labels = partly
    table = accuracy.ways_table(found, labels).text
    assert "LoRA, 300 labels" in table and "90 %" in table
    figure = accuracy.ways_figure(found)
    assert "90%" in figure.alt
    assert accuracy.best_prompt(found)[0].startswith(("examples", "the rule and examples"))
    prompts = accuracy.prompts_table(found).text
    assert (
        all(w.name in prompts for w in (*label_curve.NAMES, *label_curve.RULES)) and prompts.count("yes") == 2
    )
    assert "straight line" in accuracy.forecast_table(found).text
    assert "Noises with a beat" in accuracy.description(found).text
    for made in (
        accuracy.desk_curve(found),
        accuracy.live_table(found),
        accuracy.summary(None, found, labels),
    ):
        assert str(made)


def test_one_tuned_model_has_as_many_gains_as_starts():
    wordings, curve = book_records.load("wordings"), book_records.load("learning_curve")
    from whentofinetune.datasets.rated_tasks import load_task

    truth = [e.label for e in load_task("tweets").test]
    text = accuracy.gain_by_start(wordings, curve, truth).text
    n = max(r["n_labels"] for r in curve.where(method="lora"))
    tuned = np.mean([r["accuracy"]["value"] for r in curve.where(method="lora", n_labels=n)])
    for r in wordings.where(method="score", split="test"):
        assert f"{100 * (tuned - r['accuracy']['value']):+.0f} points" in text
    best = max(wordings.where(method="score", split="valid"), key=lambda r: r["accuracy"]["value"])["wording"]
    assert f"“{best}”" in accuracy.hundred(curve, book_records.load("few_shot"), wordings, truth).text


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
