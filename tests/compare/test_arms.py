"""The arms on small data, with a model of random weights: what they learn from, choose by, keep and leave behind."""

import dataclasses
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import small_model
import torch
from sklearn.linear_model import LogisticRegression

from tunewise import finetune
from tunewise.compare.arms import classifiers, prompts, tuned
from tunewise.compare.artefact import Artefact
from tunewise.compare.base import Columns, Item, OwnData, Settings
from tunewise.compare.own_prompt import our_templates, read_prompt
from tunewise.compare.workbench import TEXT_TOKENS, BudgetSpent, Pace, Workbench
from tunewise.step_cache import StepCache

LABELS = ("billing", "bug", "account")
SAID = {"billing": "charged refund invoice", "bug": "crash error broken", "account": "login password user"}


def rows(n, first=0, shares=(1, 1, 1)):
    """Items whose words give their label away; ``shares``: how many of each label in a turn."""
    turn = [label for label, share in zip(LABELS, shares, strict=True) for _ in range(share)]
    found = []
    for i in range(first, first + n):
        label = turn[i % len(turn)]
        words = SAID[label].split()
        text = f"{words[i % 3]} about number {i} and {words[(i + 1) % 3]}"
        found.append(Item(f"t.csv:{i}", i + 2, text, label, str(i)))
    return tuple(found)


def own(train=None, **changes):
    made = dict(name="t.csv", columns=Columns("classification", "text", "queue"), labels=LABELS)
    made |= dict(train=train or rows(24), valid=rows(9, 100), test=rows(12, 200))
    return OwnData(**(made | changes))


@pytest.fixture
def bench(tmp_path, monkeypatch):
    ctx = small_model.small_context(tmp_path, monkeypatch, {})

    def make(data=None, **settings):
        return Workbench(data or own(), Settings(**settings), lambda line: None, ctx)

    return make


def test_smaller_draws_are_nested_and_hold_every_label(bench):
    work = bench(own(train=rows(60, shares=(8, 1, 1))))
    quarter, half = (work.draw(n) for n in work.points())
    assert [len(quarter), len(half)] == [15, 30]
    assert all(item in half for item in quarter)
    assert {i.target for i in quarter} == set(LABELS)
    share = sum(i.target == "billing" for i in half) / len(half)
    assert abs(share - 0.8) < 0.1  # the label's own share


def test_a_row_that_is_added_leaves_the_others_in_their_order(bench):
    before = bench().train
    after = bench(own(train=rows(25))).train
    for label in LABELS:
        places = [after.index(i) for i in before if i.target == label]
        assert places == sorted(places)


def test_balanced_draws_have_as_many_rows_of_each_label(bench):
    work = bench(own(train=rows(60, shares=(8, 1, 1))), balanced=True)
    assert sorted(np.bincount(work.y(work.train))) == [6, 6, 6]


def test_classifiers_learn_what_the_words_say(bench):
    work = bench()
    result = {arm.name: arm.evaluate(work) for arm in classifiers.arms(work)}
    assert np.mean(result["majority"].outcomes["accuracy"]) == pytest.approx(1 / 3)
    for name in ("tfidf", "embeddings", "neighbours"):
        assert np.mean(result[name].outcomes["accuracy"]) >= 0.9, name
        assert result[name].cost.labels == 24
        assert Artefact.load(result[name].artefact).labels
    assert {t["features"] for t in result["tfidf"].trials} == {"words", "characters"}


def test_each_text_is_embedded_once_and_no_part_is_written_twice(bench):
    work, asked = bench(own()), []
    encode = work.given.encoder.encode
    work.given = SimpleNamespace(
        encoder=SimpleNamespace(encode=lambda part: asked.extend(part) or encode(part))
    )
    first = work.embed([f"text {i}" for i in range(300)])
    files = {path: path.stat().st_mtime_ns for path in work.cache.folder.glob("*.json")}
    again = dataclasses.replace(work, _vectors={})
    assert (again.embed([f"text {i}" for i in range(301)])[:300] == first).all()
    assert len(files) == 2 and len(asked) == len(set(asked)) == 301
    assert files == {path: path.stat().st_mtime_ns for path in files}
    assert 0 < again.embedding_seconds < 1


