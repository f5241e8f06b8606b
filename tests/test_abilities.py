"""New abilities: an invented operation, a judge of groundedness, the context window; the experiments on a model of random weights, and the pages."""

import types

import numpy as np
import pytest
import torch
from small_model import made_up, run_small, small, small_context

from tunewise import stats
from tunewise.experiment import Condition, Params, Scores
from tunewise.finetune import Recipe, restore
from tunewise.models.packing import Prefix
from tunewise.report import mean
from whentofinetune import book_records, experiments, long_context, rope_scaling
from whentofinetune.datasets import company, grounded_claims, synthetic_task
from whentofinetune.experiments import context_window, groundedness, invented_operation
from whentofinetune.pages import abilities


@pytest.fixture(scope="module")
def lm():
    """The model on which the experiments run."""
    return small(positions=8192)


# -- the operation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letters", "wanted"),
    [("k m p t", "t k p m"), ("a b c", "c a b"), ("a b c d e", "e a d b c"), ("a", "a"), ("", "")],
)
def test_frell_by_hand(letters, wanted):
    assert " ".join(synthetic_task.frell(letters.split())) == wanted


def test_items_are_new_where_they_must_be():
    for task in ("frell", "easy"):
        asked = synthetic_task.tests(task, 100, 40)
        held_out = {i.prompt for i in asked["same"]}
        for seed in range(3):
            train = {i.prompt for i in synthetic_task.items(task, 240, seed, without=held_out)}
            assert not held_out & train and len(train) == 240
        assert all(i.length > max(synthetic_task.LENGTHS) for i in asked.get("longer", ()))


def test_the_easy_task_is_balanced_at_every_length():
    items = synthetic_task.items("easy", 240, 0)
    for length in synthetic_task.LENGTHS:
        mine = [i for i in items if i.length == length]
        assert sum(i.answer == " yes" for i in mine) == len(mine) / 2
    assert all(("x" in i.prompt.split("(")[1]) == (i.answer == " yes") for i in items)
    with pytest.raises(ValueError, match="frell"):
        synthetic_task.items("hard", 1, 0)


# -- planted errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", grounded_claims.ERRORS)
def test_planted_errors_are_what_they_are_called(error):
    facts = company.facts()
    for item in grounded_claims.items("test", error):
        there = company.says(item.passage, item.answer)
        assert there == (item.label == 0 or error != "absent"), item
    pairs = grounded_claims.items("test", error)
    for right, wrong in zip(pairs[::2], pairs[1::2], strict=True):
        assert (right.passage, right.question) == (wrong.passage, wrong.question) and (
            right.label,
            wrong.label,
        ) == (0, 1)
        assert right.answer != wrong.answer
        fact = facts[right.id.split("/")[1].split("#")[0]] if right.id.split("/")[1] in facts else None
        if fact:
            assert right.answer == fact.value


def test_training_passages_hold_no_fact_of_another_split():
    facts, texts = company.facts(), {" ".join(p.text.split()): p for p in company.passages()}
    for item in grounded_claims.items("train"):
        assert {facts[f].split for f in texts[item.passage].facts} == {"train"}


def test_both_kinds_of_error_are_as_many():
    for split in company.SPLITS:
        kinds = [i.error for i in grounded_claims.items(split)]
        assert kinds.count("absent") == kinds.count("present") == len(kinds) / 2
    with pytest.raises(ValueError, match="error must be one of"):
        grounded_claims.items("test", "odd")


def test_rows_of_a_table_are_sentences():
    assert grounded_claims._sentences("A title. It is so; yes. | a | b | |---|---| | x | y | | z | w |")[
        :3
    ] == ["A title.", "It is so;", "yes."]
    assert "x | y" in grounded_claims._sentences("t. | a | b | |---|---| | x | y | | z | w |")


# -- rotary frequencies ------------------------------------------------------------------------------------------------


def frequencies(scaling, factor=4.0):
    lm = small(positions=8192)
    with rope_scaling.rope_scaled(lm, scaling, factor) as other:
        rotary = other.model.model.rotary_emb
        return rotary.inv_freq.clone(), rotary.attention_scaling


