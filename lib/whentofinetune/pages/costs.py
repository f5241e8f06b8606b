"""Figures and tables of the chapter *What does it save?* (``distillation``, ``judge``, and records of other chapters), and those of ``task_diversity``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tunewise import stats
from tunewise.record import Record, Row
from tunewise.report.figures import Figure, Html, bars_with_interval, heatmap, table
from tunewise.report.numbers import pct, plain, points
from whentofinetune.pages.icl_figures import calibrated, gap, mean

# -- several tasks, several adapters -------------------------------------------------------------------------------------

NONE, MIXED, SMALL = "none", "mixed", "mixed, same total"
ADAPTERS = {NONE: "none: the prompt alone", MIXED: "mixed, as many of each", SMALL: "mixed, as many in all"}


def tasks(record: Record) -> list[str]:
    return [r["tested"] for r in record.where(method="prompt")]


def cell(record: Record, trained: str, tested: str) -> dict:
    """Accuracy of one adapter on one task, over seeds."""
    return mean(record.where(trained=trained, tested=tested))


def adapters(record: Record) -> dict[str, str]:
    """The adapters' names as pages show them."""
    return {a: ADAPTERS.get(a, f"trained on {a}") for a in (NONE, *tasks(record), MIXED, SMALL)}


def diversity_matrix(record: Record) -> Figure:
    """The matrix of C41: rows are adapters, columns the tasks that they are asked about."""
    names, named = tasks(record), adapters(record)
    rows = [[cell(record, trained, tested) for tested in names] for trained in named]
    own = np.mean([cell(record, t, t)["value"] for t in names])
    others = np.mean([cell(record, a, t)["value"] for a in names for t in names if a != t])
    alt = f"Accuracy of each adapter on each task. A task's own adapter reaches {own:.0%} on average, an adapter of another task {others:.0%}."
    return heatmap(rows, names, [*named.values()], alt, x_title="asked about", y_title="adapter")


def diversity_table(record: Record) -> Html:
    """The same in numbers with intervals."""
    rows = [
        {
            "adapter": name,
            "examples": record.where(trained=a)[0].get("n_labels") or "-",
            **{t: cell(record, a, t) for t in tasks(record)},
        }
        for a, name in adapters(record).items()
    ]
    heads = {"adapter": "adapter", "examples": "examples it learned from"}
    heads |= {t: f"asked about {t}" for t in tasks(record)}
    return table(rows, "Each adapter on each task", heads)


def over_tasks(record: Record, a: Mapping[str, Sequence[str]], b: Mapping[str, Sequence[str]]) -> dict:
    """Accuracy of one choice of adapters minus that of another over all tasks' items, paired by item. a, b: task -> the adapters that
    answer it, as many for each; of several, the mean counts."""

    def right(choice: Mapping[str, Sequence[str]]) -> list[list[float]]:
        runs = []
        for adapter in zip(*choice.values(), strict=True):
            by_task = [record.where(trained=a, tested=t) for t, a in zip(choice, adapter, strict=True)]
            for rows in zip(*by_task, strict=True):
                runs.append([outcome for row in rows for outcome in row.outcomes("accuracy")])
        return runs

    of_a, of_b = right(a), right(b)
    return stats.difference_over_seeds(of_a, of_b, [1] * len(of_a[0]))


def own(record: Record) -> dict[str, list[str]]:
    return {t: [t] for t in tasks(record)}


def others(record: Record) -> dict[str, list[str]]:
    return {t: [a for a in tasks(record) if a != t] for t in tasks(record)}


def everywhere(record: Record, trained: str) -> dict[str, list[str]]:
    return {t: [trained] for t in tasks(record)}


def middle(numbers: Sequence[float]) -> dict:
    """The median with the 95 % bootstrap interval."""
    return stats.bootstrap(list(numbers), np.median)


def switching_table(record: Record) -> Html:
    """What changing adapters takes, beside loading another model; and whether answers are the same afterwards."""
    r = record.one(method="switch")
    same = sum(r["same_after_switching"].values())
    rows = [
        {"what": "change to another adapter that is loaded", "found": plain(middle(r["switch_ms"]), "ms")},
        {"what": "load a further adapter", "found": plain(float(np.mean(r["add_ms"])), "ms")},
        {"what": "load another whole model instead", "found": plain(r["load_model_ms"], "ms")},
        {"what": "an adapter's size", "found": f"{r['adapter_bytes'] / r['model_bytes']:.1%} of the model's"},
        {
            "what": "an answer with the adapter on, against without",
            "found": f"{np.median(r['answers_with_ms']) / np.median(r['answers_without_ms']):.2f} times the time",
        },
        {
            "what": "scores after switching away and back",
            "found": f"identical for {same} of {len(r['same_after_switching'])} tasks",
        },
        {
            "what": "scores with all adapters off",
            "found": "identical to the untouched model's"
            if r["same_when_off"]
            else "not those of the untouched model",
        },
    ]
    return table(rows, "Several adapters on one model", {"what": "", "found": "measured"})


# -- a student in place of a teacher ----------------------------------------------------------------------------------------

