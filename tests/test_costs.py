"""What tuning costs and saves: adapters for several tasks, distilled models, a distilled judge, and the calculator of all that."""

import json
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from itertools import product
from types import SimpleNamespace
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from small_model import made_up, run_small, small_context

from tunewise.compare import monthly_cost
from tunewise.compare.base import Cost
from tunewise.data import SPLITS
from tunewise.experiment import Condition, Scores
from tunewise.prompting import EMPTY_TEXTS
from tunewise.report import mean
from whentofinetune import book_records, experiments
from whentofinetune.calculators import method_costs, read
from whentofinetune.calculators.cost import meeting
from whentofinetune.datasets import company, judged_texts, rated_tasks, vader
from whentofinetune.datasets.desks import complaints
from whentofinetune.datasets.rated_tasks import load_task
from whentofinetune.pages import Live, costs


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """The three experiments at scale smoke with the small model, as records; and the model."""
    found = {}
    for name in ("task_diversity", "distillation", "judge"):
        experiment = experiments.get(name)
        with pytest.MonkeyPatch.context() as patch:
            ctx = small_context(tmp_path_factory.mktemp("cache"), patch, experiment.scales["smoke"])
            ctx.load = lambda lm=ctx.lm: lm
            found[experiment.name] = run_small(experiment, ctx)
        found.setdefault("lm", ctx.lm)
    return found


# -- several tasks, several adapters -----------------------------------------------------------------------------------


def test_complaints_are_balanced_and_their_splits_apart():
    task = complaints()
    for split in SPLITS:
        counts = Counter(e.label for e in getattr(task, split))
        assert len(counts) == len(task.labels) and len(set(counts.values())) == 1 and counts[0] >= 3
    texts = [{e.text for e in part} for part in (task.train, task.valid, task.test)]
    assert not texts[0] & texts[2] and not texts[0] & texts[1] and not texts[1] & texts[2]
    trouble = {i.text: i.signs["trouble"] for i in company.labelled()}
    assert all(trouble[e.text] == "water" for e in task.test if task.labels[e.label] == "water")


def test_every_adapter_is_asked_about_every_task(records):
    rows = [r for r in records["task_diversity"].results if r["method"] != "switch"]
    tasks = ["tweets", "domain", "complaints"]
    asked = [(r["trained"], r["tested"]) for r in rows]
    assert asked == list(product(["none", *tasks, "mixed", "mixed, same total"], tasks))
    labels = {
        e.id: e.label for e in (*load_task("tweets").test, *load_task("domain").test, *complaints().test)
    }
    for row in rows:
        right = sum(p == labels[i] for p, i in zip(row["predictions"], row.items, strict=True))
        assert row["accuracy"]["value"] == pytest.approx(right / len(row.items))


