from tunewise.experiment import Condition, Scores
from whentofinetune.datasets import company


def convert(old):
    tickets = {t.id: t for t in company.tickets("test")}
    tickets = [tickets[i] for i in old["results"][0]["tickets"]]
    for row in old["results"][1:]:
        counts, parsed = row["counts"], [o != "x" for o in row["outcomes"]]
        share = [right / true for right, true, _ in counts]
        alone = {"fields_if_parsed": [s if p else None for s, p in zip(share, parsed, strict=True)]}
        facts = ("counts", "prompt_tokens", "replies", "train_seconds", "examples_seen")
        scores = Scores(
            tickets,
            as_is=[o == "p" for o in row["outcomes"]],
            parsed=parsed,
            valid=[v == "1" for v in row["valid_items"]],
            fields=share,
            f1=[2 * right / (true + said) for right, true, said in counts],
            whole=[right == true == said for right, true, said in counts],
            facts={k: row[k] for k in facts if k in row},
            **(alone if sum(parsed) > 1 else {}),
        )
        settings = {k: row[k] for k in ("form", "constrained", "seed", "k", "n_labels") if k in row}
        yield Condition(row["method"], **settings), scores, row, ()


def dropped(old):
    """The items stand in item_sets, the schema in data/company/ticket.schema.json."""
    return old["results"][:1]
