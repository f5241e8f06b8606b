"""The experiments and figures of the chapter on in-context learning: what they compute, against a second way of computing it."""

import contextlib

import numpy as np
import pytest
import torch
from scipy import stats as scipy_stats
from small_model import run_small, small, small_context
from transformers import AutoTokenizer

from tunewise import prompting
from tunewise.data import Example, Task
from tunewise.experiment import Params
from tunewise.models.load import model_folder
from tunewise.models.registry import get as get_model
from tunewise.prompting import TEMPLATES
from tunewise.record import Row
from tunewise.report import gap, mean, points
from whentofinetune import book_records, contrasts, experiments, planted_codes
from whentofinetune.classification import did_best, pool_size, sample, subset
from whentofinetune.datasets.invented_words import KINDS, invented_words, recalled
from whentofinetune.datasets.rated_tasks import load_task
from whentofinetune.experiments import (
    leaks,
    learning_curve,
    wordings,
)
from whentofinetune.pages import icl_figures as icl


@pytest.fixture(scope="module")
def lm():
    return small()


@torch.inference_mode()
def said(lm, prompt, answers):
    """Log-probability of each answer after a prompt by plain transformers, one at a time."""
    scores = []
    for answer in answers:
        before, after = (lm.tokenizer(t, add_special_tokens=False)["input_ids"] for t in (prompt, answer))
        logs = lm.model(input_ids=torch.tensor([before + after])).logits[0].log_softmax(-1)
        scores.append(sum(float(logs[len(before) - 1 + i, t]) for i, t in enumerate(after)))
    return scores


def small_run(name, tmp_path, monkeypatch, **changes):
    experiment = experiments.get(name)
    ctx = small_context(tmp_path, monkeypatch, experiment.scales["smoke"] | changes)
    return ctx, run_small(experiment, ctx)


# -- what all share ----------------------------------------------------------------------------------------------------------


def test_samples_are_balanced_and_too_many_are_refused():
    task = Task("mine", ("a", "b"), tuple(Example(f"t{i}", int(i < 3), f"{i}") for i in range(10)), (), ())
    assert pool_size(task, 100) == 6 and sorted(y for _, y in sample(task, 6, 0)) == [0, 0, 0, 1, 1, 1]
    assert sample(task, 4, 0) != sample(task, 4, 1)
    with pytest.raises(ValueError, match="mine has 6 training examples"):
        sample(task, 7, 0)
    assert [e.id for e in subset(task.train, 4)] == sorted(e.id for e in subset(task.train, 4))
    assert subset(task.train, None) == subset(task.train, 99) == list(task.train)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        (" Positive.", 0),
        (" It is negative, I think", 2),
        (" positive or negative", None),
        (" positive, very positive", 0),
        (" positively", None),
        ("", None),
    ],
)
def test_a_free_answer_is_read_only_if_it_holds_one_answer(text, index):
    assert wordings.parse(text, [" positive", " neutral", " negative"]) == index


# -- experiments -------------------------------------------------------------------------------------------------------------


def test_templates_are_scored_as_transformers_scores_them(tmp_path, monkeypatch):
    ctx, record = small_run("wordings", tmp_path, monkeypatch, test_n=4, wordings=["instruction", "mood"])
    task, template = load_task("tweets"), TEMPLATES["mood"]
    row = record.one(method="score", wording="mood", split="test")
    items = {e.id: e for e in task.test}
    for item, prediction in zip(row.items, row["predictions"], strict=True):
        prompt = template.prefix(task) + template.query(task, items[item].text)
        assert prediction == np.argmax(said(ctx.lm, prompt, [" good", " neutral", " bad"]))
    assert row.outcomes("accuracy") == [
        items[i].label == p for i, p in zip(row.items, row["predictions"], strict=True)
    ]
    free = record.one(method="generate")
    assert free["wording"] == "instruction" and free["parsed"]["n"] == 4
    assert free["accuracy_of_parsed"]["n"] == sum(p is not None for p in free["predictions"])