def test_mixed_adapters_see_as_many_examples_as_they_say(records):
    record = records["task_diversity"]
    seen = {
        r["trained"]: (r["of_each"], r["n_labels"], r["examples_seen"]) for r in record.where(method="lora")
    }
    n, passes = record.params["labels"], record.params["recipe"]["epochs"]
    assert seen["tweets"] == (n, n, n * passes)
    assert seen["mixed"] == (n, 3 * n, 3 * n * passes)
    assert seen["mixed, same total"] == (n // 3, n, n * passes)


def test_an_adapter_answers_the_same_after_others_had_their_turn(records):
    record = records["task_diversity"]
    row = record.one(method="switch")
    assert row["same_after_switching"] == {"tweets": True, "domain": True, "complaints": True}
    assert row["same_when_off"]
    assert len(row["switch_ms"]) == 6 + record.params["switches"] and min(row["switch_ms"]) >= 0
    assert row["adapter_bytes"] == 4 * record.where(method="lora")[0]["trainable"]
    # the base model is left as it was
    assert not any("lora" in name for name, _ in records["lm"].model.named_parameters())


# -- a student learns from a teacher -------------------------------------------------------------------------------------


def test_slices_are_apart_and_hard_is_nearer_to_a_threshold():
    parts = rated_tasks.slices(load_task("tweets"), load_task("products"))
    rating = {r.id: r.rating for r in vader.read("tweets")}

    def distances(items):
        return [min(abs(rating[e.id] - 0.8), abs(rating[e.id] + 0.8)) for e in items]

    assert max(distances(parts["hard"])) <= min(distances(parts["easy"]))
    assert {e.id for e in parts["hard"]} | {e.id for e in parts["easy"]} == {
        e.id for e in load_task("tweets").test
    }
    assert parts["shifted"] == load_task("products").test


def test_what_the_teacher_labels_is_neither_its_own_training_examples_nor_test():
    task = load_task("tweets")
    known = [e.text for e in task.train[:50]]
    pool = rated_tasks.unlabelled(task, known, 200, 3)
    texts = [e.text for e in pool]
    taken = set(known) | {e.text for e in (*task.test, *task.valid)}
    assert len(set(texts)) == 200 and not set(texts) & taken
    same, other = (rated_tasks.unlabelled(task, known, 200, seed) for seed in (3, 4))
    assert pool == same != other
    sentiment = {r.text: r.sentiment for r in vader.read("tweets")}
    assert all(task.labels[e.label] == sentiment[e.text] for e in pool)


def test_students_learn_from_the_teacher_from_people_and_from_few_labels(records):
    record = records["distillation"]
    scored = [r for r in record.results if "slice" in r]
    models = [("teacher", None), *product(("embeddings", "tfidf"), ("teacher", "human", "few human"))]
    assert {((r["method"], r.get("source")), r["slice"]) for r in scored} == set(
        product(models, ("easy", "hard", "shifted"))
    )
    assert {r["n_labels"] for r in scored if r.get("source") == "few human"} == {9}
    assert {r["n_labels"] for r in scored if r.get("source") in ("teacher", "human")} == {12}
    clocks = {r["of"]: r for r in record.where(method="clock")}
    assert set(clocks) == {"teacher", "embeddings", "tfidf"}
    assert all(c["batched"] > 0 and c["seconds"]["n"] == len(c["waits"]) == 2 for c in clocks.values())


def test_a_student_of_the_teacher_repeats_what_the_teacher_says_of_everything(tmp_path, monkeypatch):
    """Of a teacher that gives all texts one label, its student gives all texts that label too; other students do not depend on it."""
    experiment = experiments.get("distillation")
    ctx = small_context(tmp_path, monkeypatch, experiment.scales["smoke"])
    ctx.rows.append(
        {**Condition("labelling", n_labels=9, seed=0).settings, "predictions": [2] * ctx.params.pool}
    )
    told = {"n_labels": 12, "slice": "hard", "seed": 0}
    student = experiment.evaluate(ctx, Condition("tfidf", source="teacher", **told))
    human = experiment.evaluate(ctx, Condition("tfidf", source="human", **told))
    assert set(student.predictions) == {2} and student.ids == human.ids
    assert human.predictions != student.predictions


# -- a judge learns from a teacher ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", judged_texts.inserts())
def test_what_is_put_in_breaks_its_own_rule_and_no_other(rule):
    for sentence in judged_texts.inserts()[rule]:
        checked = company.check_voice(sentence, "")
        assert [r for r in judged_texts.RULES if not checked[r]] == ([rule] if rule else []), sentence


def test_the_replies_themselves_break_no_rule_and_no_wording_is_in_both_splits():
    for split in ("train", "test"):
        assert all(judged_texts.teacher(judged_texts.body(mail)) == 0 for mail in company.mails(split))
    inserts = [s for sentences in judged_texts.inserts().values() for s in sentences]
    assert len(set(inserts)) == len(inserts)
    train = " ".join(t.text for t in judged_texts.pointwise("train", 200, 0))
    test = " ".join(t.text for t in judged_texts.pointwise("test", 200, 0))
    used = {s: (s in train, s in test) for s in inserts}
    assert all(a != b for a, b in used.values()), used


def test_items_are_balanced_and_the_better_text_breaks_fewer_rules():
    points, pairs = judged_texts.pointwise("test", 60, 0), judged_texts.pairwise("test", 30, 0)
    assert sum(t.broken == 0 for t in points) == 30 and sum(t.broken == 2 for t in points) == 15
    broken = [(p.first.broken, p.second.broken) for p in pairs]
    assert sum(a < b for a, b in broken) == sum(b < a for a, b in broken) == 15
    assert {tuple(sorted(pair)) for pair in broken} == {(0, 1), (0, 2), (1, 2)}
    assert all(t.broken == judged_texts.teacher(t.text) for p in pairs for t in (p.first, p.second))
    assert all(
        (p.second if p.label else p.first).broken == min(b) for p, b in zip(pairs, broken, strict=True)
    )
    for items in (points, pairs):
        assert len({i.id for i in items}) == len(items)


def test_judges_give_verdicts_both_ways(records):
    rows = records["judge"].results
    assert {(r["method"], r["scheme"]) for r in rows} == {
        *product(("asked", "rubric", "tuned"), ("point", "alone", "pair")),
        *product(("tfidf", "embeddings", "rules"), ("point",)),
    }
    for row in rows:
        if row["scheme"] == "pair":
            turned = row["swapped"]["predictions"]
            assert row.outcomes("consistent") == [
                a == b for a, b in zip(row["predictions"], turned, strict=True)
            ]
    price = {(r["method"], r["scheme"]): r for r in rows if "prompt_tokens" in r}
    for scheme in ("point", "pair"):
        asked, rubric, tuned = (price[method, scheme] for method in ("asked", "rubric", "tuned"))
        assert tuned["prompt_tokens"] == asked["prompt_tokens"] < rubric["prompt_tokens"]
        longer = rubric["shared_tokens"] - asked["shared_tokens"]
        assert rubric["prompt_tokens"] - asked["prompt_tokens"] == pytest.approx(longer) and longer > 50


def test_a_pair_judged_both_ways_as_in_plain_passes(tmp_path, monkeypatch):
    """An untuned judge's verdicts on pairs, in both orders, from one plain forward pass a completion, calibrated by hand."""
    experiment = experiments.get("judge")
    ctx = small_context(tmp_path, monkeypatch, experiment.scales["smoke"] | {"pairs": 3})
    row = experiment.evaluate(ctx, Condition("asked", scheme="pair"))
    opening, closing = "Which text keeps the rules of the house better?\n\nA:", "\nBetter:"

    def scores(first: str, second: str) -> np.ndarray:
        before = [t for part in (opening, f" {first}\nB: {second}{closing}") for t in tokens(part)]
        (a,), (b,) = tokens(" A"), tokens(" B")
        logits = ctx.lm.model(torch.tensor([before])).logits[0, -1]
        return logits.log_softmax(-1)[[a, b]].detach().double().numpy()

    def tokens(text: str) -> list[int]:
        return ctx.lm.tokenizer(text, add_special_tokens=False)["input_ids"]

    usual = np.mean([softmax(scores(t, t)) for t in EMPTY_TEXTS], axis=0)
    for pair, chosen, turned in zip(
        judged_texts.pairwise("test", 3, 0), row.predictions, row.facts["swapped.predictions"], strict=True
    ):
        a, b = pair.first.text, pair.second.text
        assert chosen == int(np.argmax(scores(a, b) - np.log(usual)))
        assert turned == 1 - int(np.argmax(scores(b, a) - np.log(usual)))


# -- what the pages make of it ---------------------------------------------------------------------------------------------


def right(rows) -> float:
    return np.mean([r.outcomes("accuracy") for r in rows])


def test_figures_and_tables_are_made_of_records_alone(records):
    diverse, distilled, judged = (records[n] for n in ("task_diversity", "distillation", "judge"))
    parts = [
        *(make(diverse) for make in (costs.diversity_matrix, costs.switching_table)),
        *(make(distilled) for make in (costs.distil_table, costs.distil_gaps, costs.distil_times)),
        *(make(judged) for make in (costs.judge_table, costs.judge_cost_table)),
        costs.shorter_prompt(*map(book_records.load, ("prompt_cost", "few_shot", "learning_curve"))),
        costs.summary(*map(book_records.load, ("distillation", "judge"))),
    ]
    assert not any(re.search(r"\bnan\b", str(part), re.IGNORECASE) for part in parts)


def test_each_adapter_is_shown_on_each_task(records):
    record = records["task_diversity"]
    names = ["tweets", "domain", "complaints", "none", "mixed", "mixed, same total"]
    assert list(costs.adapters(record)) == names
    for adapter, cells in costs.diversity(record).items():
        for task, found in cells.items():
            assert found["value"] == pytest.approx(right(record.where(trained=adapter, tested=task)))


def test_what_a_teacher_brings_is_the_difference_to_the_same_student(records):
    record = records["distillation"]
    figure = costs.distil_gaps(record)
    assert [trace["name"] for trace in figure.data] == [*costs.SLICES.values()]
    for trace, part in zip(figure.data, costs.SLICES, strict=True):
        by_hand = [
            right(record.where(method=m, source="teacher", slice=part))
            - right(record.where(method=m, source=source, slice=part))
            for m, source in product(costs.STUDENTS, ("human", "few human"))
        ]
        assert trace["x"] == pytest.approx(by_hand)


def test_of_several_runs_the_middle_one_is_timed():
    def timed(seconds: float) -> Scores:
        known = {"value": seconds, "n": 8, "low": seconds, "high": seconds}
        return Scores(
            facts={"prompt_tokens": 5, "shared_tokens": 1, "train_seconds": seconds, "seconds": known}
        )

    rows = [(Condition("rules", scheme="point"), timed(0.5))]
    for method, scheme in product(("asked", "rubric", "tuned"), ("point", "pair")):
        rows += [
            (Condition(method, scheme=scheme, seed=i), timed(s)) for i, s in enumerate((70.0, 10.0, 20.0))
        ]
    lines = costs.judge_cost_table(made_up(experiments.get("judge"), rows)).text.splitlines()
    assert sum("20 [20, 20]" in line for line in lines) == 6 and not any("70 [" in line for line in lines)


# -- the calculator of five methods -------------------------------------------------------------------------------------------


def test_four_ways_by_hand():
    """Question 150, examples 1,350, three passages of 120, answer 20 tokens; $1 and $3 a million untuned, $2 and $6 tuned."""
    found = method_costs.methods(method_costs.Methods())
    assert found["long prompt"].call == pytest.approx(0.00150 + 0.00006)
    # 150 + 360 tokens at 1, 20 at 3, and 150 tokens embedded at 0.1 a million
    assert found["RAG"].call == pytest.approx(0.00051 + 0.00006 + 0.000015)
    assert found["tuned model"].call == pytest.approx(0.00030 + 0.00012)
    assert found["RAG + tuned"].call == pytest.approx(0.00102 + 0.00012 + 0.000015)
    # 10,000 passages of 120 tokens at 0.1 a million are 0.12; a tenth of them changes each month, and the store is 20
    assert found["RAG"].setup == pytest.approx(0.12) and found["RAG"].upkeep == pytest.approx(20.012)
    # 300 labels of half a minute are 2.5 hours at 50: 125 euro, and a fifth of them anew four times a year
    assert found["tuned model"].setup == pytest.approx(10 + 125)
    assert found["tuned model"].upkeep == pytest.approx((40 + 100) / 12)
    small = found["small classifier"]
    assert (small.call, small.setup, small.standing(100_000)) == (
        0,
        pytest.approx(125),
        pytest.approx(6 + 100 / 12),
    )
    # 100,000 calls save 156 - 58.5 = 97.5; less 20.012 of upkeep; 0.12 is back after 0.00155 months
    m = meeting(found["long prompt"], found["RAG"], 100_000)
    assert m.months == pytest.approx(0.12 / 77.488) and m.calls_per_month == pytest.approx(20.012 / 0.000975)


def test_servers_of_ones_own_by_hand():
    """A server answers 788,400 s a month. Ten million calls of 0.25 s are 3.2 of it, with 360 tokens of passages at 2 s a thousand (0.97 s)
    12.3, and with the classifier's 0.015 s one. Where a provider answers and is paid by the token, there are none of the tuned model."""
    s = method_costs.Methods(calls_per_month=1e7, own_server=True, hosting_per_month=20, server_per_month=6)
    calls = {n: m.servers(1e7) for n, m in method_costs.methods(s).items()}
    assert calls == {"long prompt": 0, "RAG": 0, "tuned model": 4, "RAG + tuned": 13, "small classifier": 1}
    own, hosted = (method_costs.methods(x) for x in (s, replace(s, own_server=False)))
    assert own["tuned model"].month(1e7) - hosted["tuned model"].month(1e7) == pytest.approx(3 * 20)
    assert "tuned model 4, RAG + tuned 13, small classifier 1." in method_costs.methods_verdict(s)
    said = method_costs.methods_verdict(replace(s, own_server=False))
    assert "at most: small classifier 1." in said and "taken as a provider's" in said


def test_the_form_starts_with_seconds_of_the_records():
    """The clock of the tuned teacher and of its student; 16 examples are 466 tokens, for which a call took 0.9404 s longer."""
    start = costs.methods_settings(*map(book_records.load, ("prompt_cost", "distillation")))
    assert (start["seconds_a_call"], start["small_seconds"]) == (0.255, 0.014)
    assert start["seconds_longer"] == round(0.9404 / 0.466, 2)


def test_embedding_on_ones_own_machine_by_hand():
    """0.036 s a passage at 1 euro an hour are 0.00001 euro: 0.10 for 10,000 passages, and the same for each question."""
    s = method_costs.Methods(
        embed_price=0.0, embed_seconds=0.036, machine_per_hour=1.0, changed_per_month=0.5, store_per_month=0.0
    )
    rag = method_costs.methods(s)["RAG"]
    assert (
        rag.setup == pytest.approx(0.1)
        and rag.upkeep == pytest.approx(0.05)
        and rag.parts["search"] == pytest.approx(0.00001)
    )


money, many = st.floats(0, 1000), st.floats(0, 1e7)
setting = st.builds(
    method_costs.Methods,
    question_tokens=st.floats(1, 5000),
    examples_tokens=st.floats(0, 50_000),
    passages=st.floats(0, 50),
    passage_tokens=st.floats(0, 2000),
    output_tokens=st.floats(0, 5000),
    calls_per_month=many,
    base_in=money,
    base_out=money,
    caching=st.booleans(),
    cache_discount=st.floats(0, 1),
    tuned_in=money,
    tuned_out=money,
    training_tokens=many,
    training_price=money,
    retrainings_per_year=st.floats(0, 52),
    hosting_per_month=money,
    corpus_passages=many,
    embed_price=money,
    embed_seconds=st.floats(0, 60),
    machine_per_hour=money,
    changed_per_month=st.floats(0, 1),
    store_per_month=money,
    server_per_month=money,
    own_server=st.booleans(),
    seconds_a_call=st.floats(0, 60),
    small_seconds=st.floats(0, 60),
    seconds_longer=st.floats(0, 60),
    busy=st.floats(0.05, 1),
    labels=many,
    label_share=st.floats(0, 1),
)


@given(setting)
def test_where_two_ways_meet_both_have_cost_the_same(s):
    found = method_costs.methods(s)
    for name in ("RAG", "tuned model", "RAG + tuned", "small classifier"):
        old, new = found["long prompt"], found[name]
        m = meeting(old, new, s.calls_per_month)
        if m.months:
            totals = [w.setup + m.months * w.month(s.calls_per_month) for w in (old, new)]
            assert totals[0] == pytest.approx(totals[1], rel=1e-6, abs=1e-9)
        if m.calls_per_month:
            assert old.month(m.calls_per_month) == pytest.approx(
                new.month(m.calls_per_month), rel=1e-6, abs=1e-9
            )
            for more in (2, 3.7, 1000):
                calls = more * m.calls_per_month
                assert old.month(calls) * (1 + 1e-9) >= new.month(calls)


@given(setting)
def test_both_ways_together_cost_at_least_as_much_as_the_tuned_model_alone(s):
    found = method_costs.methods(s)
    rag, tuned, both = found["RAG"], found["tuned model"], found["RAG + tuned"]
    assert both.call >= tuned.call * (1 - 1e-9) and both.setup == pytest.approx(rag.setup + tuned.setup)
    assert both.upkeep == pytest.approx(rag.upkeep + tuned.upkeep)


@given(
    setting,
    st.sampled_from(
        ["calls_per_month", "changed_per_month", "passages", "retrainings_per_year", "labels"]
        + ["seconds_a_call", "small_seconds", "seconds_longer"]
    ),
)
def test_more_of_anything_is_never_cheaper(s, name):
    more = replace(
        s,
        **{name: min(1.0, 2 * getattr(s, name)) if name == "changed_per_month" else 2 * getattr(s, name) + 1},
    )
    for way, other in zip(method_costs.methods(s).values(), method_costs.methods(more).values(), strict=True):
        before, after = (w.setup + 12 * w.month(x.calls_per_month) for w, x in ((way, s), (other, more)))
        assert after >= before * (1 - 1e-9)


@pytest.mark.parametrize(
    ("core", "changes", "words"),
    [
        (method_costs.methods_json, {"changed_per_month": 1.5}, "a share between 0 and 1"),
        (method_costs.methods_json, {"passages": -1}, "cannot be negative"),
        (method_costs.methods_json, {"passages": "3"}, "must be a number"),
        (method_costs.methods_json, {"caching": 1}, "true or false"),
        (method_costs.methods_json, {"chunks": 3}, "unknown setting chunks"),
    ],
)
def test_bad_settings_are_refused_in_words(core, changes, words):
    with pytest.raises(ValueError, match=words):
        core(json.dumps(changes))


@given(setting)
def test_the_four_ways_always_get_an_answer(s):
    answer = json.loads(method_costs.methods_json(json.dumps(vars(s))))
    assert (
        "lowest running cost" in answer["text"]
        and len(answer["tables"][0]["rows"]) == 7
        and "nan" not in json.dumps(answer).lower()
    )


def test_words_for_ways_that_never_pay():
    assert (
        "Tuned model: never cheaper than the long prompt, a call costs no less."
        in method_costs.methods_verdict(method_costs.Methods(tuned_in=50.0))
    )
    assert "RAG: at this number of calls never cheaper" in method_costs.methods_verdict(
        method_costs.Methods(calls_per_month=100)
    )
    # a full server saves 0.00156 euro on each of 788,400 / 2 calls: 615 euro
    own = method_costs.Methods(
        own_server=True, tuned_in=0, tuned_out=0, seconds_a_call=2, hosting_per_month=620
    )
    assert "Tuned model: never cheaper than the long prompt, a full server" in method_costs.methods_verdict(
        own
    )
    other = replace(own, hosting_per_month=610)
    assert "Tuned model: at this number of calls never cheaper" in method_costs.methods_verdict(other)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "People's hours and hosting are 0"),
        ({"hosting_per_month": 10.0}, "People's hours are 0"),
        ({"tuned_hours": 1.0}, ""),
    ],
)
def test_a_sum_without_peoples_time_is_called_no_budget(changes, said):
    text = method_costs.methods_verdict(method_costs.Methods(**changes))
    assert (said in text and "no budget" in text) if said else "no budget" not in text


