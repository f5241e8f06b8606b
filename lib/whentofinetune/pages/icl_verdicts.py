"""The verdicts of the chapter *In-context learning or fine-tuning?*: for each claim what was measured, and what follows.

Each function returns (ours, agrees, why) for :func:`whentofinetune.pages.verdict.verdict`. Whether the article is right is decided
here from the intervals, not typed: a record that is measured anew may change the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunewise.report.numbers import plain, points
from whentofinetune.pages.icl_figures import (
    agreement,
    any_position,
    by_position,
    calibrated,
    exposure,
    gap,
    latency_fit,
    mean,
    sizes,
    times,
)

Verdict = tuple[dict, str, str]
EXPOSURE_LIMIT = 7  # bits: log2 of the 128 candidates of whentofinetune.planted_codes


def c13(wordings, curve) -> Verdict:
    """34 to 85 %: how much of the start is the prompt?"""
    scored = [r["accuracy"] for r in wordings.where(method="score", split="test")]
    worst, best = min(scored, key=lambda m: m["value"]), max(scored, key=lambda m: m["value"])
    free = [r["parsed"] for r in wordings.where(method="generate")]
    parsed = min(free, key=lambda m: m["value"])
    n = sizes(curve, "lora")[-1]
    tuned = mean(curve.where(method="lora", n_labels=n))
    ours = {
        "worst of five wordings": worst,
        "best of five wordings": best,
        "fewest free answers that could be read": parsed,
        f"LoRA on {n} labels": tuned,
    }
    gains = tuned["low"] > best["high"]
    why = (
        "The article's starting score is what a constant answer gets on three balanced classes, so it tells more about the prompt than about the model. "
        f"Here the wording alone moves the score by {100 * (best['value'] - worst['value']):.0f} points. "
    )
    why += (
        "Tuning beats every wording we tried, so the direction holds; the size of the gain depends on where one starts."
        if gains
        else "Tuning does not clearly beat the best wording."
    )
    return ours, "partly" if gains else "no", why


def c26(shots) -> Verdict:
    """Try in-context learning first: strong and simple? Each number of examples is set against the bare question, item by item."""
    zero = shots.where(method="zero-shot")
    ks = sizes(shots, "random", "k")
    gaps = {k: gap(shots.where(method="random", k=k), zero) for k in ks}
    ours = {"zero-shot": zero[0]["accuracy"], "zero-shot, calibrated": calibrated(zero[0])}
    ours |= {f"{k} random example{'s' * (k > 1)} minus zero-shot": points(g) for k, g in gaps.items()}
    clear = [k for k, g in gaps.items() if g["low"] > 0]
    if len(clear) == len(ks):
        return (
            ours,
            "yes",
            "Any number of examples in the prompt beats the bare question, at no training cost.",
        )
    tail = " Trying costs minutes, so it still comes first; larger models use examples far better than this one of 135M parameters."
    if not clear and calibrated(zero[0])["low"] <= zero[0]["accuracy"]["high"]:
        return ours, "no", "On this small model no number of examples clearly beats the bare question." + tail
    which = (
        f"Of the {len(ks)} numbers of examples tried, only k = {_list(clear)} clearly beats the bare question"
        if clear
        else "No number of examples clearly beats the bare question"
    )
    why = (
        f"{which}, and more examples do not mean more right answers: one label swallows the others. Calibration, which needs no label at all, "
        f"lifts the bare question by {100 * (calibrated(zero[0])['value'] - zero[0]['accuracy']['value']):.0f} points; so what the examples mend here is mostly the "
        "model's leaning towards one answer."
    )
    return ours, "partly", why + tail


def _list(numbers: Sequence) -> str:
    words = [str(n) for n in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def c30(shots) -> Verdict:
    """Must examples be looked up?"""
    k = sizes(shots, "nearest", "k")[-1]
    near, rand, vote = (shots.where(method=m, k=k) for m in ("nearest", "random", "vote"))
    most = sizes(shots, "vote", "k")[-1]
    difference = gap(near, rand)
    ours = {
        f"{k} nearest examples": mean(near),
        f"{k} random examples": mean(rand),
        "nearest minus random": points(difference),
        f"vote of the {most} nearest, without a language model": mean(shots.where(method="vote", k=most)),
    }
    voted = gap(near, shots.where(method="vote", k=most))
    tail = (
        " But a plain vote of the nearest labelled tweets, without any language model, does as well or better: most of the gain is the lookup."
        if voted["low"] <= 0
        else " It also beats a plain vote of the nearest tweets."
    )
    if difference["low"] > 0:
        return ours, "yes", "Examples that are like the item beat random ones." + tail
    if difference["high"] < 0:
        return ours, "no", "Examples that are like the item do worse than random ones here." + tail
    return (
        ours,
        "partly",
        "The interval of the difference holds zero: here looking examples up neither helps nor hurts for certain."
        + tail,
    )


def c29(position) -> Verdict:
    """With more examples, does the model ignore some?"""
    rows = sorted(position.where(method="position"), key=lambda r: r["k"])
    anywhere = {r["k"]: any_position(r) for r in rows}
    few, most, right = rows[0]["k"], rows[-1]["k"], by_position(rows[-1])
    worst, best = (f(range(most), key=lambda p: right[p]["value"]) for f in (min, max))
    ours = {f"right with {k} examples, any position": m for k, m in anywhere.items()} | {
        f"{most} examples, decisive one first": right[0],
        f"{most} examples, decisive one last": right[-1],
        f"{most} examples, at the best position ({best + 1})": right[best],
    }
    spread = right[best]["value"] - right[worst]["value"]
    if anywhere[most]["high"] < anywhere[few]["low"]:
        why = (
            f"The more examples, the less often the one that matters is used; chance is one in four. With {most} examples the best and the worst position "
            f"lie {100 * spread:.0f} points apart."
        )
        return ours, "yes", why
    if anywhere[most]["low"] > anywhere[few]["high"]:
        return ours, "no", "Here more examples go with more right answers, also for those in the middle."
    return (
        ours,
        "partly",
        f"The score hardly depends on the number of examples, but with {most} the positions lie {100 * spread:.0f} points apart.",
    )


def c14(curve, shots) -> Verdict:
    """48 to 73 % with 100 examples."""
    lora, zero = curve.where(method="lora", n_labels=100), shots.where(method="zero-shot")
    linear = curve.where(method="embeddings", n_labels=100)
    difference, rival = gap(lora, zero), gap(lora, linear)
    ours = {
        "zero-shot": zero[0]["accuracy"],
        "LoRA on 100 labels": mean(lora),
        "gain": points(difference),
        "MiniLM embeddings + logistic regression, the same 100 labels": mean(linear),
    }
    if difference["low"] <= 0:
        return ours, "no", "Tuning on 100 labels does not clearly beat the untuned model."
    size = (
        "of the size that the article reports"
        if difference["low"] <= 0.25 <= difference["high"]
        else ("larger than the article's" if difference["low"] > 0.25 else "smaller than the article's")
    )
    beats = (
        "beats"
        if rival["low"] > 0
        else "does not beat"
        if rival["high"] < 0
        else "is not clearly better than"
    )
    why = (
        f"The gain is real and {size}, with other data and a far smaller model. Against a linear classifier on sentence embeddings, LoRA on the same labels "
        f"{beats} it ({points(rival)}); the article's source has no such rival."
    )
    return ours, "yes", why


def c1(curve) -> Verdict:
    """Small fine-tuned models were the best domain systems, before LLMs."""
    n = 300 if 300 in sizes(curve, "lora") else sizes(curve, "lora")[-1]
    lora, tfidf, linear = (curve.where(method=m, n_labels=n) for m in ("lora", "tfidf", "embeddings"))
    lexicon = curve.one(method="lexicon")["accuracy"]
    d = gap(lora, tfidf)
    ours = {
        f"LoRA, {n} labels": mean(lora),
        f"TF-IDF, {n} labels": mean(tfidf),
        f"MiniLM embeddings, {n} labels": mean(linear),
        "VADER's word list, no labels": lexicon,
        "LoRA minus TF-IDF": points(d),
    }
    if d["low"] > 0:
        return (
            ours,
            "yes",
            "Supervised tuning of a model of this size beats word counts on the same labels. The linear rivals stay close enough to belong in every comparison.",
        )
    return (
        ours,
        "partly",
        "On these labels supervised tuning of a small language model does not clearly beat word counts.",
    )


def _correlation(m: dict) -> str:
    return f"{m['value']:+.2f} [{m['low']:+.2f}, {m['high']:+.2f}], {m['n']} tasks"


def c27(gains) -> Verdict:
    """Do in-context trials predict what tuning brings?"""
    few = agreement(gains, "few-shot gain")
    ours = {
        "rank correlation of the two gains": _correlation(few),
        "rank correlation of LoRA's gain with a low start": _correlation(agreement(gains, "zero")),
    }
    if few["low"] > 0:
        return ours, "yes", "Over these tasks, the more a few examples bring, the more tuning brings."
    if few["high"] < 0:
        return ours, "no", "Over these tasks it is the other way round."
    why = (
        "With seven tasks the interval holds zero: this experiment can neither confirm nor refute the claim. What a few examples did to this small model was mostly to "
        "shift its favourite label, which says little about what it can learn."
    )
    return ours, "partly", why


def c15(gains, curve) -> Verdict:
    """Low starts gain most, from a few hundred examples."""
    m = agreement(gains, "zero")
    ours = {f"LoRA, {n} labels": mean(curve.where(method="lora", n_labels=n)) for n in sizes(curve, "lora")}
    ours["rank correlation of gain with a low start"] = _correlation(m)
    tail = " A low start leaves more room, and near chance it is often form that fails, so part of this is arithmetic."
    if m["low"] > 0:
        return ours, "yes", "Tasks with low starts gained most." + tail
    return (
        ours,
        "partly",
        "A few hundred labels do lift a low start. That low starts gain the most cannot be told from seven tasks."
        + tail,
    )


def c28(latency) -> Verdict:
    """Cost and latency grow with the number of examples."""
    rows = sorted(latency.where(method="latency"), key=lambda r: r["k"])
    fit = latency_fit(latency)
    none, most = rows[0], rows[-1]
    ours = {
        "no examples": f"{plain(none['seconds'], 's')}; {none['prompt_tokens']:.0f} tokens",
        f"{most['k']} examples": f"{plain(most['seconds'], 's')}; {most['prompt_tokens']:.0f} tokens",
        f"{most['k']} examples, prefix kept": f"{most['seconds_cached']:.2f} s",
        "straight line": f"{1000 * fit['slope']:.2f} ms a token, R² {fit['r2']:.3f}",
    }
    grows = most["seconds"]["low"] > none["seconds"]["high"]
    why = (
        f"Time grows nearly in proportion to the tokens: {most['seconds']['value'] / none['seconds']['value']:.0f} times as long with {most['k']} examples. "
        f"If the examples' computation is kept between calls, {most['seconds_cached'] / none['seconds']['value']:.1f} times as long as without examples."
    )
    return ours, "yes" if grows else "no", why


def c20(latency) -> Verdict:
    """Tuning shortens prompts and so saves money."""
    rows = sorted(latency.where(method="latency"), key=lambda r: r["k"])
    short, long = rows[0], next((r for r in rows if r["k"] == 16), rows[-1])
    ratio = long["prompt_tokens"] / short["prompt_tokens"]
    ours = {
        "prompt tokens, no examples": f"{short['prompt_tokens']:.0f}",
        f"prompt tokens, {long['k']} examples": f"{long['prompt_tokens']:.0f}",
        "seconds saved a call": f"{long['seconds']['value'] - short['seconds']['value']:.2f}",
        "seconds saved a call against a kept prefix": f"{long['seconds_cached'] - short['seconds']['value']:.2f}",
    }
    why = (
        f"Tokens are saved on every call: the prompt with {long['k']} examples is {ratio:.0f} times as long. Money is saved only while the tuned model's price a token is less "
        "than that factor dearer, and only after enough calls to pay for training; a prompt cache shrinks the gap. The calculator above does that sum."
    )
    return ours, "partly", why


def c31(leaks) -> Verdict:
    """The model may repeat what it was shown; tuning has the same worry."""
    (untouched,), prompt = leaks.where(method="untouched"), leaks.where(method="prompt")
    answers, hidden = (leaks.where(method="weights", place=place) for place in ("answer", "input"))
    ours = {"the untouched model writes the code out": untouched["extracted"]}
    ours |= {f"from a prompt with {r['k']} examples": r["extracted"] for r in prompt}
    ours |= {f"from weights, trained on it {times(r['repeats'])}": r["extracted"] for r in answers}
    ours |= {
        f"from weights, {r['repeats']} times in the input without loss": r["extracted"] for r in hidden[:1]
    }
    most = max(answers, key=lambda r: r["repeats"])
    from_prompt = max(r["extracted"]["value"] for r in prompt)
    once = min(r["extracted"]["value"] for r in answers)
    agrees = "yes" if from_prompt > 0 and most["extracted"]["value"] > 0 else "partly"
    why = f"From the prompt the code came out in up to {from_prompt:.0%} of trials, from the weights in {most['extracted']['value']:.0%} after {most['repeats']} repeats"
    why += " and in none after one." if once == 0 else "."
    if hidden and hidden[0]["extracted"]["value"] == 0:
        why += " Text that carries no loss was not given away."
    loud = [r for r in answers if exposure(r) >= 0.8 * EXPOSURE_LIMIT]
    if loud:
        few = min(loud, key=lambda r: r["repeats"])
        why += (
            f" But not written out does not mean not known: after {few['repeats']} repeats the code already ranks near the top of {2**EXPOSURE_LIMIT} candidates "
            f"(exposure {exposure(few):.1f} of {EXPOSURE_LIMIT} bits), which an attacker with a list of candidates can use."
        )
    why += f" So the prompt leaks more easily, and repetition is what makes weights leak. Only {untouched['extracted']['n']} secrets: the intervals are wide."
    return ours, agrees, why
