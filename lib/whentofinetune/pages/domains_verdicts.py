"""The verdicts of the chapter *Words, records and languages that the model lacks*: (ours, agrees, why) from the records' intervals."""

from __future__ import annotations

from tunewise.report.numbers import pct, plain, points
from whentofinetune.pages import domains as d
from whentofinetune.pages.forgetting_figures import share
from whentofinetune.pages.icl_figures import gap, mean

Verdict = tuple[dict, str, str]
LOUD = 5.0  # bits: four times likelier than the eighth best of 128 candidates; chance gives about one


def c16(record) -> Verdict:
    """Does tuning help with words that the model lacks, and does it help more than a glossary?"""
    ways = d.jargon_rows(record)
    prompts = [n for n in ("glossary", "search", "lookup") if n in ways]
    best = max(prompts, key=lambda n: mean(ways[n])["value"])
    alone = "definitions" if "definitions" in ways else "questions"
    helps, against = gap(ways[alone], ways["base"]), gap(ways[alone], ways[best])
    ours = {d.JARGON_NAMES[n]: mean(rows) for n, rows in ways.items()}
    ours |= {
        "LoRA on all definitions minus the bare question": points(helps),
        f"LoRA on all definitions minus {d.JARGON_NAMES[best]}": points(against),
    }
    together = [n for n in ("both", "entries") if n in ways]
    joint = {n: gap(ways[n], ways[best]) for n in together}
    ours |= {f"{d.JARGON_NAMES[n]}, minus the best prompt": points(g) for n, g in joint.items()}
    won, lost = (
        [n for n, g in joint.items() if side(g)] for side in (lambda g: g["low"] > 0, lambda g: g["high"] < 0)
    )
    if won:
        tail = " Tuning and entries together beat the prompt alone: training taught the model to use what it is given."
    elif len(lost) == len(joint) > 0:
        tail = (
            " Tuning on top of the entries makes it clearly worse than the best prompt is without any tuning."
        )
    else:
        tail = " Tuning on top of the entries adds nothing that we can tell from zero."
    if helps["low"] > 0 and against["low"] > 0:
        return (
            ours,
            "yes",
            "Words that were trained in from their definitions are used rightly more often than words that are only looked up."
            + tail,
        )
    if helps["low"] > 0:
        return (
            ours,
            "partly",
            "Training on the definitions helps, but the interval does not show that it beats putting entries into the prompt, which needs no training and can change daily."
            + tail,
        )
    if won:
        return (
            ours,
            "partly",
            "Training on the definitions alone does not clearly help with questions about them." + tail,
        )
    shown = gap(ways[best], ways["base"])["low"] > 0
    why = "Training on the definitions does not clearly help with questions about them. "
    why += (
        f"Putting the entries into the prompt does ({d.JARGON_NAMES[best]})."
        if shown
        else "Nor do entries in the prompt: this small model makes little of either."
    )
    return ours, "no", why + tail


def c17(record) -> Verdict:
    """Do summaries of records need tuning, and what does the tuned model give away?"""
    ways = d.note_ways(record)
    form, content = (d.note_gap(ways["lora"], ways["few-shot"], score) for score in ("recalled", "mentioned"))
    ours = {
        f"{d.note_name(rows)}: fields in the wanted form": d.note_mean(rows, "recalled")
        for rows in ways.values()
    }
    ours |= {
        f"{d.note_name(rows)}: fields anywhere": d.note_mean(rows, "mentioned") for rows in ways.values()
    }
    ours |= {
        "LoRA minus examples in the prompt, in form": points(form),
        "the same, anywhere": points(content),
    }
    leaks = d.leaks(record)
    for (of, who), r in leaks.items():
        if of == "lora":
            name = {"never": "never seen", "once": "seen once", "repeated": "in many copies"}[who]
            ours[f"file number of a patient {name}, written out"] = (
                f"{pct(r['extracted'])}; exposure {plain(r['exposure'])} bits"
            )
    many, once = leaks["lora", "repeated"], leaks["lora", "once"]
    tail = (
        " And the tuned model gives away file numbers of patients whose note was in the training data many times: the private data that is the reason to tune is also the reason to be careful."
        if many["extracted"]["value"] > 0 or many["exposure"] >= LOUD
        else " No number of a repeated patient came out here; that does not show that none can."
    )
    if once["extracted"]["value"] == 0:
        tail += " Of patients seen once no number was written out."
    if form["low"] > 0 and content["low"] > 0:
        return (
            ours,
            "partly",
            (
                "On this small model tuning finds clearly more of the fields than examples in the prompt, in form and in content, so here it is needed. The claim is about systems in general, and the evidence "
                "below has large models that were only shown examples." + tail
            ),
        )
    if form["low"] > 0:
        return (
            ours,
            "partly",
            "Tuning gives the wanted form; of the content, examples in the prompt bring out as much as far as our interval can tell."
            + tail,
        )
    return ours, "no", "Tuning does not clearly find more of the fields than examples in the prompt." + tail


def c18(record) -> Verdict:
    """Does tuning help on all tasks of a language that the model hardly knows?"""
    gains = {task: d.task_change(record, task) for task in ("meaning", "writing")}
    hindi, english, general = (
        d.bits_change(record, "hindi"),
        d.bits_change(record, "english"),
        d.task_change(record, "general"),
    )
    ours = {d.TASKS[task]: points(g) for task, g in gains.items()} | {
        "bits for Hindi": share(hindi),
        "bits for English newspaper sentences": share(english),
        d.TASKS["general"]: points(general),
        "tokens for the same message, Hindi over English": plain(d.token_ratio(record)),
    }
    rival = {
        task: gap(
            d.language_task(record, task)["LoRA"],
            d.language_task(record, task)["table of words, no model"],
        )
        for task in gains
    }
    ours |= {f"{d.TASKS[task]} LoRA minus a table of words": points(g) for task, g in rival.items()}
    up = [g["low"] > 0 for g in gains.values()] + [hindi["high"] < 0]
    worse = english["low"] > 0 or general["high"] < 0
    tail = (
        " English got clearly worse on at least one measure."
        if worse
        else " No English measure got clearly worse."
    )
    if all(g["high"] < 0 for g in rival.values()):
        tail += " And a table of which words go together, from the same pairs and without a model, beats the tuned model on both labelled tasks."
    elif any(g["low"] <= 0 for g in rival.values()):
        tail += " On at least one labelled task the tuned model does not clearly beat a table of which words go together, made from the same pairs without a model."
    if all(up) and not worse:
        return ours, "yes", "Every Hindi measure clearly improves." + tail
    if any(up):
        return ours, "partly", f"{sum(up)} of {len(up)} Hindi measures clearly improve." + tail
    return ours, "no", "No Hindi measure clearly improves." + tail
