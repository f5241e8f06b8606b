from tunewise.experiment import Condition, Scores

NAMES = {"moment": "phase", "calculated_moment": "calculated_phase"}


def convert(old):
    for row in old["results"]:
        facts = {NAMES.get(k, k): v for k, v in row.items() if k not in ("name", "settings")}
        yield Condition(row["name"], settings=row["settings"]), Scores(facts=facts), row, ()