def test_peoples_time_is_paid_once_and_monthly():
    hours = {
        "prompt_hours": 1.0,
        "rag_hours": 2.0,
        "rag_month_hours": 3.0,
        "tuned_hours": 4.0,
        "tuned_month_hours": 5.0,
    }
    before, after = (method_costs.methods(method_costs.Methods(wage=10.0, **h)) for h in ({}, hours))
    more = {n: (after[n].setup - before[n].setup, after[n].upkeep - before[n].upkeep) for n in before}
    wanted = {"long prompt": (10, 0), "RAG": (20, 30), "tuned model": (40, 50), "RAG + tuned": (60, 80)}
    wanted["small classifier"] = (0, 0)
    assert {n: pytest.approx(w) for n, w in wanted.items()} == more


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        (
            {"examples_tokens": 450},
            "the examples have 450 tokens, and a beginning is cached from 1,024",
            "billed as",
        ),
        (
            {"examples_tokens": 1024, "calls_per_month": 8760},
            "Every call is billed as cached",
            "minutes apart",
        ),
        ({"examples_tokens": 1024, "calls_per_month": 8759}, "more than 5 minutes apart", "billed in full"),
    ],
)
def test_the_answer_says_whether_the_cache_is_given(changes, said, unsaid):
    """8,760 calls in 730 hours are one every five minutes, after which a cache may be cleared."""
    text = method_costs.methods_verdict(method_costs.Methods(caching=True, **changes))
    assert said in text and unsaid not in text
    assert said not in method_costs.methods_verdict(method_costs.Methods(**changes))


