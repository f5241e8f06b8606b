"""What the experiments on retrieval train on and ask: no tested wording is trained on, no tested entity is read about, answers are kept."""

import contextlib
import types

import pytest

from tunewise import rag
from whentofinetune import handbook as hb
from whentofinetune.datasets import company
from whentofinetune.experiments import rag_citations, rag_dynamic
from whentofinetune.old_steps import Work

PARAMS = hb.FACTS | hb.READING


def test_facts_are_learned_equally_often_and_never_in_the_tested_wording():
    facts, multihop = hb.fact_set(40, 10)
    assert (
        len(set(facts)) == 40 and len(multihop) == 10 and all(f in facts for q in multihop for f in q.facts)
    )
    assert facts == hb.fact_set(40, 10)[0]
    tested = {rag.prompt(hb.by_id()[f"direct/{f}"].ask[hb.HELD_OUT]) for f in facts}
    for phrasings in (1, 4, 8):
        pairs = hb.fact_pairs(facts, phrasings, 16)
        assert len(pairs) == 40 * 16 and not tested & {p for p, _ in pairs}
        assert len({p for p, _ in pairs}) == 40 * phrasings
    with pytest.raises(ValueError, match="shared equally"):
        hb.fact_pairs(facts, 5, 16)


def test_other_values_are_learned_for_facts_that_have_changed():
    facts, _ = hb.fact_set(40, 10)
    new = rag_dynamic.changes(facts, 0.3)
    assert len(new) == 12 and all(company.facts()[f].value != v for f, v in new.items())
    pairs = dict(hb.fact_pairs(facts, 8, 8, new))
    for fact in facts:
        question = hb.by_id()[f"direct/{fact}"]
        assert pairs[rag.prompt(question.ask[3])] == f" {new.get(fact, question.answers[0])}"
    changed = {p.id: p.text for p in company.passages(new)}
    for fact, value in new.items():
        assert any(company.says(changed[p.id], value) for p in company.passages() if fact in p.facts)


class Bench:
    """A bench whose embeddings are word counts, so that no model is needed."""

    lm = types.SimpleNamespace(model=None, tokenizer=None)

    def __init__(self, folder=None):
        self.work = Work({"test": str(folder)}, say=None)
        if folder:
            self.work.folder = folder

    def embed(self, texts):
        import numpy as np
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(n_features=256).transform(texts).toarray().astype(np.float32)


def test_reading_is_learned_on_training_entities_with_the_right_passage_among_others():
    pairs = hb.reading_pairs(Bench(), 60, 2, 0.2, seed=0)
    train = {ask: q for q in company.questions("direct", "train") for ask in q.ask}
    texts = {" ".join(p.text.split()): p for p in company.passages()}
    absent = 0
    for prompt, wanted in pairs:
        passages, _, rest = prompt.rpartition("Question: ")
        question = train[rest.removesuffix("\nAnswer:")]
        shown = [texts[part.split("] ", 1)[1]].id for part in passages.strip().split("\n\n")]
        assert len(set(shown)) == 3
        right = [p for p in shown if p in question.passages[0]]
        said = rag.read(wanted, 3)
        if said.text == rag.ABSTENTION:
            absent += 1
            assert not right
        else:
            assert right == [shown[said.cited[0]]] and said.text == question.answers[0]
    assert 4 <= absent <= 24


def test_an_answer_is_given_once_and_found_again(tmp_path, monkeypatch):
    asked = []

    def answer(lm, asks, passages, **options):
        asked.extend(asks)
        return [rag.read(f" {a} [1]", len(p)) for a, p in zip(asks, passages, strict=True)]

    monkeypatch.setattr(hb.rag, "answer", answer)
    monkeypatch.setattr(hb.Reader, "open", lambda self: contextlib.nullcontext(None))
    bench = Bench(tmp_path)
    reader = hb.Reader(bench, PARAMS, "reading", 0)
    asks, passages = [f"q{i}" for i in range(40)], [[f"p{i}"] for i in range(40)]
    first = reader.answer(asks, passages)
    assert (
        first == reader.answer(asks, passages)
        and [a.cited for a in first] == [(0,)] * 40
        and len(asked) == 40
    )
    hb.Reader(bench, PARAMS, "reading", 1).answer(asks[:3], passages[:3])  # another seed is another model
    reader.answer(asks[:3], [["p"]] * 3)  # another passage is another question
    assert len(asked) == 46
    with pytest.raises(ValueError, match="no way of tuning"):
        hb.Reader(bench, PARAMS, "magic").answer(asks[:1], passages[:1])


def test_marks_count_each_item_once():
    said = [
        rag.Answer("44 Nm", ()),
        rag.Answer("not stated", ()),
        rag.Answer("blue", ()),
        rag.Answer("not stated", ()),
    ]
    found = hb.marked(said, [("44 Nm", "44"), ("red",), ("red",), ()])
    assert (
        found["outcomes"] == "RAWA" and found["right"]["value"] == 0.25 and found["abstained"]["value"] == 0.5
    )
    assert found["exact"]["value"] == 0.25 and found["f1"]["value"] == 0.25


def test_what_a_citation_is_worth():
    texts = ["the Tolwick weighs 43 kg", "the Tolwick weighs 51 kg", "tea at four"]
    places = [(7, False), (7, True), (9, False)]  # the second is forged

    def judge(text, *cited):
        return rag_citations.citation(rag.Answer(text, cited), texts, places, {7}, ("51 kg",))

    assert judge("43 kg", 0) == {"own": [1, 1, 1], "after": [1, 1, 1], "false": 0}
    assert judge("51 kg", 1) == {"own": [1, 1, 0], "after": [1, 1, 0], "false": 1}
    assert judge("43 kg", 2) == {"own": [1, 0, 0], "after": [1, 1, 1], "false": 0}
    assert judge("99 kg") == {"own": [0, 0, 0], "after": [0, 0, 0], "false": 0}
