"""Seconds of calls made one after the other, as an application makes them, and of many texts answered at once."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tunewise import baselines, stats
from tunewise.data import Example
from tunewise.experiment import Context, Scores


def timed(call: Callable[..., object], *args: Any, **options: Any) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call(*args, **options)
    return time.perf_counter() - start


def one_by_one(call: Callable[[Any], object], items: Iterable[Any]) -> dict[str, Any]:
    """Seconds of ``call(item)`` for each item alone; a first call, on the first item, is not counted.

    Returns ``{"seconds", "waits"}``: the mean as a metric with its interval over calls, and the seconds of each call.
    """
    items = list(items)
    _, *waits = [timed(call, item) for item in [items[0], *items]]
    return {"seconds": stats.bootstrap(waits), "waits": [round(w, 7) for w in waits]}


def clocked(answer: Callable[[Sequence[Example]], object], pool: Sequence[Example], calls: int) -> Scores:
    """Seconds an answer: ``seconds``, each of ``calls`` texts alone; ``batched``, all of the pool at once."""
    single = one_by_one(lambda example: answer([example]), pool[:calls])
    return Scores(facts=single | {"batched": round(timed(answer, pool) / len(pool), 5)})


def linear_student(
    ctx: Context, kind: str, pool: Sequence[Example]
) -> Callable[[Sequence[Example]], np.ndarray]:
    """A student (``embeddings`` or ``tfidf``) whose answers are to be timed; what it learned makes no difference to that, so its labels are made up.

    Returns a function from texts to labels, int [texts].
    """
    texts, made_up = [e.text for e in pool], [i % 3 for i in range(len(pool))]
    if kind == "tfidf":
        words = baselines.fit_tfidf(list(zip(texts, made_up, strict=True)))
        return lambda examples: words.predict([e.text for e in examples])
    vectors = baselines.fit_embeddings(ctx.encoder.encode(texts), made_up)
    return lambda examples: vectors.predict(ctx.encoder.encode([e.text for e in examples]))