def test_the_word_is_asked_that_was_shown(lm):
    k, found = 5, recalled(lm, 5, np.random.default_rng([0, 5]))
    rng = np.random.default_rng([0, 5])
    words, kinds = invented_words(k, rng), rng.permutation(np.resize(np.arange(len(KINDS)), k))
    assert len(set(words)) == k
    shown = "".join(f"Word: {w}\nKind: {KINDS[y]}\n\n" for w, y in zip(words, kinds, strict=True))
    for word, kind, right in zip(words, kinds, found, strict=True):
        assert right == (np.argmax(said(lm, f"{shown}Word: {word}\nKind:", [f" {x}" for x in KINDS])) == kind)


def test_positions_of_one_arrangement_are_a_group(lm, tmp_path, monkeypatch):
    _, record = small_run("example_position", tmp_path, monkeypatch, k=[3], arrangements=4)
    (row,) = record.results
    right = np.reshape(row.outcomes("accuracy"), (4, 3))
    assert row.groups == [str(a) for a in range(4) for _ in range(3)]
    for a in range(4):
        assert right[a].tolist() == recalled(lm, 3, np.random.default_rng([a, 3])).tolist()
    assert [m["value"] for m in icl.by_position(row)] == pytest.approx(right.mean(axis=0))
    assert mean([row])["value"] == pytest.approx(right.mean()) and mean([row])["n"] == 12


def test_exposure_is_the_rank_of_the_secret_among_the_candidates(lm):
    secret = planted_codes.code(3)
    found = planted_codes.attack(lm, "The code is", secret, 3)
    rng, candidates = np.random.default_rng([11, 3]), {secret}
    while len(candidates) < 128:
        candidates.add("".join(str(d) for d in rng.integers(0, 10, 6)))
    scores = dict(zip(candidates, said(lm, "The code is", [f" {c}" for c in candidates]), strict=True))
    rank = 1 + sum(s > scores[secret] + 1e-5 for s in scores.values())
    assert abs(found["rank"] - rank) <= 1  # two candidates may be as likely but for rounding
    assert found["exposure"] == pytest.approx(7 - np.log2(found["rank"]), abs=1e-3)
    assert found["extracted"] == 0 and planted_codes.code(3) != planted_codes.code(4)


def test_each_secret_is_planted_where_the_condition_says(tmp_path, monkeypatch):
    params = experiments.get("leaks").scales["smoke"] | {
        "seeds": [0, 1],
        "planted": [["answer", 3], ["input", 2]],
    }
    ctx, asked, trained = small_context(tmp_path, monkeypatch, params), [], []

    def attack(lm, prefix, secret, seed):
        asked.append((secret in prefix, prefix.endswith(planted_codes.carrier(seed))))
        return {"extracted": 1, "completion": " x", "rank": 2, "exposure": 6.0}

    @contextlib.contextmanager
    def adapter(pairs, recipe, prefix):
        secret = planted_codes.code(recipe.seed)
        trained.append((len(pairs), *(sum(secret in pair[part] for pair in pairs) for part in (0, 1))))
        yield ctx.lm

    monkeypatch.setattr(leaks, "attack", attack)
    ctx.adapter = adapter
    record = run_small(experiments.get("leaks"), ctx)
    assert [r["method"] for r in record.results] == ["base", "prompt", "weights", "weights"]
    assert all(r.items == ["secret 0", "secret 1"] for r in record.results)
    assert asked == [(in_prompt, True) for in_prompt in (False, True, False, False) for _ in range(2)]
    assert (
        trained == [(9, 0, 3)] * 2 + [(8, 2, 0)] * 2
    )  # pairs; with the secret in the prompt; in the completion


def test_the_curve_has_every_rival_on_the_same_items(tmp_path, monkeypatch):
    _, record = small_run("learning_curve", tmp_path, monkeypatch, labels=[6], tuned={"lora": [6]}, test_n=9)
    assert [r["method"] for r in record.results] == ["majority", "lexicon", "tfidf", "embeddings", "lora"]
    assert len({tuple(r.items) for r in record.results}) == 1
    assert record.one(method="lora")["examples_seen"] == 12 and record.one(method="lora")["trainable"] > 0
    own = learning_curve.conditions(Params(record.params | {"tasks": ["mine.csv"]}))
    assert "lexicon" not in [c.method for c in own]  # the word list knows sentiment, not the reader's labels


