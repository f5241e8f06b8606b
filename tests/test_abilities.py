"""New abilities: an invented operation, a judge of groundedness, the context window; the experiments on a model of random weights, and the pages."""

import types

import numpy as np
import pytest
import torch
from small_model import made_bench, performed, recorded, small

from tunewise import stats
from tunewise.finetune import Recipe, restore
from tunewise.models.packing import Prefix
from whentofinetune import rope_scaling
from whentofinetune.datasets import company, grounded_claims, synthetic_task
from whentofinetune.experiments import context_window, groundedness, invented_operation
from whentofinetune.pages import abilities, abilities_verdicts

# -- the operation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letters", "wanted"),
    [("k m p t", "t k p m"), ("a b c", "c a b"), ("a b c d e", "e a d b c"), ("a", "a"), ("", "")],
)
def test_frell_by_hand(letters, wanted):
    assert " ".join(synthetic_task.frell(letters.split())) == wanted


def test_items_are_new_where_they_must_be():
    params = invented_operation.EXPERIMENT.scales["full"]
    for task in ("frell", "easy"):
        test = {i.prompt for i in invented_operation.tests(task, params)["same"]}
        for seed in range(3):
            lessons = [p for p, _ in invented_operation.lessons(task, 240, seed, params)]
            assert not test & set(lessons) and len(set(lessons)) == 240
    longest = max(synthetic_task.LENGTHS)
    assert all(i.length > longest for i in invented_operation.tests("frell", params)["longer"])


def test_the_easy_task_is_balanced_at_every_length():
    items = synthetic_task.items("easy", 240, 0)
    for length in synthetic_task.LENGTHS:
        mine = [i for i in items if i.length == length]
        assert sum(i.answer == " yes" for i in mine) == len(mine) / 2
    assert all(("x" in i.prompt.split("(")[1]) == (i.answer == " yes") for i in items)
    with pytest.raises(ValueError, match="'frell' or 'easy'"):
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
    assert groundedness.sentences("A title. It is so; yes. | a | b | |---|---| | x | y | | z | w |")[:3] == [
        "A title.",
        "It is so;",
        "yes.",
    ]
    assert "x | y" in groundedness.sentences("t. | a | b | |---|---| | x | y | | z | w |")


# -- rotary frequencies ------------------------------------------------------------------------------------------------


def frequencies(way, factor=4.0):
    lm = small(positions=8192)
    with rope_scaling.stretched(lm, way, factor) as other:
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


def test_a_stretched_model_is_as_before_afterwards():
    lm = small()
    ids = torch.tensor([[5, 6, 7, 8]])
    before = lm.model(ids).logits
    with pytest.raises(RuntimeError), rope_scaling.stretched(lm, "pi", 4):
        assert not torch.allclose(lm.model(ids).logits, before)
        raise RuntimeError("out")
    assert torch.equal(lm.model(ids).logits, before)
    for way, factor in (("alibi", 2), ("pi", 0.5)):
        with pytest.raises(ValueError, match="way must be one of"):
            rope_scaling.frequencies(lm.model.config, way, factor)


def test_reading_in_pieces_is_reading_at_once():
    """transformers' own loss on the whole text is the independent way."""
    lm, ids = small(), list(range(40, 75))
    bits = context_window.read(lm, ids, Prefix(), 0, chunk=8)
    whole = torch.tensor([ids])
    wanted = torch.nn.functional.cross_entropy(
        lm.model(whole).logits[0, :-1], whole[0, 1:], reduction="none"
    ) / np.log(2)
    np.testing.assert_allclose(bits, wanted.detach(), atol=1e-4)
    first = context_window.read(lm, ids[:20], prefix := Prefix(), 0, chunk=8)
    rest = context_window.read(lm, ids[20:], prefix, 20, chunk=8)
    np.testing.assert_allclose(first + rest, np.delete(bits, 19), atol=1e-4)


def test_asking_leaves_the_cache_alone():
    lm, ids = small(), list(range(40, 60))
    context_window.read(lm, ids, prefix := Prefix(), 0)
    known = context_window.keys(3, 0)
    first = context_window.ask(lm, prefix, 20, known)
    assert prefix.cache.get_seq_length() == 20 and context_window.ask(lm, prefix, 20, known) == first
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
    lm, known = small(), context_window.keys(8, 1)
    ids, ends = context_window.long_text(lm, 4000, known)
    assert len(ids) == 4000 and len(ends) == 8 and ends == sorted(ends)
    text = lm.tokenizer.decode(ids)
    assert all(context_window.statement(*k) in text for k in known)
    with pytest.raises(ValueError, match="tokens"):
        context_window.long_text(lm, 10**6, known)


