from tunewise.experiment import Condition, Scores


def convert(old):
    for row in old["results"]:
        facts = {k: row[k] for k in ("prompt_tokens", "seconds", "seconds_all", "seconds_cached")}
        yield Condition("latency", k=row["k"]), Scores(facts=facts), row, ()
