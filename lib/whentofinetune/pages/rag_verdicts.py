"""The verdicts of the chapters on retrieval (C11, C23, C32 to C34, C36, C38 to C40, C42): what was measured, and what follows.

As in :mod:`whentofinetune.pages.icl_verdicts` each returns (ours, agrees, why), decided here from the intervals.
"""

from __future__ import annotations

from tunewise.record import Record
from tunewise.report.numbers import pct, plain, points
from whentofinetune.pages import hybrid, rag
from whentofinetune.pages.icl_verdicts import Verdict
from whentofinetune.pages.rag import clear, gap, listed, room, share, turned

FEW = 0.1  # what "a minimum" of wrong answers is taken to be, at most
HALF = 0.5


def c32(record: Record) -> Verdict:
    """Start with retrieval, measure it, tune only if it falls short?"""
    of = {
        m: rag.knowledge(record, m, "reworded")
        for m in ("closed book", "tuned", "rag", "rag, tuned to read", "whole corpus")
    }
    over_memory, over_tuned = gap(of["rag"], of["closed book"]), gap(of["rag"], of["tuned"])
    over_plain = gap(of["rag, tuned to read"], of["rag"])
    ours = {
        "closed book": share(of["closed book"]),
        "RAG, model as it comes": share(of["rag"]),
        "tuned on the facts": share(of["tuned"]),
        "RAG minus tuned on the facts": points(over_tuned),
    }
    if of["whole corpus"]:
        ours |= {
            f"{of['whole corpus'][0]['passages']} passages, all in the prompt": share(of["whole corpus"])
        }
    if over_plain:
        ours |= {
            "RAG, tuned to read": share(of["rag, tuned to read"]),
            "tuned to read minus as it comes": points(over_plain),
        }
    second = (
        {
            1: " Where retrieval fell short, tuning helped as a second step: not with facts, but by teaching the model to read.",
            0: " Tuning to read, as a second step, did not clearly help here.",
            -1: " Tuning to read, as a second step, made it worse here.",
        }[clear(over_plain)]
        if over_plain
        else ""
    )
    if clear(over_memory) == 1 and clear(over_tuned) == 1:
        why = "Retrieval beats memory and beats facts tuned into the weights, without any training."
        return ours, "yes", why + second
    if clear(over_tuned) == -1:
        if clear(gap(of["rag, tuned to read"], of["tuned"])) == 1:
            why = "Retrieval alone does worse than facts tuned into the weights, as this small model reads badly; tuned to read it does better. So starting with retrieval holds, stopping there does not."
            return ours, "partly", why
        why = "Facts tuned into the weights clearly beat retrieval here: a small model with few facts learns them more easily than it learns to read."
        return ours, "no", why + second
    which = (
        "Retrieval beats memory, but"
        if clear(over_memory) == 1
        else "Retrieval does not clearly beat memory, and"
    )
    why = f"{which} it and facts tuned into the weights are not clearly apart on questions in a new wording."
    return ours, "partly", why + second


def c33(record: Record) -> Verdict:
    """Complements? For each thing that tuning can teach: are both better than either?"""
    ways, ours = hybrid.ways(record), {}
    for way in ways:
        ours |= {
            f"taught {hybrid.TAUGHT[way]}: both minus {half}": points(m)
            for half, m in hybrid.over_halves(record, way).items()
        }
        ours |= {f"taught {hybrid.TAUGHT[way]}: interaction": points(hybrid.interaction(record, way))}
    adds = _better(record)
    signs = {way: clear(hybrid.interaction(record, way)) for way in ways}
    why = _adds(record, adds, "Both are clearly better than either alone")
    for sign, word in (
        (1, " The interaction is clearly positive (one makes the other work) for"),
        (-1, " They clearly compete (the interaction is negative) for"),
    ):
        if found := [hybrid.TAUGHT[w] for w in ways if signs[w] == sign]:
            why += f"{word} {listed(found)}."
    return ours, "no" if not adds else "yes" if len(adds) == len(ways) else "partly", why