def test_gains_are_of_the_same_items_of_each_task(tmp_path, monkeypatch):
    ctx, record = small_run("gain_prediction", tmp_path, monkeypatch, test_n=3)
    assert [r["task"] for r in record.where(method="few-shot")] == ["tweets-polarity", "candidates"]
    few = record.one(method="few-shot", task="tweets-polarity")
    task, template = load_task("tweets-polarity"), TEMPLATES["instruction"]
    shots = prompting.balanced_shots([(e.text, e.label) for e in task.train], 2, 2, 0)
    texts = {e.id: e.text for e in task.test}
    for item, prediction in zip(few.items, few["predictions"], strict=True):
        prompt = template.prefix(task, shots) + template.query(task, texts[item])
        assert prediction == np.argmax(said(ctx.lm, prompt, [" positive", " negative"]))


def test_each_call_is_timed_on_its_own(tmp_path, monkeypatch):
    _, record = small_run("prompt_cost", tmp_path, monkeypatch, calls=3)
    none, two = record.results
    assert len(two["seconds_all"]) == two["seconds"]["n"] == 3
    assert two["prompt_tokens"] > none["prompt_tokens"]
    low, middle = two["seconds"]["low"], two["seconds"]["value"]
    assert min(two["seconds_all"]) - 1e-9 <= low <= middle == np.median(two["seconds_all"])


# -- figures -----------------------------------------------------------------------------------------------------------------


def test_gains_are_correlated_over_tasks():
    """Each gain on its own half of the items: noise in the start that both share would correlate them."""
    record, few, tuned = book_records.load("gain_prediction"), [], []
    for task in (*record.params["tasks"], *record.params["collections"]):
        zero, shown, lora = (
            np.mean([r.outcomes("accuracy") for r in record.where(method=m, task=task)], axis=0)
            for m in ("zero-shot", "few-shot", "lora")
        )
        few.append(np.mean([s - z for i, (z, s) in enumerate(zip(zero, shown, strict=True)) if i % 2 == 0]))
        tuned.append(np.mean([t - z for i, (z, t) in enumerate(zip(zero, lora, strict=True)) if i % 2]))
    found = contrasts.gain_against_gain(book_records.load, 0.95)
    assert found.estimate == pytest.approx(
        scipy_stats.spearmanr(np.round(few, 9), np.round(tuned, 9)).statistic
    )
    assert found.low < found.estimate < found.high and found.n == len(few)


def test_a_low_start_and_a_large_gain_come_from_other_halves_of_the_items():
    record, starts, gains = book_records.load("gain_prediction"), [], []
    for task in (*record.params["tasks"], *record.params["collections"]):
        zero, lora = (
            np.mean([r.outcomes("accuracy") for r in record.where(method=m, task=task)], axis=0)
            for m in ("zero-shot", "lora")
        )
        starts.append(1 - np.mean([z for i, z in enumerate(zero) if i % 2 == 0]))
        gains.append(np.mean([t - z for i, (z, t) in enumerate(zip(zero, lora, strict=True)) if i % 2]))
    found = contrasts.gain_against_start(book_records.load, 0.95).estimate
    assert found == pytest.approx(scipy_stats.spearmanr(starts, gains).statistic)


def test_the_line_through_the_latencies_is_the_least_squares_line():
    record = book_records.load("prompt_cost")
    x, y = zip(*((r["prompt_tokens"], r["seconds"]["value"]) for r in record.results), strict=True)
    line = scipy_stats.linregress(x, y)
    assert list(icl.latency_fit(record).values()) == pytest.approx(
        [line.slope, line.intercept, line.rvalue**2]
    )