def test_frequencies_by_their_formulas():
    """θ_i = base^(-2i/d); interpolation divides all by the factor, NTK none of the fastest and all of the slowest; YaRN lies between, with a temperature."""
    plain, _ = frequencies("none")
    size, base = 8, small().model.config.rope_parameters["rope_theta"]
    np.testing.assert_allclose(plain, base ** (-np.arange(0, size, 2) / size), rtol=1e-5)
    np.testing.assert_allclose(frequencies("pi")[0], plain / 4, rtol=1e-5)
    ntk = frequencies("ntk")[0]
    assert ntk[0] == plain[0] and ntk[-1] == pytest.approx(float(plain[-1]) / 4, rel=1e-4)
    yarn, temperature = frequencies("yarn")
    assert ((yarn <= plain * 1.0001) & (yarn >= plain / 4.0001)).all() and temperature == pytest.approx(
        0.1 * np.log(4) + 1
    )


def test_a_rope_scaled_model_is_as_before_afterwards():
    lm = small()
    ids = torch.tensor([[5, 6, 7, 8]])
    before = lm.model(ids).logits
    with pytest.raises(RuntimeError), rope_scaling.rope_scaled(lm, "pi", 4):
        assert not torch.allclose(lm.model(ids).logits, before)
        raise RuntimeError("out")
    assert torch.equal(lm.model(ids).logits, before)
    for scaling, factor in (("alibi", 2), ("pi", 0.5)):
        with pytest.raises(ValueError, match="scaling must be one of"):
            rope_scaling.frequencies(lm.model.config, scaling, factor)


def test_reading_in_pieces_is_reading_at_once():
    """transformers' own loss on the whole text is the independent way."""
    lm, ids = small(), list(range(40, 75))
    bits = long_context.read(lm, ids, Prefix(), 0, chunk=8)
    whole = torch.tensor([ids])
    wanted = torch.nn.functional.cross_entropy(
        lm.model(whole).logits[0, :-1], whole[0, 1:], reduction="none"
    ) / np.log(2)
    np.testing.assert_allclose(bits, wanted.detach(), atol=1e-4)
    first = long_context.read(lm, ids[:20], prefix := Prefix(), 0, chunk=8)
    rest = long_context.read(lm, ids[20:], prefix, 20, chunk=8)
    np.testing.assert_allclose(first + rest, np.delete(bits, 19), atol=1e-4)


def test_asking_leaves_the_cache_alone():
    lm, ids = small(), list(range(40, 60))
    long_context.read(lm, ids, prefix := Prefix(), 0)
    known = long_context.keys(3, 0)
    first = long_context.ask(lm, prefix, 20, known)
    assert prefix.cache.get_seq_length() == 20 and long_context.ask(lm, prefix, 20, known) == first
    rows = []
    for place, _ in known:  # one at a time, through transformers
        prompt = ids + lm.tokenizer(f"\n\nThe pass key of the {place} is", add_special_tokens=False).input_ids
        scores = []
        for _, key in known:
            answer = lm.tokenizer(f" {key}", add_special_tokens=False).input_ids
            logs = torch.log_softmax(lm.model(torch.tensor([prompt + answer])).logits[0].detach(), -1)
            scores.append(sum(float(logs[len(prompt) - 1 + k, t]) for k, t in enumerate(answer)))
        rows.append(int(np.argmax(scores)))
    assert first == [r == i for i, r in enumerate(rows)]


def test_keys_are_planted_before_they_are_asked():
    lm, known = small(), long_context.keys(8, 1)
    ids, ends = long_context.long_text(lm, 4000, known)
    assert len(ids) == 4000 and len(ends) == 8 and ends == sorted(ends)
    text = lm.tokenizer.decode(ids)
    assert all(long_context.statement(*k) in text for k in known)
    with pytest.raises(ValueError, match="tokens"):
        long_context.long_text(lm, 10**6, known)


def test_tuning_on_jumps_trains_an_adapter_that_comes_off():
    lm = small()
    before = {n: p.clone() for n, p in lm.model.named_parameters()}
    tuned = rope_scaling.tune_positions(
        lm, long_context.texts(True)[:4], Recipe(learning_rate=1e-2), reach=4096, window=64, steps=8
    )
    assert tuned.losses[-1] < tuned.losses[0] and tuned.trainable > 0
    model = restore(tuned)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    with pytest.raises(ValueError, match="fewer than a window"):
        rope_scaling.tune_positions(lm, ["short"], Recipe(), reach=4096)


def test_lists_longer_than_trained_are_asked_apart():
    """Two kinds of list in one row: each metric has outcomes for its own kind only."""
    asked = synthetic_task.tests("frell", 2, 1)
    found = synthetic_task.by_kind(asked, {"exact": [True, False, True]})
    assert found == {"same.exact": [True, False, None], "longer.exact": [None, None, True]}


