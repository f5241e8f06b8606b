"""Labels that are likely wrong, by confident learning."""

from __future__ import annotations

from collections.abc import Sequence

from tunewise.compare.base import Finding, Item

SERIOUS = 0.05  # share of labels
SURE, UNLIKELY = 0.7, 0.15  # probability of another label, of the given one


def label_errors(name: str, items: Sequence[Item]) -> list[Finding]:
    """Rows whose label is likely wrong, by confident learning (Northcutt et al. 2021, the library cleanlab) on cross-validated
    probabilities of TF-IDF and logistic regression; the likeliest first in the sentence, all in ``rows``."""
    try:
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

    labels, y = np.unique([item.target for item in items], return_inverse=True)
    folds = StratifiedKFold(min(5, int(np.bincount(y).min())), shuffle=True, random_state=0)
    # balanced classes: else few rows of a rare label would all look like errors
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=1, token_pattern=r"(?u)\b\w+\b"),
        LogisticRegression(C=10, max_iter=300, class_weight="balanced"),
    )
    texts = [" ".join(item.text.split()[:400]) for item in items]
    try:
        with threadpool_limits(1):
            p = cross_val_predict(model, texts, y, cv=folds, method="predict_proba")
    except ValueError:  # no word in any text
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
    if not order:
        return []
    worst = "; ".join(
        f"row {items[i].row} {str(items[i].target)[:30]!r}, rather {str(labels[p[i].argmax()])[:30]!r}"
        for i in order[:3]
    )
    said = f"{name}: {len(order):,} of {len(items):,} labels may be wrong, the likeliest first: {worst}."
    rows = tuple(items[i].row for i in order)
    serious = len(order) > SERIOUS * len(y) and right > SURE
    return [Finding("label_error", rows, said, "kept: look at them, in this order", serious)]