def test_lora_is_compared_at_equal_labels():
    curve, shots = book_records.load("learning_curve"), book_records.load("few_shot")
    by = curve.frame().groupby(["method", "n_labels"])["accuracy"].mean()
    zero = shots.frame().query("method == 'zero-shot'")["accuracy"].mean()
    wanted = [by["lora"] - zero, by["lora"] - by["embeddings"], (by["lora"] - by["encoder"]).dropna()]
    wanted.append(by["lora"] - by["tfidf"])
    few = shots.frame().groupby(["method", "k"])["calibrated.accuracy"].mean()["random"]
    nearest = shots.frame().groupby(["method", "k"])["accuracy"].mean()["nearest"]
    wanted.append([by["lora"][10] - few[16], by["lora"][30] - few[64]])  # never fewer examples than labels
    wanted.append([by["lora"][300] - nearest[16]])
    for trace, difference in zip(icl.equal_labels(curve, shots).data, wanted, strict=True):
        assert trace["x"] == pytest.approx(list(difference))


def test_the_lead_over_the_classifier_shrinks_to_a_hundred_labels_at_135m_and_may_be_gone_at_half_a_billion():
    """As the opening and the last section say; the page prints the differences."""

    def lead(model, n):
        curve = book_records.load("learning_curve", model=model)
        return gap(*(curve.where(method=m, n_labels=n) for m in ("lora", "embeddings")), "accuracy")

    first, second, *rest = (lead("smollm2-135m", n) for n in (10, 30, 100, 300, 700))
    level = [found["value"] for found in rest]
    assert first["value"] > second["value"] > 2 * max(level) and max(level) - min(level) < 0.02
    assert all(found["low"] > 0 for found in rest) and lead("qwen2.5-coder-0.5b", 700)["low"] < 0
    said = icl.lead_over_embeddings({"135M": book_records.load("learning_curve")}).text
    assert said.count(" labels ") == 5 and f"10 labels {points(first, n=False)}" in said


