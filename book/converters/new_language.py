import numpy as np

from tunewise import stats
from tunewise.experiment import Condition, Scores
from whentofinetune.datasets import general_items, hindi_pairs, vader
from whentofinetune.experiments.new_language import TASKS, chosen


def ratio(a, b):
    return a.sum() / b.sum()


def same(metric, old, within=1e-9):
    assert metric["n"] == old["n"] and all(
        abs(metric[k] - old[k]) < within for k in ("value", "low", "high")
    ), (metric, old)


def convert(old):
    """A row on all tasks becomes a row a task; its metrics are compared here where they are no mean over items."""
    params, test = old["params"], hindi_pairs.pairs("test")[: old["params"]["test_n"]]
    news = [r for r in vader.split("news")["test"] if len(r.text) >= 60][: params["texts"]]
    general = general_items.items()[: params["items"]]
    assert old["results"][0]["labels"] == "".join(
        str(m.index(i)) for i, m in enumerate(hindi_pairs.choices(test))
    )

    def digits(part):
        return [int(p) for p in part["predictions"]]

    def bits(part, items, texts):
        found = Scores(items, bits=part["bits"], bytes=[len(t.encode()) for t in texts])
        # the recorded bits are rounded to two digits, the recorded bits per byte were computed before that
        same(
            stats.bootstrap((np.array(part["bits"]), np.array([len(t.encode()) for t in texts])), ratio),
            part["per_byte"],
            2e-4,
        )
        return found

    def scores(row, task):
        part = row[task]
        if task == "hindi":
            return bits(part, test, [p.hi for p in test])
        if task == "english":
            return bits(part, news, [r.text for r in news])
        if task == "general":  # which option was chosen was not recorded, only whether it was right
            return Scores(general, accuracy=[int(c) for c in part["right"]])
        return chosen(test, digits(part))

    by = {
        m: [r for r in old["results"] if r["method"] == m]
        for m in ("tokens", "untouched", "few-shot", "lora")
    }
    pairs = hindi_pairs.pairs()[: params["counted"]]
    for row in by["tokens"]:
        texts = [getattr(p, row["language"]) for p in pairs]
        words, sizes = [len(t.split()) for t in texts], [len(t.encode()) for t in texts]
        same(stats.bootstrap(row["counts"]), row["per_message"])
        same(stats.bootstrap((np.array(row["counts"]), np.array(words)), ratio), row["per_word"])
        assert row["per_byte"] == round(sum(row["counts"]) / sum(sizes), 4)
        said = Scores(pairs, tokens=row["counts"], words=words, bytes=sizes)
        yield Condition("tokens", language=row["language"]), said, row, ("per_message", "per_word")
    for row in (r for r in old["results"] if r["method"] in ("length", "words")):
        yield (
            Condition(row["method"], task=row["task"]),
            chosen(test, digits(row["result"])),
            row["result"],
            (),
        )
    leave = ("per_byte",)
    for task in TASKS:
        yield Condition("base", task=task), scores(by["untouched"][0], task), by["untouched"][0][task], leave
    for row in by["few-shot"]:
        for task in hindi_pairs.TASKS:
            yield (
                Condition("few-shot", k=row["k"], seed=row["seed"], task=task),
                scores(row, task),
                row[task],
                (),
            )
    for row in by["lora"]:
        for task in TASKS:
            said = scores(row, task)
            said.facts |= {k: row[k] for k in ("train_seconds", "examples_seen")}
            yield (
                Condition("lora", n_labels=row["n_labels"], seed=row["seed"], task=task),
                said,
                row[task],
                leave,
            )


def dropped(old):
    """The list of items, compared with the data; rows that became several, of which each part was compared."""
    return [r for r in old["results"] if r["method"] != "tokens"]
