"""Words, records and languages that the model lacks: the data, the experiments on a model of random weights, and what the pages make of their records."""

import re
import types
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import load
from small_model import made_up, run_small, small, small_context

from tunewise.experiment import Condition, Scores
from tunewise.generation import generate
from tunewise.near_duplicates import near_duplicates
from tunewise.report import gap, mean
from tunewise.scoring import choose, encode, label_logprobs, option_logprobs, written
from whentofinetune import book_files, book_records, experiments
from whentofinetune.datasets import company, glossary, hindi_pairs, patient_notes
from whentofinetune.pages import domains

# -- scoring each question's own options -------------------------------------------------------------------------------


def test_options_score_as_in_a_pass_of_their_own():
    """Each option alone, in a plain forward pass of transformers, is the independent way; packed rows of a few tokens must not change it."""
    lm, prefix = small(), "Say it.\n\n"
    queries, options = (
        ["Q: one\nA:", "Q: a longer one\nA:", "Q: x\nA:"],
        [[" yes", " no"], [" a stiff neck", " gout", " b"], [" c", " d e"]],
    )
    ours = option_logprobs(lm, prefix, queries, options, row_tokens=24)
    for query, mine, got in zip(queries, options, ours, strict=True):
        for option, score in zip(mine, got, strict=True):
            before, after = (
                [*encode(lm.tokenizer, prefix), *encode(lm.tokenizer, query)],
                encode(lm.tokenizer, option),
            )
            with torch.inference_mode():
                logprobs = lm.model(torch.tensor([before + after])).logits[0].log_softmax(-1)
            alone = sum(float(logprobs[len(before) - 1 + i, token]) for i, token in enumerate(after))
            np.testing.assert_allclose(score, alone, atol=1e-4)


def test_a_habit_is_taken_off():
    lm, queries, options = small(), ["Q: one\nA:"] * 2, [[" yes", " no"], [" no", " yes"]]
    free = {o: label_logprobs(lm, "", ["A:"], [" yes", " no"])[0][i] for i, o in enumerate([" yes", " no"])}
    scores = option_logprobs(lm, "", queries, options)
    wanted = [
        int(np.argmax([s - free[o] for s, o in zip(row, mine, strict=True)]))
        for row, mine in zip(scores, options, strict=True)
    ]
    assert choose(lm, "", queries, options, neutral="A:").tolist() == wanted


def test_bad_input_is_said():
    with pytest.raises(ValueError, match="2 queries for 1"):
        option_logprobs(small(), "", ["a", "b"], [["c", "d"]])
    with pytest.raises(ValueError, match="empty prompt"):
        option_logprobs(small(), "", [""], [["c", "d"]])


def test_what_would_be_written_is_what_is_written():
    """Greedy decoding by transformers writes a text; asked for that text, every token is the likeliest, and for another not."""
    lm, prefix, prompts = small(), "Go on.\n", ["one two", "a b c"]
    said = generate(lm, prompts, prefix=prefix, max_new_tokens=3, stop=None)
    for prompt, text in zip(prompts, said, strict=True):
        ids = lm.tokenizer(prefix + prompt, add_special_tokens=False, return_tensors="pt").input_ids
        answer = lm.model.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        again = lm.tokenizer.decode(answer)
        if lm.tokenizer(again, add_special_tokens=False).input_ids == answer.tolist():
            assert written(lm, [prompt], [again], prefix=prefix)[0][:-1] == [True] * 3
        assert not all(written(lm, [prompt], [" something else"], prefix=prefix)[0])
        assert text is not None


# -- Hindi -------------------------------------------------------------------------------------------------------------


def card_counts(folder: str) -> dict[str, int]:
    text = (book_files.data_dir() / folder / "README.md").read_text(encoding="utf-8")
    return {m[1]: int(m[2]) for m in re.finditer(r"^\| (train|valid|test) \| (\d+) \|$", text, re.MULTILINE)}


def test_hindi_is_what_its_card_says():
    assert {s: len(hindi_pairs.pairs(s)) for s in company.SPLITS} == card_counts("hindi")
    assert (
        len({p.id for p in hindi_pairs.pairs()})
        == len(hindi_pairs.pairs())
        == len({p.en.lower() for p in hindi_pairs.pairs()})
    )
    for p in hindi_pairs.pairs():
        assert re.search(r"[\u0900-\u097f]", p.hi) and not re.search(r"[%{}<>]|[A-Za-z]{4}", p.hi)
        if p.split != "train":
            assert 2 <= len(p.en.split()) <= 20