def test_tuning_on_jumps_trains_an_adapter_that_comes_off():
    lm = small()
    before = {n: p.clone() for n, p in lm.model.named_parameters()}
    tuned = rope_scaling.tune_positions(
        lm, context_window.texts(True)[:4], Recipe(learning_rate=1e-2), reach=4096, window=64, steps=8
    )
    assert tuned.losses[-1] < tuned.losses[0] and tuned.trainable > 0
    model = restore(tuned)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    with pytest.raises(ValueError, match="fewer than a window"):
        rope_scaling.tune_positions(lm, ["short"], Recipe(), reach=4096)


# -- the experiments and the pages -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        bench = made_bench(tmp_path_factory.mktemp("cache"), patch, positions=8192)
        return types.SimpleNamespace(
            operation=performed(
                invented_operation.EXPERIMENT,
                bench,
                sizes={"frell": [4, 8], "easy": [4]},
                seeds=[0, 1],
                control_seeds=[0, 1],
                test_n=6,
            ),
            judge=performed(groundedness.EXPERIMENT, bench, test_n=8, stale_n=4, seeds=[0, 1]),
            window=performed(
                context_window.EXPERIMENT,
                bench,
                distances=[1024, 12288],
                real=["none", "yarn"],
                tuned=["pi", "yarn"],
                real_tuned=["yarn"],
                seeds=[0, 1],
            ),
        )


def test_verdicts_can_be_recomputed(records):
    labels = records.judge.one(method="items")["labels"]
    for r in records.judge.results[1:]:
        said = r["predictions"] + r["stale"]["predictions"]
        assert len(said) == len(labels)
        right = [a == b for a, b in zip(said, labels, strict=True)]
        assert r["accuracy"]["value"] == pytest.approx(np.mean(right[:8])) and r["stale"]["accuracy"][
            "value"
        ] == pytest.approx(np.mean(right[8:]))


def test_only_the_largest_training_has_a_control(records):
    assert {(r["task"], r["n_labels"]) for r in records.operation.where(method="random")} == {
        ("frell", 8),
        ("easy", 4),
    }
    for r in records.operation.where(method="random"):
        assert r["trainable"] > max(p["trainable"] for p in records.operation.where(method="pretrained"))


def test_every_figure_and_table_is_made(records):
    for make in (
        abilities.operation_figure,
        abilities.operation_curve,
        abilities.controls,
        abilities.control_words,
    ):
        assert str(make(records.operation))
    for make in (abilities.judge_figure, abilities.judge_table):
        assert str(make(records.judge))
    for make in (abilities.window_figure, abilities.window_table, abilities.real_table):
        assert str(make(records.window))
    assert "judge" in str(abilities.summary(records.operation, records.judge, records.window))
    assert abilities.TRAINED == 8192


@pytest.mark.parametrize(
    ("shares", "words"),
    [((1.0, 1.0), "the control can learn"), ((1.0, 0.5), "1 of 2 did"), ((0.5, 0.5), "proves little")],
)
def test_a_control_that_learns_nothing_is_called_that(shares, words):
    rows = [
        {"method": m, "task": t, "n_labels": 8, "seed": 0, "same": exact(0.0)}
        for m, t in (("random", "frell"), ("pretrained", "frell"), ("pretrained", "easy"))
    ]
    rows += [
        {"method": "random", "task": "easy", "n_labels": 8, "seed": s, "same": exact(share)}
        for s, share in enumerate(shares)
    ]
    assert (
        words
        in abilities.control_words(recorded(invented_operation.EXPERIMENT, {"seeds": [0, 1]}, rows)).text
    )


def test_every_verdict_is_made(records):
    for make, record in (
        (abilities_verdicts.c22, records.operation),
        (abilities_verdicts.c24, records.judge),
        (abilities_verdicts.c25, records.window),
    ):
        ours, agrees, why = make(record)
        assert ours and agrees in ("yes", "partly", "no") and why


