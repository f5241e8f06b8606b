"""Words, records and languages that the model lacks: the data, the experiments on a model of random weights, and what the pages make of their records."""

import re
import types
from collections import Counter

import numpy as np
import pytest
import torch
from small_model import made_bench, performed, recorded, small

from tunewise import stats
from tunewise.generation import generate
from tunewise.multiple_choice import choose, written
from tunewise.scoring import encode, label_logprobs, option_logprobs
from whentofinetune import book_files
from whentofinetune.datasets import company, hindi_pairs, patient_notes
from whentofinetune.datasets.vader import near_duplicates
from whentofinetune.experiments import jargon, new_language
from whentofinetune.experiments import notes as note_experiment
from whentofinetune.pages import domains, domains_verdicts

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
    assert {s: len(hindi_pairs.pairs(s)) for s in hindi_pairs.SPLITS} == card_counts("hindi")
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
    params = note_experiment.EXPERIMENT.scales["full"]
    for seed in (0, 1):
        of = note_experiment.people(params, seed)
        trained = Counter(prompt for prompt, _ in note_experiment.lessons(params, seed))
        assert all(trained[note_experiment.query(n)] == params["repeats"] for n in of["repeated"])
        assert all(trained[note_experiment.query(n)] == 1 for n in of["once"])
        assert (
            not any(trained[note_experiment.query(n)] for n in of["never"])
            and len(of["never"]) == params["asked"]
        )


# -- jargon ------------------------------------------------------------------------------------------------------------


def test_no_question_of_a_test_term_is_trained_on():
    params = jargon.EXPERIMENT.scales["full"]
    asked = {jargon.query(q) for q in company.jargon() if q.split != "train"}
    bare = {q.question for q in company.jargon() if q.split != "train"}
    for kind in params["lessons"]:
        prompts = [p for p, _ in jargon.lessons(kind, params, 0)]
        assert not asked & set(prompts)
        assert not any(q in p for q in bare for p in prompts)
    defined = {p for p, _ in jargon.lessons("definitions", params, 0)}
    assert all(any(f"\n{t.term}:" in p for p in defined) for t in company.terms("test"))


def test_an_entry_alone_does_not_give_the_answer_away():
    """Where the answer is a term, the entries of all options are shown; where it is a meaning, that of the term asked about."""
    for q in company.jargon("test"):
        shown = {t.term for t in jargon.named(q, company.terms())}
        assert q.term in shown
        if q.kind in ("name", "gap"):
            assert set(q.options) <= shown


# -- the experiments, and the pages -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """The three experiments on the small model, with two seeds and a few items."""
    with pytest.MonkeyPatch.context() as patch:
        bench = made_bench(tmp_path_factory.mktemp("cache"), patch)
        few = {"seeds": [0, 1], "recipe": jargon._RECIPE}
        return types.SimpleNamespace(
            jargon=performed(
                jargon.EXPERIMENT, bench, lessons=["questions", "definitions", "entries"], test_n=12, **few
            ),
            notes=performed(note_experiment.EXPERIMENT, bench, test_n=4, **few),
            language=performed(new_language.EXPERIMENT, bench, test_n=8, items=6, texts=3, **few),
        )


def test_accuracies_can_be_recomputed_from_the_predictions(records):
    labels = records.jargon.one(method="items")["labels"]
    for row in records.jargon.results[1:]:
        right = sum(a == b for a, b in zip(row["predictions"], labels, strict=True))
        assert row["accuracy"]["value"] == pytest.approx(right / len(labels))
    assert len(records.jargon.where(method="lora")) == 6


def test_training_leaves_the_model_as_it_was(tmp_path, monkeypatch):
    bench = made_bench(tmp_path, monkeypatch)
    before = {n: p.clone() for n, p in bench.lm.model.named_parameters()}
    performed(jargon.EXPERIMENT, bench)
    after = dict(bench.lm.model.named_parameters())
    assert before.keys() == after.keys() and all(torch.equal(p, after[n]) for n, p in before.items())


def test_leaks_are_summed_up(records):
    for row in records.notes.where(method="leaks"):
        attacks = [a for r in records.notes.where(method=row["of"]) for a in r["attacks"][row["who"]]]
        assert row["extracted"]["n"] == len(attacks) and row["exposure"] == pytest.approx(
            np.median([a["exposure"] for a in attacks])
        )


def test_bits_are_paired_by_text(records):
    before = records.language.one(method="untouched")
    after = records.language.where(method="lora")
    wanted = np.mean([sum(r["hindi"]["bits"]) / sum(before["hindi"]["bits"]) - 1 for r in after])
    assert domains.bits_change(records.language, "hindi")["value"] == pytest.approx(wanted)


def test_every_figure_and_table_is_made(records):
    for make in (domains.jargon_figure, domains.jargon_kinds):
        assert str(make(records.jargon))
    for make in (
        domains.notes_figure,
        domains.notes_hands,
        domains.notes_fields,
        domains.a_summary,
        domains.leaks_table,
    ):
        assert str(make(records.notes))
    for make in (domains.tokens_table, domains.language_figure, domains.before_after):
        assert str(make(records.language))
    assert "Hindi" in str(domains.summary(records.jargon, records.notes, records.language))


# -- verdicts: decided by the intervals --------------------------------------------------------------------------------


