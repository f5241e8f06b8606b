from tunewise.experiment import Condition
from whentofinetune.experiments.leaks import scores


def convert(old):
    rows = [r for r in old["results"] if r["method"] != "summary"]
    for s in (r for r in old["results"] if r["method"] == "summary"):
        settings = {k: s[k] for k in ("k", "place", "repeats") if k in s}
        one = [r for r in rows if r["method"] == s["of"] and all(r.get(k) == v for k, v in settings.items())]
        yield Condition(s["of"], **settings), scores({r["seed"]: r for r in one}), s, ()


def dropped(old):
    """A row a secret became an item of its condition's row."""
    return [r for r in old["results"] if r["method"] != "summary"]
