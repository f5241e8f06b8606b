from tunewise.experiment import Condition
from whentofinetune.datasets import company
from whentofinetune.experiments.jargon import chosen


def convert(old):
    test = company.jargon("test")[: old["params"]["test_n"]]
    items = old["results"][0]
    assert items["labels"] == "".join(str(q.answer) for q in test)
    assert items["kinds"] == "".join(q.kind[0] for q in test)

    def scores(row, part, *facts):
        return chosen(test, [*map(int, part["predictions"])], **{k: part[k] for k in facts if k in part})

    for row in old["results"][1:5]:
        settings = {"lookup": {"entries": True}, "search": {"k": row.get("k")}}.get(row["method"], {})
        yield Condition(row["method"], **settings), scores(row, row, "prompt_tokens", "found"), row, ()
    for kind, ways in {"questions": [False], "definitions": [False, True], "entries": [True]}.items():
        for entries in ways:
            for row in (r for r in old["results"] if r.get("lessons") == kind):
                told = {k: row[k] for k in ("n_labels", "exposures", "seed")}
                # the answers with the entries in the prompt stood inside the row; they are a row of their own now
                part = row["with_entries"] if entries and kind == "definitions" else row
                facts = part | {k: row[k] for k in ("train_seconds", "examples_seen")}
                said = scores(row, facts, "prompt_tokens", "train_seconds", "examples_seen")
                yield (
                    Condition("lora", training=kind, entries=entries, **told),
                    said,
                    part,
                    ("with_entries.accuracy",),
                )


def dropped(old):
    return [r for r in old["results"] if r["method"] == "items"]  # compared with the data
