"""The verdicts of the chapter *New abilities*: (ours, agrees, why) from the records' intervals."""

from __future__ import annotations

from tunewise.report.numbers import points
from whentofinetune.pages import abilities as a

Verdict = tuple[dict, str, str]


def c22(record) -> Verdict:
    """Does tuning give an ability that was not there?"""
    ways, n = a.operation_ways(record), a.most(record)
    tuned = ways[f"LoRA on {n} examples"]
    random = record.where(method="random", task="frell", n_labels=n)
    prompts = {
        name: rows for name, rows in ways.items() if name.startswith("the ") or "in the prompt" in name
    }
    best = max(prompts, key=lambda name: a.exact(prompts[name])["value"])
    over, control = (
        a.gap(tuned, prompts[best], "same.exact"),
        a.gap(tuned, random, "same.exact") if random else None,
    )
    ours = {f"{name}: exact, new lists": a.exact(rows) for name, rows in ways.items()}
    ours |= {
        f"LoRA on {n} examples: exact, longer lists": a.exact(tuned, "longer"),
        f"LoRA minus the best prompt ({best})": points(over),
    }
    if control:
        ours["LoRA minus random weights"] = points(control)
    if record.where(method="random", task="easy"):
        ours["easy task, random weights"] = a.exact(record.where(method="random", task="easy"))
    if over["low"] <= 0:
        return (
            ours,
            "no",
            "Training does not clearly bring out more of the operation than the best prompt does.",
        )
    why = "No prompt makes the model do the operation as often as training does, so something was gained. "
    if control and control["low"] <= 0:
        return (
            ours,
            "partly",
            why
            + "But random weights learn it from the same examples as well: the task is easy, and shows nothing about what tuning adds to a pretrained model.",
        )
    why += "Random weights do not learn it from these examples, so training built on something that pretraining had put there: the parts (copying, counting places) were there, their combination was not. "
    longer = a.exact(tuned, "longer")
    if longer["high"] < a.exact(tuned)["low"]:
        return (
            ours,
            "partly",
            why
            + "And on lists longer than any in training it does clearly worse: what was learned is less than the rule.",
        )
    return ours, "yes", why + "It holds on longer lists too, as far as the interval can tell."


def c24(record) -> Verdict:
    """Can a model be tuned as a judge of groundedness?"""
    found = a.judges(record)
    gain, rival = a.gap(found["lora"], found["untuned"]), a.gap(found["lora"], found["features"])
    ours = {a.JUDGES[m]: a.mean(rows) for m, rows in found.items()}
    ours |= {
        f"LoRA judge, {name}": m for e, name in a.ERRORS.items() if (m := a.judge_by_error(found["lora"], e))
    }
    ours |= {"LoRA judge minus untuned": points(gain), "LoRA judge minus logistic regression": points(rival)}
    stale = a.judge_by_error(found["lora"], "stale")
    tail = (
        " On a kind of error that training did not have (former values) its interval holds guessing."
        if stale and stale["low"] <= 0.5 <= stale["high"]
        else ""
    )
    if gain["low"] > 0 and rival["low"] > 0:
        return (
            ours,
            "yes",
            "The tuned judge beats the untuned model and a logistic regression on three simple numbers."
            + tail,
        )
    if gain["low"] > 0:
        return (
            ours,
            "partly",
            (
                "Tuning makes a judge of a model that was none, but we cannot show that it beats a rule that looks whether the answer stands in the passage, with two more numbers beside it. A judge has to find what "
                "such a rule can't: wrong values that stand in the same passage." + tail
            ),
        )
    return ours, "no", "The tuned judge is not clearly better than the untuned model." + tail


def c25(record) -> Verdict:
    """Does tuning widen the context window?"""
    ways = a.window_ways(record)
    plain = a.SCALINGS["none"]
    untuned = {n: r for n, r in ways.items() if not n.endswith("tuned") and n != plain}
    tuned = {n: r for n, r in ways.items() if n.endswith("tuned")}
    best, best_tuned = (
        max(group, key=lambda n, g=group: a.past_trained(record, g[n])["value"]) for group in (untuned, tuned)
    )
    scaling = a.recall_gap(record, untuned[best], ways[plain])
    training = a.recall_gap(record, tuned[best_tuned], untuned[best])
    whole = a.recall_gap(record, tuned[best_tuned], ways[plain])
    ours = {
        f"{name}: keys found past the trained length": a.past_trained(record, rows)
        for name, rows in ways.items()
    }
    ours |= {
        f"{best} minus the model as it is": points(scaling),
        f"{best_tuned} minus {best}": points(training),
        f"{best_tuned} minus the model as it is": points(whole),
        f"{best_tuned} minus the model as it is, within the trained length": points(
            a.recall_gap(record, tuned[best_tuned], ways[plain], within=True)
        ),
    }
    if whole["low"] > 0 and training["low"] > 0:
        return (
            ours,
            "yes",
            "Other frequencies and a short training together read farther than the model as it is, and the training has its own clear part in that.",
        )
    if scaling["low"] > 0:
        return (
            ours,
            "partly",
            "Most of the gain comes from other frequencies, which need no training at all; what the short training adds cannot be told from zero.",
        )
    if whole["low"] > 0:
        return (
            ours,
            "partly",
            "With training the model reads farther than as it is; we can't say whether the frequencies or the training did it.",
        )
    return (
        ours,
        "no",
        "Neither other frequencies nor our short training clearly reads farther than the model as it is.",
    )
