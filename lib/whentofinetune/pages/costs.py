"""Figures and tables of the chapter *What does tuning save?* and of the experiment with several adapters, from run records."""

import html
from itertools import product

import numpy as np

from tunewise import report as rp
from tunewise import stats
from tunewise.compare import monthly_cost
from tunewise.record import Record, Row
from whentofinetune import verdicts
from whentofinetune.calculators import read
from whentofinetune.datasets.rated_tasks import ABOUT
from whentofinetune.pages import condition_names

# -- several tasks, several adapters -------------------------------------------------------------------------------------

ADAPTERS = {
    "none": "none: the prompt alone",
    "mixed": "mixed, as many of each",
    "mixed, same total": "mixed, as many in all",
}


def adapters(record: Record) -> dict[str, str]:
    """Adapter -> its name on the page; first those of one task, in the order of the tasks, so that the diagonal is one."""
    trained = dict.fromkeys(r["trained"] for r in record.results if r["method"] != "switch")
    return {
        a: ADAPTERS.get(a, f"trained on {ABOUT.get(a, a)}")
        for a in sorted(trained, key=ADAPTERS.__contains__)
    }


def diversity(record: Record) -> dict[str, dict[str, dict]]:
    """Adapter -> task -> accuracy over seeds."""
    tasks = [r["tested"] for r in record.where(method="prompt")]
    return {a: {t: rp.mean(record.where(trained=a, tested=t)) for t in tasks} for a in adapters(record)}


def diversity_matrix(record: Record) -> rp.Figure:
    """Rows are adapters, columns the tasks on which they are tested."""
    cells = diversity(record)
    tasks = list(cells["none"])
    own = np.mean([cells[t][t]["value"] for t in tasks])
    others = np.mean([cells[a][t]["value"] for a in tasks for t in tasks if a != t])
    alt = f"A task's own adapter {rp.pct(own)} on average, an adapter of another task {rp.pct(others)}"
    named = {}
    for a, name in adapters(record).items():
        labels = record.where(trained=a)[0].get("n_labels")
        row = f"{name} ({labels} labels)" if labels else name
        named[row] = {ABOUT.get(t, t): v for t, v in cells[a].items()}
    return rp.heatmap(named, "tested on", "adapter", "Accuracy of each adapter on each task", alt)


def switching_table(record: Record) -> rp.Html:
    """What changing adapters takes, beside loading another model; and whether answers are the same afterwards."""
    r = record.one(method="switch")
    same = list(r["same_after_switching"].values())
    slower = np.median(r["answers_with_ms"]) / np.median(r["answers_without_ms"])
    change = rp.plain(stats.bootstrap(r["switch_ms"], np.median), "ms")
    found = {
        "change to another adapter that is loaded": change,
        "load a further adapter": rp.plain(float(np.mean(r["add_ms"])), "ms"),
        "load another whole model instead": rp.plain(r["load_model_ms"], "ms"),
        "an adapter's size": f"{100 * r['adapter_bytes'] / r['model_bytes']:.1f} % of the model's",
        "an answer with the adapter on, against without": f"{slower:.2f} times the time",
        "scores after switching away and back": f"identical for {sum(same)} of {len(same)} tasks",
        "scores with all adapters off": f"{'identical to' if r['same_when_off'] else 'not'} the base model's",
    }
    return rp.table_from_lists(["", "measured"], list(found.items()), "Several adapters on one model")


# -- a student in place of a teacher ----------------------------------------------------------------------------------------

SLICES = {"easy": "easy tweets", "hard": "hard tweets", "shifted": "product reviews"}
STUDENTS = {"embeddings": "MiniLM + logistic regression", "tfidf": "TF-IDF + logistic regression"}


def distil_table(record: Record) -> rp.Html:
    """Accuracy of the teacher and of each student, by whose labels it learned from, on all slices."""
    found = {part: condition_names.arms(record, slice=part) for part in SLICES}
    rows = [
        {"model": name, "labels": rows[0]["n_labels"]}
        | {words: rp.mean(found[part][name]) for part, words in SLICES.items()}
        for name, rows in found["easy"].items()
    ]
    return rp.table(rows, "Accuracy of teacher and students")


