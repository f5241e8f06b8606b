"""The engine of all experiments: what is finished is kept, what was read decides what is done again, and no fault loses more than a condition."""

import copy
import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tunewise import step_cache
from tunewise.experiment import Condition, Context, Experiment, Params, Scores, _one
from tunewise.step_cache import StepCache, digest

CALLS: list[dict] = []


def conditions(p):
    for k in p.k:
        yield Condition("trial", k=k)
    yield Condition("test")


def evaluate(ctx, c):
    """Right on the first k items of ``size``; the test takes the best k, and an offset that trials do not read."""
    CALLS.append(c.settings)
    k = c.k if c.method == "trial" else ctx.best("k", "accuracy", method="trial") + ctx.params.offset
    return Scores([f"i{i}" for i in range(ctx.params.size)], accuracy=[i < k for i in range(ctx.params.size)])


TOY = Experiment("toy", conditions, evaluate, {"smoke": {"model": "m", "k": [1, 3], "size": 5, "offset": 0}})


def toy(sources="the data", version=1, fresh=False, cache=None, said=None, **changes):
    """The rows of a run, and the conditions that were evaluated in it."""
    CALLS.clear()
    say = (said if said is not None else []).append
    ctx = Context(
        Params(TOY.scales["smoke"] | changes),
        "m",
        None,
        cache or StepCache(fresh=fresh, say=say),
        None,
        {},
        say,
    )
    experiment = Experiment("toy", conditions, evaluate, TOY.scales, version=version)
    for condition in conditions(ctx.params):
        _one(experiment, ctx, condition, sources)
    return ctx.rows, [(c["method"], c.get("k")) for c in CALLS]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path))


def test_a_finished_condition_is_not_evaluated_again():
    rows, done = toy()
    assert done == [("trial", 1), ("trial", 3), ("test", None)]
    assert [r["outcomes"]["accuracy"] for r in rows] == ["10000", "11100", "11100"]
    assert toy() == (rows, [])


def test_only_what_read_a_parameter_is_evaluated_again():
    toy()
    rows, done = toy(offset=1)
    assert done == [("test", None)] and rows[-1]["outcomes"]["accuracy"] == "11110"
    assert toy(k=[1, 3, 2])[1] == [("trial", 2), ("test", None)]  # another trial, another choice
    assert toy(size=6)[1] == [("trial", 1), ("trial", 3), ("test", None)]
    assert toy(size=6)[1] == toy()[1] == toy(offset=1)[1] == []  # all of them are kept beside each other


def test_other_data_or_another_version_is_evaluated_again():
    toy()
    assert len(toy(sources="others")[1]) == len(toy(version=2)[1]) == len(toy(fresh=True)[1]) == 3
    assert toy()[1] == []


def test_a_choice_without_trials_is_said():
    with pytest.raises(LookupError, match="yield the trials before"):
        toy(k=[])


def test_a_damaged_step_is_named_set_aside_and_computed_again():
    rows, _ = toy()
    said, folder = [], StepCache().folder
    for path in folder.glob("*.json"):
        path.write_text(path.read_text()[:20])
    again, done = toy(said=said)
    assert again == rows and len(done) == 3
    assert len(list(folder.glob("*.damaged"))) == 3
    assert sum("is damaged" in line and str(folder) in line for line in said) == 3
    assert toy() == (rows, [])


def test_a_full_disk_loses_no_result(monkeypatch):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(step_cache, "write_whole", full)
    said = []
    rows, done = toy(said=said)
    assert len(rows) == len(done) == 3
    assert sum("could not be kept" in line and "No space left" in line for line in said) == 1


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    step_cache.write_whole(path, "old")
    monkeypatch.setattr(os, "replace", lambda a, b: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    with pytest.raises(OSError, match="I/O"):
        step_cache.write_whole(path, "new")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_memo_is_computed_once_a_model():
    cache, calls = StepCache(), []

    def compute():
        calls.append(1)
        return {"n": len(calls)}

    assert cache.memo(["a"], compute) == cache.memo(["a"], compute) == {"n": 1}
    assert cache.memo(["b"], compute) == {"n": 2} == StepCache().memo(["b"], compute)
    fresh = StepCache(fresh=True)
    assert fresh.memo(["a"], compute) == fresh.memo(["a"], compute) == {"n": 3}  # afresh, but once


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1}) != digest({"a": 1, "b": [2, 1]})


SLOW = """
import json, sys, time
sys.path.insert(0, {tests!r})
import test_experiment as t
evaluate = t.evaluate
def slowly(ctx, c):
    print(json.dumps(c.settings), flush=True)
    time.sleep({wait})
    return evaluate(ctx, c)
t.evaluate = slowly
rows, _ = t.toy(k=list(range(1, 6)))
print(json.dumps(rows))
"""


