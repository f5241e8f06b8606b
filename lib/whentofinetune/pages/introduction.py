"""Figures and tables of the introduction, each a function of run records."""

from tunewise import report as rp
from tunewise.record import Record
from whentofinetune.pages.icl_figures import NAMES

BYTES = 4  # a trained parameter is kept in float32


def then_and_now(curve: Record, n: int = 300) -> rp.Figure:
    """Methods to have tweets classified, from a word list to LoRA, on the same labels."""
    shown = {"tfidf": "TF-IDF", "embeddings": "MiniLM", "encoder": "MiniLM, fine-tuned", "lora": "LoRA"}
    methods = {NAMES["lexicon"]: {"method": "lexicon"}}
    methods |= {f"{name}, {n} labels": {"method": m, "n_labels": n} for m, name in shown.items()}
    found = rp.means(rp.conditions(curve, methods))
    return rp.dots(found, "accuracy", "Accuracy on tweets", line=(1 / 3, "chance"))


def what_is_trained(methods: Record) -> rp.Html:
    """What each method of fine-tuning changes, what of it has to be kept for each task, and what it reaches."""
    n = max(r["n_labels"] for r in methods.results)
    found = rp.conditions(methods, {NAMES[m]: {"method": m} for m in ("full", "lora", "qlora")}, n_labels=n)
    whole = max(r["trainable"] for r in methods.where(method="full"))
    columns = {
        "trainable parameters": lambda rows: rows[0]["trainable"],
        "share of the model": lambda rows: f"{100 * rows[0]['trainable'] / whole:.1f} %",
        "to keep a task": lambda rows: f"{rows[0]['trainable'] * BYTES / 1e6:,.0f} MB",
        f"accuracy, {n} labels": "accuracy",
    }
    caption = "The same model and labels, full and parameter-efficient fine-tuning"
    return rp.conditions_table(found, caption, columns)


def prompt_templates(record: Record) -> rp.Html:
    """The prompt templates of a run, side by side, on the test texts."""
    templates = {f"“{r['wording']}”": [r] for r in record.where(method="score", split="test")}
    caption = "The same model and tweets, asked with different prompt templates; nothing was trained"
    return rp.conditions_table(templates, caption, {"accuracy": "accuracy"}, first="prompt template")