# -- verdicts: decided by the intervals --------------------------------------------------------------------------------


def bools(share, n, seed):
    return (np.random.default_rng([9, seed]).permutation(n) < share * n).astype(int)


def exact(share, n=100, seed=0):
    right = bools(share, n, seed)
    return {
        "exact": stats.proportion(int(right.sum()), n),
        "right": "".join(map(str, right)),
        "letters": stats.bootstrap(right),
    }


def operation_record(prompt, tuned, longer_lists, random):
    rows = [
        {"method": m, "task": "frell", "same": exact(s), "longer": exact(s)}
        for m, s in (("untouched", 0.0), ("described", prompt))
    ]
    for seed in range(3):
        rows.append(
            {
                "method": "pretrained",
                "task": "frell",
                "n_labels": 240,
                "seed": seed,
                "same": exact(tuned, seed=seed),
                "longer": exact(longer_lists, seed=seed),
            }
        )
        rows.append(
            {
                "method": "random",
                "task": "frell",
                "n_labels": 240,
                "seed": seed,
                "same": exact(random, seed=seed),
                "longer": exact(random, seed=seed),
            }
        )
    return recorded(invented_operation.EXPERIMENT, {"seeds": [0, 1, 2]}, rows)


@pytest.mark.parametrize(
    ("shares", "agrees", "word"),
    [
        ((0.1, 0.9, 0.9, 0.0), "yes", "longer lists too"),
        ((0.1, 0.9, 0.2, 0.0), "partly", "less than the rule"),
        ((0.1, 0.9, 0.9, 0.9), "partly", "easy"),
        ((0.9, 0.9, 0.9, 0.0), "no", "best prompt"),
    ],
)
def test_c22(shares, agrees, word):
    _, said, why = abilities_verdicts.c22(operation_record(*shares))
    assert said == agrees and word in why


def judged(share, seed=0, n=120):
    """Verdicts on n test items and 40 stale ones whose labels are 0."""
    wrong = "".join(str(1 - b) for b in bools(share, n, seed))
    half = "01" * 20
    return {
        "seed": seed,
        "predictions": wrong,
        "accuracy": stats.proportion(wrong.count("0"), n),
        "stale": {"predictions": half, "accuracy": stats.proportion(20, 40)},
    }


@pytest.mark.parametrize(
    ("shares", "agrees"), [((0.5, 0.7, 0.95), "yes"), ((0.5, 0.8, 0.8), "partly"), ((0.5, 0.8, 0.5), "no")]
)
def test_c24(shares, agrees):
    untuned, rule, tuned = shares
    rows = [
        {"method": "items", "labels": "0" * 160, "errors": "a" * 60 + "p" * 60 + "s" * 40},
        {"method": "untuned", **judged(untuned)},
    ]
    for seed in range(3):
        rows += [{"method": "features", **judged(rule, seed)}, {"method": "lora", **judged(tuned, seed)}]
    _, said, why = abilities_verdicts.c24(recorded(groundedness.EXPERIMENT, {"seeds": [0, 1, 2]}, rows))
    assert said == agrees and "former values" in why


def window_record(plain, scaled, tuned):
    def points(share, seed):
        return [
            {
                "distance": d,
                "right": "".join(map(str, bools(share, 40, seed + i))),
                "recall": stats.proportion(20, 40),
                "bits": stats.bootstrap([3.0, 4.0, 5.0]),
            }
            for i, d in enumerate((4096, 16384))
        ]

    rows = [
        {"method": "jump", "way": w, "tuned": False, "points": points(s, 0)}
        for w, s in (("none", plain), ("yarn", scaled))
    ]
    rows += [
        {"method": "jump", "way": "yarn", "tuned": True, "seed": s, "points": points(tuned, s)}
        for s in range(3)
    ]
    return recorded(context_window.EXPERIMENT, {"seeds": [0, 1, 2], "distances": [4096, 16384]}, rows)


@pytest.mark.parametrize(
    ("shares", "agrees"), [((0.25, 0.5, 0.95), "yes"), ((0.25, 0.8, 0.8), "partly"), ((0.5, 0.5, 0.5), "no")]
)
def test_c25(shares, agrees):
    assert abilities_verdicts.c25(window_record(*shares))[1] == agrees