def test_features_by_hand():
    """The answer stands in the second sentence, with one of the question's three longer words; all sentences are alike to this encoder."""
    item = grounded_claims.Item(
        "x", "All is well here. The lamp weighs 12 kg.", "What weighs the ladder?", "12 kg", 0, "absent"
    )
    [[there, overlap, near]] = grounded_claims.features(
        [item], lambda texts: np.array([[1.0, 0.0]] * len(texts))
    )
    assert (there, overlap, near) == (1.0, pytest.approx(1 / 3), 1.0)


# -- the experiments and the pages -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Runs of the three experiments on the small model; each a second time with no model at hand, so that all must be found again."""
    changes = {
        "invented_operation": {
            "sizes": {"frell": [4, 8], "easy": [4]},
            "seeds": [0, 1],
            "control_seeds": [0, 1],
            "test_n": 6,
        },
        "groundedness": {"test_n": 8, "stale_n": 4, "seeds": [0, 1]},
        "context_window": {
            "distances": [1024, 12288],
            "real": ["none", "yarn"],
            "tuned": ["pi", "yarn"],
            "real_tuned": ["yarn"],
            "seeds": [0, 1],
        },
    }
    found = types.SimpleNamespace()
    for name, changed in changes.items():
        with pytest.MonkeyPatch.context() as patch:
            experiment = experiments.get(name)
            ctx = small_context(
                tmp_path_factory.mktemp("cache"), patch, experiment.scales["smoke"] | changed, positions=8192
            )
            record = run_small(experiment, ctx)
            ctx.rows, ctx.lm = [], None
            assert run_small(experiment, ctx).rows == record.rows
            setattr(found, experiment.name, record)
    return found


def test_an_exact_answer_is_what_the_model_would_write(lm):
    """The likeliest next token by plain transformers, once as the whole answer and once as the first of its two tokens."""
    prompt = "frell(b c d) ="
    with torch.no_grad():
        best = int(lm.model(lm.tokenizer(prompt, return_tensors="pt").input_ids).logits[0, -1].argmax())
    first, other = lm.tokenizer.decode([best]), " certainly"
    assert len(lm.tokenizer(first + other)["input_ids"]) == 2
    asked = {"same": [synthetic_task.Item(prompt, answer, 3) for answer in (first, first + other, other)]}
    row = made_up(
        experiments.get("invented_operation"),
        [(Condition("base"), synthetic_task.scored(lm, asked, ends=False))],
    ).results[0]
    assert (row.outcomes("same.exact"), row.outcomes("same.letters")) == ([1, 0, 0], [1, 0.5, 0])


def test_accuracy_is_that_of_the_predictions(records):
    record = records.groundedness
    asked = groundedness.tested(Params(record.params))
    labels = np.array([i.label for i in asked])
    assert [i.error == "stale" for i in asked] == [False] * 8 + [True] * 4
    assert {r["method"] for r in record.results} == {"contains", "features", "untuned", "lora"}
    for r in record.results:
        right = np.array(r.raw["predictions"]) == labels
        assert r["accuracy"]["value"] == pytest.approx(right[:8].mean())
        assert r["stale"]["accuracy"]["value"] == pytest.approx(right[8:].mean())
        assert [g.rsplit("/", 1)[0] for g in r.items] == r.groups
    for r in record.where(method="lora"):
        assert sum(r["centred.predictions"]) <= len(asked) / 2 and r["examples_seen"] == 8


def test_only_the_largest_training_has_a_control(records):
    record = records.invented_operation
    assert {(r["task"], r["n_labels"]) for r in record.where(method="random")} == {("frell", 8), ("easy", 4)}
    for r in record.where(method="random"):
        assert r["trainable"] > max(p["trainable"] for p in record.where(method="pretrained"))


def test_keys_are_recalled_as_they_are_when_each_text_is_read_alone(records, lm):
    row = records.context_window.one(scaling="none", tuned=False, method="jump")
    known = long_context.keys(long_context.KEYS_A_TEXT, 1)
    ids = lm.tokenizer(
        "\n".join(long_context.statement(*k) for k in known) + "\n\n", add_special_tokens=False
    )
    long_context.read(lm, ids["input_ids"], prefix := Prefix(), 0)
    again = long_context.ask(lm, prefix, 12288, known)
    hits = dict(zip(row.items, zip(row.groups, row.outcomes("past.recall"), strict=True), strict=True))
    assert [hits[f"text 1, key {k}, 12288"] for k in range(4)] == [("text 1", float(a)) for a in again]
    assert hits["text 1, key 0, 1024"] == ("text 1", None)
    whole = [
        (r["scaling"], r["tuned"], r.get("seed")) for r in records.context_window.results if "stretches" in r
    ]
    assert whole == [("none", False, None), ("yarn", False, None), ("yarn", True, 0)], (
        "one seed reads the whole text"
    )


