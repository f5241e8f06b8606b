"""What the experiments on retrieval train on and ask: no tested wording is trained on, no tested entity is read about, answers are kept."""

import pytest
from small_model import small_context

from tunewise import rag
from whentofinetune import book_records, experiments
from whentofinetune import handbook as hb
from whentofinetune.datasets import company, company_sources
from whentofinetune.experiments import rag_citations

PARAMS = experiments.get("rag_citations").scales["smoke"]


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
    with pytest.raises(ValueError, match="kept for the test; take at most 8"):
        hb.fact_pairs(facts, 16, 16)


def test_other_values_are_learned_for_facts_that_have_changed():
    facts, _ = hb.fact_set(40, 10)
    new = hb.changes(facts, 0.3)
    assert len(new) == 12 and all(company.facts()[f].value != v for f, v in new.items())
    pairs = dict(hb.fact_pairs(facts, 8, 8, new))
    for fact in facts:
        question = hb.by_id()[f"direct/{fact}"]
        assert pairs[rag.prompt(question.ask[3])] == f" {new.get(fact, question.answers[0])}"
    changed = {p.id: p.text for p in company_sources.handbook(new)}
    for fact, value in new.items():
        assert any(company.says(changed[p.id], value) for p in company.passages() if fact in p.facts)


@pytest.fixture(scope="module")
def ctx(tmp_path_factory):
    """A small random model, a cache of its own, and vectors that hold nothing but the words."""
    with pytest.MonkeyPatch.context() as patch:
        yield small_context(tmp_path_factory.mktemp("cache"), patch, PARAMS)


def test_reading_is_learned_on_training_entities_with_the_right_passage_among_others(ctx):
    pairs = hb.reading_pairs(ctx, 60, 2, 0.2, seed=0)
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


def test_an_answer_is_given_once_and_found_again(ctx, monkeypatch):
    asked, answer = [], rag.answer

    def counted(lm, asks, passages, **options):
        asked.extend(asks)
        return answer(lm, asks, passages, **options)

    monkeypatch.setattr(rag, "answer", counted)
    asks, passages = [f"q{i}?" for i in range(40)], [[f"passage {i}"] for i in range(40)]
    how = hb.training(ctx, "reading", 0)
    first = hb.answer(ctx, how, asks, passages)
    assert len(first) == len(asked) == 40
    monkeypatch.setattr(
        ctx, "adapter", lambda *_: pytest.fail("a model is loaded for what was answered before")
    )
    assert hb.answer(ctx, how, asks, passages) == first and len(asked) == 40
    monkeypatch.undo()
    monkeypatch.setattr(rag, "answer", counted)
    hb.answer(ctx, hb.training(ctx, "reading", 1), asks[:3], passages[:3])  # another seed is another model
    hb.answer(ctx, None, asks[:3], [["p"]] * 3)  # another passage is another question
    assert len(asked) == 46
    with pytest.raises(ValueError, match="no method is called"):
        hb.training(ctx, "magic", 0)


def test_a_passage_is_found_as_by_the_index_itself(ctx):
    asks = hb.wordings(company.questions("direct", "valid")[:5], 0)
    book = hb.Handbook(ctx, "bm25")
    assert book.find(asks, 4) == [[h.index for h in hits] for hits in book.retriever.search(asks, 4)]
    assert (
        book.find(asks, 4)
        == hb.Handbook(ctx, "bm25").find(asks, 4)
        != hb.Handbook(ctx, "dense").find(asks, 4)
    )


def test_each_item_is_scored_once():
    said = [rag.Answer(text, ()) for text in ("44 Nm", "not stated", "blue", "not stated")]
    questions = company.questions("direct", "test")[:4]
    right = [("44 Nm", "44"), ("red",), ("red",), ()]
    found = hb.scored(questions, said, right, parts={"some": [True, False, False, True]})
    assert {k: v for k, v in found.outcomes.items() if "." not in k} == {
        "right": "1000",
        "wrong": "0010",
        "abstained": "0101",
        "exact": "1000",
        "f1": [1.0, 0.0, 0.0, 0.0],
    }
    assert found.outcomes["some.right"] == "1--0" and found.outcomes["some.f1"] == [1.0, None, None, 0.0]
    assert found.ids == [q.id for q in questions] and found.groups == [q.facts[0] for q in questions]


def test_what_a_citation_is_worth():
    texts = ["the Tolwick weighs 43 kg", "the Tolwick weighs 51 kg", "tea at four"]
    true = [True, False, False]  # the second is forged

    def judge(text, *cited):
        found = rag_citations.cited(rag.Answer(text, cited), texts, true)
        return {
            who: [int(found[f"{who}.{what}"]) for what in ("given", "holds", "source")]
            for who in ("own", "after")
        }

    assert judge("43 kg", 0) == {"own": [1, 1, 1], "after": [1, 1, 1]}
    assert judge("51 kg", 1) == {"own": [1, 1, 0], "after": [1, 1, 0]}
    assert judge("43 kg", 2) == {"own": [1, 0, 0], "after": [1, 1, 1]}
    assert judge("99 kg") == {"own": [0, 0, 0], "after": [0, 0, 0]}


def test_every_question_on_a_changed_fact_is_in_one_part():
    """In the committed record: the changed and the unchanged facts are all facts, and their answers those of the whole."""
    found = book_records.load("rag_dynamic")
    for row in found.results:
        parts = zip(row.outcomes("changed.right"), row.outcomes("unchanged.right"), strict=True)
        assert [b if a is None else a for a, b in parts] == row.outcomes("right")
        assert row.metric("changed.right")["n"] == round(row["share"] * found.params["facts"])
