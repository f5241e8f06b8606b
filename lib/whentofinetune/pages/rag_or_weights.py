"""Facts looked up or trained in: figures and tables, each a function of the run record ``rag_knowledge``."""

from tunewise import report as rp
from tunewise.record import Record
from tunewise.report.tables import Conditions
from tunewise.words import counted
from tunewise.written_answers import OUTCOMES
from whentofinetune.pages.condition_names import arms

KINDS = ("same wording", "reworded", "reversed", "two facts")


def phrasings_of(record: Record) -> list[int]:
    """Numbers of phrasings that facts were tuned in with."""
    return list(record.by("phrasings", method="tuned", asked="reworded"))


def methods_to_know(record: Record, asked: str) -> Conditions:
    """Name -> rows of each method that was asked this kind of question; facts tuned in with the most phrasings."""
    most, tuned = phrasings_of(record)[-1], "tuned on the facts"
    found = arms(record, asked=asked)
    return found | {tuned: [row for row in found[tuned] if row["phrasings"] == most]}


def knowledge_figure(record: Record) -> rp.Figure:
    """Right answers by method and kind of question, facts tuned in with the most phrasings."""
    series: dict[str, dict] = {}
    for kind in KINDS:
        for name, metric in rp.means(methods_to_know(record, kind), "right").items():
            series.setdefault(name, {})[kind] = metric
    asked, phrasings = record.params["facts"], phrasings_of(record)[-1]
    caption = f"Methods to know the same {asked} facts, tuned in with {counted(phrasings, 'phrasing')} each"
    return rp.dots(series, "right answers", caption)


def chosen_table(record: Record) -> rp.Html:
    """What was tried on validation, and what was used: how the base model is asked, and the recipe of both trainings."""
    recipes = {"tuned": record.params["fact_recipes"], "rag fine-tuning": record.params["reading_recipes"]}
    heads = {
        "rag": "RAG, prompt",
        "tuned": "tuned on the facts, recipe",
        "rag fine-tuning": "RAG fine-tuning, recipe",
    }
    rows = []
    for method, head in heads.items():
        trials = record.where(method=method, trial=True)
        used = max(trials, key=lambda r: r.metric("right")["value"], default=None)  # of equals the first
        for r in trials:
            recipe = recipes[method][r["recipe"]] if method in recipes else {}
            told = ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in recipe.items()) or r["reader"]
            row = {"what is chosen": head, "tried": told, "right on validation": rp.mean([r], "right")}
            rows.append(row | {"used": "yes" if r is used else ""})
    return rp.table(rows, "Prompts and recipes, chosen on questions of the validation split")


def memorised_table(record: Record) -> rp.Html:
    """What tuning memorises and what it generalises: the trained wording against other questions, by number of phrasings."""
    rows = []
    for p in phrasings_of(record):
        same, new, *others = (record.where(method="tuned", phrasings=p, asked=kind) for kind in KINDS)
        row = {"phrasings in training": str(p), "the trained wording": rp.mean(same, "right")}
        row |= {"reworded": rp.mean(new, "right"), "reworded minus trained": rp.gap(new, same, "right")}
        rows.append(row | {kind: rp.mean(o, "right") for kind, o in zip(KINDS[2:], others, strict=True)})
    caption = "The same facts, seen equally often in training"
    return rp.table(rows, caption, show={"reworded minus trained": rp.points})


def outcomes_figure(record: Record) -> rp.Figure:
    """Right, wrong and abstained, by method, where the question is reworded."""
    found = methods_to_know(record, "reworded").items()
    bars = {name: {o: rp.mean(rows, o) for o in OUTCOMES} for name, rows in found}
    return rp.stacked_bars(bars, "share of the answers", "Reworded questions: right, wrong, abstained")


def over_weights(record: Record, metric: str) -> str:
    """RAG fine-tuning with an index of the same facts minus these facts in the weights, reworded questions, in points."""
    found = methods_to_know(record, "reworded")
    ours, weights = found["RAG fine-tuning, index of these facts"], found["tuned on the facts"]
    return rp.points(rp.gap(ours, weights, metric))


def over_prompt(record: Record, metric: str = "right") -> str:
    """RAG fine-tuning minus the base model with the prompt that did best on validation, reworded questions, in points."""
    found = methods_to_know(record, "reworded")
    return rp.points(rp.gap(found["RAG fine-tuning"], found["RAG"], metric))
