"""Figures and tables of the chapter *Your own data*, each a function of run records."""

from collections.abc import Iterator, Sequence

from tunewise import report as rp
from tunewise import stats
from tunewise.record import Record, Row
from whentofinetune.datasets.public_texts import ABOUT
from whentofinetune.pages import condition_names
from whentofinetune.validation_draws import FAMILIES
from whentofinetune.verdicts import LADDER

ARMS = condition_names.methods("pick_winner")
OF_THE_MODEL = ("zero-shot", "few-shot", "lora")  # the others are the same at every model size
PICKED_BY = {"picked": "best on the validation items", "guide": "what won on the other data sets"}
CLEANED = {
    "relabelled": "flagged rows labelled again",
    "dropped": "flagged rows left out",
    "at random": "as many rows drawn at random, labelled again",
}


def winners(picks: Record) -> rp.Html:
    """Accuracy of each method on all held-out items of each data set, mean over the training runs; a dash where it was not asked."""
    table = []
    for name in picks.params["sets"]:
        rows = {arm: picks.where(set=name, method=arm) for arm in FAMILIES}
        cells = {ARMS[a]: rp.pct(rp.mean(r)["value"]) if r else "-" for a, r in rows.items()}
        table.append({"data set": ABOUT[name]} | cells)
    caption = f"Accuracy on {picks.params['held_out']:,} texts, after {picks.params['labels']} labels"
    return rp.table(table, caption)


def lost(picks: Record, method: str, n: int) -> dict:
    """Accuracy of the best arm minus that of the arm that ``method`` takes after n validation items, on the items that were not drawn."""
    return rp.gap(picks.where(method="best", n=n), picks.where(method=method, n=n))


def lost_figure(picks: Record) -> rp.Figure:
    """What is lost against the best arm, by the number of validation items."""
    sizes = picks.params["validation"]
    found = {said: {n: lost(picks, m, n) for n in sizes} for m, said in PICKED_BY.items()}
    caption = "Accuracy lost against the best method, over ten data sets"
    return rp.curves(found, "validation items", "points lost", caption, show=rp.points, log_x=True)


def chances(picks: Record) -> rp.Html:
    """How often the pick is the winner or close to it, and how often the verdict decides and errs, by the number of validation items."""
    rows = []
    for n in picks.params["validation"]:
        picked, rule = picks.one(method="picked", n=n), picks.one(method="rule", n=n)
        wrong = rule["wrong"] if rule["wrong"]["n"] else "-"
        gain = rp.gap(picks.where(method="estimated", n=n), [picked], "gain")
        rows.append((str(n), picked["right"], picked["near"], rule["decided"], wrong, gain))
    heads = ["validation items", "the pick is the winner", "the pick is near it", "the verdict decides"]
    heads += ["and is wrong", "gain, estimated minus real"]
    caption = f"What few validation items find (near: less than {100 * picks.params['margin']:g} points below the best)"
    return rp.table_from_lists(heads, rows, caption, [None] * 5 + [rp.points])


def _arms(noises: Sequence[Record]) -> Iterator[tuple[str, str, Record]]:
    """Arm, its name and the record to read it from: those of the language model by size, the others once."""
    for arm, said in list(ARMS.items())[1:]:
        by_size = len(noises) > 1 and arm in OF_THE_MODEL
        for noise in noises if by_size else noises[:1]:
            yield arm, f"{said}, {LADDER[noise.model]}" if by_size else said, noise


def noise_figure(*noises: Record) -> rp.Figure:
    """Accuracy against the share of wrong training labels, a menu over the data sets. At first the one of the prediction.

    noises: a record a model size.
    """
    noise, *_ = noises
    figures = {}
    for name in noise.params["sets"]:
        shown = {}
        for arm, said, record in _arms(noises):
            known = record.by("share", set=name, method=arm, share=0.0)
            known |= record.by("share", set=name, method=arm, kind="uniform", labels="noisy")
            if known:
                shown[said] = rp.means(known)
        caption = f"Accuracy against the share of wrong training labels, {ABOUT[name]}"
        figures[ABOUT[name]] = rp.curves(shown, "wrong labels", "accuracy", caption, show_x=rp.pct)
        most = max(share for share, _ in noise.params["noise"])
        figures[ABOUT[name]].layout["xaxis"]["range"] = [-0.02, 1.05 * most]
    asked = ABOUT["kinds"] if "kinds" in noise.params["sets"] else None  # a short run has fewer sets
    return rp.choose(figures, "data set", asked)


def back(noises: Sequence[Record], name: str, how: str) -> dict[str, dict]:
    """What one answer to the flags brings where one label in five is wrong: method -> accuracy minus that on the noisy labels."""
    same, found = {"set": name, "share": 0.2, "kind": "uniform"}, {}
    for arm, said, noise in _arms(noises):
        acted, noisy = (noise.where(**same, method=arm, labels=labels) for labels in (how, "noisy"))
        if acted:
            found[said] = rp.gap(acted, noisy)
    return found


def cleaning_figure(*noises: Record) -> rp.Figure:
    """What each answer to the flags brings each method, a menu over the data sets. noises: a record a model size."""
    figures = {}
    for name in noises[0].params["sets"]:
        found = {said: back(noises, name, how) for how, said in CLEANED.items()}
        caption = f"Accuracy brought back, one label in five wrong, {ABOUT[name]}"
        figures[ABOUT[name]] = rp.differences(found, "minus the noisy labels", caption)
    return rp.choose(figures, "data set")


def pooled(rows: Sequence[Row], metric: str) -> dict | None:
    """The mean of a metric over rows with training texts of their own; a text that several drew is a group. None where it never applies."""
    found = [(v, i) for r in rows for v, i in zip(r.outcomes(metric), r.items, strict=True) if v is not None]
    return stats.mean_interval(*map(list, zip(*found, strict=True))) if found else None


def flags(noise: Record) -> rp.Html:
    """What the check flags, by how many labels were made wrong and how."""
    rows = []
    for name in noise.params["sets"]:
        for share, kind in noise.params["noise"]:
            made = {"share": share} | ({"kind": kind} if share else {})
            found = noise.where(set=name, method="check", **made)
            cells = {head: pooled(found, head) or "-" for head in ("flagged", "precision", "recall")}
            rows.append({"data set": ABOUT[name], "made wrong": f"{rp.pct(share)} {kind}".strip()} | cells)
    return rp.table(rows, f"What the check flags among {noise.params['labels']} rows")