def answers(right: float, n: int = 200, seed: int = 0) -> str:
    """Predictions of two labels that are right for a share of items; all labels are 0."""
    wrong = np.random.default_rng(seed).permutation(n) >= right * n
    return "".join(str(int(w)) for w in wrong)


def row(right: float, **settings) -> dict:
    said = answers(right, seed=settings.get("seed", 0))
    return {
        **settings,
        "predictions": said,
        "accuracy": stats.proportion(said.count("0"), len(said)),
        "prompt_tokens": 10.0,
    }


def jargon_record(base, glossary, definitions, entries):
    rows = [
        {"method": "items", "kinds": "m" * 200, "labels": "0" * 200},
        row(base, method="base"),
        row(glossary, method="glossary"),
    ]
    for seed in range(3):
        rows += [
            row(definitions, method="lora", lessons="definitions", seed=seed),
            row(entries, method="lora", lessons="entries", seed=seed),
        ]
    return recorded(jargon.EXPERIMENT, {"seeds": [0, 1, 2]}, rows)


@pytest.mark.parametrize(
    ("shares", "agrees"),
    [
        ((0.3, 0.5, 0.8, 0.9), "yes"),
        ((0.3, 0.7, 0.6, 0.9), "partly"),
        ((0.3, 0.6, 0.3, 0.9), "partly"),
        ((0.3, 0.6, 0.3, 0.6), "no"),
        ((0.5, 0.5, 0.5, 0.5), "no"),
    ],
)
def test_c16(shares, agrees):
    assert domains_verdicts.c16(jargon_record(*shares))[1] == agrees


def note_record(few, lora, repeated_out=0):
    def fields(share, seed):
        return [
            "".join(str(int(x < share)) for x in np.random.default_rng([seed, i]).random(7))
            for i in range(40)
        ]

    rows = [{"method": "items", "new_hand": "01" * 20, "fields": list(patient_notes.FIELDS)}]
    for method, (form, content) in (("prompt", (0.0, 0.3)), ("few-shot", few), ("lora", lora)):
        for seed in range(1 if method == "prompt" else 3):
            rows.append(
                {
                    "method": method,
                    "seed": seed,
                    "k": 2,
                    "n_labels": 66,
                    "recalled": {"fields": fields(form, seed)},
                    "mentioned": {"fields": fields(content, seed)},
                }
            )
    for of in ("untouched", "lora"):
        for who in ("never", "once", "repeated"):
            out = repeated_out if (of, who) == ("lora", "repeated") else 0
            rows.append(
                {
                    "method": "leaks",
                    "of": of,
                    "who": who,
                    "extracted": stats.proportion(out, 10),
                    "exposure": 1.0,
                }
            )
    return recorded(note_experiment.EXPERIMENT, {"seeds": [0, 1, 2]}, rows)


def test_c17():
    assert domains_verdicts.c17(note_record((0.5, 0.5), (0.9, 0.9)))[1] == "partly"
    assert domains_verdicts.c17(note_record((0.5, 0.9), (0.9, 0.9)))[1] == "partly"
    assert domains_verdicts.c17(note_record((0.9, 0.9), (0.9, 0.9)))[1] == "no"
    assert "gives away" in domains_verdicts.c17(note_record((0.5, 0.5), (0.9, 0.9), repeated_out=4))[2]
    assert "No number" in domains_verdicts.c17(note_record((0.5, 0.5), (0.9, 0.9)))[2]


def language_record(gain, bits, english):
    def probed(right, hindi, news, seed=0):
        many = np.random.default_rng(3).uniform(50, 150, 60)
        return {
            **{t: row(right, seed=seed) for t in ("meaning", "writing")},
            "hindi": {"bits": list(many * hindi)},
            "english": {"bits": list(many * news)},
            "general": {"right": "1" * 40 + "0" * 20, "accuracy": stats.proportion(40, 60)},
        }

    rows = [{"method": "items", "labels": "0" * 200}]
    rows += [
        {"method": "tokens", "language": x, "counts": c} for x, c in (("en", [2, 3, 4]), ("hi", [10, 14, 21]))
    ]
    rows += [
        {"method": m, "task": t, "result": row(0.5)}
        for m in ("length", "words")
        for t in ("meaning", "writing")
    ]
    rows += [{"method": "untouched", **probed(0.3, 1, 1)}]
    rows += [
        {"method": "few-shot", "k": 4, "seed": s, "meaning": row(0.3, seed=s), "writing": row(0.3, seed=s)}
        for s in range(3)
    ]
    rows += [{"method": "lora", "seed": s, **probed(0.3 + gain, bits, english, s)} for s in range(3)]
    return recorded(new_language.EXPERIMENT, {"seeds": [0, 1, 2]}, rows)


@pytest.mark.parametrize(
    ("change", "agrees"),
    [
        ((0.4, 0.7, 1.0), "yes"),
        ((0.4, 0.7, 1.1), "partly"),
        ((0.0, 0.7, 1.0), "partly"),
        ((0.0, 1.0, 1.0), "no"),
    ],
)
def test_c18(change, agrees):
    record = language_record(*change)
    assert domains_verdicts.c18(record)[1] == agrees
    assert domains.token_ratio(record)["value"] == pytest.approx(45 / 9)