@pytest.mark.parametrize("side", ["en", "hi"])
def test_no_near_duplicate_is_in_two_splits(side):
    pairs = hindi_pairs.pairs()
    for i, j in near_duplicates([getattr(p, side) for p in pairs]):
        assert pairs[i].split == pairs[j].split, (pairs[i], pairs[j])


def test_choices_are_four_with_the_right_one_in_every_place():
    test = hindi_pairs.pairs("test")
    options = hindi_pairs.choices(test)
    assert all(len(set(mine)) == 4 and i in mine for i, mine in enumerate(options))
    places_ = Counter(mine.index(i) for i, mine in enumerate(options))
    assert max(places_.values()) - min(places_.values()) <= 1
    gaps = [abs(len(test[j].en) - len(test[i].en)) for i, mine in enumerate(options) for j in mine]
    assert np.median(gaps) <= 2  # length tells little


def test_dice_by_hand():
    """व stands in both pairs, 'red' in both, 'house' in one: 2·1/(1+1) for घर-house, 2·2/(2+2) for लाल-red."""
    pairs = [
        hindi_pairs.Pair("1", "train", "red house", "लाल घर", "x"),
        hindi_pairs.Pair("2", "train", "red book", "लाल किताब", "x"),
    ]
    score = hindi_pairs.word_table(pairs)
    assert score("घर", "house") == 1.0 and score("लाल", "red") == 1.0
    assert score("घर", "red") == pytest.approx(2 / 3)
    assert score("घर", "a house") == 0.5 and score("कुछ", "house") == 0.0


def test_unknown_splits_are_refused():
    for ask in (hindi_pairs.pairs, patient_notes.notes):
        with pytest.raises(ValueError, match="split must be one of"):
            ask("dev")


# -- notes -------------------------------------------------------------------------------------------------------------


def test_notes_are_what_their_card_says():
    assert {s: len(patient_notes.notes(s)) for s in patient_notes.SPLITS} == card_counts("notes")
    for split in patient_notes.SPLITS:
        for note in patient_notes.notes(split):
            assert all(patient_notes.mentioned(note, note.text).values()) and note.name in note.text
            assert all(patient_notes.recalled(note, patient_notes.summary(note)).values())
    test = patient_notes.notes("test")
    assert sum(n.new for n in test) == len(test) // 2 and not any(
        n.new for s in ("train", "valid") for n in patient_notes.notes(s)
    )


def test_rebuild_gives_the_same_notes(tmp_path):
    folder = book_files.data_dir() / "notes"
    load(folder / "build.py").build(tmp_path)
    assert (tmp_path / "notes.jsonl").read_bytes() == (folder / "notes.jsonl").read_bytes()


def test_no_patient_or_finding_is_in_two_splits():
    for key in ("first", "last", "complaint", "diagnosis", "medicine", "allergy", "file"):
        of = {}
        for split in patient_notes.SPLITS:
            for n in patient_notes.notes(split):
                first, last = n.name.split(" ", 1)
                value = {"first": first, "last": last, "medicine": n.record["medicine"].split()[0]}.get(
                    key
                ) or n.record[key]
                assert of.setdefault(value, split) == split, (key, value)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (
            "Ada Loom; file 12; age 40; complaint a cough; diagnosis gout; medicine Xan 5 mg; allergy soy; next in a week",
            7,
        ),
        ("Ada Loom; age: 40.; FILE 12; next In a week", 3),
        ("Ada Loom; file 12 or 13; age forty; medicine Old 5 mg; allergy soy milk", 0),
        ("file 99; file 12", 0),
        ("12, 40, a cough, gout", 0),
        ("", 0),
    ],
)
def test_fields_are_read_by_form(text, right):
    record = {
        "file": "12",
        "age": "40",
        "complaint": "a cough",
        "diagnosis": "gout",
        "medicine": "Xan 5 mg",
        "allergy": "soy",
        "next": "in a week",
    }
    note = patient_notes.Note("1", "test", "Ada Loom", "form", False, "", record)
    assert sum(patient_notes.recalled(note, text).values()) == right