def c42(record: Record) -> Verdict:
    """Are both together best in most cases? Best: clearly better than the better half."""
    ways, wins = hybrid.ways(record), _better(record)
    ours = {"retrieval alone": share(hybrid.quadrant(record, ways[0])["retrieval alone"])}
    worst = []
    for way in ways:
        q = hybrid.quadrant(record, way)
        ours |= {
            f"taught {hybrid.TAUGHT[way]}: tuning alone": share(q["tuning alone"]),
            f"taught {hybrid.TAUGHT[way]}: both": share(q["both"]),
        }
        half, metric = min(hybrid.over_halves(record, way).items(), key=lambda item: item[1]["value"])
        ours |= {f"taught {hybrid.TAUGHT[way]}: both minus the better half ({half})": points(metric)}
        worst.append(metric)
    why = _adds(record, wins, "The hybrid clearly beats its better half") + ("" if wins else room(*worst))
    if loses := [w for w, m in zip(ways, worst, strict=True) if clear(m) == -1]:
        why += f" It is clearly worse than its better half when tuning taught {listed([hybrid.TAUGHT[w] for w in loses])}."
    agrees = "no" if not wins else "yes" if len(wins) > len(ways) / 2 else "partly"
    return (
        ours,
        agrees,
        why + " So ask of a hybrid what its tuning is to teach, and measure it against both halves.",
    )


def _better(record: Record) -> list[str]:
    """The ways of tuning with which both are clearly better than either half."""
    return [
        w for w in hybrid.ways(record) if all(clear(m) == 1 for m in hybrid.over_halves(record, w).values())
    ]


def _adds(record, adds, what: str) -> str:
    every = hybrid.ways(record)
    if not adds:
        return (
            f"{what} with none of the {len(every)} ways of tuning tried."
            if len(every) > 1
            else f"{what}: not so here."
        )
    if len(adds) == len(every):
        return f"{what} with every way of tuning tried."
    with_, without = ([hybrid.TAUGHT[w] for w in every if (w in adds) == so] for so in (True, False))
    return f"{what} when tuning taught {listed(with_)}, not when it taught {listed(without, 'or')}."


def c23(record: Record) -> Verdict:
    """Can a model be tuned to use retrieved context better? With distractors in the training, and without."""
    d = record.params["distractors"]
    ways = [w for w in ("reading", "gold only") if record.where(method=w)]
    as_is = record.where(method="untouched", passages="found")
    found = {w: gap(record.where(method=w, passages="found"), as_is) for w in ways}
    given = {
        w: [gap(hybrid.with_gold(record, w, x), hybrid.with_gold(record, "untouched", x)) for x in (0, d)]
        for w in ways
    }
    ours = {"found passages, as it comes": share(as_is)} | {
        f"found passages, {rag.MODELS[w]}": share(record.where(method=w, passages="found")) for w in ways
    }
    for w in ways:
        ours |= {
            f"{rag.MODELS[w]}, minus as it comes, found passages": points(found[w]),
            f"{rag.MODELS[w]}, minus as it comes, right passage alone": points(given[w][0]),
        }
    ours |= {
        f"cites a right passage, {rag.MODELS[w]}": share(
            record.where(method=w, passages="found"), "cites_gold"
        )
        for w in ("untouched", *ways)
    }
    tail = ""
    if len(ways) == 2:
        need = gap(
            record.where(method="reading", passages="found"),
            record.where(method="gold only", passages="found"),
        )
        ours |= {"trained with distractors minus trained without": points(need)}
        tail = {
            1: " Distractors in training were needed for it: without them it is clearly worse.",
            -1: " Training without distractors did better still.",
            0: " Whether distractors stand in the training makes no clear difference here.",
        }[clear(need)]
    n, helps = record.params["readings"], [w for w in ways if clear(found[w]) == 1]
    if len(helps) == len(ways):
        why = (
            f"Tuned on {n} questions about other entities, the model makes clearly more of the same passages."
        )
        return ours, "yes", why + tail
    if helps:
        why = f"Of two ways to tune on {n} questions about other entities, one makes clearly more of the same passages ({rag.MODELS[helps[0]]}), the other not clearly."
        return ours, "partly", why + tail
    if any(clear(m) == 1 for pair in given.values() for m in pair):
        why = "With the right passage in the prompt tuning clearly helps; with what the search brings back the difference is not clear."
        return ours, "partly", why + tail
    why = "Tuned to read, the model does not make clearly more of the same passages."
    return ours, "no", why + room(*found.values()) + tail