def test_embeddings_arm_equals_scikit_learn_by_hand(bench):
    work = bench(own(train=rows(9)))  # three a label: nothing is cross-validated
    result = classifiers.embeddings(work)
    encode = small_model.WordCounts().encode
    x, y = encode([i.text for i in work.train]), work.y(work.train)
    by_hand = LogisticRegression(C=10.0, max_iter=2000).fit(x, y)
    test = encode([i.text for i in work.data.test])
    assert list(result.predictions) == [LABELS[p] for p in by_hand.predict(test)]
    np.testing.assert_allclose(result.confidences, by_hand.predict_proba(test).max(axis=1), rtol=1e-5)


def test_a_label_that_a_small_draw_lacks_can_still_be_asked_for(bench):
    work = bench(own(train=rows(24, shares=(1, 1, 0))))
    result = classifiers.tfidf(work)
    assert len(result.predictions) == 12 and "account" not in result.predictions


def test_the_prompt_is_chosen_on_validation_out_of_three_templates(bench):
    work = bench()
    result = prompts.zero_shot(work)
    assert {t["template"] for t in result.trials} == {"instruction", "question", "chat"}
    best = max(t["score"] for t in result.trials)
    assert best in [t["score"] for t in result.trials if all(t[k] == v for k, v in result.settings.items())]
    assert len(result.predictions) == 12 and result.cost.prompt_tokens > 5


def test_examples_are_tried_in_every_way_of_drawing_them(bench):
    result = prompts.few_shot(bench())
    assert {t["drawn"] for t in result.trials} == {"random", "balanced", "nearest"}
    assert {t["examples"] for t in result.trials} >= {4, 16}
    made = Artefact.load(result.artefact)
    assert len(made.shots) in (4, 16, 24) and made.answers == [f" {label}" for label in LABELS]


def test_examples_that_do_not_fit_into_the_window_are_not_asked(bench):
    """A model reads nothing sensible behind its window, though some give an answer."""
    long = tuple(dataclasses.replace(item, text=f"{item.text} {'and so on ' * 100}") for item in rows(24))
    work = bench(own(train=long))
    work.ctx.lm.model.config.max_position_embeddings = 1024
    with pytest.raises(ValueError, match="4 examples and a text do not fit into the model's window"):
        prompts.few_shot(work)


def test_scores_are_computed_once_a_text(bench, monkeypatch):
    work = bench()
    asked = []
    plain = __import__("tunewise.scoring", fromlist=["label_logprobs"]).label_logprobs
    monkeypatch.setattr(
        "tunewise.scoring.label_logprobs", lambda lm, p, q, a: asked.extend(q) or plain(lm, p, q, a)
    )
    first, _ = work.scores("Text:", [" one", " two"], [" a", " b"])
    second, _ = bench().scores("Text:", [" two", " three", " one"], [" a", " b"])
    assert asked == [" one", " two", " three"]
    np.testing.assert_array_equal(second[[2, 0]], first)


def test_what_ends_an_answer_is_scored_where_one_label_begins_another(bench, monkeypatch):
    asked = set()
    plain = __import__("tunewise.scoring", fromlist=["label_logprobs"]).label_logprobs
    monkeypatch.setattr(
        "tunewise.scoring.label_logprobs", lambda lm, p, q, a: asked.add(tuple(a)) or plain(lm, p, q, a)
    )
    prompts.zero_shot(bench())
    assert asked == {(" billing", " bug", " account")}
    asked.clear()
    items = {part: made_of("bug report", n) for part, n in (("train", 24), ("valid", 9), ("test", 12))}
    made = prompts.zero_shot(bench(own(labels=("bug", "bug report"), **items))).artefact
    assert asked == {(f" bug{end}", f" bug report{end}") for end in ("\n\n", "<|im_end|>")}
    assert Artefact.load(made).end in ("\n\n", "<|im_end|>")


def made_of(label, n):
    """Items of one label."""
    return tuple(dataclasses.replace(item, target=label) for item in rows(n, n * 100))