def test_from_the_lengths_of_the_chapter_no_preset_gets_a_discount():
    """Its form starts with 450 tokens of examples: too few for the cache of the models whose prices fill it in."""
    start = costs.methods_settings(*map(book_records.load, ("prompt_cost", "distillation")))
    hosted = [p for p in read("forms")["presets"].values() if p["values"].get("caching")]
    assert hosted
    for preset in hosted:
        with_cache = method_costs.Methods(**start, **preset["values"])
        plain = replace(with_cache, caching=False)
        assert method_costs.methods(with_cache) == method_costs.methods(plain)
        longer = (replace(s, examples_tokens=1024) for s in (with_cache, plain))
        cached, full = (method_costs.methods(s)["long prompt"].parts["examples"] for s in longer)
        assert cached == pytest.approx((1 - preset["values"]["cache_discount"]) * full)


def test_presets_fill_in_the_form_and_are_dated():
    """Every link names controls of the form, with values that it takes; 0.40 dollars at 1.1761 a euro are 0.3401."""
    made = costs.presets().html
    links = [dict(parse_qsl(q)) for q in re.findall(r'href="\?([^"#]*)', unescape(made))]
    names = {c["name"] for c in method_costs.CONTROLS}
    assert len(links) >= 4 and made.count("2026-") >= len(links)
    for link in links:
        settings = {k.removeprefix("four-ways."): json.loads(v) for k, v in link.items()}
        assert settings and set(settings) <= names
        assert json.loads(method_costs.methods_json(json.dumps(settings)))["text"]
    assert links[0]["four-ways.base_in"] == "0.3401" and links[0]["four-ways.caching"] == "true"
    cached = [link for link in links if "four-ways.caching" in link]
    assert made.count("prompt_caching_201") == len(cached)
    assert {link["four-ways.cached_from"] for link in cached} == {"1024"}
    (own,) = (float(link["four-ways.hosting_per_month"]) for link in links if "four-ways.own_server" in link)
    largest = SimpleNamespace(family="tuned", cost=Cost(labels=0, memory=16 * 10**9))
    assert own == pytest.approx(monthly_cost.bill(largest, 0, monthly_cost.read_prices()).month, abs=0.005)


def test_controls_name_every_setting_and_start_with_its_default():
    live = Live("a-block", method_costs.CONTROLS, f"{method_costs.__name__}:methods_json")
    assert live.values == vars(method_costs.Methods()) and live.compute()["text"]


def test_no_tuned_judge_of_one_text_is_told_from_guessing():
    for model in ("smollm2-135m", "qwen2.5-coder-0.5b"):
        right = mean(book_records.load("judge", model=model).where(method="tuned", scheme="point"))
        assert right["low"] < 0.5 < right["high"]
