import numpy as np

from tunewise.experiment import Condition
from whentofinetune.datasets.patient_notes import EXPOSED, FIELDS, notes, people
from whentofinetune.experiments.notes import attacked, read

attacks = []


def convert(old):
    params, test = old["params"], notes("test")[: old["params"]["test_n"]]
    assert old["results"][0]["new_hand"] == "".join(str(int(n.new)) for n in test)

    def written(row):
        told = {k: row[k] for k in ("prompt_tokens", "train_seconds", "examples_seen") if k in row}
        said = read(test, row["said"], **told)
        for score in ("recalled", "mentioned"):  # field by field as they stood in the old row
            fields = [
                "".join(digits)
                for digits in zip(*(said.outcomes[f"{score}.{f}"] for f in FIELDS), strict=True)
            ]
            assert fields == row[score]["fields"]
        return said

    def attack(row, of, **told):
        for who in EXPOSED:
            patients = people(params["notes"], params["asked"], told["seed"])[who][: params["asked"]]
            attacks.append((of, who, row["attacks"][who]))
            yield (
                Condition("attack", of=of, patients=who, **told),
                attacked(patients, row["attacks"][who]),
                None,
                (),
            )

    for row in old["results"]:
        if row["method"] in ("prompt", "few-shot"):
            yield (
                Condition(row["method"], **{k: row[k] for k in ("k", "seed") if k in row}),
                written(row),
                row,
                (),
            )
        elif row["method"] == "untouched":
            yield from attack(row, "base", seed=0)
        elif row["method"] == "lora":
            told = {k: row[k] for k in ("n_labels", "repeats", "seed")}
            yield Condition("lora", **told), written(row), row, ()
            yield from attack(row, "lora", **told)


def dropped(old):
    """The list of items, compared with the data; what the attacks came to, which the page computes from the rows of attacks."""
    for row in (r for r in old["results"] if r["method"] == "leaks"):
        of = "base" if row["of"] == "untouched" else "lora"
        found = [a for o, who, some in attacks if (o, who) == (of, row["who"]) for a in some]
        assert row["exposure"] == float(np.median([a["exposure"] for a in found]))
        assert row["extracted"]["n"] == len(found) and row["extracted"]["value"] == np.mean(
            [a["extracted"] for a in found]
        )
    return [r for r in old["results"] if r["method"] in ("items", "untouched", "leaks")]