def c34(record: Record) -> Verdict:
    """Is tuning usually not the way to put new facts in?"""
    way = rag.reading_method(record)
    ours = {f"tuned on the facts, {kind}": share(rag.knowledge(record, "tuned", kind)) for kind in rag.KINDS}
    gaps = {
        kind: gap(rag.knowledge(record, way, kind), rag.knowledge(record, "tuned", kind))
        for kind in rag.AS_ASKED
    }
    ours |= {f"{way.replace('rag', 'RAG')}, {kind}": share(rag.knowledge(record, way, kind)) for kind in gaps}
    ours |= {f"RAG minus tuned, {kind}": points(m) for kind, m in gaps.items()}
    many, one = (
        record.where(method="tuned", asked="reworded", phrasings=p)
        for p in (rag.phrasings_of(record)[-1], rag.phrasings_of(record)[0])
    )
    lost = gap(many, rag.knowledge(record, "tuned", "same wording"))
    tail = {
        -1: " What is tuned in is partly bound to the wording it was trained in.",
        0: " A new wording of the question costs nothing that is clear.",
    }.get(clear(lost), "")
    if many is not one and clear(gap(many, one)) == 1:
        tail += " More phrasings in training help clearly."
    known = {kind: share(rag.knowledge(record, "tuned", kind)) for kind in gaps}
    if lost_on := [k for k in ("reversed", "two facts") if known[k]["high"] < known["reworded"]["low"]]:
        told = [f"{rag.AS_ASKED[k]} ({pct(known[k], n=False)})" for k in lost_on]
        tail += f" Tuned-in facts hardly carry over to questions {listed(told)}."
    wins, loses = ([k for k, m in gaps.items() if clear(m) == sign] for sign in (1, -1))
    if len(wins) == len(gaps):
        return ours, "yes", "Looking facts up beats training them in for every kind of question." + tail
    if loses and not wins:
        why = f"Here facts in the weights are clearly ahead for questions {listed([rag.AS_ASKED[k] for k in loses])}, and nowhere clearly behind."
        return ours, "no", why + tail
    if not wins:
        return ours, "partly", "Facts in the weights and facts looked up are nowhere clearly apart." + tail
    why = f"Looking facts up is clearly ahead for questions {listed([rag.AS_ASKED[k] for k in wins])}, not for questions {listed([rag.AS_ASKED[k] for k in gaps if k not in wins])}."
    return ours, "partly", why + tail


def c36(record: Record) -> Verdict:
    """Does retrieval keep hallucination to a minimum?"""
    change = rag.invention(record)
    plain_, read = (rag.answered(record, m, "good", "unanswerable") for m in ("untouched", "reading"))
    ours = {f"wrong answers, {name}, minus from memory": points(m) for name, m in change.items()}
    ours |= {
        "invented where nothing is stated, as it comes": share(plain_, "wrong"),
        "invented where nothing is stated, tuned to read": share(read, "wrong"),
    }
    bad = gap(
        rag.answered(record, "reading", "bad", "answerable"),
        rag.answered(record, "reading", "good", "answerable"),
        "wrong",
    )
    ours |= {"tuned to read, wrong answers with wrong passages minus found ones": points(bad)}
    fewer = [
        name for key, name in rag.RETRIEVERS.items() if key[1] == "good" and clear(change.get(name)) == -1
    ]
    least = min((m for m in (share(plain_, "wrong"), share(read, "wrong")) if m), key=lambda m: m["value"])
    tail = {
        1: " A bad search brings inventions back.",
        0: "",
        -1: " With passages that do not hold the answer it declines more.",
    }[clear(bad)]
    if not fewer:
        why = "Passages alone do not clearly lower the number of wrong answers: this model answers from whatever stands there."
        return ours, "no", why + room(*map(turned, change.values())).replace("gain", "fall") + tail
    if rag.RETRIEVERS["untouched", "good"] in fewer and share(plain_, "wrong")["high"] <= FEW:
        why = f"Retrieval clearly lowers wrong answers, and where nothing is stated at most {FEW:.0%} are invented."
        return ours, "yes", why + tail
    if rag.RETRIEVERS["untouched", "good"] in fewer:
        why = f"Retrieval clearly lowers wrong answers; “minimum” is too much: where nothing is stated, inventions remain ({pct(least)} at best)."
    else:
        why = "Passages alone do not do it; a model that was also trained to say “not stated” clearly gives fewer wrong answers. The means is the training, not the search."
        why += f" Where nothing is stated, inventions remain ({pct(least)} at best)."
    return ours, "partly", why + tail