def distil_gaps(record: Record) -> rp.Figure:
    """What the teacher's labels bring a student over human labels, paired by text."""
    rivals = {"human": "human labels, as many", "few human": "the few labels that the teacher learned from"}
    series: dict[str, dict] = {}
    for (part, shown), (m, name), (source, rival) in product(
        SLICES.items(), STUDENTS.items(), rivals.items()
    ):
        taught, other = (record.where(method=m, slice=part, source=s) for s in ("teacher", source))
        series.setdefault(shown, {})[f"{name}: the teacher's labels minus {rival}"] = rp.gap(taught, other)
    return rp.differences(series, "difference in accuracy", "What a teacher brings")


def clocks(record: Record) -> dict[str, Row]:
    """Model -> its row of measured times."""
    return {r["of"]: r for r in record.where(method="clock")}


def distil_times(record: Record) -> rp.Html:
    """Seconds for 1,000 texts, one by one and many at once."""
    names, rows = {"teacher": "teacher: tuned language model"} | STUDENTS, []
    for of, r in clocks(record).items():
        alone = r["seconds"] | {k: 1000 * r["seconds"][k] for k in ("value", "low", "high")}
        rows.append({"model": names[of], "one by one, s": alone, "many at once, s": 1000 * r["batched"]})
    return rp.table(rows, "Seconds for 1,000 texts on this CPU", show={"one by one, s": rp.plain})


# -- a shorter prompt -------------------------------------------------------------------------------------------------------


def shorter_prompt(latency: Record, shots: Record, curve: Record) -> rp.Html:
    """A long prompt beside tuned models with a short one. A tuned model's seconds are taken as the base model's with the same prompt."""
    by_k = {r["k"]: r for r in sorted(latency.where(method="latency"), key=lambda r: r["k"])}
    methods = {"no examples": (0, shots.where(method="zero-shot"))}
    methods |= {f"{k} examples in the prompt": (k, shots.where(method="random", k=k)) for k in by_k if k}
    for n, found in curve.by("n_labels", method="lora").items():
        methods[f"LoRA on {n} labels, no examples"] = (0, found)
    rows = []
    for name, (k, found) in ((name, of) for name, of in methods.items() if of[1]):
        calibrated = "-" if "LoRA" in name else rp.mean(found, "calibrated.accuracy")
        took = (round(by_k[k]["prompt_tokens"]), by_k[k]["seconds"], by_k[k]["seconds_cached"])
        rows.append((name, rp.mean(found), calibrated, *took))
    heads = ("method", "accuracy", "calibrated", "prompt tokens", "seconds a call", "seconds, prefix kept")
    caption = "The same tweets after long and short prompts"
    return rp.table_from_lists(heads, rows, caption, [None] * 4 + [rp.plain])


def methods_settings(latency: Record, distillation: Record) -> dict:
    """What the calculator of methods starts with: measured prompt lengths and seconds in the steps of its controls; prices are the reader's."""
    rows = {r["k"]: r for r in latency.where(method="latency")}
    short, long = rows[0], rows[16 if 16 in rows else max(rows)]
    tokens = long["prompt_tokens"] - short["prompt_tokens"]
    longer = (long["seconds"]["value"] - short["seconds"]["value"]) / tokens
    taken = {of: round(r["seconds"]["value"], 3) for of, r in clocks(distillation).items()}
    lengths = {"question_tokens": max(10, 10 * round(short["prompt_tokens"] / 10))}
    lengths |= {"examples_tokens": 50 * round(tokens / 50)}
    seconds = {"seconds_a_call": taken["teacher"], "small_seconds": taken["embeddings"]}
    return lengths | seconds | {"seconds_longer": round(1000 * longer, 2)}


