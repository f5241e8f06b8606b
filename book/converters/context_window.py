from tunewise.experiment import Condition, Scores
from whentofinetune import long_context


def convert(old):
    for row in old["results"]:
        facts = {k: row[k] for k in ("train_seconds", "tokens", "stretches") if k in row}
        settings = {"way": row["way"], "tuned": row["tuned"]}
        if row["method"] == "real":
            yield Condition("real", **settings), Scores(facts=facts), row, ()
            continue
        if row["tuned"]:
            settings |= {"seed": row["seed"]}
        right = {p["distance"]: [r == "1" for r in p["right"]] for p in row["points"]}
        # of the bits after the jump the old record has the mean with its interval only
        scores = long_context.scored(right, {p["distance"]: p["bits"] for p in row["points"]}, 8192, facts)
        before = {f"at {p['distance']}": {"recall": p["recall"], "bits": p["bits"]} for p in row["points"]}
        yield Condition("jump", **settings), scores, before, ()


def dropped(old):
    return [r for r in old["results"] if r["method"] == "jump"]  # each is checked above, distance by distance