SLICES = {"easy": "easy tweets", "hard": "hard tweets", "shifted": "product reviews"}
STUDENTS = {"embeddings": "MiniLM + logistic regression", "tfidf": "TF-IDF + logistic regression"}
SOURCES = {
    "teacher": "the teacher's labels",
    "human": "people's labels, as many",
    "few human": "the teacher's own few labels",
}


def distilled(record: Record, method: str, part: str, source: str | None = None) -> list[Row]:
    """The rows of a model on a slice, one a seed."""
    return record.where(method=method, slice=part, **({"source": source} if source else {}))


def models(record: Record) -> dict[tuple[str, str | None], str]:
    """(method, source) -> name: the teacher, then each student by whose labels it learned from."""
    return {("teacher", None): "teacher: tuned language model"} | {
        (m, s): f"{STUDENTS[m]}, {SOURCES[s]}" for m in STUDENTS for s in SOURCES
    }


def distil_figure(record: Record, student: str = "embeddings") -> Figure:
    """Accuracy by slice: the teacher, and one student by whose labels it learned from."""
    shown = {k: v for k, v in models(record).items() if k[0] in ("teacher", student)}
    bars = {
        name: {SLICES[part]: mean(distilled(record, m, part, s)) for part in SLICES}
        for (m, s), name in shown.items()
    }
    words = "; ".join(
        f"{name}: " + ", ".join(f"{part} {v['value']:.0%}" for part, v in cells.items())
        for name, cells in bars.items()
    )
    return bars_with_interval(
        bars, "accuracy", alt=f"Accuracy by kind of text. {words}.", line=(1 / 3, "chance")
    )


def distil_table(record: Record) -> Html:
    """All models on all slices."""
    rows = [
        {
            "model": name,
            "labels": distilled(record, m, "easy", s)[0]["n_labels"],
            **{part: mean(distilled(record, m, part, s)) for part in SLICES},
        }
        for (m, s), name in models(record).items()
    ]
    return table(rows, "Teacher and students", {"model": "model", "labels": "labels"} | SLICES)


def against_teacher(record: Record, student: str, source: str, part: str) -> dict:
    """A student's accuracy minus the teacher's on a slice, paired by item."""
    return gap(distilled(record, student, part, source), distilled(record, "teacher", part))


def between_sources(record: Record, student: str, a: str, b: str, part: str) -> dict:
    """One student taught by ``a`` minus the same taught by ``b``."""
    return gap(distilled(record, student, part, a), distilled(record, student, part, b))


def distil_gaps(record: Record) -> Html:
    """What a student of the teacher loses against it, and what the teacher was good for."""
    rows = []
    for m, name in STUDENTS.items():
        rows.append(
            {
                "what": f"{name}: minus the teacher",
                **{p: against_teacher(record, m, "teacher", p) for p in SLICES},
            }
        )
        rows.append(
            {
                "what": f"{name}: minus itself on the few labels",
                **{p: between_sources(record, m, "teacher", "few human", p) for p in SLICES},
            }
        )
    return table(
        rows,
        "Taught by the teacher, paired by item",
        {"what": ""} | SLICES,
        show=dict.fromkeys(SLICES, points),
    )


def clocks(record: Record) -> dict[str, Row]:
    return {r["of"]: r for r in record.where(method="clock")}


def distil_times(record: Record) -> Html:
    """Seconds for 1,000 texts, one by one and many at once."""
    names = {"teacher": "teacher: tuned language model"} | STUDENTS
    rows = [
        {
            "model": names[of],
            "single": r["seconds"] | {k: 1000 * r["seconds"][k] for k in ("value", "low", "high")},
            "batched": 1000 * r["batched"],
        }
        for of, r in clocks(record).items()
    ]
    heads = {"model": "model", "single": "one by one, s", "batched": "many at once, s"}
    return table(rows, "Seconds for 1,000 texts on this CPU", heads, show={"single": plain})


def distil_settings(record: Record, student: str = "embeddings") -> dict:
    """What the calculator starts with: the measured seconds and sizes; prices are the reader's."""
    found = clocks(record)
    return {
        "teacher_seconds": round(1000 * found["teacher"]["batched"], 2),
        "student_seconds": round(1000 * found[student]["batched"], 3),
        "train_seconds": round(
            float(np.mean([r["train_seconds"] for r in record.where(method="labelling")])), 1
        ),
        "human_labels": record.params["labels"],
        "pool": record.params["pool"],
    }


# -- a shorter prompt -------------------------------------------------------------------------------------------------------