def test_every_figure_and_table_is_made(records):
    operation, judge, window = records.invented_operation, records.groundedness, records.context_window
    for make in (abilities.operation_figure, abilities.operation_curve, abilities.controls):
        assert "nan" not in str(make(operation))
    assert "nan" not in str(abilities.window_figure({"135M": window}))
    for make in (abilities.window_gaps, abilities.real_table):
        assert "nan" not in str(make(window))
    assert "LoRA judge" in str(abilities.judge_table(judge))


def bools(share, n, seed):
    return (np.random.default_rng([9, seed or 0]).permutation(n) < share * n).tolist()


def test_the_page_shows_the_means_of_the_record():
    """Seeds with 90 and 70 % on new lists and 20 % on longer ones; random weights that learn the easy task with one seed of two."""
    shares = {("frell", "pretrained"): [(0.9, 0.2), (0.7, 0.2)], ("easy", "random"): [(1.0,), (0.5,)]}

    def score(c):
        asked = synthetic_task.tests(c.task, 100, 40)
        share = shares.get((c.task, c.method), [(0.0, 0.0)] * 2)[c.seed or 0]
        right = [
            hit
            for part, found in zip(share, asked.values(), strict=False)
            for hit in bools(part, len(found), c.seed)
        ]
        metrics = synthetic_task.by_kind(asked, {"exact": right, "letters": right})
        return Scores([i for found in asked.values() for i in found], **metrics)

    changes = {
        "seeds": [0, 1],
        "control_seeds": [0, 1],
        "shots": [],
        "sizes": {"frell": [240], "easy": [120]},
    }
    params = Params(experiments.get("invented_operation").scales["full"] | changes)
    scored = [(c, score(c)) for c in invented_operation.conditions(params)]
    record = made_up(experiments.get("invented_operation"), scored, **params)
    alt = abilities.operation_figure(record).alt
    assert "LoRA on 240 examples 80 %" in alt and "LoRA on 240 examples 20 %" in alt
    text = str(abilities.controls(record))
    assert "90 %, 70 %" in text and "100 %, 50 %" in text
    assert abilities.control_trainings(record).startswith("1 of 2 training runs ends clearly above")


def test_keys_past_the_trained_length_are_paired_by_text():
    """The base model finds a quarter of the keys past the trained length and YaRN one half, on the same texts."""

    def score(p, c):
        share = 0.5 if c.scaling == "yarn" else 0.25
        right = {d: [i % 4 < 4 * share for i in range(40)] for d in p.distances}
        return long_context.scored(right, dict.fromkeys(right, stats.bootstrap([3.0, 4.0])), 8192, {})

    changes = {"scalings": ["none", "yarn"], "real": [], "tuned": [], "distances": [4096, 16384]}
    params = Params(experiments.get("context_window").scales["full"] | changes)
    scored = [(c, score(params, c)) for c in context_window.conditions(params)]
    record = made_up(experiments.get("context_window"), scored, **params)
    assert "past the trained length: YaRN +25 points" in abilities.window_gaps(record).alt
    assert "base model: 4,096, 25 %" in abilities.window_figure({"135M": record}).alt


def test_the_larger_judge_finds_what_a_search_finds():
    record = book_records.load("groundedness", model="qwen2.5-coder-0.5b")
    judge = record.where(method="lora")
    found = {kind: mean(judge, metric) for kind, metric in abilities.ERRORS.items()}
    assert mean(record.where(method="untuned"), "centred.accuracy")["low"] > 0.5
    elsewhere, *others = found.values()
    assert elsewhere["low"] > 0.5 and all(m["low"] < 0.5 < m["high"] for m in others)


@pytest.mark.parametrize(("model", "learned"), [("smollm2-135m", 1), ("qwen2.5-coder-0.5b", 3)])
def test_longer_lists_stay_mostly_wrong_and_the_control_is_as_strong_as_the_text_says(model, learned):
    record = book_records.load("invented_operation", model=model)
    trained = record.where(method="pretrained", task="frell", n_labels=240)
    assert mean(trained, "longer.exact")["high"] < 0.5
    assert abilities.control_trainings(record).startswith(f"{learned} of 3 training runs")
