"""Verdicts on tone (C9), format (C10) and on question 2 of eight, custom tone and style (C35).

As in :mod:`whentofinetune.pages.icl_verdicts`, each returns (ours, agrees, why), decided from the intervals.
"""

from __future__ import annotations

from tunewise.report.numbers import points
from whentofinetune.pages.icl_verdicts import Verdict
from whentofinetune.pages.tone import (
    best_free,
    best_held,
    best_prompt,
    form_gap,
    form_name,
    form_score,
    most_pairs,
    name,
    score,
    style_gap,
    ways,
)


def c9(voice) -> Verdict:
    """Does tuning give a model a tone of its own, beyond what a prompt gives?"""
    prompt, lora = best_prompt(voice), most_pairs(voice)
    gaps = {w[2]: style_gap(voice, w, prompt, "voice") for w in ways(voice, True) if w[0] == "lora"}
    ours = {f"{name(w)}: rules kept": score(voice, w, "voice") for w in ways(voice, True)}
    ours |= {f"{name(w)}: every rule kept": score(voice, w, "all_rules") for w in (prompt, lora)}
    ours |= {f"LoRA on {n} pairs minus {name(prompt)}": points(g) for n, g in gaps.items()}
    last = gaps[lora[2]]
    if last["high"] < 0:
        return ours, "no", "The best prompt keeps more of the rules than the tuned model does."
    if last["low"] <= 0:
        return (
            ours,
            "partly",
            "Tuning gives the tone, but the best prompt gives it about as well: the interval of the difference holds zero.",
        )
    enough = min(n for n, g in gaps.items() if g["low"] > 0)
    why = f"Tuning gives the voice, and {enough} pairs already beat the best prompt. How well a prompt does depends on the model: make the same test on yours."
    return ours, "yes", why + _invented(voice)


def _invented(voice) -> str:
    """What the tuned model does where it lacks the facts."""
    without = [w for w in ways(voice, False) if w[0] == "lora"]
    if not without:
        return ""
    way = max(without, key=lambda w: w[2])
    false, said = score(voice, way, "false_code"), score(voice, way, "content")
    if false["low"] <= said["high"]:
        return ""
    return f" It is a manner and no knowledge: without facts, {false['value']:.0%} of the tuned model's replies name an item code that is not the product's, in the right brackets."


def c35(voice) -> Verdict:
    """Question 2: is tuning usually the right way to a tone? Both with the needed facts in the prompt; does style cost content?"""
    prompt, lora = best_prompt(voice), most_pairs(voice)
    style, said = (style_gap(voice, lora, prompt, m) for m in ("voice", "content"))
    ours = {}
    for way in (prompt, lora):
        ours |= {
            f"{name(way)}: rules kept": score(voice, way, "voice"),
            f"{name(way)}: said of what had to be said": score(voice, way, "content"),
        }
    ours |= {"difference, rules kept": points(style), "difference, said": points(said)}
    if style["high"] < 0:
        return ours, "no", "A prompt gives more of the style than tuning does."
    if style["low"] <= 0:
        return (
            ours,
            "partly",
            "Tuning does not clearly give more of the style than the best prompt: begin with the prompt.",
        )
    tail = " The prompt was tried first here, as it should be with you: a larger model may need no more."
    if said["high"] < 0:
        return (
            ours,
            "partly",
            "Tuning gives more of the style, but less of what had to be said: style has cost content." + tail,
        )
    if said["low"] > 0:
        return (
            ours,
            "yes",
            "Tuning gives more of the style than the best prompt and also loses less of what had to be said."
            + tail,
        )
    return (
        ours,
        "yes",
        "Tuning gives more of the style than the best prompt, and no clear loss of content was found." + tail,
    )


def c10(formats) -> Verdict:
    """Does tuning make output follow a format, and what does a constraint do without it?"""
    lora, both = ("lora", False), ("lora", True)
    free, held = best_free(formats), best_held(formats)
    form = form_gap(formats, "json", lora, free, "valid")
    over_held = form_gap(formats, "json", lora, held, "valid")
    content, added = (
        form_gap(formats, "json", both, held, "fields"),
        form_gap(formats, "json", both, lora, "fields"),
    )
    ours = {}
    for metric, words in (("valid", "satisfies the schema"), ("fields", "fields right")):
        ours |= {
            f"{form_name(w)}: {words}": form_score(formats, "json", *w, metric)
            for w in dict.fromkeys((free, held, lora, both))
        }
    ours |= {
        "LoRA minus the best prompt, schema": points(form),
        "LoRA minus constraint alone, schema": points(over_held),
        "LoRA + constraint minus constraint alone, fields": points(content),
        "LoRA + constraint minus LoRA alone, fields": points(added),
    }
    tuned = (
        "Content comes from tuning: under the same constraint it gets more fields right."
        if content["low"] > 0
        else "Tuning does not clearly add right fields to a constraint."
    )
    adds = (
        " The constraint adds right fields to tuning."
        if added["low"] > 0
        else " The constraint takes right fields from tuning."
        if added["high"] < 0
        else " The constraint adds no clear gain in right fields to tuning."
    )
    if form["high"] < 0:
        return ours, "no", f"A prompt brings the form more often than tuning does. {tuned}"
    if form["low"] <= 0:
        return (
            ours,
            "partly",
            f"Tuning brings the form, but that it does so more often than the best prompt, or than a constraint without any training, is not certain. {tuned}{adds}",
        )
    if over_held["low"] > 0:
        return (
            ours,
            "yes",
            f"Tuning brings the form, more often than a prompt and than a constraint alone. {tuned}{adds}",
        )
    level = "more surely" if over_held["high"] < 0 else "about as surely"
    return (
        ours,
        "partly",
        f"Tuning brings the form more often than a prompt, but a constraint brings it {level}, without any training. {tuned}{adds}",
    )