def shorter_prompt(latency, shots, curve) -> Html:
    """A long prompt beside tuned models with a short one: accuracy, tokens, seconds alone and with the prefix kept. Seconds are those of one
    machine; a tuned model's are taken as the untuned model's with the same prompt."""
    by_k = {r["k"]: r for r in latency.where(method="latency")}
    rows = []
    for k in (k for k in sorted(by_k) if k == 0 or shots.where(method="random", k=k)):
        found = shots.where(method="random", k=k) if k else shots.where(method="zero-shot")
        rows.append(
            _priced(
                f"{k} examples in the prompt" if k else "no examples",
                by_k[k],
                mean(found),
                mean(found, calibrated),
            )
        )
    for n in sorted({r["n_labels"] for r in curve.where(method="lora")}):
        rows.append(
            _priced(
                f"LoRA on {n} labels, no examples", by_k[0], mean(curve.where(method="lora", n_labels=n)), "-"
            )
        )
    heads = {
        "way": "way",
        "accuracy": "accuracy",
        "calibrated": "calibrated",
        "tokens": "prompt tokens",
        "alone": "seconds a call",
        "kept": "seconds, prefix kept",
    }
    return table(rows, "The same tweets after long and short prompts", heads, show={"alone": plain})


def _priced(way: str, row: Mapping, accuracy, mended) -> dict:
    return {
        "way": way,
        "accuracy": accuracy,
        "calibrated": mended,
        "tokens": round(row["prompt_tokens"]),
        "alone": row["seconds"],
        "kept": row["seconds_cached"],
    }


# -- a judge ----------------------------------------------------------------------------------------------------------------

JUDGES = {
    "asked": "untuned, rules not told",
    "rubric": "untuned, rules in the prompt",
    "tuned": "tuned, rules not told",
    "tfidf": "TF-IDF + logistic regression",
    "embeddings": "MiniLM + logistic regression",
}


def verdicts_of(record: Record, method: str, way: str) -> list[Row]:
    return record.where(method=method, way=way)


def judge_table(record: Record) -> Html:
    """Agreement with the teacher, text by text and in pairs, and whether a judge stays with its choice when the two change places."""
    rows = []
    for method, name in JUDGES.items():
        pair = verdicts_of(record, method, "pair")
        rows.append(
            {
                "judge": name,
                "point": mean(verdicts_of(record, method, "point")),
                "pair": mean(pair) or "-",
                "by_points": mean(verdicts_of(record, method, "alone")) or "-",
                "consistent": mean(pair, lambda r: r["consistent"]) or "-",
                "both": mean(pair, lambda r: r["both_orders"]["accuracy"]) or "-",
            }
        )
    heads = {
        "judge": "judge",
        "point": "one text: agrees",
        "pair": "two texts: agrees",
        "consistent": "same choice after the swap",
        "both": "two texts, both orders together",
        "by_points": "two texts, each judged alone",
    }
    return table(rows, "Agreement with the teacher", heads)


def judge_cost_table(record: Record) -> Html:
    """Tokens and seconds a verdict."""
    rows = []
    for way, said in (("point", "one text"), ("pair", "two texts")):
        for method in ("asked", "rubric", "tuned"):
            found = verdicts_of(record, method, way)
            rows.append(
                {
                    "judge": f"{said}: {JUDGES[method]}",
                    "tokens": round(found[0]["prompt_tokens"]),
                    "shared": found[0]["shared_tokens"],
                    "seconds": mean_seconds(found),
                    "training": round(float(np.mean([r["train_seconds"] for r in found])))
                    if method == "tuned"
                    else "-",
                }
            )
    rules = {"judge": "the teacher: a program", "tokens": 0, "shared": 0, "training": "-"}
    rows.append(rules | {"seconds": record.one(method="rules")["seconds"]})
    heads = {
        "judge": "judge",
        "tokens": "prompt tokens",
        "shared": "of them the same each time",
        "seconds": "seconds a verdict",
        "training": "training, s",
    }
    return table(rows, "What a verdict costs", heads, show={"seconds": plain})


def mean_seconds(rows: Sequence[Row]) -> dict:
    return stats.mean_over_seeds([r["seconds"] for r in rows], bounds=None)


def judge_gap(record: Record, a: str, b: str, way: str) -> dict:
    """Agreement of judge ``a`` minus that of ``b``, paired by item."""
    return gap(verdicts_of(record, a, way), verdicts_of(record, b, way))


def summary(distillation, judge) -> str:
    """The chapter's main results in two sentences, from the records."""
    found = clocks(distillation)
    faster = found["teacher"]["batched"] / found["embeddings"]["batched"]
    student, teacher = (
        mean(distilled(distillation, *key))
        for key in (("embeddings", "easy", "teacher"), ("teacher", "easy"))
    )
    tuned, told = (mean(verdicts_of(judge, m, "point")) for m in ("tuned", "rubric"))
    return (
        f"A student of {pct(student)} on easy tweets answers {faster:.0f} times as fast as its teacher of {pct(teacher)}, many texts at once. "
        f"A tuned judge agrees with its teacher on {pct(tuned)} of single texts, an untuned one that is told the rules on {pct(told)}."
    )


def ways_settings(latency) -> dict:
    """What the calculator of four ways starts with: prompt lengths as measured, rounded to the steps of its sliders; prices are the reader's."""
    rows = {r["k"]: r["prompt_tokens"] for r in latency.where(method="latency")}
    k = 16 if 16 in rows else max(rows)
    return {
        "question_tokens": max(10, 10 * round(rows[0] / 10)),
        "examples_tokens": 50 * round((rows[k] - rows[0]) / 50),
    }
