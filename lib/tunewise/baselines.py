"""Classifiers that are no language model, or a very small one: what a language model has to beat."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

# The matrices are so small that more threads cost more than they bring, above all on a busy machine.
_THREADS = 1


def majority(train_labels: Sequence[int], n: int) -> np.ndarray:
    """The label that training has most of (the first of them on a tie), n times."""
    return np.full(n, np.bincount(train_labels).argmax())


def lexicon(texts: Sequence[str], threshold: float = 0.05) -> np.ndarray:
    """VADER's rules and word list (Hutto & Gilbert 2014) with its authors' own thresholds of ±0.05 on the compound score.

    Returns 0 positive, 1 neutral, 2 negative. VADER was made by the people who had these texts rated; its word list
    was rated apart from them, but it is at home here.
    """
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    compound = np.array([analyser.polarity_scores(t)["compound"] for t in texts])
    return np.where(compound >= threshold, 0, np.where(compound <= -threshold, 2, 1))


def fit_tfidf(train: Sequence[tuple[str, int]], *, characters: bool = False) -> Any:
    """Logistic regression on TF-IDF of words and word pairs, a scikit-learn pipeline; regularisation chosen by cross-validation in training.

    characters: runs of two to five characters instead, for scripts without spaces, word forms and misspellings.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    x, y = zip(*train, strict=True)
    units: dict[str, Any] = (
        dict(analyzer="char_wb", ngram_range=(2, 5)) if characters else dict(ngram_range=(1, 2))
    )
    with threadpool_limits(_THREADS):
        return make_pipeline(TfidfVectorizer(**units, sublinear_tf=True), _regression(y)).fit(x, y)


def fit_embeddings(train_vectors: np.ndarray, train_labels: Sequence[int]) -> Any:
    """Logistic regression of scikit-learn on sentence embeddings [N, d]."""
    with threadpool_limits(_THREADS):
        return _regression(train_labels).fit(train_vectors, train_labels)


def _regression(labels: Sequence[int]) -> Any:
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

    smallest = np.bincount(labels)[np.unique(labels)].min()
    if smallest < 4:  # too few a class to cross-validate
        return LogisticRegression(C=10.0, max_iter=2000)
    grid: dict[str, Any] = dict(Cs=[0.1, 1.0, 10.0, 100.0], cv=min(5, int(smallest)), l1_ratios=(0.0,))
    return LogisticRegressionCV(**grid, max_iter=2000, scoring="accuracy", use_legacy_attributes=False)