def c11(record: Record) -> Verdict:
    """Does tuning correct errors, and what is made up? Tuning to read may; tuning on new facts has a price elsewhere."""

    def change(asked: str, letter: str) -> dict:
        return gap(*(rag.answered(record, m, "good", asked) for m in ("reading", "untouched")), letter)

    errors, made_up, right = (
        change("answerable", "wrong"),
        change("unanswerable", "wrong"),
        change("answerable", "right"),
    )
    side = rag.side_effects(record)
    ours = {
        "tuned to read minus as it comes, found passages: wrong where the answer is stated": points(errors),
        "the same: right where it is stated": points(right),
        "the same: invented where nothing is stated": points(made_up),
        "new facts right after tuning on them": share(rag.epochs(record, "learned")[-1][1]),
        "general questions right, change": points(side["right"]),
        "general questions sure and wrong, change": points(side["sure"]),
        "facts it was not taught made up, change": points(side["made up"]),
    }
    harms = [
        word
        for word, bad in (
            ("fewer general questions right", clear(side["right"]) == -1),
            ("more of them wrong and sure", clear(side["sure"]) == 1),
        )
        if bad
    ]
    price = (
        f" Tuning on new facts has a price elsewhere: {listed(harms)}."
        if harms
        else " Tuning on new facts did no clear harm to general questions."
    )
    fewer = [clear(errors) == -1, clear(made_up) == -1]
    if not any(fewer):
        why = "Tuning to read clearly lowers neither errors nor inventions."
        return ours, "no", why + room(turned(errors), turned(made_up)).replace("gain", "fall") + price
    if clear(right) == -1:
        why = "Tuned to read, the model makes up less, but it also answers less of what is stated."
        return ours, "partly", why + price
    if not all(fewer):
        why = (
            "Tuning to read clearly lowers errors where the answer is stated, but not inventions where nothing is."
            if fewer[0]
            else (
                "Tuning to read clearly lowers inventions where nothing is stated, but not errors where the answer is."
            )
        )
        return ours, "partly", why + price
    why = "Tuning to read, with examples that hold no answer, clearly lowers errors and inventions; the same prompt without it does not."
    return ours, "partly" if harms else "yes", why + price


def c38(record: Record) -> Verdict:
    """Does what was tuned in go stale, and is an index quicker to mend?"""
    ways = rag.updates(record)
    old, again = ways["old weights"], ways["weights trained again"]
    name, changed = rag.best_index(record), "changed.right"
    stale, fresh = gap(again, old, changed), gap(ways[name], old, changed)
    rival = gap(ways[name], again, changed)
    index, weights = (rag.repair_seconds(record, n) for n in (name, "weights trained again"))
    ours = {f"{n}, changed facts": share(rows, changed) for n, rows in ways.items()}
    ours |= {
        "new index minus old weights": points(fresh),
        "new index minus weights trained again": points(rival),
    }
    ours |= {"changed passages put into the index": plain(index, "s"), "training again": plain(weights, "s")}
    if clear(stale) != 1 and clear(fresh) != 1:
        why = (
            "Old weights are not clearly worse about changed facts than weights trained again or a new index."
        )
        return ours, "no", why + room(stale, fresh).replace("gain", "difference")
    quick = f" Mending the index took {plain(index, 's')}, training again {plain(weights, 's')}."
    if clear(fresh) != 1:
        why = "Old weights go stale and training again mends them; the new index, read by this model, is not clearly better than old weights."
        return ours, "partly", why + quick
    same = {
        1: " It is also clearly ahead of weights trained again.",
        -1: " Weights trained again are ahead of it, at their price.",
        0: " Between it and weights trained again the difference is not clear.",
    }
    why = "Old weights are clearly worse about what has changed than an index brought up to date."
    return ours, "yes" if index < weights else "partly", why + same[clear(rival)] + quick