def presets(block: str = "four-ways") -> rp.Html:
    """Links that fill in the form ``block`` with dated prices, each with its source; dollars become euro."""
    items, lines = [], []
    machines = {m.name: m for m in monthly_cost.read_prices().machines}
    for name, p in read("forms")["presets"].items():
        values = {k: round(v / p["dollars_per_euro"], 4) for k, v in p.get("dollars", {}).items()}
        values |= {k: str(v).lower() for k, v in p["values"].items()}
        if "machine" in p:
            machine = machines[p["machine"]]
            values["hosting_per_month"] = round(machine.euro_an_hour * monthly_cost.HOURS, 2)
            source, _, said = machine.source.partition(" ")
            p = p | {"source": source, "from": f"{p['machine']} {said}", "date": machine.read}
        query = html.escape("&".join(f"{block}.{k}={v}" for k, v in values.items()))
        origins = "; ".join(
            (f'<a href="{o["source"]}">{o["from"]}</a>' if o["source"] else o["from"]) + f", {o['date']}"
            for o in (p, p.get("cache"))
            if o
        )
        items.append(f'<li><a href="?{query}#live-{block}">{name}</a>: {p["says"]} ({origins})</li>')
        lines.append(f"{name} ({p['date']}): {values}")
    return rp.Html(f"<ul>{''.join(items)}</ul>", "\n".join(lines))


# -- a judge ----------------------------------------------------------------------------------------------------------------

JUDGES = condition_names.methods("judge")


def judge_table(record: Record) -> rp.Html:
    """Agreement with the teacher, text by text and in pairs, and whether a judge stays with its choice when the two change places."""
    columns = {
        "one text: agrees": ("point", "accuracy"),
        "two texts: agrees": ("pair", "accuracy"),
        "same choice after the swap": ("pair", "consistent"),
        "two texts, both orders together": ("pair", "both_orders.accuracy"),
        "two texts, each judged alone": ("alone", "accuracy"),
    }
    rows: dict[str, dict] = {method: {"judge": name} for method, name in JUDGES.items()}
    for (method, row), (head, (scheme, metric)) in product(rows.items(), columns.items()):
        row[head] = rp.mean(record.where(method=method, scheme=scheme), metric) or "-"
    return rp.table(list(rows.values()), "Agreement with the teacher")


def judge_cost_table(record: Record) -> rp.Html:
    """Tokens and seconds a verdict; of several seeds the run whose seconds are in the middle."""
    heads = ("judge", "prompt tokens", "of them the same each time", "training, s", "seconds a verdict")
    cells = []
    for (scheme, said), method in product(
        {"point": "one text", "pair": "two texts"}.items(), ("asked", "rubric", "tuned")
    ):
        runs = sorted(record.where(method=method, scheme=scheme), key=lambda r: r["seconds"]["value"])
        r = runs[len(runs) // 2]
        training = round(r["train_seconds"]) if method == "tuned" else "-"
        sizes = (round(r["prompt_tokens"]), r["shared_tokens"], training)
        cells.append((f"{said}: {JUDGES[method]}", *sizes, r["seconds"]))
    cells.append(("the teacher: a program", 0, 0, "-", record.one(method="rules")["seconds"]))
    return rp.table_from_lists(heads, cells, "What a verdict costs", [None] * 4 + [rp.plain])


def summary(distillation: Record, judge: Record) -> rp.Html:
    """Who teaches whom, and the chapter's results but for the numbers that the page asks a reader to predict."""
    teacher = rp.mean(distillation.where(method="teacher", slice="easy"))
    tuned, told = (rp.mean(judge.where(method=m, scheme="point")) for m in ("tuned", "rubric"))
    return rp.prose(
        f"The teacher is {verdicts.title(distillation.model)}, tuned on few labels; the student is {STUDENTS['embeddings']}. "
        f"On easy tweets the teacher reaches {rp.pct(teacher)}; guess below what share the student reaches, and how much faster it is. "
        f"On single texts a tuned judge gives the verdict of the program that taught it on {rp.pct(tuned)}, the base model with the rules in its prompt on {rp.pct(told)}."
    )


def in_both_orders(judged: Record) -> str:
    """The tuned judge of two texts minus the base model with the rules: right in both orders, in points."""
    tuned, base = (judged.where(method=method, scheme="pair") for method in ("tuned", "rubric"))
    return rp.points(rp.gap(tuned, base, "both_orders.accuracy"))
