"""Labels that are likely wrong, by confident learning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tunewise.compare.base import Finding, Item

SERIOUS, HIGH = 0.05, 0.1  # share of labels: that are flagged, that are wrong by the estimate
SURE, UNLIKELY = 0.7, 0.15  # probability of another label, of the given one


def label_errors(name: str, items: Sequence[Item]) -> list[Finding]:
    """Rows whose label is likely wrong, by confident learning (Northcutt et al. 2021, the library cleanlab) on cross-validated
    probabilities of TF-IDF and logistic regression; the likeliest first in the sentence, all in ``rows``.

    Beside them stands the library's joint estimate of how many labels are wrong, where it is high. It takes much of what the classifier gets
    wrong for wrong labels, so that it is far too high where words hardly tell the label; how often the classifier is right is said with it.
    """
    try:
        from cleanlab.count import estimate_joint
        from cleanlab.filter import find_label_issues
    except ModuleNotFoundError:
        return [
            Finding(
                "label_error",
                (),
                f"{name}: label errors were not looked for.",
                "to have them looked for: pip install cleanlab",
            )
        ]
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from threadpoolctl import threadpool_limits

    counts = Counter(item.target for item in items)
    items = [item for item in items if counts[item.target] > 1]  # a label's only row has none to be judged by
    labels, y = np.unique([item.target for item in items], return_inverse=True)
    # balanced classes: else few rows of a rare label would all look like errors
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=1, token_pattern=r"(?u)\b\w+\b"),
        LogisticRegression(C=10, max_iter=300, class_weight="balanced"),
    )
    texts = [" ".join(item.text.split()[:400]) for item in items]
    try:
        folds = StratifiedKFold(min(5, int(np.bincount(y).min())), shuffle=True, random_state=0)
        with threadpool_limits(1):
            p = cross_val_predict(model, texts, y, cv=folds, method="predict_proba")
    except ValueError:  # no word in any text, or no two labels
        return []
    right = float((p.argmax(axis=1) == y).mean())
    guess = float(np.bincount(y).max() / len(y))
    if right < guess + 2 * (guess * (1 - guess) / len(y)) ** 0.5:
        said = f"{name}: the words of a text hardly tell its label (a simple classifier is right for {right:.0%} of the rows)."
        done = "label errors can't be looked for: are these the right columns?"
        return [Finding("label_error", (), said, done)]
    issues = find_label_issues(y, p, return_indices_ranked_by="self_confidence", n_jobs=1)
    # a classifier that is often wrong contradicts many right labels: only where it is sure it counts
    order = [i for i in issues if p[i].max() > SURE and p[i, y[i]] < UNLIKELY]
    wrong = 1 - float(estimate_joint(y, p).trace())
    all_in_all = (
        f"All in all about {wrong:.0%} of the labels look wrong: a rough estimate, too high where the simple classifier behind it errs "
        f"(it agrees with {right:.0%} of the labels)."
        if right > SURE
        else f"How many are wrong can't be estimated: the simple classifier behind this agrees with {right:.0%} of the labels only."
    )
    if not order:
        told = f"{name}: no single label stands out as wrong. {all_in_all}"
        return (
            [Finding("label_error", (), told, "nothing: read some rows of each label")]
            if wrong > HIGH and right > SURE
            else []
        )
    worst = "; ".join(
        f"row {items[i].row} {str(items[i].target)[:30]!r}, rather {str(labels[p[i].argmax()])[:30]!r}"
        for i in order[:3]
    )
    said = f"{name}: {len(order):,} of {len(items):,} labels may be wrong, the likeliest first: {worst}."
    if wrong > HIGH:
        said += f" {all_in_all}"
    rows = tuple(items[i].row for i in order)
    serious = len(order) > SERIOUS * len(y) and right > SURE
    done = "kept: look at them, in this order; "
    done += (
        "most flags are right here, but most wrong labels have none"
        if right > SURE
        else "words hardly tell the label here, so many flags may be right labels"
    )
    return [Finding("label_error", rows, said, done, serious)]
