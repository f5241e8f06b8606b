"""Figures and tables of the chapter *What does tuning save?* and of the experiment with several adapters, from run records."""

from __future__ import annotations

from itertools import product

import numpy as np

from tunewise import stats
from tunewise.record import Record, Row
from tunewise.report import (
    Figure,
    Html,
    differences,
    gap,
    heatmap,
    in_words,
    mean,
    pct,
    plain,
    points,
    prose,
    table,
)

# -- several tasks, several adapters -------------------------------------------------------------------------------------

ADAPTERS = {
    "none": "none: the prompt alone",
    "mixed": "mixed, as many of each",
    "mixed, same total": "mixed, as many in all",
}


def adapters(record: Record) -> dict[str, str]:
    """Adapter -> its name on the page."""
    trained = dict.fromkeys(r["trained"] for r in record.results if r["method"] != "switch")
    return {a: ADAPTERS.get(a, f"trained on {a}") for a in trained}


def diversity(record: Record) -> dict[str, dict[str, dict]]:
    """Adapter -> task -> accuracy over seeds."""
    tasks = [r["tested"] for r in record.where(method="prompt")]
    return {a: {t: mean(record.where(trained=a, tested=t)) for t in tasks} for a in adapters(record)}


def diversity_matrix(record: Record) -> Figure:
    """Rows are adapters, columns the tasks on which they are tested."""
    cells = diversity(record)
    tasks = list(cells["none"])
    own = np.mean([cells[t][t]["value"] for t in tasks])
    others = np.mean([cells[a][t]["value"] for a in tasks for t in tasks if a != t])
    alt = f"Accuracy of each adapter on each task: a task's own adapter {own:.0%} on average, an adapter of another task {others:.0%}."
    rows = [list(row.values()) for row in cells.values()]
    return heatmap(rows, tasks, [*adapters(record).values()], alt, x_title="tested on", y_title="adapter")


def diversity_table(record: Record) -> Html:
    """The same in numbers with intervals."""
    cells, names = diversity(record), adapters(record)
    rows = [
        {"adapter": names[a], "examples": record.where(trained=a)[0].get("n_labels") or "-", **row}
        for a, row in cells.items()
    ]
    heads = {"adapter": "adapter", "examples": "training examples"}
    return table(rows, "Each adapter on each task", heads | {t: f"tested on {t}" for t in cells["none"]})


def switching_table(record: Record) -> Html:
    """What changing adapters takes, beside loading another model; and whether answers are the same afterwards."""
    r = record.one(method="switch")
    same = list(r["same_after_switching"].values())
    slower = np.median(r["answers_with_ms"]) / np.median(r["answers_without_ms"])
    found = {
        "change to another adapter that is loaded": plain(stats.bootstrap(r["switch_ms"], np.median), "ms"),
        "load a further adapter": plain(float(np.mean(r["add_ms"])), "ms"),
        "load another whole model instead": plain(r["load_model_ms"], "ms"),
        "an adapter's size": f"{r['adapter_bytes'] / r['model_bytes']:.1%} of the model's",
        "an answer with the adapter on, against without": f"{slower:.2f} times the time",
        "scores after switching away and back": f"identical for {sum(same)} of {len(same)} tasks",
        "scores with all adapters off": f"{'identical to' if r['same_when_off'] else 'not'} the base model's",
    }
    return table([{"": k, "measured": v} for k, v in found.items()], "Several adapters on one model")


# -- a student in place of a teacher ----------------------------------------------------------------------------------------

SLICES = {"easy": "easy tweets", "hard": "hard tweets", "shifted": "product reviews"}
STUDENTS = {"embeddings": "MiniLM + logistic regression", "tfidf": "TF-IDF + logistic regression"}
SOURCES = {
    "teacher": "the teacher's labels",
    "human": "human labels, as many",
    "few human": "the teacher's own few labels",
}
MODELS = {("teacher", None): "teacher: tuned language model"} | {
    (m, s): f"{student}, {source}" for m, student in STUDENTS.items() for s, source in SOURCES.items()
}