def test_mentioned_counts_whole_words_anywhere():
    note = patient_notes.Note(
        "1", "test", "Ada Loom", "form", False, "", {"age": "40", "complaint": "a cough"}
    )
    assert patient_notes.mentioned(note, "She is 40 and has a cough.") == {"age": True, "complaint": True}
    assert patient_notes.mentioned(note, "She is 140 and has a coughing dog.") == {
        "age": False,
        "complaint": False,
    }


def test_who_was_trained_on_how_often():
    for seed in (0, 1):
        of = patient_notes.people(66, 2, seed)
        trained = Counter(prompt for prompt, _ in patient_notes.training_pairs(of, 8))
        assert {who: len(found) for who, found in of.items()} == {"repeated": 2, "once": 64, "never": 2}
        for who, times in {"repeated": 8, "once": 1, "never": 0}.items():
            assert all(trained[patient_notes.query(n)] == times for n in of[who])


# -- jargon ------------------------------------------------------------------------------------------------------------


def test_no_question_of_a_test_term_is_trained_on():
    asked = {glossary.query(q) for q in company.jargon() if q.split != "train"}
    bare = {q.question for q in company.jargon() if q.split != "train"}
    for kind in ("questions", "definitions", "entries"):
        prompts = [p for p, _ in glossary.training_pairs(kind, 216, 2, 0)]
        assert not asked & set(prompts)
        assert not any(q in p for q in bare for p in prompts)
    defined = {p for p, _ in glossary.training_pairs("definitions", 64, 2, 0)}
    assert all(any(f"\n{t.term}:" in p for p in defined) for t in company.terms("test"))


def test_an_entry_alone_does_not_give_the_answer_away():
    """Where the answer is a term, the entries of all options are shown; where it is a meaning, that of the term asked about."""
    for q in company.jargon("test"):
        shown = {t.term for t in glossary.named(q, company.terms())}
        assert q.term in shown
        if q.kind in ("name", "gap"):
            assert set(q.options) <= shown


# -- the experiments, and the pages -------------------------------------------------------------------------------------


def ran(experiment, folder, patch, **changes):
    ctx = small_context(folder, patch, experiment.scales["smoke"] | changes)
    return run_small(experiment, ctx)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """The three experiments on the small model, with two seeds and a few items."""
    with pytest.MonkeyPatch.context() as patch:
        folder, few = tmp_path_factory.mktemp("cache"), {"seeds": [0, 1]}
        kinds = ["questions", "definitions", "entries"]
        jargon_run = ran(experiments.get("jargon"), folder, patch, training=kinds, test_n=12, **few)
    with pytest.MonkeyPatch.context() as patch:
        note_run = ran(experiments.get("notes"), folder, patch, test_n=4, **few)
    with pytest.MonkeyPatch.context() as patch:
        language_run = ran(experiments.get("new_language"), folder, patch, test_n=8, items=6, texts=3, **few)
    return types.SimpleNamespace(jargon=jargon_run, notes=note_run, language=language_run)


def test_right_options_are_counted_and_questions_on_a_term_belong_together(records):
    right = {q.id: (q.answer, q.term) for q in company.jargon("test")}
    assert len(records.jargon.where(method="lora")) == 8
    for row in records.jargon.results:
        found = zip(row["predictions"], row.items, row.groups, strict=True)
        assert row.outcomes("accuracy") == [said == right[i][0] for said, i, term in found]
        assert row.groups == [right[i][1] for i in row.items]


def test_right_places_among_the_hindi_choices_are_counted(records):
    test = hindi_pairs.pairs("test")[:8]
    places = [mine.index(i) for i, mine in enumerate(hindi_pairs.choices(test))]
    for row in records.language.results:
        if row.get("task") in ("meaning", "writing"):
            said = row["predictions"]
            assert row.outcomes("accuracy") == [a == b for a, b in zip(said, places, strict=True)]


def test_training_leaves_the_model_as_it_was(tmp_path, monkeypatch):
    ctx = small_context(tmp_path, monkeypatch, experiments.get("jargon").scales["smoke"])
    before = {n: p.clone() for n, p in ctx.lm.model.named_parameters()}
    run_small(experiments.get("jargon"), ctx)
    after = dict(ctx.lm.model.named_parameters())
    assert before.keys() == after.keys() and all(torch.equal(p, after[n]) for n, p in before.items())


