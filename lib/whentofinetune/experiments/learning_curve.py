"""How many labels until fine-tuning wins? LoRA beside classifiers that are no LLM (C1, C14, C15)."""

from __future__ import annotations

from tunewise import baselines
from tunewise.finetune import Recipe
from whentofinetune.old_bench import Bench, Experiment, outcome, public, sample, subset


def tuning(params: dict, method: str, seed: int) -> Recipe:
    return Recipe(method=method, seed=seed, **params["recipe"][method])


def run(bench: Bench, params: dict) -> list[dict]:
    name = params["tasks"][0]
    task, rows = bench.task(name), []
    test = subset(task.test, params["test_n"])
    texts, labels = [e.text for e in test], [e.label for e in test]

    def plain(method: str, predict, **settings):
        settings = {
            "method": method,
            "task": name,
            **settings,
            "data": bench.fingerprint(name),
            "test_n": params["test_n"],
        }
        rows.append(public(bench.work.step(settings, lambda: outcome(predict(), labels))))

    plain("majority", lambda: baselines.majority([e.label for e in task.train], len(test)))
    if task.labels == ("positive", "neutral", "negative"):
        plain("lexicon", lambda: baselines.lexicon(texts))
    for seed in params["seeds"]:
        for n in params["labels"]:
            train = sample(task, n, seed)
            y = [label for _, label in train]
            plain("tfidf", lambda train=train: baselines.tfidf(train, texts), n_labels=n, seed=seed)
            plain(
                "embeddings",
                lambda train=train, y=y: baselines.embeddings(
                    bench.embed([t for t, _ in train]), y, bench.embed(texts)
                ),
                n_labels=n,
                seed=seed,
            )
    for method, sizes in params["tuned"].items():
        for n in sizes:
            for seed in params["seeds"]:
                recipe = tuning(params, method, seed)
                rows.append(bench.tuned(name, n, recipe, params["wording"], params["test_n"]))
    return rows


_RECIPE = {
    "lora": {"learning_rate": 1e-3, "epochs": 1, "min_steps": 14},
    "qlora": {"learning_rate": 1e-3, "epochs": 1, "min_steps": 14},
    "full": {"learning_rate": 1e-4, "epochs": 1, "min_steps": 14},
}
COMMON = {"model": "smollm2-135m", "tasks": ["tweets"], "wording": "instruction", "recipe": _RECIPE}

EXPERIMENT = Experiment(
    name="learning_curve",
    question="How many labels does fine-tuning need?",
    claims=("C1", "C13", "C14", "C15"),
    run=run,
    scales={
        "smoke": COMMON
        | {
            "labels": [30],
            "tuned": {"lora": [8]},
            "seeds": [0],
            "test_n": 24,
            "recipe": {"lora": {"learning_rate": 1e-3, "epochs": 1, "min_steps": 2}},
        },
        "laptop": COMMON | {"labels": [30, 100], "tuned": {"lora": [100]}, "seeds": [0], "test_n": 150},
        "full": COMMON
        | {
            "labels": [10, 30, 100, 300, 700],
            "seeds": [0, 1, 2, 3, 4],
            "test_n": None,
            "tuned": {"lora": [10, 30, 100, 300, 700]},
        },
        "gpu": COMMON
        | {
            "model": "qwen2.5-1.5b",
            "labels": [10, 30, 100, 300, 700],
            "seeds": [0, 1, 2, 3, 4],
            "test_n": None,
            "tuned": {"lora": [10, 30, 100, 300, 700]},
        },
    },
)