def c39(record: Record) -> Verdict:
    """Can references be given for right answers, and do they tell right answers from wrong ones?"""
    found, forged = (rag.citing(record, c) for c in ("found", "planted"))
    ours = {
        f"right source {rag.WHO[who]}, of all answers, {m}": share(rows, f"{who}.source")
        for m, rows in found.items()
        for who in rag.WHO
    }
    sources = {(m, who): rag.sourced(rows, who) for m, rows in found.items() for who in rag.WHO}
    ours |= {
        f"right source {rag.WHO[who]}, of right answers, {m}": metric
        for (m, who), metric in sources.items()
        if metric
    }
    deceptive = {m: metric for m, rows in found.items() if (metric := rag.misleading(rows, "after"))}
    ours |= {
        f"words that match found afterwards, of wrong answers, {m}": metric for m, metric in deceptive.items()
    }
    told = {m: share(rows, "planted") for m, rows in forged.items()}
    ours |= {f"planted value repeated, {m}": metric for m, metric in told.items()}
    known = [metric for metric in sources.values() if metric]
    tail = ""
    if any(m["low"] > FEW for m in deceptive.values()):
        tail += " But wrong answers get references too, in which their words can be found: a reference lets one check an answer, it does not vouch for it."
    if any(m["low"] > FEW for m in told.values()):
        tail += " Planted values are repeated, and the words stand in the source."
    if not known or all(m["high"] < HALF for m in known):
        why = f"For fewer than {HALF:.0%} of the right answers is there a right source, however it is found."
        return ours, "no", why + tail
    if any(m["low"] > HALF for m in known):
        why = f"For more than {HALF:.0%} of the right answers a right source can be given."
        return ours, "partly" if tail else "yes", why + tail
    why = f"Whether a right source can be given for more than {HALF:.0%} of the right answers is open at this n."
    return ours, "partly", why + tail


def c40(record: Record) -> Verdict:
    """What the team can do no record shows; what each way costs, one does."""
    index = record.one(method="index")
    rows = rag.answers_by_k(record)
    ours = {
        f"index of {index['passages']} passages": plain(index["build_seconds"], "s"),
        "a search": plain(index["search_seconds"], "s"),
    }
    ours |= {
        f"training on {r['examples']} {'facts' if r['what'] == 'facts' else 'readings'}": plain(
            r["train_seconds"], "s"
        )
        for r in record.where(method="training")
    }
    ours |= {rag.answer_from(r["k"]): plain(r["seconds"], "s") for r in rows}
    even = rag.answers_until_even(record)
    slower = rows[-1]["seconds"]["low"] > rows[0]["seconds"]["high"]
    why = "Whether a team can build a search or tune a model is a fair question that no run answers; we measured what each costs the machine. "
    why += (
        "Retrieval costs with every answer, as the passages must be read; "
        if slower
        else "Passages in the prompt do not clearly slow an answer down here; "
    )
    if even is None:
        why += "it never becomes dearer in seconds than training on the facts."
    elif not even:
        why += "training on the facts took no longer than building the index, so in seconds it is ahead from the first answer that needs no passages."
    else:
        why += f"training on the facts has paid for itself, in seconds, after {even:,.0f} answers that need no passages."
    return ours, "partly", why + " Evaluation costs the same either way, and both need it."