def test_lora_can_answer_a_label_that_another_begins(bench, monkeypatch):
    """A model that surely writes ``bug report`` and the end of text is not taken to have said ``bug``."""

    def scored(lm, prefix, queries, answers):
        sure = " bug report" + lm.tokenizer.eos_token
        return np.array([[0.0 if sure.startswith(answer) else -9.0 for answer in answers]] * len(queries))

    monkeypatch.setattr("tunewise.scoring.label_logprobs", scored)
    items = {
        "train": (*made_of("bug report", 20), *rows(4, shares=(0, 1, 0))),
        "test": made_of("bug report", 12),
    }
    result = tuned.lora(bench(own(labels=("bug", "bug report"), valid=items["test"], **items), runs=1))
    assert set(result.predictions) == {"bug report"}


def test_a_text_that_is_too_long_is_cut_and_counted(bench):
    work = bench()
    long = "word " * 2000
    assert len(work.ctx.lm.tokenizer(work.shorten(long))["input_ids"]) <= TEXT_TOKENS
    assert work.shorten("a short text") == "a short text"
    assert len(work.cut) == 1


def test_lora_chooses_among_three_recipes_and_keeps_the_winner_alone(bench, tmp_path):
    work = bench()
    before = {k: v.clone() for k, v in work.ctx.lm.model.state_dict().items()}
    result = tuned.lora(work)
    assert len(result.trials) == 3 and len({(t["epochs"], t["learning_rate"]) for t in result.trials}) == 3
    assert [len(run["accuracy"]) for run in result.repeats] == [12, 12]  # two more seeds
    runs = [f"{np.mean(run['accuracy']):.0%}" for run in (result.outcomes, *result.repeats)]
    assert all(share in result.notes[-1] for share in runs) and f"The one with {runs[0]}" in result.notes[-1]
    assert len(list((tmp_path / "adapters").iterdir())) == 1
    assert (result.artefact / "adapter" / "adapter_model.safetensors").exists()
    after = work.ctx.lm.model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())  # the base is as it was
    assert any("loss" in note for note in result.notes)  # random weights learn little in so few steps