def test_a_run_that_was_killed_goes_on_and_ends_the_same(tmp_path):
    def start(cache, wait):
        code = SLOW.format(tests=os.path.dirname(__file__), wait=wait)
        env = os.environ | {"TUNEWISE_CACHE": str(tmp_path / cache)}
        return subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)

    with start("killed", 0.5) as process:
        seen = [json.loads(process.stdout.readline()) for _ in range(3)]
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    with start("killed", 0) as process:
        *evaluated, rows = map(json.loads, process.stdout.read().splitlines())
    with start("undisturbed", 0) as process:
        *_, wanted = map(json.loads, process.stdout.read().splitlines())
    assert rows == wanted and len(rows) == 6
    assert evaluated[0] == seen[-1]  # the one in which it was killed, and none before
    assert [c.get("k") for c in evaluated] == [3, 4, 5, None]


# -- adapters ---------------------------------------------------------------------------------------------------------------


def tune(p):
    for name in p.names:
        yield Condition("lora", name=name)


def tuned(ctx, c):
    """The scores of two answers after training on pairs that ``name`` stands in."""
    from tunewise.finetune import Recipe
    from tunewise.scoring import label_logprobs

    pairs = [(" a", f" {c.name[0]}"), (" b", " no")]
    with ctx.adapter(pairs, Recipe(min_steps=2, rank=2), "Say:") as lm:
        score = label_logprobs(lm, "Say:", [" a"], [" yes", " no"])[0]
        return Scores(facts={"score": score.tolist(), "seconds": lm.seconds, "key": lm.key})


TUNED = Experiment("tuned", tune, tuned, {"smoke": {"names": ["yes", "yes, again", "maybe"]}})


def test_an_adapter_is_trained_once_for_all_who_train_the_same(tmp_path, monkeypatch):
    from small_model import (
        run_small,
        small_context,
    )  # torch is not loaded in the processes that are killed above

    ctx = small_context(tmp_path, monkeypatch, TUNED.scales["smoke"])
    before = tuned_score(ctx)
    one, same, other = run_small(TUNED, ctx).results
    assert one["key"] == same["key"] != other["key"] and one["seconds"] == same["seconds"]
    assert one["score"] == same["score"] != other["score"]
    assert tuned_score(ctx) == before  # the base model is what it was
    (folder,) = (p for p in (tmp_path / "adapters").iterdir() if p.name == one["key"])
    assert (folder / "adapter_model.safetensors").exists() and (folder / "adapter_config.json").exists()
    ctx.cache.fresh, ctx.cache.made, ctx.rows = True, set(), []
    again = run_small(TUNED, ctx).results
    assert again[0]["score"] == one["score"] and again[0]["seconds"] == again[1]["seconds"] != one["seconds"]


def tuned_score(ctx):
    from tunewise.scoring import label_logprobs

    return label_logprobs(ctx.lm, "Say:", [" a"], [" yes", " no"])[0].tolist()


def choosing(p):
    yield from (Condition("lora", names=n) for n in (5, 5, 6))


def chosen(ctx, c):
    from tunewise.finetune import Recipe

    pairs = [(f"Say: a{i}", " yes") for i in range(c.names)]
    with ctx.adapter(pairs, Recipe(min_steps=2, candidates=ctx.params.candidates)) as lm:
        return Scores(facts={"key": lm.key})


CHOOSING = Experiment(
    "choosing",
    choosing,
    chosen,
    {"smoke": {"candidates": [{"learning_rate": 1e-9}, {"learning_rate": 1e-2, "epochs": 9}]}},
)


def test_a_recipe_is_chosen_on_held_out_pairs_and_the_trials_stand_in_the_row(tmp_path, monkeypatch):
    from small_model import run_small, small_context

    ctx = small_context(tmp_path, monkeypatch, CHOOSING.scales["smoke"])
    one, same, other = run_small(CHOOSING, ctx).results
    trials = one["recipe"]
    assert trials["chosen"] == {"learning_rate": 1e-2, "epochs": 9}  # the other learns nothing
    assert trials["losses"][1] < trials["losses"][0] and len(trials["candidates"]) == 2
    assert same["recipe"] == trials and same["key"] == one["key"] != other["key"]


def test_each_trial_of_full_fine_tuning_begins_with_weights_of_its_own(tmp_path, monkeypatch):
    from small_model import small_context

    from tunewise.finetune import Recipe

    ctx, given = small_context(tmp_path, monkeypatch, {}), []

    def load(**options):
        given.append(copy.deepcopy(ctx.lm))
        return given[-1]

    ctx.load = load
    recipe = Recipe("full", min_steps=1, candidates=({"learning_rate": 1e-3}, {"learning_rate": 1e-9}))
    with ctx.adapter([(f"Say: a{i}", " yes") for i in range(5)], recipe) as lm:
        assert len(given) == 3 and lm.model is given[-1].model
