"""Answers scored as SQuAD's own script marks them, prompts and citations, and adapters that come back as they were."""

import re
import string

import numpy as np
import pytest
import torch
from test_finetune import PAIRS, PREFIX, small

from tunewise import finetune as ft
from tunewise import rag
from tunewise import written_answers as score
from tunewise.generation import generate
from tunewise.models.packing import evaluating
from whentofinetune.datasets import company

# Worked by hand. Where SQuAD's script (evaluate-v1.1.py) is said to agree, its own sums are in the comment.
SCORED = [
    ("The Eiffel Tower", ["Eiffel tower"], True, 1.0),  # articles and case: as there
    ("at the Orrenfeld Works", ["Orrenfeld Works"], False, 0.8),  # 2 of 3 tokens: P 2/3, R 1
    ("44 km/h", ["39 km/h"], False, 2 / 3),  # 'km' and 'h' of three tokens on both sides
    ("143.7 kg", ["43.7 kg"], False, 0.5),  # a number is one token
    ("43.7", ["43.7 kg", "43.7"], True, 1.0),  # the best of several
    ("", ["Tolwick"], False, 0.0),
]


@pytest.mark.parametrize(("said", "right", "exact", "f1"), SCORED)
def test_exact_match_and_f1(said, right, exact, f1):
    assert score.exact_match(said, right) is exact
    assert score.token_f1(said, right) == pytest.approx(f1)


def squad(text):
    """Normalisation as the SQuAD paper's script describes it: lower case, punctuation out, articles out, split at white space."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def test_words_are_those_of_squad():
    """On answers without numbers and hyphens, tokens are what SQuAD's normalisation gives."""
    for q in company.questions("direct", "train"):
        for text in (q.answers[0], q.ask[0]):
            if not re.search(r"[\d/'-]", text):
                assert score.tokens(text) == squad(text), text


@pytest.mark.parametrize(
    ("said", "right", "outcome"),
    [
        ("It weighs 43.7 kg.", ["43.7 kg"], "right"),
        ("It weighs 143.7 kg.", ["43.7 kg"], "wrong"),
        ("not stated", ["43.7 kg"], "abstained"),
        ("The passage does not say.", ["43.7 kg"], "abstained"),
        ("", ["43.7 kg"], "abstained"),
        ("not stated", [], "abstained"),
        ("43.7 kg", [], "wrong"),
        ("Not before the 3 May", ["3 May"], "right"),
    ],
)
def test_right_wrong_abstained(said, right, outcome):
    assert score.outcome(said, right) == outcome


def test_containment_agrees_with_the_companys_own_check():
    """company.says looks for the value with a regular expression, contains compares tokens."""
    for q in company.questions("direct", "valid"):
        for p in company.passages()[::7]:
            assert score.contains(p.text, q.answers[:1]) == company.says(p.text, q.answers[0]), (
                q.answers[0],
                p.id,
            )


def test_a_citation_is_read_and_taken_off():
    assert rag.read(" 3.85 kg [2]", 3) == rag.Answer("3.85 kg", (1,))
    assert rag.read(" 3.85 kg [7] [1][1]", 3) == rag.Answer("3.85 kg", (0,))
    assert rag.read(rag.target("blue", 1), 2) == rag.Answer("blue", (1,))
    assert score.outcome(rag.read(rag.target(None), 2).text, ["blue"]) == "abstained"


def test_training_pairs_cite_the_passage_that_holds_the_answer():
    texts = [f"the passage of {w}" for w in ("oak", "elm", "ash", "fir", "yew")]
    asked = [(f"where is {i}?", str(i)) for i in range(40)]
    gold = [i % 5 for i in range(40)]
    pairs = rag.raft_pairs(
        asked,
        gold,
        lambda i: [j for j in range(5) if j != gold[i]],
        texts,
        distractors=2,
        without=0.25,
        rng=np.random.default_rng(0),
    )
    absent = 0
    for (prompt, wanted), (question, answer), right in zip(pairs, asked, gold, strict=True):
        shown = [t for t in texts if t in prompt]
        assert len(shown) == 3 and question in prompt
        if wanted == rag.target(None):
            absent += 1
            assert texts[right] not in prompt
        else:
            place = rag.read(wanted, 3).cited[0]
            assert f"[{place + 1}] {texts[right]}\n" in prompt and wanted.startswith(f" {answer} ")
    assert 3 <= absent <= 18  # a quarter of 40


def test_rows_of_a_long_batch_give_the_same_gradients(monkeypatch):
    """A batch cut into rows of one example each must train as the whole batch does."""
    trained = []
    for limit in (10_000, 1):
        monkeypatch.setattr(ft, "ROW_TOKENS", limit)
        tuned = ft.finetune(small(), PAIRS, ft.Recipe(learning_rate=1e-2, min_steps=4), prefix=PREFIX)
        trained.append((tuned.losses, [p.detach() for p in tuned.model.parameters() if p.requires_grad]))
    np.testing.assert_allclose(trained[0][0], trained[1][0], rtol=1e-5)
    for a, b in zip(trained[0][1], trained[1][1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


def test_a_shared_beginning_changes_no_continuation():
    lm = small()
    prompts = [" grass\nColour:", " snow on the hills in the early morning\nColour:", " coal\nColour:"]
    whole = generate(lm, [PREFIX + p for p in prompts], max_new_tokens=6, batch_size=2, stop=None)
    assert generate(lm, prompts, prefix=PREFIX, max_new_tokens=6, batch_size=2, stop=None) == whole
    with pytest.raises(ValueError, match="empty prompt"):
        generate(lm, [""])


def test_frozen_weights_are_folded_into_one_matrix_while_a_model_answers():
    """PyTorch multiplies few rows by a weight that is marked as frozen one copy of the weight a row: gigabytes for a large vocabulary."""
    lm, seen = small(), []
    lm.model.requires_grad_(False)
    head = lm.model.get_output_embeddings()
    head.register_forward_hook(
        lambda layer, _, out: seen.append((layer.weight.requires_grad, out.requires_grad))
    )
    generate(lm, [" grass\nColour:", " coal\nColour:"], max_new_tokens=2, stop=None)
    assert len(seen) >= 2 and set(seen) == {(True, False)}  # and no graph is kept
    with pytest.raises(RuntimeError), evaluating(lm.model):
        raise RuntimeError
    assert not any(p.requires_grad for p in lm.model.parameters())
