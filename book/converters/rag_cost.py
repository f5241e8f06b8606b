from types import SimpleNamespace

from transformers import AutoTokenizer

from tunewise import rag
from tunewise.experiment import Condition, Scores, context
from tunewise.models.load import converted
from tunewise.models.registry import get
from tunewise.scoring import prompt_tokens
from whentofinetune import handbook as hb
from whentofinetune.datasets import company


def convert(old):
    """Tokens are counted again. Of seconds the old record holds the mean and its interval alone: these stand as facts."""
    p, ctx = old["params"], context(old["params"])
    questions = hb.drawn(company.questions("direct", "train"), p["questions"], 19)
    asks, book = [q.ask[0] for q in questions], hb.Handbook(ctx)
    lm = SimpleNamespace(tokenizer=AutoTokenizer.from_pretrained(converted(get(p["model"]))))
    for row in old["results"]:
        facts = {
            k: v
            for k, v in row.items()
            if k not in ("method", "k", "what", "questions", "n_trained", "prompt_tokens")
        }
        settings = {k: row[k] for k in ("k", "what") if k in row}
        scores = Scores(() if row["method"] == "training" else hb.items(questions), facts=facts)
        if row["method"] == "answer":
            found = [book.show(f) for f in book.find(asks, row["k"])] if row["k"] else [[] for _ in asks]
            opening = rag.WITH_PASSAGES if row["k"] else rag.FROM_MEMORY
            tokens = [
                float(prompt_tokens(lm, opening, [rag.prompt(a, f)]))
                for a, f in zip(asks, found, strict=True)
            ]
            scores = Scores(hb.items(questions), facts=facts, prompt_tokens=tokens)
        yield Condition(row["method"], **settings), scores, row, ()
