import numpy as np

from tunewise.experiment import Condition, Scores
from whentofinetune.datasets import company


def convert(old):
    mails = {m.id: m for m in company.mails("test")}
    mails = [mails[i] for i in old["results"][0]["mails"]]
    rules = [r.name for r in company.voice()]
    for row in old["results"][1:]:
        kept = [[c == "1" for c in digits] for digits in row["kept"]]
        wanted = [
            1 + len(m.values) for m in mails
        ]  # shares of these stand in the old record with three digits
        content = [round(c * n) / n for c, n in zip(row["content_items"], wanted, strict=True)]
        assert all(abs(a - b) < 6e-4 for a, b in zip(content, row["content_items"], strict=True))
        scores = Scores(
            mails,
            voice=[float(np.mean(k)) for k in kept],
            all_rules=[all(k) for k in kept],
            content=content,
            false_code=[c == "1" for c in row["false_items"]],
            facts={
                k: row[k] for k in ("prompt_tokens", "replies", "train_seconds", "examples_seen") if k in row
            },
            **{f"rules.{name}": [k[i] for k in kept] for i, name in enumerate(rules)},
        )
        settings = {"with_facts": row["facts"], **{k: row[k] for k in ("k", "n_labels", "seed") if k in row}}
        yield Condition(row["method"], **settings), scores, row, ()


def dropped(old):
    """The items stand in item_sets, the rules in data/company/voice.yaml."""
    return old["results"][:1]