def distilled(record: Record, method: str, part: str, source: str | None = None) -> list[Row]:
    """The rows of a model on a slice, one a seed."""
    return record.where(method=method, slice=part, **({"source": source} if source else {}))


def distil_table(record: Record) -> Html:
    """Accuracy of the teacher and of each student, by whose labels it learned from, on all slices."""
    rows = []
    for (m, s), name in MODELS.items():
        cells = {part: mean(distilled(record, m, part, s)) for part in SLICES}
        rows.append({"model": name, "labels": distilled(record, m, "easy", s)[0]["n_labels"], **cells})
    return table(rows, "Accuracy of teacher and students", {"model": "model", "labels": "labels"} | SLICES)


def distil_gaps(record: Record) -> Figure:
    """What the teacher's labels bring a student over human labels, paired by text."""
    rivals = {"human": "human labels, as many", "few human": "the few labels that the teacher learned from"}
    series: dict[str, dict] = {}
    for (part, shown), (m, name), (source, rival) in product(
        SLICES.items(), STUDENTS.items(), rivals.items()
    ):
        found = gap(distilled(record, m, part, "teacher"), distilled(record, m, part, source))
        series.setdefault(shown, {})[f"{name}: the teacher's labels minus {rival}"] = found
    return differences(
        series, "difference in accuracy", f"What a teacher brings. {in_words(series, points)}."
    )


def clocks(record: Record) -> dict[str, Row]:
    """Model -> its row of measured times."""
    return {r["of"]: r for r in record.where(method="clock")}


def distil_times(record: Record) -> Html:
    """Seconds for 1,000 texts, one by one and many at once."""
    names = {"teacher": "teacher: tuned language model"} | STUDENTS
    rows = []
    for of, r in clocks(record).items():
        alone = r["seconds"] | {k: 1000 * r["seconds"][k] for k in ("value", "low", "high")}
        rows.append({"model": names[of], "single": alone, "batched": 1000 * r["batched"]})
    heads = {"model": "model", "single": "one by one, s", "batched": "many at once, s"}
    return table(rows, "Seconds for 1,000 texts on this CPU", heads, show={"single": plain})


def distil_settings(record: Record, student: str = "embeddings") -> dict:
    """What the calculator starts with: the measured seconds and sizes; prices are the reader's."""
    found = clocks(record)
    training = np.mean([r["train_seconds"] for r in record.where(method="labelling")])
    return {
        "teacher_seconds": round(1000 * found["teacher"]["batched"], 2),
        "student_seconds": round(1000 * found[student]["batched"], 3),
        "train_seconds": round(float(training), 1),
        "human_labels": record.params["labels"],
        "pool": record.params["pool"],
    }


# -- a shorter prompt -------------------------------------------------------------------------------------------------------


def shorter_prompt(latency: Record, shots: Record, curve: Record) -> Html:
    """A long prompt beside tuned models with a short one. A tuned model's seconds are taken as the base model's with the same prompt."""
    by_k = {r["k"]: r for r in sorted(latency.where(method="latency"), key=lambda r: r["k"])}
    methods = {"no examples": (0, shots.where(method="zero-shot"))}
    methods |= {f"{k} examples in the prompt": (k, shots.where(method="random", k=k)) for k in by_k if k}
    for n in sorted({r["n_labels"] for r in curve.where(method="lora")}):
        methods[f"LoRA on {n} labels, no examples"] = (0, curve.where(method="lora", n_labels=n))
    rows = [
        {
            "method": name,
            "accuracy": mean(found),
            "calibrated": mean(found, "calibrated.accuracy") if "LoRA" not in name else "-",
            "tokens": round(by_k[k]["prompt_tokens"]),
            "alone": by_k[k]["seconds"],
            "kept": by_k[k]["seconds_cached"],
        }
        for name, (k, found) in methods.items()
        if found
    ]
    heads = {"method": "method", "accuracy": "accuracy", "calibrated": "calibrated"}
    heads |= {"tokens": "prompt tokens", "alone": "seconds a call", "kept": "seconds, prefix kept"}
    return table(rows, "The same tweets after long and short prompts", heads, show={"alone": plain})