def test_attacks_are_made_on_those_in_the_training_notes_and_pooled(records):
    groups = ("never", "once", "repeated")
    for seed in (0, 1):
        of = patient_notes.people(4, 1, seed)
        for who in groups:
            row = records.notes.one(method="attack", of="lora", patients=who, seed=seed)
            assert row.items == [n.id for n in of[who][:1]]
    bits = [
        np.median(
            [r["exposure"]["value"] for r in records.notes.where(method="attack", of="lora", patients=who)]
        )
        for who in groups
    ]
    lines = domains.leaks_table(records.notes).text.splitlines()[-3:]
    assert [float(line.split()[-1].replace(",", "")) for line in lines] == pytest.approx(bits, rel=0.01)


def test_fields_of_a_summary_are_scored_one_by_one(records):
    notes = {n.id: n for n in patient_notes.notes("test")}
    for row in records.notes.where(method="lora"):
        for score in ("recalled", "mentioned"):
            for i, (item, text) in enumerate(zip(row.items, row["predictions"], strict=True)):
                found = getattr(patient_notes, score)(notes[item], text)
                assert {f: row.outcomes(f"{score}.{f}")[i] for f in patient_notes.FIELDS} == found
                assert row.outcomes(score)[i] == pytest.approx(sum(found.values()) / 7)


def test_bits_are_paired_by_text(records):
    before, *after = (
        np.array(r.outcomes("bits"))
        for m in ("base", "lora")
        for r in records.language.where(method=m, task="hindi")
    )
    wanted = np.mean([bits.sum() / before.sum() - 1 for bits in after])
    assert domains.bits_change(records.language, "hindi")["value"] == pytest.approx(wanted)


def test_kinds_of_questions_and_hands_are_averaged_apart(records):
    kind = {q.id: q.kind for q in company.jargon("test")}
    ids = domains.jargon_items(records.jargon)
    assert sorted(sum(map(list, ids.values()), [])) == sorted(records.jargon.one(method="base").items)
    for rows in domains.jargon_rows(records.jargon).values():
        for name, some in ids.items():
            hits = [
                o
                for r in rows
                for i, o in zip(r.items, r.outcomes("accuracy"), strict=True)
                if kind[i] == name
            ]
            found = mean(rows, items=some)
            assert (found is None and not hits) or found["value"] == pytest.approx(np.mean(hits))


def test_tokens_are_compared_over_the_same_messages():
    rows = [
        (Condition("tokens", language=x), Scores(["a", "b", "c"], tokens=c))
        for x, c in (("en", [2, 3, 4]), ("hi", [10, 14, 21]))
    ]
    assert domains.token_ratio(made_up(experiments.get("new_language"), rows))["value"] == pytest.approx(
        45 / 9
    )


def test_every_figure_and_table_is_made(records):
    d = domains
    parts = [make(records.jargon) for make in (d.jargon_figure, d.jargon_kinds)]
    parts += [make(records.notes) for make in (d.notes_table, d.notes_fields, d.a_summary, d.leaks_table)]
    parts += [make(records.language) for make in (d.tokens_table, d.language_table, d.language_gaps)]
    parts += [d.before_after(records.language)]
    assert not any(re.search(r"\bnan\b", str(part)) for part in parts)


def test_the_text_says_what_the_records_of_each_size_say():
    """Hindi beside a table of words, definitions by kind of question, and values found without training."""
    for model, ahead in (("smollm2-135m", False), ("qwen2.5-coder-0.5b", True)):
        rows = domains.language_rows(book_records.load("new_language", model=model), "meaning")
        difference = gap(rows["LoRA"], rows["table of words, no model"])
        assert difference["low"] > 0 if ahead else difference["high"] < 0
    words = book_records.load("jargon", model="qwen2.5-coder-0.5b")
    rows, items = domains.jargon_rows(words), domains.jargon_items(words)
    alone, trained = (rows[n] for n in ("the question alone", "LoRA on questions and all definitions"))
    for kind, ids in items.items():
        asked = {i for i in ids if kind == "meaning"} or ids
        before, after = (mean(found, items=asked) for found in (alone, trained))
        assert (after["low"] > before["high"]) == (kind == "meaning")
    notes = book_records.load("notes", model="qwen2.5-coder-0.5b")
    assert (
        notes.one(method="prompt").metric("mentioned")["low"]
        > 0.5
        > notes.one(method="prompt").metric("recalled")["high"]
    )
