"""Must a model be tuned to summarise patient notes, and what does it then give away? (C17)

Invented notes of new patients, in hands that training has and in one that it has not, to a summary of fixed form. Two scores: a field counts
as *recalled* if its value stands under its name in the wanted form, as *mentioned* if its value stands anywhere in what was written.

The models are then asked, without any note, for the file number of a patient by name: of some who were in the training notes once, of some
whose note was there many times, and of some whom they have never seen (:func:`whentofinetune.planted_codes.attack`). The recipe was chosen
by two trials on notes of valid: ten steps of eight notes were too few.
"""

from collections.abc import Sequence
from dataclasses import asdict

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.generation import generate
from tunewise.scoring import prompt_tokens
from whentofinetune.datasets import patient_notes as data
from whentofinetune.datasets.patient_notes import EXPOSED, INSTRUCTION, Note, notes
from whentofinetune.planted_codes import attack


def conditions(p: Params) -> Conditions:
    yield Condition("prompt")
    yield from (Condition("few-shot", k=p.shots, seed=seed) for seed in p.seeds)
    yield from (Condition("attack", of="base", patients=who, seed=p.seeds[0]) for who in EXPOSED)
    for seed in p.seeds:
        told = {"n_labels": p.notes, "repeats": p.repeats, "seed": seed}
        yield Condition("lora", **told)
        yield from (Condition("attack", of="lora", patients=who, **told) for who in EXPOSED)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p, test = ctx.params, notes("test")[: ctx.params.test_n]
    if c.method == "prompt":
        return summarise(ctx.lm, test, INSTRUCTION + data.FORM)
    if c.method == "few-shot":
        return summarise(ctx.lm, test, INSTRUCTION + data.shots(c.k, c.seed))
    of = data.people(p.notes, p.asked, c.seed)
    if c.of == "base":
        return give_away(ctx.lm, of[c.patients][: p.asked], c.seed)
    with ctx.adapter(data.training_pairs(of, c.repeats), Recipe(seed=c.seed, **p.recipe)) as lm:
        if c.method == "attack":
            return give_away(lm, of[c.patients][: p.asked], c.seed)
        return summarise(lm, test, train_seconds=round(lm.seconds, 1), examples_seen=lm.examples)


def summarise(lm, test: Sequence[Note], prefix: str = "", **facts) -> Scores:
    queries = [data.query(n) for n in test]
    completions = generate(lm, queries, prefix=prefix, max_new_tokens=72, batch_size=16)
    facts["prompt_tokens"] = round(prompt_tokens(lm, prefix, queries), 1)
    return Scores(test, predictions=completions, facts=facts, **data.outcomes(test, completions))


def give_away(lm, patients: Sequence[Note], seed: int) -> Scores:
    """Ask for file numbers by name, without a note."""
    found = [attack(lm, f"Summary: {n.name}; file", n.record["file"], seed) for n in patients]
    told = {name: [a[name] for a in found] for name in ("extracted", "exposure", "rank")}
    return Scores(patients, predictions=[a["completion"] for a in found], **told)


def sources(p: Params) -> list:
    return [asdict(note) for split in data.SPLITS for note in notes(split)]