def ways_settings(latency: Record) -> dict:
    """What the calculator of four methods starts with: measured prompt lengths in the steps of its sliders; prices are the reader's."""
    rows = {r["k"]: r["prompt_tokens"] for r in latency.where(method="latency")}
    longer = rows[16 if 16 in rows else max(rows)] - rows[0]
    return {
        "question_tokens": max(10, 10 * round(rows[0] / 10)),
        "examples_tokens": 50 * round(longer / 50),
    }


# -- a judge ----------------------------------------------------------------------------------------------------------------

JUDGES = {
    "asked": "base model, rules not told",
    "rubric": "base model, rules in the prompt",
    "tuned": "tuned, rules not told",
    "tfidf": "TF-IDF + logistic regression",
    "embeddings": "MiniLM + logistic regression",
}


def judge_table(record: Record) -> Html:
    """Agreement with the teacher, text by text and in pairs, and whether a judge stays with its choice when the two change places."""
    rows = []
    for method, name in JUDGES.items():
        point, pair, alone = (record.where(method=method, way=way) for way in ("point", "pair", "alone"))
        cells = {"point": mean(point), "pair": mean(pair), "consistent": mean(pair, "consistent")}
        cells |= {"both": mean(pair, "both_orders.accuracy"), "alone": mean(alone)}
        rows.append({"judge": name} | {k: v or "-" for k, v in cells.items()})
    heads = {"judge": "judge", "point": "one text: agrees", "pair": "two texts: agrees"}
    heads |= {"consistent": "same choice after the swap", "both": "two texts, both orders together"}
    return table(rows, "Agreement with the teacher", heads | {"alone": "two texts, each judged alone"})


def judge_cost_table(record: Record) -> Html:
    """Tokens and seconds a verdict; of several seeds the run whose seconds are in the middle."""
    rows = []
    for way, said in (("point", "one text"), ("pair", "two texts")):
        for method in ("asked", "rubric", "tuned"):
            runs = sorted(record.where(method=method, way=way), key=lambda r: r["seconds"]["value"])
            r = runs[len(runs) // 2]
            cells = {"tokens": round(r["prompt_tokens"]), "shared": r["shared_tokens"]}
            training = round(r["train_seconds"]) if method == "tuned" else "-"
            rows.append(
                {"judge": f"{said}: {JUDGES[method]}", **cells, "training": training} | {"s": r["seconds"]}
            )
    rules = {"judge": "the teacher: a program", "tokens": 0, "shared": 0, "training": "-"}
    rows.append(rules | {"s": record.one(method="rules")["seconds"]})
    heads = {"judge": "judge", "tokens": "prompt tokens", "shared": "of them the same each time"}
    heads |= {"s": "seconds a verdict", "training": "training, s"}
    return table(rows, "What a verdict costs", heads, show={"s": plain})


def summary(distillation: Record, judge: Record) -> Html:
    """The chapter's main results in two sentences."""
    found = clocks(distillation)
    faster = found["teacher"]["batched"] / found["embeddings"]["batched"]
    student = mean(distilled(distillation, "embeddings", "easy", "teacher"))
    teacher = mean(distilled(distillation, "teacher", "easy"))
    tuned, told = (mean(judge.where(method=m, way="point")) for m in ("tuned", "rubric"))
    return prose(
        f"On easy tweets a student reaches {pct(student)} and its teacher {pct(teacher)}; with many texts at once the student is {faster:.0f} times as fast. "
        f"On single texts a tuned judge agrees with its teacher on {pct(tuned)}, the base model with the rules in its prompt on {pct(told)}."
    )