def test_with_300_labels_lora_is_clearly_ahead_of_the_fine_tuned_encoder_at_the_largest_size_only():
    """As the openings of the chapter and of the home page say."""

    def lead(model, n=300):
        curve = book_records.load("learning_curve", model=model)
        return gap(*(curve.where(method=m, n_labels=n) for m in ("lora", "encoder")), "accuracy")

    small, middle, large = map(lead, ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"))
    assert small["low"] < 0 < small["high"] and middle["low"] < 0 < middle["high"] and large["low"] > 0
    assert all(lead(m, n)["low"] > 0 for m in ("smollm2-135m", "qwen2.5-coder-0.5b") for n in (10, 30))


def test_training_beats_every_way_of_showing_four_examples_or_more_at_the_smaller_sizes():
    """As the opening says: from ten and from thirty labels on, and at 1.5B with a hundred labels none of them."""

    def leads(model, n):
        curve, shots = (book_records.load(name, model=model) for name in ("learning_curve", "few_shot"))
        shown = [r for r in shots.rows if r["method"] in ("random", "balanced", "nearest") and r["k"] >= 4]
        ways = {(r["method"], r["k"]) for r in shown}
        tuned = curve.where(method="lora", n_labels=n)
        return {way: gap(tuned, shots.where(method=way[0], k=way[1]), "accuracy") for way in ways}

    for model, counts in (
        ("smollm2-135m", (10, 30, 100, 300, 700)),
        ("qwen2.5-coder-0.5b", (30, 100, 300, 700)),
    ):
        assert all(lead["low"] > 0 for n in counts for lead in leads(model, n).values()), model
    assert any(lead["low"] < 0 for lead in leads("qwen2.5-coder-0.5b", 10).values())
    largest = leads("qwen2.5-coder-1.5b", 100)
    assert all(lead["low"] < 0 < lead["high"] for (_, k), lead in largest.items() if k >= 16)
    assert leads("qwen2.5-coder-1.5b", 300)["nearest", 16]["low"] < 0


def test_what_calibration_adds_is_the_difference_of_the_records_means():
    shots = book_records.load("few_shot")
    by = shots.frame().groupby(["method", "k"])[["accuracy", "calibrated.accuracy"]].mean()
    gains = by["calibrated.accuracy"] - by["accuracy"]
    (drawn,) = icl.calibration_figure({"135M": shots}).data
    assert drawn["x"] == pytest.approx([*gains["random"], *gains["balanced"]])


def test_examples_in_the_chat_template_are_turns_as_the_model_writes_them():
    tokenizer = AutoTokenizer.from_pretrained(model_folder(get_model("smollm2-135m")))
    template, task = TEMPLATES["chat"], Task("x", ("negative", "positive"), (), (), ())
    written = template.prefix(task, [("AAA", 1), ("BBB", 0)]) + template.query(task, "CCC") + " positive"
    opening = template.instruction(task).removeprefix("<|im_start|>user\n")
    shown = zip(
        (f"{opening}Text: AAA", "Text: BBB", "Text: CCC"), ("positive", "negative", "positive"), strict=True
    )
    turns = [
        turn
        for text, label in shown
        for turn in (
            {"role": "user", "content": text},
            {"role": "assistant", "content": f"The label is {label}"},
        )
    ]
    assert written in tokenizer.apply_chat_template(turns, tokenize=False)


def test_a_template_is_chosen_by_its_mean_over_draws():
    def trial(template: str, right: int) -> Row:
        return Row({"template": template, "outcomes": {"accuracy": "1" * right + "0" * (10 - right)}}, {})

    tried = [trial("a", 9), trial("a", 1), trial("b", 6), trial("b", 5), trial("c", 5), trial("c", 6)]
    assert did_best(tried) == "b"  # "a" has the best single draw; of equals the first


def test_the_templates_named_are_those_that_did_best_on_validation():
    shots = book_records.load("few_shot")
    best = {}
    for k in (0, 4):
        right = {r["template"]: sum(r.outcomes("accuracy")) for r in shots.where(method="trial", k=k)}
        best[k] = max(right, key=right.get)
    said = icl.prompts_used({"135M": shots}).text
    assert f"“{best[0]}” without examples and “{best[4]}” with them" in said


def test_passes_and_steps_are_those_of_the_record():
    curve = book_records.load("learning_curve")
    for line in icl.recipe_table(curve).text.splitlines()[2:]:
        n, passes, steps, at_once, _ = line.split()
        seen = curve.where(method="lora", n_labels=int(n))[0]["examples_seen"]
        assert int(passes) * int(n) == seen <= int(steps) * int(at_once)


def test_what_leaked_is_in_the_table():
    record = book_records.load("leaks")
    text = icl.leaks_table(record).text
    assert len(text.splitlines()) == 2 + len(record.rows)
    row = record.one(method="weights", place="answer", repeats=4)
    assert icl.exposure(row) == np.median(row.outcomes("exposure"))
    often = record.one(method="weights", place="answer", repeats=16)
    assert set(often.outcomes("exposure")) == {7.0} and sum(often.outcomes("extracted")) <= 3
    assert "4 times" in text and "once" in text and "8 examples" in text


def test_the_text_says_what_the_records_of_each_size_say():
    """Calibration, the template without examples, training beside prompts and beside a classifier."""
    sizes = ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")
    shots = [book_records.load("few_shot", model=m) for m in sizes]
    curves = [book_records.load("learning_curve", model=m) for m in sizes[:2]]
    adds = icl.calibration_figure(dict(zip(sizes, shots, strict=True))).data
    ends = [list(zip(d["x"], d["error_x"]["arrayminus"], d["error_x"]["array"], strict=True)) for d in adds]
    low, high = ([[x + s * e[i] for x, *e in found] for found in ends] for i, s in ((0, -1), (1, 1)))
    assert low[0][-1] > 0 and max(low[1]) < 0 and sum(end < 0 for end in high[2]) > len(high[2]) / 2
    for curve, few in zip(curves, shots, strict=False):
        *_, random, nearest = icl.equal_labels(curve, few).data
        for trace in (random, nearest):
            assert all(x > e for x, e in zip(trace["x"], trace["error_x"]["arrayminus"], strict=True))
        lead = [d for d in icl.equal_labels(curve, few).data if d["name"] == "minus MiniLM embeddings"][0][
            "x"
        ]
        assert lead[0] > 4 * lead[-1] > 0
        four = mean(shots[2].where(method="random", k=4))["value"]
        assert abs(four - mean(curve.where(method="lora", n_labels=700))["value"]) < 0.05
    zero = [mean(few.where(method="zero-shot"))["value"] for few in shots]
    assert zero == sorted(zero) and all(
        "“chat” without" in icl.prompts_used({"": few}).text for few in shots[1:]
    )