def test_an_interrupted_lora_finds_its_finished_trials(bench, monkeypatch):
    first = tuned.lora(bench())

    def no_training(*args, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr("tunewise.finetune.finetune", no_training)
    second = tuned.lora(bench())
    assert second.trials == first.trials and second.predictions == first.predictions


def test_a_rate_that_diverges_costs_one_trial(bench, monkeypatch):
    from tunewise import finetune as ft

    plain = ft.finetune

    def astray(lm, pairs, recipe, **options):
        if recipe.learning_rate == tuned.RATE:
            raise FloatingPointError("the loss is nan")
        return plain(lm, pairs, recipe, **options)

    monkeypatch.setattr("tunewise.finetune.finetune", astray)
    result = tuned.lora(bench())
    assert [t["learning_rate"] for t in result.trials] == [tuned.LOWER]
    assert sum("went astray" in note for note in result.notes) == 2


def test_a_seed_that_goes_astray_is_said(bench, monkeypatch):
    small_model.a_seed_astray(monkeypatch)
    result = tuned.lora(bench())
    assert len(result.repeats) == 1 and any("with seed 1 went astray" in note for note in result.notes)


def test_the_run_that_does_best_on_validation_is_kept(bench, monkeypatch):
    made = []

    class Ranked(tuned._Trial):
        def rank(self):
            return {0: 0.5, 1: 0.9, 2: 0.7}[self.recipe.seed], 0.0

    def scored(self, run):
        made.append(run.recipe.seed)
        return np.eye(3)[np.full(12, run.recipe.seed)] * 9.0  # the run with seed k says label k throughout

    monkeypatch.setattr(tuned, "_Trial", Ranked)
    monkeypatch.setattr(tuned._Training, "test_scores", scored)
    result = tuned.lora(bench())
    assert made == [0, 1, 2] and set(result.predictions) == {LABELS[1]} and len(result.repeats) == 2
    made.clear()
    assert not tuned.lora(bench(), 12).repeats and made == [0]  # a point of the learning curve is one run


def test_guessing_costs_the_entropy_of_the_labels(bench):
    work = bench()
    share, answers = np.array([1, 1, 1]) / 3, [" a", " b", " c"]
    assert tuned.guess_loss(work, work.train, answers) == pytest.approx(-(share * np.log(share)).sum() / 2)


def test_a_chat_template_puts_examples_into_turns_of_their_own():
    lm = small_model.small()
    chat = our_templates(lm.tokenizer, "queue")[2]
    task = Workbench(own(), Settings(), print).task
    said = chat.prefix(task, [("it crashed", 1)]) + chat.query(task, "pay me back")
    turns = [
        {"role": "system", "content": chat_system(said)},
        {"role": "user", "content": "Text: it crashed"},
        {"role": "assistant", "content": "Queue: bug"},
        {"role": "user", "content": "Text: pay me back"},
    ]
    whole = lm.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert said == f"{whole}Queue:"
    assert "billing, bug or account" in said


def chat_system(text):
    return text.split("system\n", 1)[1].split("<|im_end|>", 1)[0]


def test_a_prompt_file_says_what_the_labels_mean(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(
        "system: You sort {mails}.\nlabels:\n  bug: it is broken\nprompt: |\n  {labels}\n  Mail: {text}\n  Queue:\n"
    )
    plain, chat = read_prompt(path, LABELS).templates(small_model.small().tokenizer, LABELS)
    task = Workbench(own(), Settings(), print).task
    said = plain.prefix(task) + plain.query(task, "help")
    assert said == "You sort {mails}.\n\n- billing\n- bug: it is broken\n- account\nMail: help\nQueue:"
    assert "You sort {mails}." in chat.prefix(task) and "Mail: help\nQueue:" in chat.prefix(
        task
    ) + chat.query(task, "help")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.txt", "no place for the text", "must hold {text} once"),
        ("p.txt", "{text} and {text}", "2 times"),
        ("p.yml", "prompt: [1", "not YAML"),
        ("p.yml", "promt: '{text}'", "must hold prompt"),
        ("p.yml", "prompt: '{text}'\nlabels:\n  spam: bad", "a label 'spam' that the data does not have"),
    ],
)
def test_a_faulty_prompt_file_is_named(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        read_prompt(tmp_path / name, LABELS)


def test_small_sets_are_seen_more_often_and_the_estimate_grows_with_the_labels(bench):
    assert tuned.passes(30) == (4, 8) and tuned.passes(1000) == (1, 2)
    whole, half, quarter = tuned.arms(bench())
    pace = Pace(tokens_a_second=100, text_tokens=20)
    assert whole.seconds(pace) > half.seconds(pace) > quarter.seconds(pace) > 0
    assert [whole.name, half.name, quarter.name] == ["lora", "lora@12", "lora@6"]


def test_an_arm_is_cut_between_two_steps_of_training_and_goes_on_from_there(bench, tmp_path, monkeypatch):
    whole = tuned.lora(bench())
    monkeypatch.setattr(StepCache, "find", lambda self, key: [])  # nothing is found but unfinished trainings
    shutil.rmtree(tmp_path / "adapters")
    steps = iter([False] * 5 + [True])  # the time is over after five steps
    work = bench()
    before = {k: v.clone() for k, v in work.ctx.lm.model.state_dict().items()}

    def on_time():
        if next(steps, False):
            raise BudgetSpent

    monkeypatch.setattr(work, "on_time", on_time)
    with pytest.raises(BudgetSpent):
        tuned.lora(work)
    assert len(list((tmp_path / "adapters").glob("*.unfinished"))) == 1
    after = work.ctx.lm.model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())  # no half adapter is left on it
    begun = []
    plain = finetune.finetune

    def watched(*args, **options):
        made = plain(*args, **options)
        begun.append(made.resumed_at)
        return made

    monkeypatch.setattr("tunewise.finetune.finetune", watched)
    second = tuned.lora(bench())
    assert begun[0] == 6 and second.predictions == whole.predictions
